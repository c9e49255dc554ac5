// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "formats/array.h"
#include "formats/names.h"
#include "simulator/npy.h"
#include "tools/npy_source.h"
#include "tools/outputs.h"
#include "tools/progress.h"
#include "tools/verb.h"

namespace assay::tools {
namespace {

using formats::FormatSpec;
using simulator::Dtype;

/// Elements that are in memory at once.
constexpr std::int64_t chunk = std::int64_t{1} << 20;

struct Options {
  std::string from, to, rounding = "nearest_even", policy = "saturating", in, out;
  std::uint64_t seed = 0;
  int random_bits = 16;
  Outputs outputs;
};

/// The unsigned type that holds one code.
Dtype code_type(const FormatSpec& spec) {
  return spec.storage_bits <= 8 ? Dtype::u8 : spec.storage_bits == 16 ? Dtype::u16 : Dtype::u32;
}

template <typename T>
std::vector<T> elements(const NpySource& source, std::int64_t first, std::int64_t count) {
  std::vector<T> out(static_cast<std::size_t>(count));
  const std::span<const std::byte> bytes = source.bytes(first, count);
  std::memcpy(out.data(), bytes.data(), bytes.size());
  return out;
}

void encode(const NpySource& source, const FormatSpec& spec, const formats::ArrayOptions& options,
            std::int64_t first, std::int64_t count, std::span<std::uint8_t> packed) {
  switch (source.dtype()) {
    case Dtype::f32:
      return encode_array(spec, elements<float>(source, first, count), options, packed);
    case Dtype::f64:
      return encode_array(spec, elements<double>(source, first, count), options, packed);
    default: {
      const FormatSpec& wide = source.dtype() == Dtype::bf16 ? formats::bf16 : formats::fp16;
      return encode_array(spec, wide, elements<std::uint16_t>(source, first, count), options,
                          packed);
    }
  }
}

/// One code per byte, in place of two.
std::vector<std::uint8_t> unpack_nibbles(std::span<const std::uint8_t> packed, std::int64_t count) {
  std::vector<std::uint8_t> codes(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < codes.size(); ++i)
    codes[i] = static_cast<std::uint8_t>(packed[i / 2] >> (i % 2 * 4) & 0xF);
  return codes;
}

ExitCode run(const Options& options) {
  const FormatSpec& spec = formats::find_format(options.to);
  const formats::ProfileRow& row =
      formats::profile_row(formats::find_profile(options.policy), spec);
  const NpySource source(options.in, options.from);
  formats::ArrayOptions array;
  array.mode = formats::find_rounding_mode(options.rounding);
  array.policy = source.dtype() == Dtype::f64 ? formats::policy_for_f64(row) : row.policy;
  array.random_bits = array.mode == formats::RoundingMode::stochastic ? options.random_bits : 0;
  array.seed = options.seed;
  array.threads = 0;

  simulator::NpyWriter writer(options.out, code_type(spec), source.shape());
  Progress progress("convert", source.size());
  for (std::int64_t first = 0; first < source.size(); first += chunk) {
    const std::int64_t count = std::min(chunk, source.size() - first);
    std::vector<std::uint8_t> codes(packed_size(spec, static_cast<std::size_t>(count)));
    array.first_index = static_cast<std::uint64_t>(first);
    encode(source, spec, array, first, count, codes);
    if (spec.storage_bits == 4) codes = unpack_nibbles(codes, count);
    writer.write(std::as_bytes(std::span(codes)));
    source.release(first, count);
    progress.advance(count);
  }
  writer.commit();
  options.outputs.write_json({{"verb", "convert"},
                              {"input", options.in},
                              {"output", options.out},
                              {"from", source.type_name()},
                              {"to", spec.name},
                              {"rounding", options.rounding},
                              {"policy", options.policy},
                              {"random_bits", array.random_bits},
                              {"seed", options.seed},
                              {"elements", source.size()}});
  return ExitCode::pass;
}

}  // namespace

Action declare_convert(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("--from", options->from,
                 "element type of IN: f32, f64, f16, or bf16 kept as uint16 (default: the file's)");
  app.add_option("--to", options->to, "format of the codes (assay formats)")->required();
  app.add_option(
      "--rounding", options->rounding,
      "nearest_even, nearest_away, toward_zero, toward_positive, toward_negative, to_odd "
      "or stochastic");
  app.add_option("--policy", options->policy,
                 "saturating, ieee, cuda13, cuda13-nosat, ml_dtypes, ocp_saturating or "
                 "ocp_nonsaturating");
  app.add_option("--seed", options->seed, "of stochastic rounding (default 0)");
  app.add_option("--random-bits", options->random_bits,
                 "of stochastic rounding, 1 to 16 (default 16)");
  app.add_option("IN", options->in, "a .npy array of any shape")->required()->check(not_a_stream);
  app.add_option("OUT", options->out,
                 "a .npy array of the same shape: one code per uint8, uint16 or uint32")
      ->required()
      ->check(not_a_stream);
  options->outputs.declare_json(app);
  return [options] { return run(*options); };
}

}  // namespace assay::tools

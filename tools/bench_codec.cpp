// SPDX-License-Identifier: Apache-2.0
#include "tools/bench_codec.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <span>
#include <stdexcept>
#include <vector>

#include "formats/array.h"
#include "formats/block.h"
#include "formats/presets.h"
#include "simulator/atomic_file.h"
#include "tools/bench_timing.h"
#include "tools/cuda_baseline.h"
#include "tools/machine.h"

namespace assay::tools {
namespace {

using formats::BlockFormat;
using Bytes = std::vector<std::uint8_t>;

// The shape of the block rows: as wide as a matrix of a model.
constexpr std::int64_t columns = 4096;

// One operation done three ways on the same input. Each returns nothing; `ours` and `baseline`
// leave their bytes where `equal` finds them.
struct Row {
  std::string name;
  std::function<void(int threads)> ours;
  std::function<void(int threads)> baseline;  ///< empty: none (memcpy itself)
  std::function<bool()> equal;
};

struct Measured {
  std::string name;
  double ours[2] = {};      ///< 10^6 elements a second, with 1 and with N threads
  double baseline[2] = {};  ///< 0: absent
  bool equal = true;
};

// body(first, count) over `threads` equal parts of [0, total), cut at multiples of 32.
template <class Body>
void split(std::size_t total, [[maybe_unused]] int threads, const Body& body) {
  const std::size_t blocks = total / 32;
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int t = 0; t < threads; ++t) {
    const std::size_t from =
        blocks * static_cast<std::size_t>(t) / static_cast<std::size_t>(threads);
    const std::size_t to =
        blocks * (static_cast<std::size_t>(t) + 1) / static_cast<std::size_t>(threads);
    body(from * 32, (to - from) * 32);
  }
}

Row memcpy_row(const std::vector<float>& x) {
  auto copy = std::make_shared<std::vector<float>>(x.size());
  return {
      "memcpy f32",
      [&x, copy](int threads) {
        split(x.size(), threads, [&](std::size_t first, std::size_t count) {
          std::memcpy(copy->data() + first, x.data() + first, count * sizeof(float));
        });
      },
      {},
      [&x, copy] { return std::memcmp(copy->data(), x.data(), x.size() * sizeof(float)) == 0; }};
}

using Convert = void (*)(const float*, std::size_t, std::uint8_t*);

Row codec_row(std::string name, const std::vector<float>& x, const formats::FormatSpec& spec,
              Convert baseline, formats::RoundingMode mode = formats::RoundingMode::nearest_even) {
  auto mine = std::make_shared<Bytes>(formats::packed_size(spec, x.size()));
  auto theirs = std::make_shared<Bytes>(mine->size());
  const formats::Policy policy = formats::profile_row(formats::cuda13, spec).policy;
  return {std::move(name),
          [&x, &spec, policy, mode, mine](int threads) {
            formats::encode_array(spec, std::span<const float>(x),
                                  {.mode = mode, .policy = policy, .threads = threads}, *mine);
          },
          [&x, &spec, baseline, theirs](int threads) {
            split(x.size(), threads, [&](std::size_t first, std::size_t count) {
              baseline(x.data() + first, count, theirs->data() + formats::packed_size(spec, first));
            });
          },
          [mine, theirs] { return *mine == *theirs; }};
}

struct BlockBytes {
  Bytes codes;
  Bytes scales;
  float tensor_scale = 1.0F;
};

void baseline_blocks(const BlockFormat& format, const std::vector<float>& x, int threads,
                     BlockBytes& out) {
  const auto width = static_cast<std::size_t>(format.block.cols);
  const bool nvfp4 = format.tensor_scale == formats::TensorScale::fp32;
  if (nvfp4) {
    std::vector<float> parts(static_cast<std::size_t>(threads));
    split(x.size(), threads, [&](std::size_t first, std::size_t count) {
      const std::size_t part = first * static_cast<std::size_t>(threads) / x.size();
      parts[std::min(part, parts.size() - 1)] = std::max(
          parts[std::min(part, parts.size() - 1)], cuda_baseline::amax(x.data() + first, count));
    });
    out.tensor_scale = *std::max_element(parts.begin(), parts.end()) / 2688;
  }
  split(x.size(), threads, [&](std::size_t first, std::size_t count) {
    std::uint8_t* const codes = out.codes.data() + first / 2;
    std::uint8_t* const scales = out.scales.data() + first / width;
    if (nvfp4) {
      cuda_baseline::nvfp4_divide(x.data() + first, count, out.tensor_scale, codes, scales);
    } else {
      cuda_baseline::mxfp4(x.data() + first, count, format.rule == formats::ScaleRule::rceil, codes,
                           scales);
    }
  });
}

Row block_row(std::string name, const std::vector<float>& x, const BlockFormat& format) {
  auto mine = std::make_shared<formats::BlockScaledTensor>();
  auto theirs = std::make_shared<BlockBytes>();
  theirs->codes.resize(x.size() / 2);
  theirs->scales.resize(x.size() / static_cast<std::size_t>(format.block.cols));
  return {std::move(name),
          [&x, &format, mine](int threads) {
            set_threads(threads);
            const auto rows = static_cast<std::int64_t>(x.size()) / columns;
            *mine = formats::quantize(x, rows, columns, format);
          },
          [&x, &format, theirs](int threads) { baseline_blocks(format, x, threads, *theirs); },
          [mine, theirs] {
            return mine->codes == theirs->codes && mine->scales == theirs->scales &&
                   mine->tensor_scale == theirs->tensor_scale;
          }};
}

// All ways in turn, so that a slow moment of the machine hits all of them.
Measured measure(const Row& row, std::size_t elements, const BenchCodecOptions& options) {
  const bool has_baseline = row.baseline && cuda_baseline::flags() != nullptr;
  const int threads[] = {1, options.threads};
  std::vector<double> ours[2];
  std::vector<double> baseline[2];
  for (int repeat = -1; repeat < options.repeats; ++repeat) {  // -1: the warm-up
    for (const int way : {0, 1}) {
      const double mine = seconds_of([&] { row.ours(threads[way]); });
      const double theirs = has_baseline ? seconds_of([&] { row.baseline(threads[way]); }) : 0;
      if (repeat < 0) continue;
      ours[way].push_back(mine);
      baseline[way].push_back(theirs);
    }
  }
  Measured result{.name = row.name, .ours = {}, .baseline = {}, .equal = true};
  const double millions = static_cast<double>(elements) / 1e6;
  for (const int way : {0, 1}) {
    result.ours[way] = millions / median(ours[way]);
    if (has_baseline) result.baseline[way] = millions / median(baseline[way]);
  }
  if (has_baseline || !row.baseline) result.equal = row.equal();
  return result;
}

void print(const std::vector<Measured>& rows, const BenchCodecOptions& options) {
  const char* flags = cuda_baseline::flags();
  fmt::print("{}; {}; codec compiled {}; CUDA headers {}\n", processor(), formats::simd_target(),
             ASSAY_CODEC_FLAGS, flags == nullptr ? "absent" : flags);
  fmt::print("{} elements, medians of {} runs, 10^6 elements a second\n\n", options.elements,
             options.repeats);
  fmt::print("{:<28}{:>10}{:>12}{:>14}{:>14}{:>10}{:>10}  {}\n", "", "1 thread",
             fmt::format("{} threads", options.threads), "CUDA 1 thread",
             fmt::format("CUDA {} thr.", options.threads), "1 thread x", "scaling", "bits");
  for (const Measured& row : rows) {
    const bool absent = row.baseline[0] == 0;
    const auto cell = [&](double value) {
      return absent ? std::string(row.name == rows.front().name ? "-" : "absent")
                    : fmt::format("{:.0f}", value);
    };
    fmt::print("{:<28}{:>10.0f}{:>12.0f}{:>14}{:>14}{:>10}{:>10.2f}  {}\n", row.name, row.ours[0],
               row.ours[1], cell(row.baseline[0]), cell(row.baseline[1]),
               absent ? "-" : fmt::format("{:.1f}", row.ours[0] / row.baseline[0]),
               row.ours[1] / row.ours[0], row.equal ? (absent ? "-" : "equal") : "DIFFER");
  }
}

void write_json(const std::vector<Measured>& rows, const BenchCodecOptions& options) {
  nlohmann::json rows_json = nlohmann::json::array();
  for (const Measured& row : rows) {
    nlohmann::json entry{{"name", row.name},
                         {"melements_per_second", {row.ours[0], row.ours[1]}},
                         {"bits_equal", row.equal}};
    if (row.baseline[0] == 0) {
      entry["cuda_headers"] = nullptr;
    } else {
      entry["cuda_headers"] = {row.baseline[0], row.baseline[1]};
      entry["ratio_one_thread"] = row.ours[0] / row.baseline[0];
    }
    rows_json.push_back(std::move(entry));
  }
  const char* flags = cuda_baseline::flags();
  const nlohmann::json document{
      {"schema", "assay-bench-codec-1"},
      {"processor", processor()},
      {"simd", formats::simd_target()},
      {"flags", ASSAY_CODEC_FLAGS},
      {"cuda_headers_flags", flags == nullptr ? nlohmann::json() : nlohmann::json(flags)},
      {"elements", options.elements},
      {"repeats", options.repeats},
      {"threads", {1, options.threads}},
      {"rows", rows_json}};
  const std::string text = document.dump(2) + "\n";
  if (options.json == "-") {
    fmt::print("{}", text);
    return;
  }
  simulator::AtomicFile file(options.json);
  file.write(text);
  file.commit();
}

}  // namespace

int bench_codec(const BenchCodecOptions& requested) {
  BenchCodecOptions options = requested;
  if (options.elements < 1 || options.repeats < 1 || options.threads < 1) {
    throw std::invalid_argument("bench codec: elements, repeats and threads must be at least 1");
  }
  options.elements = (options.elements + columns - 1) / columns * columns;
  std::vector<float> x(static_cast<std::size_t>(options.elements));
  std::mt19937_64 random(options.seed);
  std::normal_distribution<float> normal(0.0F, 2.0F);
  for (float& value : x) value = normal(random);

  std::vector<Measured> rows;
  for (const auto& make : std::initializer_list<std::function<Row()>>{
           [&] { return memcpy_row(x); },
           [&] { return codec_row("f32 -> e2m1, packed", x, formats::e2m1, cuda_baseline::e2m1); },
           [&] { return codec_row("f32 -> e2m3", x, formats::e2m3, cuda_baseline::e2m3); },
           [&] { return codec_row("f32 -> e3m2", x, formats::e3m2, cuda_baseline::e3m2); },
           [&] { return codec_row("f32 -> e4m3", x, formats::e4m3, cuda_baseline::e4m3); },
           [&] { return codec_row("f32 -> e5m2", x, formats::e5m2, cuda_baseline::e5m2); },
           [&] { return codec_row("f32 -> ue4m3, |x|", x, formats::ue4m3, cuda_baseline::ue4m3); },
           [&] {
             return codec_row("f32 -> e8m0, |x| up", x, formats::e8m0, cuda_baseline::e8m0_up,
                              formats::RoundingMode::toward_positive);
           },
           [&] {
             return codec_row("f32 -> int4, plain loop", x, formats::int4, cuda_baseline::int4);
           },
           [&] { return block_row("MXFP4 floor, quantize", x, formats::mxfp4_floor); },
           [&] { return block_row("MXFP4 rceil, quantize", x, formats::mxfp4_rceil); },
           [&] { return block_row("NVFP4 true division", x, formats::nvfp4_divide); }}) {
    rows.push_back(measure(make(), x.size(), options));
  }
  if (options.json != "-") print(rows, options);
  if (!options.json.empty()) write_json(rows, options);
  return std::all_of(rows.begin(), rows.end(), [](const Measured& r) { return r.equal; }) ? 0 : 1;
}

}  // namespace assay::tools

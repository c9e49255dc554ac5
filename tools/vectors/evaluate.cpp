// SPDX-License-Identifier: Apache-2.0
// What golden makes of each operation's inputs.
#include <fmt/format.h>

#include <map>
#include <sstream>
#include <stdexcept>

#include "formats/names.h"
#include "formats/rule_matrix.h"
#include "golden/codec.h"
#include "golden/estimator.h"
#include "golden/hadamard.h"
#include "golden/layout.h"
#include "golden/lossless.h"
#include "golden/lossless_nvfp4.h"
#include "golden/packed.h"
#include "golden/packed_quantize.h"
#include "golden/philox.h"
#include "golden/quantize.h"
#include "golden/requantize.h"
#include "tools/vectors/golden_case.h"

namespace assay::tools::vectors {
namespace {

using formats::BlockFormat;
using formats::BlockScaledTensor;
using formats::FormatSpec;
using formats::RoundingMode;
using Json = nlohmann::ordered_json;

constexpr RoundingMode nearest = RoundingMode::nearest_even;

std::string text(const Json& row, const char* part, const char* name) {
  return row.at(part).value(name, "");
}

std::int64_t number(const Json& row, const char* name) {
  return row.at("parameters").at(name).get<std::int64_t>();
}

std::vector<std::uint64_t> words(const std::string& hex) {
  std::vector<std::uint64_t> values;
  std::istringstream in(hex);
  for (std::string word; in >> word;) {
    std::size_t end = 0;
    values.push_back(std::stoull(word, &end, 16));
    if (end != word.size()) throw std::invalid_argument("'" + word + "' is no hexadecimal word");
  }
  return values;
}

std::vector<std::uint64_t> input(const Json& row, const char* name) {
  return words(text(row, "inputs", name));
}

template <class Values>
std::string hex(const Values& values, int bits) {
  std::string out;
  for (const auto value : values)
    out += fmt::format("{}{:0{}x}", out.empty() ? "" : " ", value, (bits + 3) / 4);
  return out;
}

float as_float(std::uint64_t bits) {
  return __builtin_bit_cast(float, static_cast<std::uint32_t>(bits));
}

std::vector<float> floats(const std::vector<std::uint64_t>& bits) {
  std::vector<float> values;
  values.reserve(bits.size());
  for (const std::uint64_t word : bits) values.push_back(as_float(word));
  return values;
}

std::string bits_of(const std::vector<float>& values) {
  std::vector<std::uint32_t> bits;
  bits.reserve(values.size());
  for (const float value : values) bits.push_back(__builtin_bit_cast(std::uint32_t, value));
  return hex(bits, 32);
}

template <class Rows>
const auto& find(const Rows& rows, const std::string& name) {
  for (const auto* row : rows)
    if (row->name == name) return *row;
  throw std::invalid_argument("unknown format '" + name + "'");
}

const BlockFormat& block_format(const std::string& name) {
  return find(formats::every_block_format, name);
}

/// One rounding of an exact value to FP32 bits.
std::uint32_t to_fp32(const golden::Value& x) {
  return encode(formats::fp32, x, nearest, golden::policy_of(formats::ieee, formats::fp32));
}

golden::Value value_of(std::uint64_t bits, const std::string& type) {
  if (type == "fp64") return golden::value_of(__builtin_bit_cast(double, bits));
  return golden::decode(formats::find_format(type), static_cast<std::uint32_t>(bits));
}

Json encode_case(const Json& row) {
  const FormatSpec& spec = formats::find_format(row.at("format").get<std::string>());
  const formats::Profile& profile = formats::find_profile(row.at("policy").get<std::string>());
  const RoundingMode mode = formats::find_rounding_mode(row.at("rounding").get<std::string>());
  const auto type = row.at("parameters").at("source").get<std::string>();
  const formats::Policy policy =
      type == "fp64" ? golden::policy_of_f64(profile, spec) : golden::policy_of(profile, spec);
  const std::vector<std::uint64_t> given = input(row, "words");
  std::vector<std::uint32_t> codes;
  for (const std::uint64_t bits : input(row, "x")) {
    golden::Random random;
    if (mode == RoundingMode::stochastic) {
      const int n = static_cast<int>(number(row, "random_bits"));
      random = given.empty()
                   ? golden::random_of(
                         static_cast<std::uint64_t>(number(row, "seed")),
                         static_cast<std::uint64_t>(number(row, "index")) + codes.size(), n)
                   : golden::Random{n, static_cast<std::uint32_t>(given.at(codes.size()))};
    }
    codes.push_back(encode(spec, value_of(bits, type), mode, policy, random));
  }
  return {{"codes", hex(codes, spec.storage_bits)}};
}

Json decode_case(const Json& row) {
  const FormatSpec& spec = formats::find_format(row.at("format").get<std::string>());
  std::vector<float> values;
  for (const std::uint64_t code : input(row, "codes")) {
    const golden::Value value = golden::decode(spec, static_cast<std::uint32_t>(code));
    // FP32 holds every number of every format; encode gives NaN a positive sign.
    const std::uint32_t sign = value.is_nan() && value.negative ? 0x80000000U : 0;
    values.push_back(as_float(to_fp32(value) | sign));
  }
  return {{"values", bits_of(values)}};
}

Json random_case(const Json& row) {
  std::vector<std::uint32_t> out;
  const int bits = static_cast<int>(number(row, "random_bits"));
  for (std::int64_t i = 0; i < number(row, "count"); ++i)
    out.push_back(golden::random_of(static_cast<std::uint64_t>(number(row, "seed")),
                                    static_cast<std::uint64_t>(number(row, "index") + i), bits)
                      .word);
  return {{"words", hex(out, bits)}};
}

/// Codes and scale factors in row-major order, the tensor scale where the format has one.
Json parts(const BlockScaledTensor& t) {
  std::vector<std::uint32_t> codes, scales;
  for (std::int64_t i = 0; i < t.rows * t.cols; ++i)
    codes.push_back(golden::load_code(t, i / t.cols, i % t.cols));
  const golden::BlockGrid grid = golden::block_grid(*t.format, t.rows, t.cols);
  for (std::int64_t b = 0; b < grid.down * grid.across; ++b)
    scales.push_back(golden::load_scale(t, b / grid.across, b % grid.across));
  Json out{{"codes", hex(codes, t.format->element->storage_bits)},
           {"scales", hex(scales, t.format->scale->storage_bits)}};
  if (t.format->tensor_scale != formats::TensorScale::none)
    out["tensor_scale"] = bits_of({t.tensor_scale});
  return out;
}

Json quantize_case(const Json& row) {
  const BlockFormat& format = block_format(row.at("format").get<std::string>());
  const std::vector<float> x = floats(input(row, "x"));
  const std::vector<float> scales = floats(input(row, "scales"));
  formats::QuantizeOptions options;
  options.rounding = formats::find_rounding_mode(row.at("rounding").get<std::string>());
  options.profile = &formats::find_profile(row.at("policy").get<std::string>());
  if (options.rounding == RoundingMode::stochastic) {
    options.random_bits = static_cast<int>(number(row, "random_bits"));
    options.seed = static_cast<std::uint64_t>(number(row, "seed"));
  }
  options.scales = scales;
  return parts(golden::quantize(x, number(row, "rows"), number(row, "cols"), format, options));
}

BlockScaledTensor tensor(const Json& row) {
  const BlockFormat& format = block_format(row.at("format").get<std::string>());
  BlockScaledTensor t;
  t.format = &format;
  t.rows = number(row, "rows");
  t.cols = number(row, "cols");
  t.codes.resize(static_cast<std::size_t>(
      golden::code_bytes(*format.element, t.rows, t.cols, formats::Layout::row_major)));
  t.scales.resize(static_cast<std::size_t>(
      golden::scale_bytes(format, t.rows, t.cols, formats::ScaleLayout::row_major)));
  const auto codes = input(row, "codes");
  const auto scales = input(row, "scales");
  const golden::BlockGrid grid = golden::block_grid(format, t.rows, t.cols);
  if (static_cast<std::int64_t>(codes.size()) != t.rows * t.cols ||
      static_cast<std::int64_t>(scales.size()) != grid.down * grid.across)
    throw std::invalid_argument("codes or scales do not fit rows x cols");
  for (std::int64_t i = 0; i < t.rows * t.cols; ++i)
    golden::store_code(t, i / t.cols, i % t.cols,
                       static_cast<std::uint32_t>(codes[static_cast<std::size_t>(i)]));
  for (std::int64_t b = 0; b < grid.down * grid.across; ++b)
    golden::store_scale(t, b / grid.across, b % grid.across,
                        static_cast<std::uint32_t>(scales[static_cast<std::size_t>(b)]));
  const auto factor = input(row, "tensor_scale");
  if (!factor.empty()) t.tensor_scale = as_float(factor.front());
  return t;
}

Json dequantize_case(const Json& row) {
  return {{"values", bits_of(golden::dequantize_to_fp32(tensor(row)))}};
}

Json reencode_case(const Json& row) {
  const BlockScaledTensor t = tensor(row);
  const BlockFormat& target = block_format(text(row, "parameters", "target"));
  const auto answer = [](const auto& result) {
    if (!result.lossless)
      return Json{{"lossless", false},
                  {"lost", fmt::format("{} {}", result.lost_row, result.lost_col)}};
    Json out{{"lossless", true}};
    out.update(parts(result.tensor));
    return out;
  };
  if (target.element == &formats::e4m3) return answer(golden::lossless_e4m3(t, target));
  return answer(golden::lossless_nvfp4(t, target));
}

const formats::PackedBlock& packed_block(const Json& row) {
  return find(formats::all_packed_blocks, row.at("format").get<std::string>());
}

Json quantize_packed_case(const Json& row) {
  return {{"bytes", hex(golden::quantize_packed(packed_block(row), floats(input(row, "x"))), 8)}};
}

Json dequantize_packed_case(const Json& row) {
  const formats::PackedBlock& block = packed_block(row);
  std::vector<std::uint8_t> bytes;
  for (const std::uint64_t byte : input(row, "bytes"))
    bytes.push_back(static_cast<std::uint8_t>(byte));
  std::vector<float> values;
  for (int i = 0; i < block.elements; ++i)
    values.push_back(as_float(to_fp32(golden::packed_value(block, bytes, i))));
  return {{"values", bits_of(values)}};
}

/// The offsets, in scale factors, of blocks given as pairs "row column" of decimals.
Json scale_offset_case(const Json& row) {
  std::istringstream in(text(row, "inputs", "blocks"));
  std::string out;
  for (std::int64_t r = 0, c = 0; in >> r >> c;)
    out += fmt::format("{}{}", out.empty() ? "" : " ",
                       golden::scale_index(formats::ScaleLayout::swizzled_128x4,
                                           number(row, "down"), number(row, "across"), r, c));
  return {{"offsets", out}};
}

Json hadamard_case(const Json& row) {
  std::vector<golden::Value> x;
  for (const float value : floats(input(row, "x"))) x.push_back(golden::value_of(value));
  std::vector<bool> negative;
  for (const std::uint64_t bit : input(row, "negative")) negative.push_back(bit != 0);
  const formats::Policy policy = golden::policy_of(formats::ieee, formats::fp32);
  std::vector<std::uint32_t> bits;
  for (const golden::Radical& y : golden::hadamard(x, negative))
    bits.push_back(encode(formats::fp32, y, nearest, policy));
  return {{"values", hex(bits, 32)}};
}

Json estimator_case(const Json& row) {
  const FormatSpec& element = formats::find_format(row.at("format").get<std::string>());
  const auto name = text(row, "parameters", "estimator");
  const float parameter = as_float(input(row, "parameter").at(0));
  const golden::EstimatorRule* rule = nullptr;
  for (const golden::EstimatorRule& r : golden::estimator_rules)
    if (r.name == name) rule = &r;
  if (rule == nullptr) throw std::invalid_argument("unknown estimator '" + name + "'");
  const auto w = floats(input(row, "w"));
  const auto codes = input(row, "codes");
  const golden::Value s = golden::value_of(as_float(input(row, "scales").at(0)));
  const golden::Value g = golden::value_of(as_float(input(row, "g").at(0)));
  std::vector<std::uint32_t> bits;
  for (std::size_t i = 0; i < w.size(); ++i) {
    const golden::EstimatedWeight weight{
        golden::value_of(w[i]), golden::decode(element, static_cast<std::uint32_t>(codes.at(i))), s,
        &element};
    bits.push_back(passes(weight, rule->mask, parameter)
                       ? encode(formats::fp32, estimate(weight, rule->factor, g, parameter),
                                nearest, golden::policy_of(formats::ieee, formats::fp32))
                       : 0U);
  }
  return {{"dw", hex(bits, 32)}};
}

const std::map<std::string, Json (*)(const Json&)>& evaluators() {
  static const std::map<std::string, Json (*)(const Json&)> table{
      {"encode", encode_case},
      {"decode", decode_case},
      {"random", random_case},
      {"quantize", quantize_case},
      {"dequantize", dequantize_case},
      {"reencode", reencode_case},
      {"quantize_packed", quantize_packed_case},
      {"dequantize_packed", dequantize_packed_case},
      {"scale_offset", scale_offset_case},
      {"hadamard", hadamard_case},
      {"estimator", estimator_case},
  };
  return table;
}

}  // namespace

Json expected(const Json& row) {
  const std::string id = row.value("id", "(a case without an id)");
  try {
    return evaluators().at(row.at("operation").get<std::string>())(row);
  } catch (const std::exception& error) {
    throw std::invalid_argument(fmt::format("{}: {}", id, error.what()));
  }
}

std::vector<std::string> operations() {
  std::vector<std::string> names;
  for (const auto& [name, evaluate] : evaluators()) names.push_back(name);
  return names;
}

}  // namespace assay::tools::vectors

// SPDX-License-Identifier: Apache-2.0
// Power-of-two scale factors whose exponent is found otherwise: by a logarithm in FP32, or from the
// bits of amax with another mantissa at which it rises.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>
#include <span>

#include "proptests/diagnosis/quantizer_model.h"

namespace assay::proptests::diagnosis {
namespace {

using Number = golden::RationalValue;

bool has_e8m0(const formats::BlockFormat& f) { return f.scale == &formats::e8m0; }

/// The code of a block's scale factor from its amax as FP32 number; `right` for an amax of 0.
std::function<void(QuantizerModel&)> by_amax(std::function<float(float)> exponent) {
  return [exponent = std::move(exponent)](QuantizerModel& q) {
    const auto last = std::make_shared<float>();
    q.block_amax = [last](const Number& a) {
      *last = static_cast<float>(a.number.convert_to<double>());
      return a;
    };
    q.scale_code = [last, exponent](std::uint32_t right) {
      if (*last == 0.0F) return right;
      return static_cast<std::uint32_t>(std::clamp(exponent(*last) + 127.0F, 0.0F, 254.0F));
    };
  };
}

/// The exponent field, as a number, and one more from some mantissa on.
float raised(float x, std::uint32_t from, bool at_it) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  const std::uint32_t mantissa = bits & 0x7FFFFFU;
  const bool up = at_it ? mantissa >= from : mantissa > from;
  return static_cast<float>(static_cast<int>(bits >> 23U) - 127 + (up ? 1 : 0));
}

/// The exponent of a scale factor, from a block's amax.
struct Logarithm {
  const char* text;
  float (*exponent)(float amax);
};
std::vector<QuantizerError> by_logarithm(std::span<const Logarithm> rows) {
  std::vector<QuantizerError> out;
  for (const Logarithm& row : rows)
    out.push_back({"scale_by_logarithm",
                   std::string("the scale exponent comes from a logarithm in FP32, ") + row.text,
                   by_amax(row.exponent), has_e8m0});
  return out;
}

}  // namespace

std::vector<QuantizerError> exponent_errors() {
  static constexpr Logarithm rows[] = {
      {"floor(log2(amax)) - 2", [](float a) { return std::floor(std::log2(a)) - 2.0F; }},
      {"floor(log2(amax / 4))", [](float a) { return std::floor(std::log2(a / 4.0F)); }},
      {"floor(log2(amax) - 2)", [](float a) { return std::floor(std::log2(a) - 2.0F); }},
      {"ceil(log2(amax / 6))", [](float a) { return std::ceil(std::log2(a / 6.0F)); }},
      {"ceil(log2(amax * (1 / 6)))",
       [](float a) { return std::ceil(std::log2(a * (1.0F / 6.0F))); }},
      {"floor(log2(amax / 6))", [](float a) { return std::floor(std::log2(a / 6.0F)); }},
      {"ceil(log2(amax)) - 2", [](float a) { return std::ceil(std::log2(a)) - 2.0F; }},
      {"ceil(log2(amax)) - 3", [](float a) { return std::ceil(std::log2(a)) - 3.0F; }},
      {"round(log2(amax / 6))", [](float a) { return std::nearbyint(std::log2(a / 6.0F)); }},
      {"round(log2(amax / 4))", [](float a) { return std::nearbyint(std::log2(a / 4.0F)); }},
  };
  return by_logarithm(rows);
}

std::vector<QuantizerError> other_exponent_errors() {
  static constexpr Logarithm rows[] = {
      {"ceil(log2(amax) - log2(6))",
       [](float a) { return std::ceil(std::log2(a) - std::log2(6.0F)); }},
      {"floor(ln(amax) / ln(2)) - 2",
       [](float a) { return std::floor(std::log(a) / std::log(2.0F)) - 2.0F; }},
      {"ceil(ln(amax / 6) / ln(2))",
       [](float a) { return std::ceil(std::log(a / 6.0F) / std::log(2.0F)); }},
      {"ceil(ln(amax / 6) * (1 / ln(2)))",
       [](float a) { return std::ceil(std::log(a / 6.0F) * 1.44269504F); }},
  };
  std::vector<QuantizerError> out = by_logarithm(rows);
  for (const std::uint32_t from : {0U, 1U << 21U, 2U << 21U, 3U << 21U})
    for (const bool at_it : {true, false})
      out.push_back({"scale_exponent_threshold",
                     fmt::format("the scale exponent rises {} amax = {} * 2^k",
                                 at_it ? "from" : "above", 1.0 + std::ldexp(from, -23)),
                     by_amax([from, at_it](float a) { return raised(a, from, at_it) - 2.0F; }),
                     has_e8m0});
  // ceil(log2(amax / 6)) from the bits of the quotient, of which not all are looked at.
  for (int bits = 1; bits <= 16; ++bits)
    for (const bool product : {false, true})
      out.push_back({"scale_exponent_of_few_bits",
                     fmt::format("the scale exponent is raised only where one of the upper {} "
                                 "mantissa bits of {} is not 0",
                                 bits, product ? "amax * (1 / 6)" : "amax / 6"),
                     by_amax([bits, product](float a) {
                       const float q = product ? a * (1.0F / 6.0F) : a / 6.0F;
                       return raised(q, 1U << static_cast<unsigned>(23 - bits), true);
                     }),
                     has_e8m0});
  return out;
}

}  // namespace assay::proptests::diagnosis

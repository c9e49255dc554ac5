// SPDX-License-Identifier: Apache-2.0
#include "golden/fp8_weights.h"

#include <algorithm>
#include <optional>
#include <stdexcept>

namespace assay::golden {
namespace {

constexpr std::int64_t unit_block = 128;  // one S for an interval of A's scale factors
constexpr std::int64_t mx_block = 32;     // one scale factor of MXFP4
constexpr std::int64_t headroom = 6;      // 6 * 2^6 = 384 <= 448
constexpr std::int64_t e8m0_emin = -127;

bool is_e4m3(const Exact& x) {
  const Policy policy = policy_of(formats::ieee, formats::e4m3);
  const Value back = decode(
      formats::e4m3, encode(formats::e4m3, Value::finite(x), RoundingMode::nearest_even, policy));
  return back.is_finite() && back.number == x;
}

// The exponent of S for elements [begin, end).
std::int64_t common_exponent(const FactoredMatrix& m, std::int64_t begin, std::int64_t end) {
  std::optional<std::int64_t> largest;
  for (std::int64_t i = begin; i < end; ++i) {
    const Value& scale = m.scales[i];
    if (!scale.is_finite() || !m.elements[i].is_finite() || m.elements[i].is_zero()) continue;
    if (scale.number.significand != 1)
      throw std::invalid_argument("Weights of an FP8 unit need powers of two as scale factors.");
    largest = std::max(largest.value_or(scale.number.exponent), scale.number.exponent);
  }
  return std::max(largest.value_or(0) - headroom, e8m0_emin);
}

std::optional<FactoredMatrix> reencoded(const FactoredMatrix& m, std::int64_t block) {
  FactoredMatrix result = m;
  result.element_format = &formats::e4m3;
  for (std::int64_t r = 0; r < m.rows; ++r) {
    for (std::int64_t c = 0; c < m.cols; c += block) {
      const std::int64_t begin = r * m.cols + c;
      const std::int64_t end = begin + std::min(block, m.cols - c);
      const std::int64_t exponent = common_exponent(m, begin, end);
      for (std::int64_t i = begin; i < end; ++i) {
        result.elements[i] =
            m.elements[i] * m.scales[i] * Value::finite(Exact::power_of_two(-exponent));
        result.scales[i] = Value::finite(Exact::power_of_two(exponent));
        if (result.elements[i].is_finite() && !is_e4m3(result.elements[i].number))
          return std::nullopt;
      }
    }
  }
  return result;
}

}  // namespace

Fp8Weights fp8_weights(std::span<const FactoredMatrix> b, const AccumulatorModel& model) {
  if (model.unit.promotion < 1 || unit_block % model.unit.promotion != 0) {
    throw std::invalid_argument(
        "Weights re-encoded per 128 need a promotion interval that divides 128.");
  }
  for (const std::int64_t block : {unit_block, mx_block}) {
    Fp8Weights result{{}, model};
    result.model.stage = ScaleStage::promotion;
    result.model.unit.promotion =
        static_cast<int>(std::min<std::int64_t>(model.unit.promotion, block));
    for (const FactoredMatrix& m : b) {
      std::optional<FactoredMatrix> next = reencoded(m, block);
      if (!next) break;
      result.matrices.push_back(*std::move(next));
    }
    if (result.matrices.size() == b.size()) return result;
  }
  throw std::invalid_argument("These weights are not MXFP4: E4M3 does not hold a block of 32.");
}

}  // namespace assay::golden

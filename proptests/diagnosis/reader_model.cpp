// SPDX-License-Identifier: Apache-2.0
#include "proptests/diagnosis/reader_model.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "golden/layout.h"
#include "proptests/judge.h"

namespace assay::proptests::diagnosis {
namespace {

using formats::BlockScaledTensor;
using formats::RoundingMode;
using golden::RationalValue;
using golden::Value;

bool same(const RationalValue& a, float observed) {
  if (std::isnan(observed)) return a.is_nan();
  return !a.is_nan() && a == golden::to_rational(golden::value_of(observed));
}

RationalValue shifted(const RationalValue& x, const golden::Rational& by) {
  RationalValue y = RationalValue::finite(x.number + by);
  if (y.number == 0) y.negative = x.negative;
  return y;
}

}  // namespace

golden::FactoredMatrix ReaderModel::run() const {
  // An empty matrix has no blocks, and products over no columns are still products.
  if (t.rows == 0 || t.cols == 0) return {t.rows, t.cols, {}, {}, 1.0F, t.format->element};
  const golden::BlockGrid grid = golden::block_grid(*t.format, t.rows, t.cols);
  golden::FactoredMatrix m{t.rows, t.cols, {}, {}, 1.0F, t.format->element};
  if (t.format->tensor_scale == formats::TensorScale::fp32)
    m.tensor_scale = tensor_scale ? tensor_scale(t.tensor_scale) : t.tensor_scale;
  m.elements.reserve(t.rows * t.cols);
  m.scales.reserve(t.rows * t.cols);
  for (std::int64_t r = 0; r < t.rows; ++r)
    for (std::int64_t c = 0; c < t.cols; ++c) {
      const std::uint32_t code = load_code ? load_code(t, r, c) : golden::load_code(t, r, c);
      const std::uint32_t stored =
          load_scale ? load_scale(t, r, c) : golden::load_scale(t, r, c / grid.block_cols);
      Value s = scale ? scale(*t.format->scale, stored) : golden::decode(*t.format->scale, stored);
      if (factor) s = factor(s);
      m.elements.push_back(element ? element(code) : golden::decode(*t.format->element, code));
      m.scales.push_back(std::move(s));
    }
  return m;
}

RationalValue rounded_to(const formats::FormatSpec& format, RoundingMode mode,
                         const RationalValue& x) {
  return golden::to_rational(golden::decode(
      format, golden::encode(format, x, mode, golden::policy_of(formats::ieee, format))));
}

bool matches(const OutputError& error, const formats::FormatSpec& output,
             std::span<const float> observed, std::span<const RationalValue> reference,
             std::span<const golden::Bound> bounds) {
  for (std::size_t i = 0; i < observed.size(); ++i) {
    if (!bounds[i].judgeable) continue;
    const RationalValue& x = reference[i];
    if (!x.is_finite() || bounds[i].error == 0) {
      if (!same(error.round(output, x), observed[i])) return false;
      continue;
    }
    const RationalValue low = error.round(output, shifted(x, -bounds[i].error));
    const RationalValue high = error.round(output, shifted(x, bounds[i].error));
    const RationalValue seen = golden::to_rational(golden::value_of(observed[i]));
    if (seen.is_nan() || golden::less(seen, low) || golden::less(high, seen)) return false;
  }
  return true;
}

bool matches(const formats::FormatSpec& output, std::span<const float> observed,
             std::span<const RationalValue> reference, std::span<const golden::Bound> bounds) {
  if (observed.size() != reference.size()) return false;
  for (std::size_t i = 0; i < observed.size(); ++i) {
    golden::Bound bound = bounds[i];
    if (reference[i].is_finite())
      bound.error += boost::multiprecision::abs(reference[i].number) / (1 << 20);
    if (judge_number(output, observed[i], reference[i], bound) == golden::Judgement::outside)
      return false;
  }
  return true;
}

const std::vector<OutputError>& output_errors() {
  using formats::FormatSpec;
  static const std::vector<OutputError> rows{
      {"output_truncated", "the output is truncated instead of rounded",
       [](const FormatSpec& f, const RationalValue& x) {
         return rounded_to(f, RoundingMode::toward_zero, x);
       }},
      {"output_ties_away", "the output rounds ties away from zero",
       [](const FormatSpec& f, const RationalValue& x) {
         return rounded_to(f, RoundingMode::nearest_away, x);
       }},
      {"output_ties_to_zero", "the output rounds ties toward zero",
       [](const FormatSpec& f, const RationalValue& x) {
         const RationalValue near = rounded_to(f, RoundingMode::nearest_away, x);
         const RationalValue low = rounded_to(f, RoundingMode::toward_zero, x);
         if (!x.is_finite() || !near.is_finite()) return near;
         return x.number * 2 == near.number + low.number ? low : near;
       }},
      {"output_rounded_up", "the output rounds away from zero",
       [](const FormatSpec& f, const RationalValue& x) {
         return rounded_to(
             f, x.negative ? RoundingMode::toward_negative : RoundingMode::toward_positive, x);
       }},
      {"output_through_bf16", "the result passes through bf16",
       [](const FormatSpec& f, const RationalValue& x) {
         return rounded_to(f, RoundingMode::nearest_even,
                           rounded_to(formats::bf16, RoundingMode::nearest_even, x));
       }},
      {"output_through_fp16", "the result passes through fp16, overflowing beyond 65504",
       [](const FormatSpec& f, const RationalValue& x) {
         const RationalValue h = rounded_to(formats::fp16, RoundingMode::nearest_even, x);
         return rounded_to(f, RoundingMode::nearest_even, h.is_infinite() ? h : x);
       }},
      {"output_through_fp16", "the result is rounded to fp16 first",
       [](const FormatSpec& f, const RationalValue& x) {
         return rounded_to(f, RoundingMode::nearest_even,
                           rounded_to(formats::fp16, RoundingMode::nearest_even, x));
       }},
      {"output_double_rounded",
       "the result is truncated to FP32 with a lost sticky bit, then rounded",
       [](const FormatSpec& f, const RationalValue& x) {
         return rounded_to(f, RoundingMode::nearest_even,
                           rounded_to(formats::fp32, RoundingMode::toward_zero, x));
       }},
      {"nan_masked", "NaN results are replaced by 0",
       [](const FormatSpec& f, const RationalValue& x) {
         return x.is_nan() ? RationalValue::zero(false)
                           : rounded_to(f, RoundingMode::nearest_even, x);
       }},
      {"infinity_saturated", "infinite results saturate",
       [](const FormatSpec& f, const RationalValue& x) {
         if (!x.is_infinite()) return rounded_to(f, RoundingMode::nearest_even, x);
         RationalValue top = RationalValue::finite(golden::max_finite(f).rational());
         return x.negative ? -top : top;
       }},
      {"output_negative_lost", "negative results become 0",
       [](const FormatSpec& f, const RationalValue& x) {
         return x.is_finite() && x.number < 0 ? RationalValue::zero(false)
                                              : rounded_to(f, RoundingMode::nearest_even, x);
       }},
      {"sign_lost", "the sign of results is lost",
       [](const FormatSpec& f, const RationalValue& x) {
         return rounded_to(f, RoundingMode::nearest_even, x.negative ? -x : x);
       }},
      {"sign_inverted", "the sign of results is inverted",
       [](const FormatSpec& f, const RationalValue& x) {
         return rounded_to(f, RoundingMode::nearest_even, -x);
       }},
      {"output_subnormals_flushed", "subnormal results are flushed to zero",
       [](const FormatSpec& f, const RationalValue& x) {
         const RationalValue y = rounded_to(f, RoundingMode::nearest_even, x);
         const golden::Rational least = golden::Exact::power_of_two(-126).rational();
         return y.is_finite() && y.number < least && y.number > -least
                    ? RationalValue::zero(x.negative)
                    : y;
       }},
  };
  return rows;
}

}  // namespace assay::proptests::diagnosis

// SPDX-License-Identifier: Apache-2.0
// The known errors of products, as edits of the model.
#include <algorithm>
#include <cmath>

#include "golden/fp32_order.h"
#include "proptests/diagnosis/product_model.h"
#include "proptests/judge.h"

namespace assay::proptests::diagnosis {
namespace {

using golden::Exact;
using golden::FactoredMatrix;
using golden::Rational;
using golden::RationalValue;
using golden::Value;
using Model = ProductModel;
using Result = ProductModel::Result;

/// Only k in [from, to) counts.
void keep_k(FactoredMatrix& m, std::int64_t from, std::int64_t to) {
  for (std::int64_t r = 0; r < m.rows; ++r)
    for (std::int64_t p = 0; p < m.cols; ++p)
      if (p < from || p >= to) {
        m.elements[r * m.cols + p] = Value::zero(false);
        m.scales[r * m.cols + p] = Value::finite(1);
      }
}
template <int multiple>
void tail_dropped(Model& p) {
  // Shorter than one multiple: nothing would remain, and kernels have a path of their own.
  const std::int64_t last = p.k < multiple ? p.k : p.k / multiple * multiple;
  p.edit_operands = [last](FactoredMatrix& a, FactoredMatrix& b) {
    keep_k(a, 0, last);
    keep_k(b, 0, last);
  };
}
template <int multiple>
void tail_dropped_to_nothing(Model& p) {
  p.edit_operands = [last = p.k / multiple * multiple](FactoredMatrix& a, FactoredMatrix& b) {
    keep_k(a, 0, last);
    keep_k(b, 0, last);
  };
}
template <const formats::FormatSpec& format, formats::RoundingMode mode>
Value in_format(const Value& x) {
  return golden::decode(format,
                        golden::encode(format, x, mode, golden::policy_of(formats::ieee, format)));
}
template <const formats::FormatSpec& format, formats::RoundingMode mode>
void accumulator_in(Model& p) {
  p.accumulate = [](const Value& sum, const Value& product) {
    return in_format<format, mode>(sum + product);
  };
}
/// What multiplies every dot product: alpha and the tensor scales.
template <const formats::FormatSpec& format, formats::RoundingMode mode>
void factors_in(Model& p) {
  float all = p.alpha * p.b.t.tensor_scale;
  if (p.a) all *= p.a->t.tensor_scale;
  const Value narrow = in_format<format, mode>(golden::value_of(all));
  if (!narrow.is_finite()) return;
  p.alpha = static_cast<float>(golden::approximate(narrow.number));
  p.edit_operands = [](FactoredMatrix& a, FactoredMatrix& b) {
    a.tensor_scale = 1.0F;
    b.tensor_scale = 1.0F;
  };
}
template <const formats::FormatSpec& format>
void narrow(std::vector<float>& numbers) {
  for (float& x : numbers) {
    const Value v = in_format<format, formats::RoundingMode::nearest_even>(golden::value_of(x));
    if (v.is_finite()) x = static_cast<float>(golden::approximate(v.number));
  }
}
template <const formats::FormatSpec& format>
void narrow_bias(Model& p) {
  narrow<format>(p.bias);
}
template <const formats::FormatSpec& format>
void narrow_c(Model& p) {
  narrow<format>(p.c);
}
template <const formats::FormatSpec& format>
void sum_through(Model& p) {
  p.edit_sum = in_format<format, formats::RoundingMode::nearest_even>;
}
/// Both addends are truncated to `bits` fraction bits below the larger one.
template <int bits>
void aligned_accumulator(Model& p) {
  p.accumulate = [](const Value& sum, const Value& product) {
    if (!sum.is_finite() || !product.is_finite()) return sum + product;
    const auto top = [](const Value& v) {
      return v.is_zero() ? INT64_MIN
                         : golden::floor_log2(abs(v.number.significand), 1) + v.number.exponent;
    };
    const std::int64_t largest = std::max(top(sum), top(product));
    if (largest == INT64_MIN) return sum + product;
    const std::int64_t unit = largest - bits;
    const auto kept = [unit](const Value& v) {
      if (v.is_zero() || v.number.exponent >= unit) return v;
      const auto drop = static_cast<std::uint64_t>(unit - v.number.exponent);
      const golden::Integer magnitude = abs(v.number.significand) >> drop;
      return Value::finite(
          Exact(v.number.sign() < 0 ? golden::Integer(-magnitude) : magnitude, unit));
    };
    return golden::fl(kept(sum) + kept(product));
  };
}

float product(float x, float y) { return x * y; }

}  // namespace

const std::vector<ProductError>& product_errors() {
  using formats::RoundingMode;
  static const std::vector<ProductError> rows{
      // The epilogue.
      {"alpha_omitted", "alpha is left out", [](Model& p) { p.alpha = 1.0F; }},
      {"alpha_twice", "alpha multiplies twice", [](Model& p) { p.alpha *= p.alpha; }},
      {"alpha_inverted", "alpha divides instead of multiplying",
       [](Model& p) { p.alpha = 1.0F / p.alpha; }},
      {"alpha_sign", "the sign of alpha is lost", [](Model& p) { p.alpha = std::fabs(p.alpha); }},
      {"beta_ignored", "C is added unscaled",
       [](Model& p) { p.beta = p.beta == 0.0F ? 0.0F : 1.0F; }},
      {"c_omitted", "C is not added", [](Model& p) { p.beta = 0.0F; }},
      {"beta_twice", "beta multiplies twice", [](Model& p) { p.beta *= p.beta; }},
      {"c_scaled_by_alpha", "beta C is scaled by alpha", [](Model& p) { p.beta *= p.alpha; }},
      {"c_subtracted", "beta C is subtracted", [](Model& p) { p.beta = -p.beta; }},
      {"c_read_for_beta_zero", "C is read where beta is 0",
       [](Model& p) {
         if (p.beta != 0.0F || p.c.empty()) return;
         for (const float c : p.c) p.addend.push_back(0.0F * c);
       }},
      {"c_transposed", "C is read transposed",
       [](Model& p) {
         const std::vector<float> from = p.c;
         for (std::size_t i = 0; i < p.c.size(); ++i) {
           const auto at = static_cast<std::int64_t>(i);
           p.c[i] = from[at % p.n * p.m + at / p.n < static_cast<std::int64_t>(from.size())
                             ? at % p.n * p.m + at / p.n
                             : at];
         }
       }},
      {"alpha_beta_swapped", "alpha and beta are exchanged",
       [](Model& p) {
         if (p.beta != 0.0F) std::swap(p.alpha, p.beta);
       }},
      {"factors_narrowed", "alpha times the tensor scales is rounded to fp16",
       factors_in<formats::fp16, RoundingMode::nearest_even>},
      {"factors_narrowed", "alpha times the tensor scales is truncated to fp16",
       factors_in<formats::fp16, RoundingMode::toward_zero>},
      {"factors_narrowed", "alpha times the tensor scales is rounded to bf16",
       factors_in<formats::bf16, RoundingMode::nearest_even>},
      {"bias_omitted", "the bias is not added", [](Model& p) { p.bias.clear(); }},
      {"bias_before_alpha", "the bias is scaled by alpha",
       [](Model& p) {
         for (float& x : p.bias) x = product(x, p.alpha);
       }},
      {"bias_before_beta", "the bias is scaled by beta",
       [](Model& p) {
         if (p.beta != 0.0F)
           for (float& x : p.bias) x = product(x, p.beta);
       }},
      {"bias_twice", "the bias is added twice",
       [](Model& p) {
         for (float& x : p.bias) x *= 2.0F;
       }},
      {"bias_subtracted", "the bias is subtracted",
       [](Model& p) {
         for (float& x : p.bias) x = -x;
       }},
      {"bias_off_by_one", "each column gets the bias of the next",
       [](Model& p) {
         if (!p.bias.empty()) std::rotate(p.bias.begin(), p.bias.begin() + 1, p.bias.end());
       }},
      {"bias_of_first", "all columns get the bias of the first",
       [](Model& p) {
         if (!p.bias.empty()) std::fill(p.bias.begin(), p.bias.end(), p.bias.front());
       }},
      {"bias_by_row", "the bias is indexed by row instead of column",
       [](Model& p) {
         if (p.bias.empty()) return;
         for (std::int64_t i = 0; i < p.m * p.n; ++i) p.addend.push_back(p.bias[i / p.n % p.n]);
         p.bias.clear();
       }},
      {"bias_narrowed", "the bias is rounded to bf16", narrow_bias<formats::bf16>},
      {"bias_narrowed", "the bias is rounded to fp16", narrow_bias<formats::fp16>},
      {"c_narrowed", "C is rounded to bf16", narrow_c<formats::bf16>},
      {"c_narrowed", "C is rounded to fp16", narrow_c<formats::fp16>},
      {"everything_scaled_by_alpha", "alpha scales C and the bias too",
       [](Model& p) {
         p.beta *= p.alpha;
         for (float& x : p.bias) x = product(x, p.alpha);
       }},
      // Which operands.
      {"only_a_scaled", "the scale factors of B are left out, those of A are not",
       [](Model& p) { p.b.factor = [](const Value&) { return Value::finite(1); }; }},
      {"scales_of_a_for_b", "B meets the scale factors of A",
       [](Model& p) {
         if (!p.a) return;
         p.edit_operands = [](FactoredMatrix& a, FactoredMatrix& b) {
           for (std::int64_t r = 0; r < b.rows; ++r)
             for (std::int64_t c = 0; c < b.cols; ++c)
               b.scales[r * b.cols + c] = a.scales[r % a.rows * a.cols + c];
         };
       }},
      {"scales_of_b_for_a", "A meets the scale factors of B",
       [](Model& p) {
         if (!p.a) return;
         p.edit_operands = [](FactoredMatrix& a, FactoredMatrix& b) {
           for (std::int64_t r = 0; r < a.rows; ++r)
             for (std::int64_t c = 0; c < a.cols; ++c)
               a.scales[r * a.cols + c] = b.scales[r % b.rows * b.cols + c];
         };
       }},
      {"b_row_off_by_one", "columns of the result belong to the next row of B",
       [](Model& p) {
         p.edit_operands = [](FactoredMatrix&, FactoredMatrix& b) {
           std::rotate(b.elements.begin(), b.elements.begin() + b.cols, b.elements.end());
           std::rotate(b.scales.begin(), b.scales.begin() + b.cols, b.scales.end());
         };
       }},
      // The range of k.
      {"last_k_dropped", "the last product is left out",
       [](Model& p) {
         p.edit_operands = [](FactoredMatrix& a, FactoredMatrix& b) {
           keep_k(a, 0, a.cols - 1);
           keep_k(b, 0, b.cols - 1);
         };
       }},
      {"first_k_dropped", "the first product is left out",
       [](Model& p) {
         p.edit_operands = [](FactoredMatrix& a, FactoredMatrix& b) {
           keep_k(a, 1, a.cols);
           keep_k(b, 1, b.cols);
         };
       }},
      {"k_tail_dropped", "k is rounded down to a multiple of 2", tail_dropped<2>},
      {"k_tail_dropped", "k is rounded down to a multiple of 4", tail_dropped<4>},
      {"k_tail_dropped", "k is rounded down to a multiple of 8", tail_dropped<8>},
      {"k_tail_dropped", "k is rounded down to a multiple of 16", tail_dropped<16>},
      {"k_tail_dropped", "k is rounded down to a multiple of 32", tail_dropped<32>},
      {"k_tail_dropped", "k is rounded down to a multiple of 64", tail_dropped<64>},
      {"k_tail_dropped", "k is rounded down to a multiple of 128", tail_dropped<128>},
      {"k_tail_dropped", "k is rounded down to a multiple of 2", tail_dropped_to_nothing<2>},
      {"k_tail_dropped", "k is rounded down to a multiple of 4", tail_dropped_to_nothing<4>},
      {"k_tail_dropped", "k is rounded down to a multiple of 8", tail_dropped_to_nothing<8>},
      {"k_tail_dropped", "k is rounded down to a multiple of 16", tail_dropped_to_nothing<16>},
      {"k_tail_dropped", "k is rounded down to a multiple of 32", tail_dropped_to_nothing<32>},
      {"k_tail_dropped", "k is rounded down to a multiple of 64", tail_dropped_to_nothing<64>},
      {"k_tail_dropped", "k is rounded down to a multiple of 128", tail_dropped_to_nothing<128>},
      {"k_block_dropped", "the last block of k is left out",
       [](Model& p) {
         const std::int64_t block = p.claim.b->block.cols;
         p.edit_operands = [last = (p.k - 1) / block * block](FactoredMatrix& a,
                                                              FactoredMatrix& b) {
           if (last == 0) return;
           keep_k(a, 0, last);
           keep_k(b, 0, last);
         };
       }},
      {"k_limited", "no more than the first 128 products count",
       [](Model& p) {
         p.edit_operands = [](FactoredMatrix& a, FactoredMatrix& b) {
           keep_k(a, 0, 128);
           keep_k(b, 0, 128);
         };
       }},
      {"k_limited", "no more than the first 256 products count",
       [](Model& p) {
         p.edit_operands = [](FactoredMatrix& a, FactoredMatrix& b) {
           keep_k(a, 0, 256);
           keep_k(b, 0, 256);
         };
       }},
      // The accumulator.
      {"bf16_accumulator", "the sum is kept in bf16",
       accumulator_in<formats::bf16, RoundingMode::nearest_even>},
      {"bf16_accumulator", "the sum is kept in bf16, truncated",
       accumulator_in<formats::bf16, RoundingMode::toward_zero>},
      {"fp16_accumulator", "the sum is kept in fp16",
       accumulator_in<formats::fp16, RoundingMode::nearest_even>},
      {"fp16_accumulator", "the sum is kept in fp16, truncated",
       accumulator_in<formats::fp16, RoundingMode::toward_zero>},
      {"truncating_accumulator", "terms are aligned and truncated to 13 fraction bits",
       aligned_accumulator<13>},
      {"truncating_accumulator", "terms are aligned and truncated to 14 fraction bits",
       aligned_accumulator<14>},
      {"truncating_accumulator", "terms are aligned and truncated to 12 fraction bits",
       aligned_accumulator<12>},
      {"truncating_accumulator", "terms are aligned and truncated to 10 fraction bits",
       aligned_accumulator<10>},
      {"truncating_accumulator", "every addition is truncated to FP32",
       accumulator_in<formats::fp32, RoundingMode::toward_zero>},
      {"input_subnormals_flushed", "subnormal bf16 inputs count as zero",
       [](Model& p) {
         for (std::uint16_t& code : p.a_bf16)
           if ((code & 0x7F80U) == 0) code &= 0x8000U;
       }},
      {"zero_times_nan_is_zero",
       "products with a zero factor are left out, whatever the other factor is",
       [](Model& p) {
         p.multiply = [](const Value& x, const Value& y) {
           return x.is_zero() || y.is_zero() ? Value::zero(false) : x * y;
         };
       }},
      {"sum_through_bf16", "the sum is rounded to bf16 before the epilogue",
       sum_through<formats::bf16>},
      {"sum_through_fp16", "the sum is rounded to fp16 before the epilogue",
       sum_through<formats::fp16>},
      {"products_in_bf16", "products are rounded to bf16 before they are added",
       [](Model& p) {
         p.accumulate = [](const Value& sum, const Value& x) {
           return golden::fl(sum + in_format<formats::bf16, RoundingMode::nearest_even>(x));
         };
       }},
      {"products_in_fp16", "products are rounded to fp16 before they are added",
       [](Model& p) {
         p.accumulate = [](const Value& sum, const Value& x) {
           return golden::fl(sum + in_format<formats::fp16, RoundingMode::nearest_even>(x));
         };
       }},
  };
  return rows;
}

}  // namespace assay::proptests::diagnosis

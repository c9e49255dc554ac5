// SPDX-License-Identifier: Apache-2.0
// The known errors of the QAT step: its own, and those of quantizing and reading its weights.
#include <algorithm>
#include <cmath>

#include "golden/fp32_order.h"
#include "golden/requantize.h"
#include "proptests/diagnosis/operations.h"

namespace assay::proptests::diagnosis {
namespace {

using golden::RationalValue;
using golden::Value;
using kernels::Estimator;
using Model = QatModel;

bool forward(const kernels::Claim& c) { return c.operation == "qat_forward" && c.b != nullptr; }
bool backward(const kernels::Claim& c) { return c.operation == "qat_backward" && c.b != nullptr; }

RationalValue u_of(const QatWeight& v) {
  return v.w.is_zero() ? RationalValue::zero(false)
                       : golden::to_rational(v.w) / golden::to_rational(v.s);
}
RationalValue clipped(const QatWeight& v) {
  return RationalValue::finite(v.w.negative != v.s.negative ? -6 : 6);
}
RationalValue right_derivative(const QatWeight& v) {
  if (v.s.is_nan()) return RationalValue::nan();
  if (v.clip_side() > 0) return clipped(v);
  return golden::to_rational(v.q) + -u_of(v);
}

float sum_of_row(const Model& q, std::int64_t row) {
  float sum = 0;
  for (std::int64_t j = 0; j < q.n; ++j) sum += q.dy[row * q.n + j];
  return sum;
}

float rounded_to_bf16(float x) {
  const golden::Value v = golden::decode(
      formats::bf16,
      golden::encode(formats::bf16, golden::value_of(x), formats::RoundingMode::nearest_even,
                     golden::policy_of(formats::ieee, formats::bf16)));
  return v.is_finite() ? static_cast<float>(golden::approximate(v.number)) : x;
}

/// Learned scale factors are the weights' own: nothing of X is quantized with them.
void quantize_x(QatModel& q) {
  if (q.weights.format.rule == formats::ScaleRule::given) return;
  q.x = golden::dequantize_to_fp32(golden::quantize(q.x, q.m, q.k, q.weights.format));
}

std::vector<QatError> forward_errors() {
  return {
      {"x_quantized", "X is quantized to the format of the weights", quantize_x},
      {"y_unquantized", "the forward pass multiplies the master weights",
       [](Model& q) { q.multiplies_y = [](const QatWeight& v) { return v.w; }; }},
      {"tensor_scale_omitted", "the product leaves the tensor scale out",
       [](Model& q) { q.multiplies_y = [](const QatWeight& v) { return v.q * v.scale; }; }},
      {"scale_not_applied", "the product leaves the scale factors out",
       [](Model& q) { q.multiplies_y = [](const QatWeight& v) { return v.q; }; }},
      {"bias_omitted", "the bias is not added", [](Model& q) { q.bias.clear(); }},
      {"bias_narrowed", "the bias is rounded to bf16",
       [](Model& q) {
         for (float& x : q.bias) x = rounded_to_bf16(x);
       }},
      {"bias_twice", "the bias is added twice",
       [](Model& q) {
         for (float& x : q.bias) x *= 2.0F;
       }},
      {"last_k_dropped", "the last product is left out",
       [](Model& q) {
         for (std::int64_t i = 0; i < q.m; ++i) q.x[i * q.k + q.k - 1] = 0.0F;
       }},
  };
}

std::vector<QatError> backward_errors() {
  return {
      {"mask_boundary_outside", "the clip mask excludes |w| = 6 s",
       [](Model& q) {
         q.passes = [e = q.estimator](const QatWeight& v) {
           return e == Estimator::identity || v.clip_side() < 0;
         };
       }},
      {"mask_missing", "clipped weights keep their gradient",
       [](Model& q) { q.passes = [](const QatWeight&) { return true; }; }},
      {"mask_after_rounding", "the mask looks at the rounded weight, so it never masks",
       [](Model& q) {
         q.passes = [e = q.estimator](const QatWeight& v) {
           return e == Estimator::identity || !v.q.is_nan();
         };
       }},
      {"mask_after_rounding", "the mask looks at the fake-quantized weight in FP32",
       [](Model& q) {
         q.passes = [e = q.estimator](const QatWeight& v) {
           if (e == Estimator::identity) return true;
           if (v.q.is_nan() || v.s.is_nan()) return false;
           const Value hat = golden::fl(v.hat());
           const Value limit = Value::finite(6) * v.s;
           return !golden::less(limit, hat.negative ? -hat : hat);
         };
       }},
      {"mask_inverted", "the mask keeps what it should drop",
       [](Model& q) {
         q.passes = [e = q.estimator](const QatWeight& v) {
           return e == Estimator::identity || v.clip_side() > 0;
         };
       }},
      {"mask_always_on", "identity masks like clip_mask",
       [](Model& q) {
         if (q.estimator == Estimator::identity)
           q.passes = [](const QatWeight& v) { return v.clip_side() <= 0; };
       }},
      {"mask_without_scale", "the mask compares with 6 instead of 6 s",
       [](Model& q) {
         q.passes = [e = q.estimator](const QatWeight& v) {
           const Value six = Value::finite(6);
           return e == Estimator::identity ||
                  (!v.w.is_nan() && !golden::less(six, v.w.negative ? -v.w : v.w));
         };
       }},
      {"mask_one_sided", "the mask drops only weights above 6 s",
       [](Model& q) {
         q.passes = [e = q.estimator](const QatWeight& v) {
           return e == Estimator::identity || v.clip_side() <= 0 ||
                  (v.w.negative && !v.w.is_nan() && !v.s.is_nan());
         };
       }},
      {"mask_one_sided", "the mask drops only weights below -6 s",
       [](Model& q) {
         q.passes = [e = q.estimator](const QatWeight& v) {
           return e == Estimator::identity || v.clip_side() <= 0 ||
                  (!v.w.negative && !v.w.is_nan() && !v.s.is_nan());
         };
       }},
      {"dscale_without_u", "d scale takes q for q - u",
       [](Model& q) {
         q.scale_derivative = [](const QatWeight& v) {
           return v.clip_side() <= 0 ? golden::to_rational(v.q) : right_derivative(v);
         };
       }},
      {"dscale_u_everywhere", "d scale takes q - u outside the clip range too",
       [](Model& q) {
         q.scale_derivative = [](const QatWeight& v) {
           return v.s.is_zero() || v.s.is_nan() ? right_derivative(v)
                                                : golden::to_rational(v.q) + -u_of(v);
         };
       }},
      {"dscale_zero_outside", "d scale takes 0 outside the clip range",
       [](Model& q) {
         q.scale_derivative = [](const QatWeight& v) {
           return v.clip_side() > 0 && !v.s.is_nan() ? RationalValue::zero(false)
                                                     : right_derivative(v);
         };
       }},
      {"dscale_sign", "the sign of d scale is wrong",
       [](Model& q) {
         q.scale_derivative = [](const QatWeight& v) { return -right_derivative(v); };
       }},
      {"dscale_boundary_outside", "d scale takes 6 at |w| = 6 s",
       [](Model& q) {
         q.scale_derivative = [](const QatWeight& v) {
           return v.clip_side() == 0 ? clipped(v) : right_derivative(v);
         };
       }},
      {"dscale_gain_missing", "d scale is not multiplied by 1 / sqrt(N Q)",
       [](Model& q) { q.gain = [](std::int64_t) { return 1.0; }; }},
      {"dscale_full_block", "a partial block counts a whole block's elements in the gain",
       [](Model& q) {
         q.gain = [block = q.block](std::int64_t) {
           return 1.0 / std::sqrt(6.0 * static_cast<double>(block));
         };
       }},
      {"dscale_full_block", "a partial block counts 32 elements in the gain",
       [](Model& q) {
         q.gain = [](std::int64_t n) {
           return 1.0 / std::sqrt(6.0 * static_cast<double>((n + 31) / 32 * 32));
         };
       }},
      {"dscale_gain_wrong", "the gain of d scale is 1 / sqrt(N)",
       [](Model& q) {
         q.gain = [](std::int64_t n) { return 1.0 / std::sqrt(static_cast<double>(n)); };
       }},
      {"dscale_gain_wrong", "the gain of d scale is 1 / (N Q)",
       [](Model& q) {
         q.gain = [](std::int64_t n) { return 1.0 / (6.0 * static_cast<double>(n)); };
       }},
      {"dscale_gain_wrong", "the gain of d scale counts a largest element of 7 or 8",
       [](Model& q) {
         q.gain = [](std::int64_t n) { return 1.0 / std::sqrt(7.0 * static_cast<double>(n)); };
       }},
      {"dscale_gain_wrong", "the gain of d scale counts all weights",
       [](Model& q) {
         q.gain = [all = q.n * q.k](std::int64_t) {
           return 1.0 / std::sqrt(6.0 * static_cast<double>(all));
         };
       }},
      {"dscale_tensor_scale", "d scale leaves the tensor scale out",
       [](Model& q) { q.dscale_times_tensor_scale = false; }},
      {"x_quantized", "dW multiplies X quantized to the format of the weights", quantize_x},
      {"dx_unquantized", "dX multiplies the master weights",
       [](Model& q) { q.multiplies_dx = [](const QatWeight& v) { return v.w; }; }},
      {"tensor_scale_omitted", "dX leaves the tensor scale out",
       [](Model& q) { q.multiplies_dx = [](const QatWeight& v) { return v.q * v.scale; }; }},
      {"scale_not_applied", "dX leaves the scale factors out",
       [](Model& q) { q.multiplies_dx = [](const QatWeight& v) { return v.q; }; }},
      {"dw_scaled", "dW is multiplied by the scale factor",
       [](Model& q) { q.enters_g = [](const QatWeight& v) { return v.s; }; }},
      {"sign_inverted", "dW has the wrong sign", [](Model& q) { q.dw_factor = -1.0F; }},
      {"dw_averaged", "dW is divided by the number of rows",
       [](Model& q) { q.dw_factor = 1.0F / static_cast<float>(q.m); }},
      {"token_tail_dropped", "dW leaves the last token out",
       [](Model& q) { q.dw_tokens = std::max<std::int64_t>(q.m - 1, 0); }},
      {"token_tail_dropped", "dW counts the tokens down to a multiple of 2",
       [](Model& q) { q.dw_tokens = q.m / 2 * 2; }},
      {"token_tail_dropped", "dW counts the tokens down to a multiple of 4",
       [](Model& q) { q.dw_tokens = q.m / 4 * 4; }},
      {"token_tail_dropped", "dW counts the tokens down to a multiple of 8",
       [](Model& q) { q.dw_tokens = q.m / 8 * 8; }},
      {"token_tail_dropped", "dW counts the tokens down to a multiple of 16",
       [](Model& q) { q.dw_tokens = q.m / 16 * 16; }},
      {"dbias_wrong_axis", "d bias is summed over outputs instead of rows",
       [](Model& q) {
         q.dbias = [q](std::int64_t j) { return q.m == 0 ? 0.0F : sum_of_row(q, j % q.m); };
       }},
      {"dbias_averaged", "d bias is divided by the number of rows",
       [](Model& q) {
         q.dbias = [q](std::int64_t j) {
           float sum = 0;
           for (std::int64_t i = 0; i < q.m; ++i) sum += q.dy[i * q.n + j];
           return sum / static_cast<float>(q.m);
         };
       }},
      {"dbias_first_row", "d bias is that of the first row alone",
       [](Model& q) { q.dbias = [q](std::int64_t j) { return q.dy[j]; }; }},
      {"dbias_last_row_lost", "d bias leaves the last row out",
       [](Model& q) {
         q.dbias = [q](std::int64_t j) {
           float sum = 0;
           for (std::int64_t i = 0; i + 1 < q.m; ++i) sum += q.dy[i * q.n + j];
           return sum;
         };
       }},
      {"dbias_zero", "d bias is zero",
       [](Model& q) { q.dbias = [](std::int64_t) { return 0.0F; }; }},
  };
}

void append(std::vector<Hypothesis>& out, std::vector<QatError> rows,
            bool (*applies)(const kernels::Claim&)) {
  for (QatError& row : rows)
    out.push_back(edited(
        training, row.id, row.name, [spoil = row.spoil](Model& m, const Case&) { spoil(m); },
        applies));
}

}  // namespace

std::vector<Hypothesis> qat_hypotheses() {
  std::vector<Hypothesis> out;
  append(out, forward_errors(), forward);
  std::vector<QatError> errors = backward_errors();
  for (QatError& row : errors)
    row.spoil = [spoil = row.spoil](Model& q) {
      spoil(q);
      // Masks are those of the clip with its boundary inside, d scale is lsq's.
      if (q.estimator == Estimator::pact || q.estimator == Estimator::trust_mask)
        q.passes = nullptr;
      if (q.estimator != Estimator::lsq) {
        q.scale_derivative = nullptr;
        q.gain = nullptr;
      }
    };
  append(out, std::move(errors), backward);
  append(out, estimator_errors(), backward);
  for (const QuantizerError& row : quantizer_errors())
    out.push_back(edited(
        training, row.id, row.name, [&row](Model& m, const Case&) { row.spoil(m.weights); },
        [&row](const kernels::Claim& c) { return row.applies == nullptr || row.applies(*c.b); }));
  for (const ReaderError& row : reader_errors())
    out.push_back(edited(
        training, row.id, row.name, [&row](Model& m, const Case&) { m.spoil_reader = row.spoil; },
        [&row](const kernels::Claim& c) {
          return c.b->scale != &formats::fp32 && (row.applies == nullptr || row.applies(*c.b));
        }));
  return out;
}

}  // namespace assay::proptests::diagnosis

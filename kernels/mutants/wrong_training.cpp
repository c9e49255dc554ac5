// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "kernels/mutants/wrong_steps.h"

namespace assay::kernels::mutants {
namespace {

double right_derivative(const WeightView& v) { return right_steps().scale_derivative(v); }

/// Masks of the clip with its boundary inside; the others have their own mutants.
bool closed(const WeightView& v) {
  return v.estimator != Estimator::pact && v.estimator != Estimator::trust_mask;
}
bool right_mask(const WeightView& v) { return right_steps().passes(v); }

constexpr std::array table{
    Mutant{"mask_boundary_outside", "the clip mask excludes |w| = 6 s",
           "pytorch/ao#4806: the clamp's subgradient", "mask_boundary_outside",
           [](Steps& s) {
             s.passes = [](const WeightView& v) {
               if (!closed(v)) return right_mask(v);
               return v.estimator == Estimator::identity || std::fabs(v.w) < 6.0 * std::fabs(v.s);
             };
           }},
    Mutant{"mask_missing", "clipped weights keep their gradient", "nni#3159, oneflow#8649",
           "mask_missing",
           [](Steps& s) {
             s.passes = [](const WeightView& v) { return closed(v) || right_mask(v); };
           }},
    Mutant{"mask_after_rounding", "the mask looks at the rounded weight, so it never masks",
           "pytorch/ao#4806", "mask_after_rounding",
           [](Steps& s) {
             s.passes = [](const WeightView& v) {
               if (!closed(v)) return right_mask(v);
               return v.estimator == Estimator::identity || std::fabs(v.q) <= 6.0;
             };
           }},
    Mutant{"mask_always_on", "identity masks like clip_mask", "an estimator for another",
           "mask_always_on",
           [](Steps& s) {
             s.passes = [](const WeightView& v) {
               if (!closed(v)) return right_mask(v);
               return std::fabs(v.w) <= 6.0 * std::fabs(v.s);
             };
           }},
    Mutant{"dscale_without_u", "d scale takes q for q - u", "LSQ's formula without its second term",
           "dscale_without_u",
           [](Steps& s) {
             s.scale_derivative = [](const WeightView& v) {
               if (v.estimator != Estimator::lsq) return right_derivative(v);
               return std::fabs(v.w) <= 6.0 * std::fabs(v.s) ? v.q : right_derivative(v);
             };
           }},
    Mutant{"dscale_u_everywhere", "d scale takes q - u outside the clip range too",
           "LSQ without the clip", "dscale_u_everywhere",
           [](Steps& s) {
             s.scale_derivative = [](const WeightView& v) {
               if (v.estimator != Estimator::lsq) return right_derivative(v);
               return v.s == 0.0 ? right_derivative(v) : v.q - v.w / v.s;
             };
           }},
    Mutant{"dscale_gain_missing", "d scale is not multiplied by 1 / sqrt(N Q)",
           "LSQ's gradient scale", "dscale_gain_missing",
           [](Steps& s) { s.scale_gain = [](std::int64_t) { return 1.0; }; }},
    Mutant{"dscale_full_block", "a partial block counts a whole block's elements in the gain",
           "edge blocks", "dscale_full_block",
           [](Steps& s) {
             s.scale_gain = [](std::int64_t n) {
               const std::int64_t whole = (n + 31) / 32 * 32;
               return 1.0 / std::sqrt(6.0 * static_cast<double>(whole));
             };
           }},
    Mutant{"dx_unquantized", "dX multiplies the master weights",
           "backward not consistent with forward", "dx_unquantized",
           [](Steps& s) { s.quantized_weights_in_dx = false; }},
    Mutant{"dbias_wrong_axis", "d bias is summed over outputs instead of rows",
           "a reduced axis swapped", "dbias_wrong_axis",
           [](Steps& s) { s.dbias_over_rows = false; }},
    Mutant{"mask_inverted", "the mask keeps the clipped weights and drops the others",
           "a comparison turned round", "mask_inverted",
           [](Steps& s) {
             s.passes = [](const WeightView& v) {
               if (!closed(v)) return right_mask(v);
               return v.estimator == Estimator::identity || std::fabs(v.w) > 6.0 * std::fabs(v.s);
             };
           }},
    Mutant{"dscale_sign", "d scale has the wrong sign", "gradient conventions", "dscale_sign",
           [](Steps& s) {
             s.scale_derivative = [](const WeightView& v) {
               return v.estimator == Estimator::lsq ? -right_derivative(v) : right_derivative(v);
             };
           }},
    Mutant{"dscale_zero_outside", "d scale ignores clipped weights", "LSQ without the clipped term",
           "dscale_zero_outside",
           [](Steps& s) {
             s.scale_derivative = [](const WeightView& v) {
               if (v.estimator != Estimator::lsq) return right_derivative(v);
               return std::fabs(v.w) > 6.0 * std::fabs(v.s) ? 0.0 : right_derivative(v);
             };
           }},
    Mutant{"pact_boundary_inside", "pact keeps the gradient at |w| = 6 s",
           "a clamp's subgradient for PACT's", "pact_boundary_inside",
           [](Steps& s) {
             s.passes = [](const WeightView& v) {
               return v.estimator == Estimator::pact ? std::fabs(v.w) <= 6.0 * std::fabs(v.s)
                                                     : right_steps().passes(v);
             };
           }},
    Mutant{"pact_dscale_of_lsq", "pact's d scale has lsq's term inside the range",
           "an estimator for another", "pact_dscale_of_lsq",
           [](Steps& s) {
             s.scale_derivative = [](const WeightView& v) {
               WeightView as = v;
               as.estimator = Estimator::lsq;
               return right_derivative(as);
             };
           }},
    Mutant{"ewgs_sign_missing", "ewgs does not take the sign of the gradient",
           "EWGS's formula without sign(g)", "ewgs_sign_missing",
           [](Steps& s) { s.ewgs_sign = [](const WeightView&, double) { return 1.0; }; }},
    Mutant{"ewgs_difference_reversed", "ewgs multiplies with q - u", "EWGS's x and x_q swapped",
           "ewgs_difference_reversed",
           [](Steps& s) {
             s.difference = [](const WeightView& v) { return v.w == 0.0 ? 0.0 : v.q - v.w / v.s; };
           }},
    Mutant{"ewgs_not_in_units", "ewgs takes w - q s and not u - q", "units of the scale",
           "ewgs_not_in_units",
           [](Steps& s) { s.difference = [](const WeightView& v) { return v.w - v.q * v.s; }; }},
    Mutant{"dge_uncapped", "dge's slope has no cap", "DGE without its cap", "dge_uncapped",
           [](Steps& s) {
             s.dge_slope = [](const WeightView& v) {
               const double slope = right_steps().dge_slope(v);
               return slope == 3.0 ? 1e4 : slope;
             };
           }},
    Mutant{"dge_even_bins", "dge takes every bin as wide as the first",
           "a grid that is not uniform", "dge_even_bins",
           [](Steps& s) {
             s.dge_slope = [](const WeightView& v) {
               const double u = v.w == 0.0 ? 0.0 : std::fabs(v.w / v.s);
               const double t = u - std::floor(2.0 * u) / 2.0;
               return std::min(3.0, 0.2 * std::pow(std::fabs(4.0 * t - 1.0), -0.8));
             };
           }},
    Mutant{"trust_strict", "the trust mask excludes |w - q s| = T s", "boundary of a mask",
           "trust_strict",
           [](Steps& s) {
             s.passes = [](const WeightView& v) {
               return v.estimator == Estimator::trust_mask
                          ? std::fabs(v.w - v.q * v.s) < v.parameter * std::fabs(v.s)
                          : right_steps().passes(v);
             };
           }},
    Mutant{"trust_not_in_units", "the trust mask compares with T and not with T s",
           "units of the scale", "trust_not_in_units",
           [](Steps& s) {
             s.passes = [](const WeightView& v) {
               return v.estimator == Estimator::trust_mask
                          ? std::fabs(v.w - v.q * v.s) <= v.parameter
                          : right_steps().passes(v);
             };
           }},
};

}  // namespace

std::span<const Mutant> training_mutants() { return table; }

}  // namespace assay::kernels::mutants

// SPDX-License-Identifier: Apache-2.0
#pragma once
// Straight-through estimators of a quantized weight, exactly, one weight at a time.
//
// Write s for the stored scale factor of the weight's block times the tensor scale (1 if none), u =
// w/s exactly, q for the decoded element code (the weight that multiplies is q s exactly), Q for
// the largest finite element (E2M1: 6) and G for the gradient with respect to q s. Every estimator
// is a row: dW = G * mask * factor, and d scale of a block = gain * tensor scale * sum of G_i dv_i
// over its weights. The surrogate is v(w, s) = s R(clip(w/s, -Q, Q)), with the rounding R replaced
// by the identity where a derivative of R would be needed.
//
// Masks. `closed` 1[|w| <= Q |s|]: the clip is differentiated, the boundary is inside. `open`
// 1[|w| < Q |s|]. `trust` 1[|w - q s| <= T |s|], T in units of the scale. All use the UNROUNDED
// weight and the stored scale, in exact arithmetic (FP32 may round Q s; FP64 holds it exactly for
// every format here).
//
//   identity    no mask. [Bengio et al., arXiv 1308.3432]
//   clip_mask   closed.
//   lsq         closed; by the product rule and the chain rule u' = -w/s^2 = -u/s, inside dv/ds =
//               R(u) + s R'(u) u' = R(u) - u, outside dv/ds = R(+-Q) = +-Q, the sign of u: dv/ds =
//               q - u inside and sign(u) Q outside, times LSQ's gain 1/sqrt(N Q), N the number of
//               elements in the block (a partial block at the edge counts what is there). For a
//               rounding to integers this is the formula of LSQ [Esser et al., arXiv 1902.08153,
//               section 2.1]; on the E2M1 grid it is this project's definition. At s = 0, u has the
//               sign of w, and w = 0 is inside with dv/ds = 0.
//   pact        open, and dv/ds = sign(u) Q where the mask drops, 0 elsewhere, no gain. PACT [Choi
//               et al., arXiv 1805.06085] clips activations to [0, a] and has dy/da = 1[x >= a],
//               dy/dx = 1[0 <= x < a]. That this is the clip to [-a, a] with a = Q |s|, and the
//               gradient that of s, is this project's definition; sign(0) = 0.
//   ewgs        closed, and factor 1 + delta sign(s G)(u - q), delta >= 0 [Lee et al., arXiv
//               2104.00903, equation 4, x and x_q in units of the scale]. Outside the range 0, the
//               derivative of the clip that goes before (this project's definition on the E2M1
//               grid). w = 0 has u = q = 0, at s = 0 too.
//   dge         closed, and factor min(3, (1/k)|2t/d - 1|^(1/k - 1)), k = 5, where |u| lies in the
//               bin [lo, lo + d] of neighbouring element magnitudes and t = |u| - lo
//               [differentiable gradient estimator, arXiv 2501.17116, section 3.1; the cap 3 is its
//               own]. At the edges of bins it is 1/5 from both sides, at their midpoints the cap.
//               Outside the range 0: this project's definition, the paper scales every value into
//               the range.
//   trust_mask  trust [Quartet, arXiv 2505.14669, after QuEST, arXiv 2502.05003, which leave T
//               open]. Quartet's released kernels mask |x/s| < 6 instead, which is pact's dW.
//
// A scale factor is stored in a format of its own; its rounding there is passed straight through
// (identity), as is the choice of a scale from amax: neither adds a term.
//
// Not-a-number: masks are IEEE comparisons (false for NaN) that select: where they drop, dW is 0
// whatever G is. In a block whose scale factor is NaN, identity passes G, every mask gives 0, and d
// scale is NaN.

#include <array>
#include <cstdint>
#include <string_view>

#include "golden/radical.h"

namespace assay::golden {

enum class Estimator : std::uint8_t { identity, clip_mask, lsq, pact, ewgs, dge, trust_mask };

enum class GradientMask : std::uint8_t { none, closed, open, trust };
enum class GradientFactor : std::uint8_t { one, ewgs, dge };
enum class ScaleDerivative : std::uint8_t { none, lsq, pact };

struct EstimatorRule {
  std::string_view name;
  GradientMask mask;
  GradientFactor factor;
  ScaleDerivative scale;
};

/// In the order of Estimator.
inline constexpr std::array<EstimatorRule, 7> estimator_rules{{
    {"identity", GradientMask::none, GradientFactor::one, ScaleDerivative::none},
    {"clip_mask", GradientMask::closed, GradientFactor::one, ScaleDerivative::none},
    {"lsq", GradientMask::closed, GradientFactor::one, ScaleDerivative::lsq},
    {"pact", GradientMask::open, GradientFactor::one, ScaleDerivative::pact},
    {"ewgs", GradientMask::closed, GradientFactor::ewgs, ScaleDerivative::none},
    {"dge", GradientMask::closed, GradientFactor::dge, ScaleDerivative::none},
    {"trust_mask", GradientMask::trust, GradientFactor::one, ScaleDerivative::none},
}};
[[nodiscard]] constexpr const EstimatorRule& rule_of(Estimator estimator) {
  return estimator_rules.at(static_cast<std::size_t>(estimator));
}

/// DGE's k and its cap.
inline constexpr int dge_k = 5;
inline constexpr int dge_cap = 3;

/// One weight in the block that holds it.
struct EstimatedWeight {
  Value w;  ///< master
  Value q;  ///< decoded element code; NaN in a block whose scale factor is NaN
  Value s;  ///< stored scale factor * tensor scale
  const FormatSpec* element = nullptr;
};

/// `parameter`: T of the trust mask, otherwise unread.
[[nodiscard]] bool passes(const EstimatedWeight& weight, GradientMask mask, float parameter);

/// w/s, and 0 for w = 0 whatever s is.
[[nodiscard]] RationalValue scaled(const EstimatedWeight& weight);

/// dW without its mask: G times the factor. `parameter`: delta of ewgs.
[[nodiscard]] Radical estimate(const EstimatedWeight& weight, GradientFactor factor, const Value& g,
                               float parameter);

/// dv/ds, as it enters the sum; a weight that contributes nothing whatever its G has `counts`
/// false.
struct ScaleTerm {
  bool counts = true;
  RationalValue derivative;
};
[[nodiscard]] ScaleTerm scale_term(const EstimatedWeight& weight, ScaleDerivative derivative);

/// The bin of DGE that holds `magnitude` <= Q: neighbouring magnitudes of the format.
struct Bin {
  Rational low, width;
  /// |2 t / width - 1|.
  [[nodiscard]] Rational position(const Rational& magnitude) const;
};
[[nodiscard]] Bin bin_of(const FormatSpec& element, const Rational& magnitude);

/// (1/k) z^(1/k - 1) before the cap, z > 0, and whether the cap is below it; z = 0 is capped.
[[nodiscard]] Radical dge_slope(const Rational& z);
[[nodiscard]] bool dge_capped(const Rational& z);

}  // namespace assay::golden

// SPDX-License-Identifier: Apache-2.0
#pragma once
// The QAT step of one linear layer with fake-quantized weights, exactly:
//
//   forward   y = X W_hat^T + bias,   W_hat = Q(W)
//   backward  G = dY^T X   (n x k: the exact gradient with respect to W_hat)
//             dX = dY W_hat,   d bias_j = sum over rows i of dY_ij
//             dW = G masked by the estimator,   d s_b = the estimator's, per block b
//
// With an input format, X is fake-quantized too: y and G use X_hat, and dX passes unchanged through
// the cast of X (identity).
//
// Write s for the stored scale factor of the element's block times the tensor scale (1 if none), u
// = w/s exactly, q for the decoded element code (so W_hat = q s exactly) and Q for the largest
// finite element (E2M1: 6). The surrogate that the estimators differentiate is v(w, s) = s
// R(clip(w/s, -Q, Q)), with the rounding R replaced by the identity where a derivative of R would
// be needed (straight-through):
//
//   identity   dv/dw = 1                                     [Bengio et al., arXiv 1308.3432]
//   clip_mask  dv/dw = 1[|w| <= Q |s|]: the clip is differentiated, the boundary is inside. The
//   test
//              uses the UNROUNDED weight and the stored scale, in exact arithmetic (FP32 may round
//              Q s; FP64 holds it exactly for every format here).
//   lsq        dv/dw as clip_mask, and by the product rule and the chain rule u' = -w/s^2 = -u/s,
//              inside:  dv/ds = R(u) + s R'(u) u' = R(u) - u,
//              outside: dv/ds = R(+-Q) = +-Q, the sign of u,
//              hence dv/ds = q - u 1[|u| <= Q], and sign(u) Q outside. For a rounding to integers
//              this is the formula of LSQ [Esser et al., arXiv 1902.08153, section 2.1]; on the
//              E2M1 grid it is this project's definition. At s = 0, u has the sign of w, and w = 0
//              is inside with dv/ds = 0. d scale_b = g (tensor scale) * sum over i in block of G_i
//              dv_i/ds, with LSQ's gradient scale g = 1/sqrt(N Q), N the number of elements in the
//              block (a partial block at the edge counts what is there).
//
// A scale factor is stored in a format of its own; its rounding there is passed straight through
// (identity), as is the choice of a scale from amax: neither adds a term.
//
// Not-a-number: a block that holds a NaN or an infinity dequantizes to NaN, and so does what it
// reaches. The mask is an IEEE comparison (false for NaN) that selects: outside, dW is 0 whatever G
// is. Inside a NaN block, identity passes G, the mask gives 0, and d scale is NaN.
//
// y, dX, dW and d bias are dyadic; d scale is a quotient times an irrational factor and is kept as
// the two apart (ScaleGradient) until encode() decides one rounding of it.

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "formats/tensor.h"
#include "golden/codec.h"
#include "golden/value.h"

namespace assay::golden {

enum class Estimator : std::uint8_t { identity, clip_mask, lsq };

/// One linear layer, m x k inputs and n x k weights, row-major. Empty `bias`: none. `scales`: one
/// per block of `weight_format`, row-major (n x ceil(k/block) for 1xN blocks); empty: the format's
/// rule. Spans of other sizes throw std::invalid_argument.
struct QatLayer {
  std::int64_t m = 0, n = 0, k = 0;
  std::span<const float> x, w, bias, scales;
  const formats::BlockFormat* weight_format = nullptr;
  const formats::BlockFormat* input_format = nullptr;  ///< null: X is used as it is
  RoundingMode rounding = RoundingMode::nearest_even;  ///< of both; deterministic modes only
  Estimator estimator = Estimator::identity;
};

struct QatForward {
  formats::BlockScaledTensor w_codes;
  std::vector<Value> w_hat;  ///< n x k
  std::vector<Value> x_hat;  ///< m x k: what multiplies
  std::vector<Value> y;      ///< m x n
};

/// The exact number sum / sqrt(radicand).
struct ScaleGradient {
  RationalValue sum;
  std::int64_t radicand = 1;
};

struct QatGradients {
  std::vector<Value> dx;              ///< m x k
  std::vector<Value> dw;              ///< n x k
  std::vector<bool> dw_passes;        ///< n x k: the estimator's mask; false: dw is exactly 0
  std::vector<Value> dbias;           ///< n, also without a bias
  std::vector<ScaleGradient> dscale;  ///< one per block, row-major; empty unless lsq
};

[[nodiscard]] QatForward qat_forward(const QatLayer& layer);
/// dy: m x n, row-major.
[[nodiscard]] QatGradients qat_backward(const QatLayer& layer, std::span<const float> dy);

/// Rationals lower <= |sum| / sqrt(radicand) <= upper with upper - lower <= lower 2^-bits, equal
/// where the root is rational. `x.sum` must be finite.
[[nodiscard]] std::pair<Rational, Rational> magnitude_enclosure(const ScaleGradient& x, int bits);

/// One rounding of sum / sqrt(radicand): the enclosure is refined until both ends round alike. That
/// ends: an irrational number is neither a tie nor representable, and a rational root is exact.
[[nodiscard]] std::uint32_t encode(const FormatSpec& spec, const ScaleGradient& x,
                                   RoundingMode mode, const Policy& policy, Random random = {});

}  // namespace assay::golden

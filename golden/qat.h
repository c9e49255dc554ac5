// SPDX-License-Identifier: Apache-2.0
#pragma once
// The QAT step of one linear layer with fake-quantized weights, exactly:
//
//   forward   y = X W_hat^T + bias,   W_hat = Q(W)
//   backward  G = dY^T X   (n x k: the exact gradient with respect to W_hat)
//             dX = dY W_hat,   d bias_j = sum over rows i of dY_ij
//             dW = G by the estimator,   d s_b = the estimator's, per block b (golden/estimator.h)
//
// With an input format, X is fake-quantized too: y and G use X_hat, and dX passes unchanged through
// the cast of X (identity).
//
// A block that holds a NaN or an infinity dequantizes to NaN, and so does what it reaches.
//
// y, dX and d bias are dyadic; dW and d scale may hold a quotient and a root (golden/radical.h).

#include <cstdint>
#include <span>
#include <vector>

#include "formats/tensor.h"
#include "golden/codec.h"
#include "golden/estimator.h"
#include "golden/value.h"

namespace assay::golden {

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
  float parameter = 0;  ///< delta of ewgs, T of trust_mask: finite, at least 0
};

struct QatForward {
  formats::BlockScaledTensor w_codes;
  std::vector<Value> w_hat;  ///< n x k
  std::vector<Value> x_hat;  ///< m x k: what multiplies
  std::vector<Value> y;      ///< m x n
};

struct QatGradients {
  std::vector<Value> dx;        ///< m x k
  std::vector<Value> g;         ///< n x k: with respect to W_hat
  std::vector<Radical> dw;      ///< n x k
  std::vector<bool> dw_passes;  ///< n x k: the estimator's mask; false: dw is exactly 0
  std::vector<Value> dbias;     ///< n, also without a bias
  std::vector<Radical> dscale;  ///< one per block, row-major; empty where the estimator has none
};

[[nodiscard]] QatForward qat_forward(const QatLayer& layer);
/// dy: m x n, row-major.
[[nodiscard]] QatGradients qat_backward(const QatLayer& layer, std::span<const float> dy);

/// The weights of `layer` as the estimators see them, n x k.
[[nodiscard]] std::vector<EstimatedWeight> estimated_weights(const QatLayer& layer,
                                                             const formats::BlockScaledTensor& t);

}  // namespace assay::golden

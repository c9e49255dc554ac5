// SPDX-License-Identifier: Apache-2.0
#pragma once
// The operations between the linears of a transformer block, in double: what a replay recomputes.

#include <Eigen/Core>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace assay::simulator {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// x * weight / sqrt(mean(x^2) + eps), row by row (arXiv 1910.07467, equation 4).
[[nodiscard]] Matrix rms_norm(const Matrix& x, std::span<const double> weight, double eps);

/// DeepSeek-V4 (arXiv 2606.19348) clamps both factors of SwiGLU, at 10 and 10; infinities: it does
/// not clamp.
struct SwigluClamp {
  double gate_max = std::numeric_limits<double>::infinity();
  double linear_max = std::numeric_limits<double>::infinity();
};

/// silu(min(gate, gate_max)) * clamp(up, -linear_max, linear_max), silu(z) = z / (1 + exp(-z))
/// (arXiv 2002.05202).
[[nodiscard]] Matrix swiglu(const Matrix& gate, const Matrix& up, const SwigluClamp& clamp = {});

struct AttentionShape {
  std::int64_t heads = 1;
  std::int64_t kv_heads = 1;  ///< divides heads: query head h reads head h / (heads / kv_heads)
  std::int64_t head_dim = 1;
  double rope_theta = 0;    ///< 0: no rotation
  std::int64_t length = 1;  ///< rows per sequence
};

/// The pair (i, i + head_dim/2) of each head turned by `direction` * position *
/// theta^(-2i/head_dim), position = row % length (arXiv 2104.09864, half-split form); nothing where
/// theta is 0. Direction -1 is the transpose, hence the derivative.
void rotate_positions(Matrix& x, std::int64_t heads, const AttentionShape& shape, double direction);

/// Causal softmax attention, scores over sqrt(head_dim), with rotary positions on q and k: the pair
/// (i, i + head_dim/2) turns by position * theta^(-2i/head_dim) (arXiv 2104.09864, half-split
/// form). q: rows x heads*head_dim; k, v: rows x kv_heads*head_dim.
[[nodiscard]] Matrix attention(Matrix q, Matrix k, const Matrix& v, const AttentionShape& shape);

/// The score by which a router ranks experts; it matters only where a bias is added to it.
enum class ScoreFunction : std::uint8_t {
  softmax,        ///< ranks as the logits do
  sigmoid,        ///< DeepSeek-V3, arXiv 2412.19437, equation 15
  sqrt_softplus,  ///< DeepSeek-V4, arXiv 2606.19348
};

/// logits -> score + bias (selection space), in place. Without a bias every score function above is
/// monotone, hence the logits themselves are the selection space. bias: empty or one per expert.
[[nodiscard]] Matrix selection_space(const Matrix& logits, ScoreFunction score,
                                     std::span<const double> bias);

/// The k best columns of a row, best first; a tie goes to the lower index.
[[nodiscard]] std::vector<int> top_k(std::span<const double> row, int k);

}  // namespace assay::simulator

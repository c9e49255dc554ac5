// SPDX-License-Identifier: Apache-2.0
#pragma once
// replay(recording, recipe): what a precision recipe does to the tensors of a recorded training
// step.
//
// Everything is recomputed in double from the recorded operands, with and without the recipe, so
// the difference is quantization error and nothing else. Notation: x recorded, x^ what the recipe
// makes of it (exact dequantized values), <.,.> the inner product over the whole tensor.
//   gain          a   = <x, x^> / <x, x>
//   NSR               = ||x^ - a x||^2 / ||x||^2          (noise to signal, the gain taken out)
//   relative MSE      = ||x^ - x||^2 / ||x||^2 = (1 - a)^2 + NSR
//   linear            Y = X W^T against X^ W^^T, both in double, the same three figures over Y
//   router            s = W_r RMSNorm(r), s' = W_r' RMSNorm(r + e), r the recorded residual stream
// Facts used: RMSNorm(r) = g r / sqrt(mean(r^2) + eps); softmax attention; SwiGLU silu(g) u.
//
// Assumptions:
//  1. An operand that the recipe leaves in high precision is taken as recorded (no cast is added).
//  2. Linears read recorded operands. Inside a block the error travels exactly: attention is
//  recomputed
//     from the quantized q, k, v, and SwiGLU from the quantized gate and up, before the last
//     linear. From block to block it travels only along the residual stream, by addition: the e of
//     a router is the sum of the block errors since the previous router (`local`), or since the
//     first layer
//     (`accumulated`). How an error changes what later blocks compute is not in either.
//  3. Expert outputs keep the recorded choices and gates: the flips of one router do not change the
//     input of the next.
//  4. Accumulators and outputs are exact; golden/bounds.h bounds what real ones add.
//  5. The operand of an expert (its gathered rows) is one tensor: it has its own tensor scale.
// Deterministic: the same result for any number of threads. Memory: a few tensors per thread.

#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "simulator/recipe.h"
#include "simulator/recording.h"

namespace assay::simulator {

/// Errors (x^ - x) / rms(x) over the range below, in equal bins; what lies outside is counted
/// apart.
inline constexpr int kErrorBins = 81;
inline constexpr double kErrorRange = 0.405;
struct ErrorHistogram {
  std::array<std::uint64_t, kErrorBins> bins{};
  std::uint64_t below = 0, above = 0;
};

struct ErrorFigures {
  double gain = 1.0;
  double nsr = 0.0;
  double relative_mse = 0.0;
};

/// One operand that the recipe quantizes.
struct TensorReplay {
  std::string tensor;  ///< its name in the recording
  std::string op;      ///< the first linear that reads it
  Role role = Role::weight;
  TensorClass tensor_class = TensorClass::expert;
  int layer = -1, expert = -1;
  std::int64_t rows = 0, cols = 0;
  std::string format;
  bool stand_in_scales = false;  ///< learned scales replaced by those of least squared error
  ErrorFigures error;
  std::int64_t worst_block = 0;           ///< index, row-major over blocks
  double worst_block_error = 0.0;         ///< ||x^ - x||^2 / ||x||^2 inside that block
  std::uint64_t clipped = 0;              ///< |x| > max * scale: outside a clip mask
  std::uint64_t flushed = 0;              ///< nonzero, and zero after quantization
  std::uint64_t reencode_changed = 0;     ///< elements that the recipe's re-encoding changes
  std::array<std::uint64_t, 16> codes{};  ///< how often each code is used (4-bit elements)
  ErrorHistogram histogram;
};

/// One linear with at least one quantized operand, on its recorded operands.
struct LinearReplay {
  std::string op;
  TensorClass tensor_class = TensorClass::expert;
  int layer = -1, expert = -1;
  std::int64_t rows = 0, in = 0, out = 0;
  ErrorFigures error;
  /// a_w^2 e_x + a_x^2 e_w + e_x e_w: what the NSR would be were the errors uncorrelated with all
  /// else.
  double nsr_if_uncorrelated = 0.0;
  std::int64_t worst_row = 0;
  double worst_row_error = 0.0;  ///< ||dy||^2 / ||y||^2 of that row
  bool has_loss_change = false;
  double loss_change = 0.0;  ///< <dL/dy, dy>, the first-order term, from recorded gradients
};

/// What one e does to a router. Vectors are per token.
struct RouterNoise {
  double noise_sd = 0.0;          ///< rms of ds over tokens and experts
  double centred_noise_sd = 0.0;  ///< the same after taking each token's mean over experts out
  double difference_sd =
      0.0;  ///< rms of ds_k - ds_{k+1} in selection space, ranks of the clean run
  double expected_flips = 0.0;  ///< sum of Phi(-margin / difference_sd): one noise for all tokens
  std::vector<double> token_noise;    ///< largest |centred ds| of the token
  std::vector<std::uint8_t> flipped;  ///< 1 where the set of chosen experts differs
  std::uint64_t flips() const;
};

struct RouterReplay {
  std::string op;
  int layer = -1;
  std::int64_t tokens = 0, experts = 0, k = 0;
  std::vector<double> margins;  ///< between ranks k and k + 1 in selection space (score + bias)
  RouterNoise local, accumulated;
  std::uint64_t recorded_differs =
      0;  ///< tokens whose recorded choice the clean recomputation misses
};

/// How well the recomputed network matches what was recorded: relative MSE of a value against its
/// recorded counterpart (limited by the precision of the recording, 2^-18 or so for bf16).
struct Recomputation {
  std::string op;
  double relative_mse = 0.0;
};

struct ReplayResult {
  std::string recording, recipe;
  std::int64_t training_step = 0;
  std::uint64_t seed = 0;
  std::vector<TensorReplay> tensors;
  std::vector<LinearReplay> linears;
  std::vector<RouterReplay> routers;
  std::vector<Recomputation> recomputations;
  std::uint64_t linears_left_alone = 0;    ///< that the recipe does not touch
  std::uint64_t linears_without_rows = 0;  ///< experts that no recorded token chose
  std::vector<std::string> notes;  ///< what could not be computed, and choices that were made
};

struct ReplayOptions {
  std::uint64_t seed = 1;  ///< of stochastic rounding; each tensor draws from seed XOR hash(name)
  /// The step of the recipe's schedule; the default applies all of it.
  std::int64_t step = std::numeric_limits<std::int64_t>::max();
  int layers = 0;  ///< of the network, for recipes that keep some: replay() counts them itself
};

/// Throws InputError that names the op or tensor a replay needs and the recording lacks, or that
/// holds a NaN or an infinity.
[[nodiscard]] ReplayResult replay(const Recording& recording, const Recipe& recipe,
                                  const ReplayOptions& options = {});

}  // namespace assay::simulator

// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a graph's routers and loss answer to noise on its operands: the one high-precision pass that
// every prediction shares. No recipe and no quantizer is in it.
//
// Operands form groups: the weights of one layer with one name (q; w_gate of all experts), or one
// value that linears read (the norm before q, k and v: its noise is shared by all of them). For
// each group the clean network is executed with noise of NSR eps^2 on that group alone, +d and -d,
// the choice of experts held:
//   odd part   (f(+d) - f(-d)) / 2 eps   the Jacobian of the network along d (secant at eps = 0.1,
//                                        the size of four-bit noise), for every router logit and
//                                        every token's loss: correlations between tokens, experts
//                                        and layers are those of the network itself
//   even part  (f(+d) + f(-d) - 2 f) / 2 eps^2   second order, of the loss; KL(f || f(+-d))
//   likewise; of the logits its size
// The noise is +-1 at random, times the amax of the element's block of 16, scaled to the tensor's
// power: the error of a block format follows its scale factor. Squares average over `samples`.
// A gain error is not noise: per group of activations also the response to growing it by a factor
// 1 + h. (Of weights the very error is known and its answer with it: tangent.h. Of their noise only
// the second order is needed.)
// A flip is not small: per router, expert k of some tokens is exchanged for the one of rank k + 1,
// and everything after answers. The quarter of the tokens with the least margin is taken in eight
// random parts, one after another, and the others likewise: those that flip together change each
// other's answers little. What other tokens answer is measured on the flips of the first quarter:
// an exchange across a large margin changes more, and does not happen.

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "simulator/graph/block_statistics.h"
#include "simulator/graph/forward.h"

namespace assay::simulator {

inline constexpr double kNoiseAmplitude = 0.1;

struct OperandGroup {
  std::string name;  ///< "layer 3 expert weight w_gate", "layer 3 expert weight of expert 5"
  int layer = -1;
  TensorClass tensor_class = TensorClass::dense;
  Role role = Role::weight;
  std::vector<std::size_t> nodes;  ///< linears
  std::vector<double> share;       ///< of each node: its part of the group's output power
};

/// Answers of everything after a group, per unit of NSR (noise) or of relative growth (gain).
struct Response {
  /// [sample][router]: tokens x experts, odd part; of activations
  std::vector<std::vector<MatrixF>> logits;
  std::vector<Matrix> covariance;              ///< [router]: experts x experts, mean over tokens
  std::vector<double> logit_power;             ///< [router]: mean square over tokens and experts
  std::vector<double> curved_power;            ///< [router]: mean square of the logits' even part
  std::vector<std::vector<float>> token_loss;  ///< [sample][token], odd part
  std::vector<float> token_loss_even;          ///< [token], even part, mean over samples
  double loss_even = 0.0, kl = 0.0;
  std::vector<double> value_nsr;     ///< [watched]: NSR
  std::vector<MatrixF> gain_logits;  ///< [router]; of activations
  MatrixF gain_output;               ///< tokens x vocabulary: of the final logits; of activations
};

/// Answers to flips of one router.
struct FlipResponse {
  std::vector<MatrixF> own_logits;              ///< [router]: of the flipped token itself
  std::vector<std::vector<float>> cross_power;  ///< [router][token]: mean square, per share flipped
  std::vector<float> own_loss;                  ///< [token]
  std::vector<float> cross_loss;                ///< [token], per share of the other tokens flipped
  std::vector<float> own_kl, cross_kl;
  MatrixF own_output;  ///< tokens x vocabulary: of the flipped token's final logits
  std::vector<std::vector<float>> own_value_power;  ///< [watched][token]: squared norm
  std::vector<double> cross_value_power;  ///< [watched]: sum over tokens, per share flipped
};

struct Responses {
  std::vector<OperandGroup> groups;
  std::vector<Response> noise;       ///< by group
  std::vector<FlipResponse> flips;   ///< by router
  std::vector<std::size_t> watched;  ///< values whose NSR is predicted: the stream and the logits
  int samples = 0;
  double seconds = 0.0;
};

/// What a group is: operands of one name in a layer, or with the weights of one expert together.
enum class Grouping : std::uint8_t { by_name, by_expert };

using StepDone = std::function<void(std::int64_t done, std::int64_t total)>;

[[nodiscard]] std::vector<OperandGroup> operand_groups(const Graph& graph, const Forward& clean,
                                                       Grouping grouping = Grouping::by_name);

/// Deterministic for a seed, on any number of threads. `done` is called from one thread at a time.
[[nodiscard]] Responses measure_responses(const Graph& graph, const Forward& clean, int samples,
                                          std::uint64_t seed, const StepDone& done = {},
                                          Grouping grouping = Grouping::by_name);

}  // namespace assay::simulator

// SPDX-License-Identifier: Apache-2.0
#pragma once
// The truth on a recording: the whole graph executed from its tokens in double, once as recorded
// and once under a recipe, and everything that differs. Notation as in replay.h; y is a value of
// the clean execution, y^ the same value under the recipe.
//
// Assumptions: matrix products and outputs are exact, quantization is the only error, and an
// operand left in high precision is not cast, unless the recipe's own products are asked for
// (accumulate.h); gradients are formed in double in either case; each router chooses by the logits
// of its own execution, so flips cascade. Values of an expert are compared on the tokens that both
// executions gave it.

#include <string>
#include <vector>

#include "simulator/graph/backward.h"
#include "simulator/graph/experts.h"
#include "simulator/graph/recipe_operands.h"
#include "simulator/graph/training_range.h"

namespace assay::simulator {

/// y^ against y, all elements of one value together.
struct ValueError {
  std::string op;      ///< of an operand: the first linear that reads it
  std::string tensor;  ///< of an operand: its weight, or the op whose value it is
  Role role = Role::output;
  OpKind kind = OpKind::linear;
  TensorClass tensor_class = TensorClass::dense;  ///< of linears and operands
  int layer = -1, expert = -1;
  ErrorFigures error;
  double worst = 0.0;   ///< largest |y^ - y| over the largest |y|
  double cosine = 1.0;  ///< <y, y^> / (||y|| ||y^||)
};

/// Margins of tokens that have one, in equal parts from 0 to the largest.
struct MarginHistogram {
  double largest = 0.0;
  std::vector<std::uint64_t> bins;
};
[[nodiscard]] MarginHistogram margin_histogram(const std::vector<double>& margins);

struct RouterMeasure {
  std::string op;  ///< the top_k
  int layer = -1;
  std::int64_t tokens = 0, experts = 0, k = 0;
  double noise_sd = 0.0;              ///< rms of s^ - s over tokens and experts
  double centred_noise_sd = 0.0;      ///< the same, each token's mean over experts taken out
  Matrix covariance;                  ///< experts x experts: mean over tokens of ds ds^T
  std::vector<std::uint8_t> flipped;  ///< by token: the set of experts differs
  std::uint64_t flips = 0;
  std::uint64_t prefix_tokens = 0;       ///< tokens that no earlier router flipped
  std::uint64_t prefix_flips = 0;        ///< of those
  std::vector<double> load_clean, load;  ///< share of the k * tokens choices, by expert
  double load_shift = 0.0;               ///< half the sum of |load - load_clean|
  MarginHistogram margins;               ///< clean, between ranks k and k + 1 in selection space
};

/// Of a token-level figure d, loss under the recipe less clean loss.
struct LossMeasure {
  double clean = 0.0, recipe = 0.0;
  double change = 0.0;          ///< mean of d
  double standard_error = 0.0;  ///< bootstrap over tokens, 1000 resamples, fixed seed
  double p01 = 0.0, p05 = 0.0, p50 = 0.0, p95 = 0.0, p99 = 0.0;  ///< of d over tokens
  double kl = 0.0;  ///< mean over tokens of KL(clean || recipe)
  double kl_p95 = 0.0, kl_p99 = 0.0;
};

struct MeasureOptions {
  Products products = Products::exact;
  double learning_rate = 1e-3;  ///< of the updates that are estimated from the gradients
  /// loss_gradients() of the clean execution, where there is more than one recipe; null: formed.
  const Backward* clean_gradients = nullptr;
};

struct Measurement {
  Products products = Products::exact;
  std::vector<ValueError> operands;   ///< quantized weights and activations, of the clean execution
  std::vector<ValueError> linears;    ///< outputs on the clean operands: each linear alone
  std::vector<ValueError> values;     ///< every op, free-running
  std::vector<ValueError> gradients;  ///< d loss / d weight of each linear; gain - 1 is its bias
  /// Products::recipe: each linear's product and rounded output against the product in double of
  /// the same quantized operands of the clean execution.
  std::vector<ValueError> accumulators;
  std::vector<RouterMeasure> routers;
  LossMeasure loss;
  TrainingRange training;
  std::vector<ExpertDiversity> experts;  ///< of the execution under the recipe
  std::vector<Utilisation> use;          ///< likewise
  double seconds = 0.0;  ///< CPU time of the quantized forward execution and its figures, on one
                         ///< thread
  double all_seconds = 0.0;  ///< also of the backward pass, the experts and their figures
};

[[nodiscard]] ValueError compare(const Matrix& y, const Matrix& changed);

/// Tokens that two routings give one expert: places in either list of rows.
[[nodiscard]] std::vector<std::pair<int, int>> common_rows(const std::vector<int>& a,
                                                           const std::vector<int>& b);

/// `filter`: the operands that the recipe is applied to; empty: all that it names.
[[nodiscard]] Measurement measure(const Graph& graph, const Forward& clean, const Recipe& recipe,
                                  const ReplayOptions& options, const OperandFilter& filter = {},
                                  const MeasureOptions& extra = {});

[[nodiscard]] std::vector<RouterMeasure> measure_routers(const Graph& graph, const Forward& clean,
                                                         const Forward& changed);
[[nodiscard]] LossMeasure measure_loss(const Graph& graph, const Forward& clean,
                                       const Forward& changed);

}  // namespace assay::simulator

// SPDX-License-Identifier: Apache-2.0
#pragma once
// The whole graph of a recording, ready to be executed from its tokens: every op with its weight in
// double, its parameters and the places of its inputs, all shapes checked once. What replay.h does
// op by op on recorded operands, forward.h does here from the embedding to the loss.

#include <cstdint>
#include <string>
#include <vector>

#include "simulator/graph/ops.h"
#include "simulator/recipe.h"
#include "simulator/recording.h"

namespace assay::simulator {

inline constexpr std::size_t kNone = static_cast<std::size_t>(-1);

struct GraphNode {
  std::string id;
  OpKind kind = OpKind::add;
  TensorClass tensor_class = TensorClass::dense;  ///< of a linear
  int layer = -1, expert = -1;
  int layers = 0;                   ///< of the network
  std::vector<std::size_t> inputs;  ///< of values; a linear's top_k is `routing` instead
  std::size_t routing = kNone;      ///< the top_k whose chosen tokens are the rows of this value
  std::size_t source = kNone;  ///< of an expert's linear that gathers: the value it gathers from
  std::int64_t width = 0;      ///< columns of the value; of a top_k the number of experts
  std::string weight_name;
  Matrix weight;             ///< of linear and embedding
  Matrix update;             ///< of linear: what the optimizer added to it; empty: not recorded
  std::vector<double> norm;  ///< of rmsnorm
  double eps = 0;            ///< of rmsnorm
  AttentionShape attention;  ///< of attention
  SwigluClamp clamp;         ///< of swiglu
  Gate gate;                 ///< of top_k
};

/// A recorded network. Rows of a value are tokens, sequence after sequence.
struct Graph {
  std::string recording;
  std::int64_t training_step = 0;
  std::vector<GraphNode> nodes;  ///< in the order of execution
  std::vector<std::int64_t> tokens, targets;
  std::int64_t length = 0;           ///< of a sequence
  std::size_t logits = kNone;        ///< the op that the loss reads
  std::vector<std::size_t> routers;  ///< the top_k ops, in order

  /// Throws InputError, one sentence that names the op, where the recording lacks what an execution
  /// from the tokens needs, where shapes do not fit, or where a weight holds a NaN or an infinity.
  static Graph of(const Recording& recording);
  [[nodiscard]] std::size_t token_count() const { return tokens.size(); }
};

/// Parameters of an op from its numbers. Throw InputError.
[[nodiscard]] AttentionShape attention_shape(const Op& op, std::int64_t length);
[[nodiscard]] SwigluClamp swiglu_clamp(const Op& op);

}  // namespace assay::simulator

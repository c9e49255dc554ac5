// SPDX-License-Identifier: Apache-2.0
#pragma once
// How alike the experts of a layer are, how evenly they are used, and when that is an alarm.
//
// Over all pairs of experts e < f of one layer:
//   weights   cos(w_e, w_f), w the weights of the expert's linears one after the other, as stored:
//   a
//             permutation of hidden units counts as a difference
//   outputs   every expert executed on every token that the layer sees; cos of the two outputs,
//   mean
//             over tokens; and linear CKA (Kornblith et al., arXiv 1905.00414)
//               ||A^T B||^2 / (||A^T A|| ||B^T B||), Frobenius norms, A and B the outputs, tokens x
//               width, each column's mean taken out,
//             which no rotation or scaling of an output changes
// Use of a router: load l_e (share of the choices), entropy H = -sum l log l, effective experts
// exp(H), idle experts (l = 0).

#include <string>
#include <vector>

#include "simulator/graph/forward.h"

namespace assay::simulator {

struct Alikeness {
  double mean = 0.0, largest = 0.0;
  int first = -1, second = -1;  ///< the pair of the largest
};

struct ExpertDiversity {
  std::string op;  ///< the top_k
  int layer = -1;
  std::int64_t experts = 0;
  Alikeness weight_cosine, output_cosine, output_cka;
};

/// By router. `run`: the execution whose values the experts read; `operands` as in that execution.
/// A layer whose experts are not linears and SwiGLU alone, or that has fewer than two, is left out.
[[nodiscard]] std::vector<ExpertDiversity> expert_diversity(const Graph& graph, const Forward& run,
                                                            const Operands& operands);

/// Linear CKA; 0 where a matrix has no variance.
[[nodiscard]] double linear_cka(const Matrix& a, const Matrix& b);

struct Utilisation {
  std::string op;
  int layer = -1;
  std::vector<double> load;
  double entropy = 0.0;    ///< nats
  double effective = 0.0;  ///< exp(entropy)
  double largest = 0.0;    ///< of load, times the number of experts: 1 is even use
  std::uint64_t idle = 0;  ///< experts without a token
  /// Empty, or why this is a collapse: sentences.
  std::vector<std::string> alarms;
};

/// Alarms: an idle expert although even use would give it at least 20 choices (by chance e^-20);
/// fewer than half as many effective experts as there are. `before`: the same router at an earlier
/// step, or null; effective experts fewer by more than a fifth are an alarm.
[[nodiscard]] Utilisation utilisation(const std::string& op, int layer, std::vector<double> load,
                                      double choices, const Utilisation* before);

/// Of every router of an execution; `before` likewise, empty or as many.
[[nodiscard]] std::vector<Utilisation> utilisation(const Graph& graph, const Forward& run,
                                                   const std::vector<Utilisation>& before = {});

}  // namespace assay::simulator

// SPDX-License-Identifier: Apache-2.0
// The baseline that a prediction must beat: white noise per layer. A block's relative noise is the
// sum of the white-noise NSR of its kinds of linears; the stream adds e_L = sum ||f_l||^2 e_l /
// ||x_L||^2; norms and routers pass a relative noise on; the final logits likewise.
#include <cmath>

#include "simulator/graph/predict.h"

namespace assay::simulator {

void Predictor::naive(Prediction& out) const {
  std::map<std::string, double> white;
  for (const auto& l : out.linears) white[l.op] = l.white;
  std::map<std::pair<int, int>, std::map<std::string, std::pair<double, int>>> blocks;
  for (const GraphNode& n : graph_.nodes) {
    const auto found = white.find(n.id);
    if (found == white.end()) continue;
    auto& [sum, count] =
        blocks[{n.layer, static_cast<int>(n.tensor_class)}][n.id.substr(n.id.rfind('.') + 1)];
    sum += found->second;
    ++count;
  }
  const auto block_nsr = [&](int layer, TensorClass c) {
    double e = 0;
    for (const auto& [part, mean] : blocks[{layer, static_cast<int>(c)}]) {
      e += mean.first / mean.second;
    }
    return e;
  };
  double noise = 0;  // absolute power on the stream
  double stream = 1;
  std::size_t r = 0;
  for (std::size_t i = 0; i < graph_.nodes.size(); ++i) {
    const GraphNode& n = graph_.nodes[i];
    if (n.kind == OpKind::add) {
      for (const std::size_t j : n.inputs) {
        const GraphNode& f = graph_.nodes[j];
        if (f.kind == OpKind::linear) {
          noise += power_[j] * block_nsr(f.layer, f.tensor_class);
        } else if (f.kind == OpKind::combine) {
          noise += power_[j] * block_nsr(f.layer, TensorClass::expert);
        }
      }
      stream = power_[i];
    } else if (n.kind == OpKind::top_k) {
      const Matrix& s = clean_.values[n.inputs[0]];
      out.routers[r++].white_noise_sd =
          std::sqrt(noise / stream * power_[n.inputs[0]] / static_cast<double>(s.size()));
    }
  }
  // KL of logits z with white noise of power v: 1/2 v sum_i p_i (1 - p_i), v = NSR mean(z^2).
  const Matrix& z = clean_.values[graph_.logits];
  const double v = noise / stream * power_[graph_.logits] / static_cast<double>(z.size());
  out.loss.white_kl = v * curvature_ / 2;
}

}  // namespace assay::simulator

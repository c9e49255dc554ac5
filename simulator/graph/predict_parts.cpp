// SPDX-License-Identifier: Apache-2.0
// What is predicted of values, and whose part it is.
#include "simulator/graph/one_thread.h"
#include "simulator/graph/predict.h"

namespace assay::simulator {

Prediction Predictor::with_contributions(const Recipe& recipe, const ReplayOptions& options,
                                         const GroupFilter& filter) {
  const OneThread one;
  Prediction out = predict(recipe, options, filter);
  // As in loss(): from the sample to the mean over all tokens.
  const double of_tokens = (sampled_curvature_ > 0 ? curvature_ / sampled_curvature_ : 1) /
                           static_cast<double>(sample_.rows.size());
  std::vector<Matrix> shifts;
  for (std::size_t r = 0; r < graph_.routers.size(); ++r) shifts.push_back(shift(tangent_, r));
  for (std::size_t g = 0; g < responses_.groups.size(); ++g) {
    if (nsr_[g] == 0) continue;
    const Response& answer = responses_.noise[g];
    Contribution c;
    c.group = responses_.groups[g].name;
    c.nsr = nsr_[g];
    Tangent part;
    if (random(g)) {
      c.kl =
          nsr_[g] * answer.kl + (gain_[g] - 1) / 2 * of_tokens *
                                    answer.gain_output.cwiseProduct(curved_).cast<double>().sum();
    } else {
      OperandShift own(graph_.nodes.size());
      const bool weight = responses_.groups[g].role == Role::weight;
      for (const std::size_t node : responses_.groups[g].nodes) {
        (weight ? own.weight : own.input)[node] = (weight ? shift_.weight : shift_.input)[node];
      }
      part = linearization_.along(own);
      const MatrixF& output = part.values[graph_.logits];
      if (output.size() > 0)
        c.kl = output.cwiseProduct(curved_).cast<double>().sum() / 2 * of_tokens;
    }
    for (std::size_t r = 0; r < graph_.routers.size(); ++r) {
      const MatrixF& logits = random(g) ? answer.gain_logits[r]
                                        : part.values[graph_.nodes[graph_.routers[r]].inputs[0]];
      double variance = random(g) ? nsr_[g] * answer.logit_power[r] : 0;
      if (logits.size() > 0) {
        variance += (random(g) ? gain_[g] - 1 : 1) *
                    logits.cast<double>().cwiseProduct(shifts[r]).sum() /
                    static_cast<double>(shifts[r].size());
      }
      c.variance.push_back(variance);
    }
    out.contributions.push_back(std::move(c));
  }
  return out;
}

void Predictor::values(Prediction& out) const {
  for (std::size_t w = 0; w < responses_.watched.size(); ++w) {
    const std::size_t i = responses_.watched[w];
    ValuePrediction v{graph_.nodes[i].id, 0.0};
    const double power = power_[i];
    const double seen = sampled_power_[i];
    if (seen > 0) {
      // Of the logits the flips' answers are known with their signs, elsewhere their power.
      const bool logits = i == graph_.logits;
      const MatrixF& d = tangent_.values[i];
      if (logits) {
        v.nsr = output_nsr_;
      } else if (d.size() > 0) {
        double along = 0;
        double square = 0;
        for (std::int64_t row = 0; row < d.rows(); ++row) {
          along += d.row(row).cast<double>().dot(seen_.values[i].row(row));
          square += d.row(row).squaredNorm();
        }
        v.nsr = (square - along * along / seen) / seen;
      }
      for (std::size_t g = 0; g < responses_.groups.size(); ++g) {
        if (random(g)) v.nsr += nsr_[g] * responses_.noise[g].value_nsr[w];
      }
      for (std::size_t r = 0; r < out.routers.size(); ++r) {
        const FlipResponse& flip = responses_.flips[r];
        v.nsr += out.routers[r].flip_rate * flip.cross_value_power[w] / power;
        if (logits) continue;
        for (std::size_t t = 0; t < graph_.token_count(); ++t) {
          v.nsr += out.routers[r].flip_probability[t] * flip.own_value_power[w][t] / power;
        }
      }
    }
    out.values.push_back(std::move(v));
  }
}

}  // namespace assay::simulator

// SPDX-License-Identifier: Apache-2.0
// The part of a prediction that is about the loss and the final logits.
#include <algorithm>
#include <cmath>

#include "simulator/graph/draws.h"
#include "simulator/graph/predict.h"

namespace assay::simulator {
namespace {

double quantile_of(std::vector<double>& v, double p) {
  const auto at = static_cast<std::ptrdiff_t>(p * static_cast<double>(v.size() - 1));
  std::nth_element(v.begin(), v.begin() + at, v.end());
  return v[static_cast<std::size_t>(at)];
}

}  // namespace

void Predictor::loss(Prediction& out) {
  LossPrediction& p = out.loss;
  const std::size_t tokens = graph_.token_count();
  const auto count = static_cast<double>(tokens);
  std::vector<double> even(tokens, 0.0);
  std::vector<double> variance(tokens, 0.0);
  double realised = 0;  // variance of the mean token change
  MatrixF m = MatrixF::Zero(probability_.rows(), probability_.cols());
  for (std::size_t g = 0; g < responses_.groups.size(); ++g) {
    const Response& answer = responses_.noise[g];
    if (gain_[g] != 1) {
      m += static_cast<float>(gain_[g] - 1) * answer.gain_output;
      for (std::size_t t = 0; t < tokens; ++t) {
        even[t] += (gain_[g] - 1) * answer.gain_token_loss[t];
        p.gain += (gain_[g] - 1) * answer.gain_token_loss[t] / count;
      }
    }
    if (nsr_[g] == 0) continue;
    p.second_order += nsr_[g] * answer.loss_even;
    p.kl += nsr_[g] * answer.kl;
    for (std::size_t t = 0; t < tokens; ++t) even[t] += nsr_[g] * answer.token_loss_even[t];
    for (const auto& sample : answer.token_loss) {
      const double weight = nsr_[g] / responses_.samples;
      double sum = 0;
      for (std::size_t t = 0; t < tokens; ++t) {
        sum += sample[t];
        variance[t] += weight * sample[t] * sample[t];
      }
      realised += weight * sum * sum / (count * count);
    }
  }
  for (std::int64_t t = 0; t < m.rows(); ++t) {
    const auto d = m.row(t).cast<double>().array();
    const auto q = probability_.row(t).array();
    const double first = (q * d).sum();
    p.kl += ((q * d * d).sum() - first * first) / 2 / count;
  }
  p.held_kl = p.kl;
  // The gain part of the logits' change, less what of it is growth.
  const Matrix& logits = clean_.values[graph_.logits];
  const double along = m.cast<double>().cwiseProduct(logits).sum();
  const double signal = logits.squaredNorm();
  gain_nsr_ = signal > 0 ? (m.cast<double>().squaredNorm() - along * along / signal) / signal : 0;
  double flips_spread = 0;
  for (std::size_t r = 0; r < out.routers.size(); ++r) {
    const FlipResponse& answer = responses_.flips[r];
    const RouterPrediction& router = out.routers[r];
    for (std::size_t t = 0; t < tokens; ++t) {
      const double q = router.flip_probability[t];
      p.flips += (q * answer.own_loss[t] + router.flip_rate * answer.cross_loss[t]) / count;
      p.kl += (q * answer.own_kl[t] + router.flip_rate * answer.cross_kl[t]) / count;
      flips_spread += q * (1 - q) * answer.own_kl[t] * answer.own_kl[t] / (count * count);
      realised += q * answer.own_loss[t] * answer.own_loss[t] / (count * count);
      even[t] += router.flip_rate * answer.cross_loss[t];
    }
  }
  p.change = p.second_order + p.gain + p.flips;
  p.uncertainty = std::sqrt(realised);
  p.kl_uncertainty = std::sqrt(flips_spread);
  std::vector<double> draws;
  draws.reserve(tokens * kDraws);
  for (std::size_t t = 0; t < tokens; ++t) {
    Draws draw(t + 1);
    const double sd = std::sqrt(variance[t]);
    for (int d = 0; d < kDraws; ++d) {
      double change = even[t] + sd * draw.normal();
      for (std::size_t r = 0; r < out.routers.size(); ++r) {
        if (draw.uniform() < out.routers[r].flip_probability[t]) {
          change += responses_.flips[r].own_loss[t];
        }
      }
      draws.push_back(change);
    }
  }
  p.p01 = quantile_of(draws, 0.01);
  p.p05 = quantile_of(draws, 0.05);
  p.p50 = quantile_of(draws, 0.5);
  p.p95 = quantile_of(draws, 0.95);
  p.p99 = quantile_of(draws, 0.99);
}

}  // namespace assay::simulator

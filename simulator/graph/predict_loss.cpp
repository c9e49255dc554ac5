// SPDX-License-Identifier: Apache-2.0
// The part of a prediction that is about the loss and the final logits.
#include <algorithm>
#include <array>
#include <cmath>

#include "simulator/graph/draws.h"
#include "simulator/graph/predict.h"

namespace assay::simulator {
namespace {

/// Ascending: each search begins behind what the one before put in front.
std::array<double, 5> quantiles_of(std::vector<float>& v, const std::array<double, 5>& shares) {
  std::array<double, 5> out{};
  auto begin = v.begin();
  for (std::size_t i = 0; i < shares.size(); ++i) {
    const auto at =
        v.begin() + static_cast<std::ptrdiff_t>(shares[i] * static_cast<double>(v.size() - 1));
    std::nth_element(begin, at, v.end());
    out[i] = *at;
    begin = at;
  }
  return out;
}

}  // namespace

void Predictor::find_sums() {
  const std::size_t tokens = graph_.token_count();
  const auto groups = static_cast<std::int64_t>(responses_.groups.size());
  const Matrix& logits = clean_.values[graph_.logits];
  gain_product_ = gain_curvature_ = Matrix::Zero(groups, groups);
  for (const Response& answer : responses_.noise) {
    GroupSums s;
    s.token_loss_square.assign(tokens, 0.0);
    for (const auto& sample : answer.token_loss) {
      double sum = 0;
      for (std::size_t t = 0; t < tokens; ++t) {
        sum += sample[t];
        s.token_loss_square[t] += static_cast<double>(sample[t]) * sample[t] / responses_.samples;
      }
      s.loss_square += sum * sum / responses_.samples;
    }
    for (const auto change : answer.gain_token_loss) s.gain_loss += change;
    if (answer.gain_output.size() > 0)
      s.gain_along = answer.gain_output.cast<double>().cwiseProduct(logits).sum();
    sums_.push_back(std::move(s));
  }
  // H = diag q - q q^T of every token's softmax q.
  for (std::int64_t g = 0; g < groups; ++g) {
    const MatrixF& of = responses_.noise[static_cast<std::size_t>(g)].gain_output;
    if (of.size() == 0) continue;
    const Matrix a = of.cast<double>();
    Matrix weighted = a.cwiseProduct(probability_);
    const Eigen::VectorXd mean = weighted.rowwise().sum();
    weighted -= mean.asDiagonal() * probability_;
    for (std::int64_t h = 0; h <= g; ++h) {
      const MatrixF& other = responses_.noise[static_cast<std::size_t>(h)].gain_output;
      if (other.size() == 0) continue;
      const Matrix b = other.cast<double>();
      gain_product_(g, h) = gain_product_(h, g) = a.cwiseProduct(b).sum();
      gain_curvature_(g, h) = gain_curvature_(h, g) = weighted.cwiseProduct(b).sum();
    }
  }
}

void Predictor::loss(Prediction& out) {
  LossPrediction& p = out.loss;
  const std::size_t tokens = graph_.token_count();
  const auto count = static_cast<double>(tokens);
  std::vector<double> even(tokens, 0.0);
  std::vector<double> variance(tokens, 0.0);
  double realised = 0;  // variance of the mean token change
  for (std::size_t g = 0; g < responses_.groups.size(); ++g) {
    const Response& answer = responses_.noise[g];
    const double moved = gain_[g] - 1;
    if (moved != 0) {
      for (std::size_t t = 0; t < tokens; ++t) even[t] += moved * answer.gain_token_loss[t];
      p.gain += moved * sums_[g].gain_loss / count;
    }
    if (nsr_[g] == 0) continue;
    p.second_order += nsr_[g] * answer.loss_even;
    p.kl += nsr_[g] * answer.kl;
    for (std::size_t t = 0; t < tokens; ++t) {
      even[t] += nsr_[g] * answer.token_loss_even[t];
      variance[t] += nsr_[g] * sums_[g].token_loss_square[t];
    }
    realised += nsr_[g] * sums_[g].loss_square / (count * count);
  }
  // The gain part m of the logits' change, and of it what is not growth of the logits.
  double curvature = 0;
  double power = 0;
  double along = 0;
  for (std::size_t g = 0; g < responses_.groups.size(); ++g) {
    if (gain_[g] == 1) continue;
    along += (gain_[g] - 1) * sums_[g].gain_along;
    for (std::size_t h = 0; h < responses_.groups.size(); ++h) {
      const auto i = static_cast<std::int64_t>(g);
      const auto j = static_cast<std::int64_t>(h);
      curvature += (gain_[g] - 1) * (gain_[h] - 1) * gain_curvature_(i, j);
      power += (gain_[g] - 1) * (gain_[h] - 1) * gain_product_(i, j);
    }
  }
  p.kl += curvature / 2 / count;
  p.held_kl = p.kl;
  const double signal = clean_.values[graph_.logits].squaredNorm();
  gain_nsr_ = signal > 0 ? std::max(0.0, power - along * along / signal) / signal : 0;
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
  std::vector<float> draws;
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
      draws.push_back(static_cast<float>(change));
    }
  }
  const auto quantiles = quantiles_of(draws, {0.01, 0.05, 0.5, 0.95, 0.99});
  p.p01 = quantiles[0];
  p.p05 = quantiles[1];
  p.p50 = quantiles[2];
  p.p95 = quantiles[3];
  p.p99 = quantiles[4];
}

}  // namespace assay::simulator

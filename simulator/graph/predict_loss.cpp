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

void Predictor::find_output() {
  const Matrix& logits = clean_.values[graph_.logits];
  const MatrixF& d = tangent_.values[graph_.logits];
  output_ = d.size() > 0 ? d.cast<double>().eval() : Matrix::Zero(logits.rows(), logits.cols());
  for (std::size_t g = 0; g < responses_.groups.size(); ++g) {
    if (random(g)) output_ += (gain_[g] - 1) * responses_.noise[g].gain_output.cast<double>();
  }
  curved_ = output_.cwiseProduct(probability_);
  const Eigen::VectorXd mean = curved_.rowwise().sum();
  curved_ -= mean.asDiagonal() * probability_;
}

Eigen::RowVectorXd Predictor::curved(std::size_t token, const Eigen::RowVectorXd& d) const {
  const auto p = probability_.row(static_cast<std::int64_t>(token));
  return p.cwiseProduct(d) - p.dot(d) * p;
}

void Predictor::loss(Prediction& out) {
  LossPrediction& p = out.loss;
  const std::size_t tokens = graph_.token_count();
  const auto count = static_cast<double>(tokens);
  std::vector<double> even(tokens, 0.0);  // of every draw
  for (std::size_t t = 0; t < tokens; ++t) {
    const auto row = static_cast<std::int64_t>(t);
    const double first =
        probability_.row(row).dot(output_.row(row)) - output_(row, graph_.targets[t]);
    const double second = curved_.row(row).dot(output_.row(row)) / 2;
    even[t] = first + second;
    p.first_order += first / count;
    p.kl += second / count;
  }
  p.second_order = p.kl;
  for (std::size_t g = 0; g < responses_.groups.size(); ++g) {
    if (nsr_[g] == 0) continue;
    const Response& answer = responses_.noise[g];
    if (!random(g)) {  // its part in H is exact and already counted
      const double before_softmax = nsr_[g] * (answer.loss_even - answer.kl);
      p.second_order += before_softmax;
      for (double& e : even) e += before_softmax;
      continue;
    }
    p.second_order += nsr_[g] * answer.loss_even;
    p.kl += nsr_[g] * answer.kl;
    for (std::size_t t = 0; t < tokens; ++t) even[t] += nsr_[g] * answer.token_loss_even[t];
  }
  p.held_kl = p.kl;
  for (std::size_t r = 0; r < out.routers.size(); ++r) {
    const FlipResponse& answer = responses_.flips[r];
    const double rate = out.routers[r].flip_rate;
    for (std::size_t t = 0; t < tokens; ++t) {
      p.flips += rate * answer.cross_loss[t] / count;
      p.kl += rate * answer.cross_kl[t] / count;
      even[t] += rate * answer.cross_loss[t];
    }
  }
  draw_losses(out, even);
  p.change = p.first_order + p.second_order + p.flips;
}

void Predictor::draw_losses(Prediction& out, const std::vector<double>& even) {
  LossPrediction& p = out.loss;
  const std::size_t tokens = graph_.token_count();
  const auto count = static_cast<double>(tokens);
  const Matrix& logits = clean_.values[graph_.logits];
  const double signal = logits.squaredNorm();
  const double power = output_.squaredNorm();
  const double along = output_.cwiseProduct(logits).sum();
  std::vector<double> change;  // by draw
  std::vector<double> kl;
  std::vector<double> nsr;
  std::vector<double> noise(tokens);
  std::vector<float> all;
  all.reserve(tokens * kDraws);
  for (std::size_t draw = 0; draw < kDraws; ++draw) {
    std::fill(noise.begin(), noise.end(), 0.0);
    for (std::size_t g = 0; g < responses_.groups.size(); ++g) {
      if (!random(g)) continue;
      const auto& samples = responses_.noise[g].token_loss;
      const Pick at = pick(g, draw, samples.size());
      const double scale = at.sign * std::sqrt(nsr_[g]);
      for (std::size_t t = 0; t < tokens; ++t) noise[t] += scale * samples[at.sample][t];
    }
    double of_noise = 0;
    double of_flips = 0;
    double kl_of_flips = 0;
    double flip_power = 0;
    double flip_along = 0;
    for (std::size_t t = 0; t < tokens; ++t) {
      of_noise += noise[t] / count;
      const TokenFlips f = token_flips(draw, t);
      of_flips += f.loss / count;
      kl_of_flips += f.kl / count;
      flip_power += f.power;
      flip_along += f.along;
      all.push_back(static_cast<float>(even[t] + noise[t] + f.loss));
    }
    p.flips += of_flips / static_cast<double>(kDraws);
    change.push_back(of_noise + of_flips);
    kl.push_back(kl_of_flips);
    const double a = along + flip_along;
    nsr.push_back(signal > 0 ? (power + flip_power - a * a / signal) / signal : 0);
  }
  p.kl += mean(kl);
  p.uncertainty = spread(change);
  p.kl_uncertainty = spread(kl);
  output_nsr_ = mean(nsr);
  const auto quantiles = quantiles_of(all, {0.01, 0.05, 0.5, 0.95, 0.99});
  p.p01 = quantiles[0];
  p.p05 = quantiles[1];
  p.p50 = quantiles[2];
  p.p95 = quantiles[3];
  p.p99 = quantiles[4];
}

Predictor::TokenFlips Predictor::token_flips(std::size_t draw, std::size_t token) const {
  TokenFlips out;
  const auto row = static_cast<std::int64_t>(token);
  Eigen::RowVectorXd f;
  double alone = 0;  // sum over routers of f_l^T H f_l
  int flips = 0;
  for (std::size_t r = 0; r < flips_.size(); ++r) {
    if (flips_[r][draw * graph_.token_count() + token] == 0) continue;
    const FlipResponse& answer = responses_.flips[r];
    out.loss += answer.own_loss[token];
    out.kl += answer.own_kl[token];
    const Eigen::RowVectorXd own = answer.own_output.row(row).cast<double>();
    alone += curved(token, own).dot(own);
    if (flips++ == 0) {
      f = own;
    } else {
      f += own;
    }
  }
  if (flips == 0) return out;
  double joint = curved_.row(row).dot(f);
  if (flips > 1) joint += (curved(token, f).dot(f) - alone) / 2;
  out.loss += joint;
  out.kl += joint;
  out.power = f.squaredNorm() + 2 * f.dot(output_.row(row));
  out.along = f.dot(clean_.values[graph_.logits].row(row));
  return out;
}

}  // namespace assay::simulator

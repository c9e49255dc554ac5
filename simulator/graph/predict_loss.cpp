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
  const Matrix& logits = seen_.values[graph_.logits];
  const MatrixF& d = tangent_.values[graph_.logits];
  output_ = d.size() > 0 ? d : MatrixF::Zero(logits.rows(), logits.cols());
  for (std::size_t g = 0; g < responses_.groups.size(); ++g) {
    if (random(g)) output_ += static_cast<float>(gain_[g] - 1) * responses_.noise[g].gain_output;
  }
  curved_ = output_.cwiseProduct(probability_);
  const Eigen::VectorXf mean = curved_.rowwise().sum();
  curved_ -= mean.asDiagonal() * probability_;
}

Eigen::RowVectorXf Predictor::curved(std::size_t row, const Eigen::RowVectorXf& d) const {
  const auto p = probability_.row(static_cast<std::int64_t>(row));
  return p.cwiseProduct(d) - p.dot(d) * p;
}

double Predictor::first_order() const {
  double sum = 0;
  for (std::size_t i = 0; i < graph_.nodes.size(); ++i) {
    if (weight_error_[i] != nullptr) {
      sum += slope_.weights[i].cwiseProduct(weight_error_[i]->error.cast<double>()).sum();
    }
    if (input_error_[i] != nullptr) {
      sum += slope_.values[i].cwiseProduct(input_error_[i]->error.cast<double>()).sum();
    }
  }
  for (std::size_t g = 0; g < responses_.groups.size(); ++g) {
    if (random(g)) sum += (gain_[g] - 1) * gain_loss_[g];
  }
  return sum;
}

void Predictor::loss(Prediction& out) {
  LossPrediction& p = out.loss;
  const std::size_t rows = sample_.rows.size();
  const auto count = static_cast<double>(rows);
  p.first_order = first_order();
  std::vector<double> even(rows, 0.0);  // of every draw
  for (std::size_t i = 0; i < rows; ++i) {
    const auto row = static_cast<std::int64_t>(i);
    const auto target = graph_.targets[static_cast<std::size_t>(sample_.rows[i])];
    const double second = curved_.row(row).dot(output_.row(row)) / 2;
    even[i] = probability_.row(row).dot(output_.row(row)) - output_(row, target) + second;
    p.kl += second / count;
  }
  // Tokens that are less certain answer more: all tokens' part from the sample's, in proportion to
  // the trace of H.
  if (sampled_curvature_ > 0) p.kl *= curvature_ / sampled_curvature_;
  p.second_order = p.kl;
  const auto add = [&](double factor, const std::vector<float>& by_token) {
    for (std::size_t i = 0; i < rows; ++i) {
      even[i] += factor * by_token[static_cast<std::size_t>(sample_.rows[i])];
    }
  };
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
    add(nsr_[g], answer.token_loss_even);
  }
  p.held_kl = p.kl;
  for (std::size_t r = 0; r < out.routers.size(); ++r) {
    const FlipResponse& answer = responses_.flips[r];
    const double rate = out.routers[r].flip_rate;
    p.flips += rate * mean(answer.cross_loss);
    p.kl += rate * mean(answer.cross_kl);
    add(rate, answer.cross_loss);
  }
  draw_losses(out, even);
  p.change = p.first_order + p.second_order + p.flips;
}

void Predictor::draw_losses(Prediction& out, const std::vector<double>& even) {
  LossPrediction& p = out.loss;
  const std::size_t rows = sample_.rows.size();
  const auto count = static_cast<double>(graph_.token_count());
  const double grown = count / static_cast<double>(rows);  // from the sample to all tokens
  const double signal = power_[graph_.logits];
  const Matrix& seen = seen_.values[graph_.logits];
  const double sampled = sampled_power_[graph_.logits];
  const double per_signal = sampled > 0 ? 1 / sampled : 0;
  double power = 0;
  double along = 0;
  for (std::int64_t i = 0; i < output_.rows(); ++i) {
    power += output_.row(i).squaredNorm() * per_signal;
    along += output_.row(i).cast<double>().dot(seen.row(i)) * per_signal;
  }
  std::vector<double> change;  // by draw
  std::vector<double> kl;
  std::vector<double> nsr;
  std::vector<double> token(rows);
  std::vector<float> all;
  all.reserve(rows * draws_);
  for (std::size_t draw = 0; draw < draws_; ++draw) {
    token = even;
    double of_noise = 0;
    for (std::size_t g = 0; g < responses_.groups.size(); ++g) {
      if (!random(g)) continue;
      const auto& samples = responses_.noise[g].token_loss;
      const Pick at = pick(g, draw, samples.size());
      const double scale = at.sign * std::sqrt(nsr_[g]);
      of_noise += scale * noise_loss_[g][at.sample];
      for (std::size_t i = 0; i < rows; ++i) {
        token[i] += scale * samples[at.sample][static_cast<std::size_t>(sample_.rows[i])];
      }
    }
    FlipSums flips = flips_alone(draw);
    for (std::size_t i = 0; i < rows; ++i) {
      const auto t = static_cast<std::size_t>(sample_.rows[i]);
      const FlipSums together = flips_together(draw, i);
      flips.loss += grown * together.loss;
      flips.kl += grown * together.kl;
      flips.power += grown * together.power;
      for (std::size_t r = 0; r < flips_.size(); ++r) {
        if (flipped(r, draw, t)) token[i] += responses_.flips[r].own_loss[t];
      }
      all.push_back(static_cast<float>(token[i] + together.loss));
    }
    p.flips += flips.loss / count / static_cast<double>(draws_);
    change.push_back(of_noise + flips.loss / count);
    kl.push_back(flips.kl / count);
    const double a = along + (signal > 0 ? flips.along / signal : 0);
    nsr.push_back(signal > 0 ? power + flips.power / signal - a * a : 0);
  }
  p.kl += mean(kl);
  p.uncertainty = spread(change);
  // A square takes twice the relative second order of what is squared: the last router's, whose
  // logits are a linear map of the same stream.
  p.kl_uncertainty = std::hypot(spread(kl), 2 * second_order_ * p.held_kl);
  output_nsr_ = mean(nsr);
  const auto quantiles = quantiles_of(all, {0.01, 0.05, 0.5, 0.95, 0.99});
  p.p01 = quantiles[0];
  p.p05 = quantiles[1];
  p.p50 = quantiles[2];
  p.p95 = quantiles[3];
  p.p99 = quantiles[4];
}

Predictor::FlipSums Predictor::flips_alone(std::size_t draw) const {
  FlipSums out;
  for (std::size_t r = 0; r < flips_.size(); ++r) {
    const FlipResponse& answer = responses_.flips[r];
    for (std::size_t t = 0; t < graph_.token_count(); ++t) {
      if (!flipped(r, draw, t)) continue;
      out.loss += answer.own_loss[t];
      out.kl += answer.own_kl[t];
      out.power += flip_power_[r][t];
      out.along += flip_along_[r][t];
    }
  }
  return out;
}

Predictor::FlipSums Predictor::flips_together(std::size_t draw, std::size_t row) const {
  FlipSums out;
  const auto i = static_cast<std::int64_t>(row);
  const auto token = static_cast<std::size_t>(sample_.rows[row]);
  Eigen::RowVectorXf f;
  double alone = 0;    // sum over routers of f_l^T H f_l
  double squares = 0;  // and of |f_l|^2
  int flips = 0;
  for (std::size_t r = 0; r < flips_.size(); ++r) {
    if (!flipped(r, draw, token)) continue;
    const Eigen::RowVectorXf own = responses_.flips[r].own_output.row(i);
    alone += curved(row, own).dot(own);
    squares += own.squaredNorm();
    if (flips++ == 0) {
      f = own;
    } else {
      f += own;
    }
  }
  if (flips == 0) return out;
  double joint = curved_.row(i).dot(f);
  if (flips > 1) joint += (curved(row, f).dot(f) - alone) / 2;
  out.loss = out.kl = joint;
  out.power = f.squaredNorm() - squares + 2 * f.dot(output_.row(i));
  return out;
}

}  // namespace assay::simulator

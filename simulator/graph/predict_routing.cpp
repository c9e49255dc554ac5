// SPDX-License-Identifier: Apache-2.0
// The part of a prediction that has tokens in it: routers.
#include <algorithm>
#include <cmath>

#include "simulator/graph/draws.h"
#include "simulator/graph/predict.h"
#include "simulator/router_noise.h"

namespace assay::simulator {
namespace {

/// How far a score moves at most when its logit moves by 1. sigmoid: s (1 - s) <= 1/4. sqrt(p) of
/// p = softplus(z): its derivative is s / (2 sqrt(p)) with s = 1 - e^-p, and (1 - e^-p) / sqrt(p)
/// is largest where e^p = 1 + 2 p, p = 1.2564, there 0.6382.
double steepest(const Gate& gate) {
  if (gate.bias.empty() || gate.score == ScoreFunction::softmax) return 1;
  return gate.score == ScoreFunction::sigmoid ? 0.25 : 0.32;
}

/// Where an expert of this logit and selection value is when the logit has moved by d. Scores of
/// one logit as in router_scores(); a softmax without a bias ranks as the logits do.
double moved(double logit, double d, double space, double bias, const Gate& gate) {
  if (gate.bias.empty() || gate.score == ScoreFunction::softmax) return space + d;
  const double z = logit + d;
  const double score = gate.score == ScoreFunction::sigmoid
                           ? 1 / (1 + std::exp(-z))
                           : std::sqrt(std::max(z, 0.0) + std::log1p(std::exp(-std::fabs(z))));
  return score + bias;
}

/// Where every expert is in selection space when the token's logits have moved by d.
void move_row(const Matrix& logits, const Matrix& space, std::int64_t row, const float* d,
              const Gate& gate, std::vector<double>& to) {
  const auto experts = static_cast<std::size_t>(space.cols());
  to.resize(experts);
  if (gate.score == ScoreFunction::softmax && !gate.bias.empty()) {
    Matrix z = logits.row(row);
    for (std::size_t e = 0; e < experts; ++e) z(0, static_cast<std::int64_t>(e)) += d[e];
    const Matrix moved_space = selection_space(z, gate.score, gate.bias);
    std::copy_n(moved_space.data(), experts, to.data());
    return;
  }
  for (std::size_t e = 0; e < experts; ++e) {
    const auto column = static_cast<std::int64_t>(e);
    to[e] = moved(logits(row, column), d[e], space(row, column),
                  gate.bias.empty() ? 0 : gate.bias[e], gate);
  }
}

/// Whether the least of the chosen is below the best of the others; a tie goes to the chosen.
template <class Lowest, class Highest>
bool crossed(const std::vector<std::uint8_t>& chosen, const Lowest& of_chosen,
             const Highest& of_others) {
  double lowest = HUGE_VAL;
  double highest = -HUGE_VAL;
  for (std::size_t e = 0; e < chosen.size(); ++e) {
    if (chosen[e] != 0) {
      lowest = std::min(lowest, of_chosen(e));
    } else {
      highest = std::max(highest, of_others(e));
    }
  }
  return lowest < highest;
}

/// Whether a token's experts differ when its logits move by d; then `score` is where they are.
bool flips(const Matrix& logits, const Matrix& space, std::int64_t row, const float* d,
           const std::vector<std::uint8_t>& chosen, const Gate& gate, std::vector<double>& score) {
  if (gate.score != ScoreFunction::softmax || gate.bias.empty()) {
    // First by how far they can have moved: that decides most tokens, and costs no function.
    const double steep = steepest(gate);
    const auto at = [&](std::size_t e) { return space(row, static_cast<std::int64_t>(e)); };
    if (!crossed(
            chosen, [&](std::size_t e) { return at(e) + std::min(steep * d[e], 0.0); },
            [&](std::size_t e) { return at(e) + std::max(steep * d[e], 0.0); })) {
      return false;
    }
  }
  move_row(logits, space, row, d, gate, score);
  const auto at = [&](std::size_t e) { return score[e]; };
  return crossed(chosen, at, at);
}

}  // namespace

Matrix Predictor::shift(const Tangent& tangent, std::size_t router) const {
  const std::size_t logits = graph_.nodes[graph_.routers[router]].inputs[0];
  const Matrix& s = seen_.values[logits];
  const MatrixF& d = tangent.values[logits];
  Matrix m = d.size() > 0 ? d.cast<double>().eval() : Matrix::Zero(s.rows(), s.cols());
  for (std::size_t g = 0; g < responses_.groups.size(); ++g) {
    if (!random(g)) continue;
    m += (gain_[g] - 1) * responses_.noise[g].gain_logits[router].cast<double>();
  }
  return m;
}

void Predictor::add_noise(std::size_t draw, std::size_t router, MatrixF& to) const {
  for (std::size_t g = 0; g < responses_.groups.size(); ++g) {
    const Response& answer = responses_.noise[g];
    if (!random(g) || answer.logit_power[router] == 0) continue;
    const Pick at = pick(g, draw, answer.logits.size());
    to += static_cast<float>(at.sign * std::sqrt(nsr_[g])) * answer.logits[at.sample][router];
  }
}

double Predictor::second_order_sd(std::size_t router) const {
  double sd = 0;
  for (std::size_t g = 0; g < responses_.groups.size(); ++g) {
    sd += nsr_[g] * std::sqrt(responses_.noise[g].curved_power[router]);
  }
  return sd;
}

/// How the logits of router r have moved in one draw; `rates`: of its flips, by earlier router.
MatrixF Predictor::moved_logits(std::size_t draw, std::size_t r, const MatrixF& known,
                                const std::vector<double>& rates) const {
  MatrixF d = known;
  add_noise(draw, r, d);
  const double curved = second_order_sd(r);
  const std::size_t tokens = graph_.token_count();
  Draws words(draw * graph_.routers.size() + r);
  for (std::size_t t = 0; t < tokens; ++t) {
    const auto row = static_cast<std::int64_t>(t);
    double variance = curved * curved;
    for (std::size_t l = 0; l < r; ++l) {
      const FlipResponse& before = responses_.flips[l];
      variance += rates[l] * before.cross_power[r][t];
      if (flips_[l][draw * tokens + t] != 0) d.row(row) += before.own_logits[r].row(row);
    }
    if (variance == 0) continue;
    const double sd = std::sqrt(variance);
    for (std::int64_t e = 0; e < d.cols(); ++e)
      d(row, e) += static_cast<float>(sd * words.normal());
  }
  return d;
}

void Predictor::routers(Prediction& out) {
  flips_.assign(graph_.routers.size(), {});
  second_order_ = 0;
  std::vector<std::vector<double>> rates(draws_);  // [draw][router]
  for (std::size_t r = 0; r < graph_.routers.size(); ++r) out.routers.push_back(router(r, rates));
}

RouterPrediction Predictor::router(std::size_t r, std::vector<std::vector<double>>& rates) {
  const std::size_t tokens = graph_.token_count();
  const std::size_t top = graph_.routers[r];
  const GraphNode& node = graph_.nodes[top];
  const Matrix& s = clean_.values[node.inputs[0]];
  const std::int64_t experts = s.cols();
  const double all = static_cast<double>(tokens) * node.gate.k;
  const auto draws = static_cast<double>(draws_);
  const MatrixF known = stand_ins_[r].spread(sample_, shift(tangent_, r).cast<float>());
  RouterPrediction p;
  p.op = node.id;
  p.layer = node.layer;
  p.covariance = Matrix::Zero(experts, experts);
  p.flip_probability.assign(tokens, 0.0);
  p.load.assign(static_cast<std::size_t>(experts), 0.0);
  std::vector<double> power;
  std::vector<double> centred;
  std::vector<double> rate;
  std::vector<double> score;
  std::vector<std::uint8_t> chosen(static_cast<std::size_t>(experts));
  flips_[r].assign(draws_ * tokens, 0);
  for (std::size_t draw = 0; draw < draws_; ++draw) {
    const MatrixF d = moved_logits(draw, r, known, rates[draw]);
    std::size_t flipped = 0;
    for (std::size_t t = 0; t < tokens; ++t) {
      const auto row = static_cast<std::int64_t>(t);
      const auto& choice = clean_.routing[top].choice[t];
      std::fill(chosen.begin(), chosen.end(), std::uint8_t{0});
      for (const int e : choice) chosen[static_cast<std::size_t>(e)] = 1;
      const bool flip =
          flips(s, space_[r], row, d.data() + row * experts, chosen, node.gate, score);
      for (const int e : flip ? top_k(score, node.gate.k) : choice) {
        p.load[static_cast<std::size_t>(e)] += 1 / (all * draws);
      }
      if (!flip) continue;
      flips_[r][draw * tokens + t] = 1;
      p.flip_probability[t] += 1 / draws;
      ++flipped;
    }
    rate.push_back(static_cast<double>(flipped) / static_cast<double>(tokens));
    rates[draw].push_back(rate.back());
    const Matrix wide = d.cast<double>();
    const Eigen::VectorXd row_mean = wide.rowwise().mean();
    power.push_back(wide.squaredNorm() / static_cast<double>(s.size()));
    centred.push_back((wide.colwise() - row_mean).squaredNorm() / static_cast<double>(s.size()));
    const Matrix seen = gather(wide, sample_.rows);
    p.covariance += seen.transpose() * seen / (static_cast<double>(seen.rows()) * draws);
  }
  p.noise_sd = std::sqrt(mean(power));
  p.centred_noise_sd = std::sqrt(mean(centred));
  p.flip_rate = mean(rate);
  p.flip_uncertainty = spread(rate);
  if (p.covariance.squaredNorm() > 0) {
    // The draws' spread, and the second order c, which is known by its size alone: |m + c| is
    // |m| (1 + <m, c> / |m|^2 + ...). One rounding of the weights is behind all tokens, so that of
    // the directions of m and c only as many count as independent as the noise has among experts,
    // (tr C)^2 / tr C^2: <m, c> is about |m| |c| over the root of that. Flips go with the noise.
    const double trace = p.covariance.trace();
    const double directions = trace * trace / p.covariance.squaredNorm();
    second_order_ = second_order_sd(r) / p.noise_sd / std::sqrt(directions);
    p.uncertainty = std::hypot(spread(power) / (2 * mean(power)), second_order_);
    p.flip_uncertainty = std::hypot(p.flip_uncertainty, second_order_ * p.flip_rate);
  }
  for (std::size_t e = 0; e < p.load.size(); ++e) {
    const double clean = static_cast<double>(clean_.routing[top].rows[e].size()) / all;
    p.load_shift += std::fabs(p.load[e] - clean) / 2;
  }
  if (p.noise_sd > 0) {
    for (const double m : margins(s, {node.gate.k, node.gate.score, node.gate.bias})) {
      // Phi(-m / (sd sqrt 2)): the difference of two independent noises
      p.independent_flip_rate += std::erfc(m / (2 * p.noise_sd)) / 2 / static_cast<double>(tokens);
    }
  }
  return p;
}

}  // namespace assay::simulator

// SPDX-License-Identifier: Apache-2.0
// The part of a prediction that has tokens in it: routers.
#include <algorithm>
#include <array>
#include <cmath>

#include "simulator/graph/draws.h"
#include "simulator/graph/predict.h"
#include "simulator/router_noise.h"

namespace assay::simulator {
namespace {

constexpr int kBeside = 4;  // experts on either side of the boundary that can change sides
constexpr int kMost = 2 * kBeside;
constexpr double kReach = 6;

using Small = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, 0, kMost, kMost>;

double mean(const std::vector<double>& v) {
  double sum = 0;
  for (const double x : v) sum += x;
  return v.empty() ? 0 : sum / static_cast<double>(v.size());
}

/// The lower triangular L with L L^T = c; a direction without noise stays without.
Small root(const Small& c) {
  Small l = Small::Zero(c.rows(), c.cols());
  for (Eigen::Index j = 0; j < c.rows(); ++j) {
    const double d = c(j, j) - l.row(j).head(j).squaredNorm();
    if (d <= 1e-14 * c(j, j)) continue;
    l(j, j) = std::sqrt(d);
    for (Eigen::Index i = j + 1; i < c.rows(); ++i) {
      l(i, j) = (c(i, j) - l.row(i).head(j).dot(l.row(j).head(j))) / l(j, j);
    }
  }
  return l;
}

/// Whether no expert next to the boundary can change sides: every margin is kReach standard
/// deviations of its noise. `order`: the experts, the first `chosen` of them chosen.
bool out_of_reach(const Small& c, const Matrix& space, const Matrix& gain, std::int64_t row,
                  const int* order, int chosen) {
  for (int i = 0; i < chosen; ++i) {
    for (int j = chosen; j < c.rows(); ++j) {
      const double margin = space(row, order[i]) - space(row, order[j]) -
                            std::fabs(gain(row, order[i])) - std::fabs(gain(row, order[j]));
      const double variance = c(i, i) + c(j, j) + 2 * std::sqrt(c(i, i) * c(j, j));
      if (margin <= kReach * std::sqrt(variance)) return false;
    }
  }
  return true;
}

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

}  // namespace

void Predictor::find_boundaries() {
  for (std::size_t r = 0; r < graph_.routers.size(); ++r) {
    const GraphNode& node = graph_.nodes[graph_.routers[r]];
    Boundary b;
    b.space = selection_space(clean_.values[node.inputs[0]], node.gate.score, node.gate.bias);
    const std::int64_t experts = b.space.cols();
    b.first = std::max(0, node.gate.k - kBeside);
    b.last = std::min(static_cast<int>(experts), node.gate.k + kBeside);
    for (std::int64_t t = 0; t < b.space.rows(); ++t) {
      const auto best =
          top_k({b.space.data() + t * experts, static_cast<std::size_t>(experts)}, b.last);
      b.order.insert(b.order.end(), best.begin(), best.end());
    }
    b.covariance.resize(responses_.groups.size());
    for (std::size_t g = 0; g < responses_.groups.size(); ++g) {
      const Response& answer = responses_.noise[g];
      if (answer.logit_power[r] == 0) continue;
      auto& packed = b.covariance[g];
      for (std::int64_t t = 0; t < b.space.rows(); ++t) {
        const int* order = b.order.data() + t * b.last;
        for (int i = b.first; i < b.last; ++i) {
          for (int j = b.first; j <= i; ++j) {
            double sum = 0;
            for (const auto& sample : answer.logits) {
              sum += static_cast<double>(sample[r](t, order[i])) * sample[r](t, order[j]);
            }
            packed.push_back(static_cast<float>(sum / responses_.samples));
          }
        }
      }
    }
    boundaries_.push_back(std::move(b));
  }
}

void Predictor::routers(Prediction& out) const {
  const std::size_t tokens = graph_.token_count();
  std::vector<std::vector<double>> flip;
  for (std::size_t r = 0; r < graph_.routers.size(); ++r) {
    const std::size_t top = graph_.routers[r];
    const GraphNode& node = graph_.nodes[top];
    const Gate& gate = node.gate;
    const Matrix& s = clean_.values[node.inputs[0]];
    const std::int64_t experts = s.cols();
    RouterPrediction p;
    p.op = node.id;
    p.layer = node.layer;
    p.covariance = Matrix::Zero(experts, experts);
    Matrix gain = Matrix::Zero(s.rows(), experts);
    double power = 0;
    double centred = 0;
    double spread = 0;
    std::vector<std::size_t> active;
    for (std::size_t g = 0; g < responses_.groups.size(); ++g) {
      const Response& answer = responses_.noise[g];
      if (gain_[g] != 1) gain += (gain_[g] - 1) * answer.gain_logits[r].cast<double>();
      if (nsr_[g] == 0 || answer.logit_power[r] == 0) continue;
      active.push_back(g);
      power += nsr_[g] * answer.logit_power[r];
      centred += nsr_[g] * answer.centred_power[r];
      spread += nsr_[g] * nsr_[g] * answer.power_spread[r] * answer.power_spread[r];
      p.covariance += nsr_[g] * answer.covariance[r];
    }
    const auto size = static_cast<double>(s.size());
    power += gain.squaredNorm() / size;
    const Eigen::VectorXd gain_mean = gain.rowwise().mean();
    centred += (gain.colwise() - gain_mean).squaredNorm() / size;
    p.covariance += gain.transpose() * gain / static_cast<double>(s.rows());
    std::vector<double> cross(tokens, 0.0);
    for (std::size_t l = 0; l < r; ++l) {
      const double rate = out.routers[l].flip_rate;
      for (std::size_t t = 0; t < tokens; ++t) {
        cross[t] += rate * responses_.flips[l].cross_power[r][t];
        const auto row = responses_.flips[l].own_logits[r].row(static_cast<std::int64_t>(t));
        const double own = flip[l][t] * row.squaredNorm() / static_cast<double>(experts);
        const double centre = flip[l][t] * row.mean() * row.mean();
        power += (own + rate * responses_.flips[l].cross_power[r][t]) / static_cast<double>(tokens);
        centred += (own - centre + rate * responses_.flips[l].cross_power[r][t]) /
                   static_cast<double>(tokens);
      }
    }
    p.noise_sd = std::sqrt(power);
    p.centred_noise_sd = std::sqrt(std::max(0.0, centred));
    if (power > 0) {
      p.uncertainty = std::sqrt(spread * (1 + 1.0 / responses_.samples)) / (2 * power);
    }
    const Boundary& boundary = boundaries_[r];
    const Matrix& space = boundary.space;
    std::vector<double> load(static_cast<std::size_t>(experts), 0.0);
    p.flip_probability.assign(tokens, 0.0);
    const int first = boundary.first;
    const int n = boundary.last - first;
    const int chosen = gate.k - first;
    const auto packed = static_cast<std::size_t>(n * (n + 1) / 2);
    const double all = static_cast<double>(tokens) * gate.k;
    const double steep = steepest(gate);
    for (std::size_t t = 0; t < tokens; ++t) {
      const auto row = static_cast<std::int64_t>(t);
      const int* order = boundary.order.data() + t * static_cast<std::size_t>(boundary.last);
      for (int j = 0; j < first; ++j) load[static_cast<std::size_t>(order[j])] += 1 / all;
      std::array<double, kMost*(kMost + 1) / 2> sum{};
      for (const std::size_t g : active) {
        const float* of = boundary.covariance[g].data() + t * packed;
        for (std::size_t i = 0; i < packed; ++i) sum[i] += nsr_[g] * of[i];
      }
      Small c(n, n);
      for (int i = 0, at = 0; i < n; ++i) {
        for (int j = 0; j <= i; ++j) {
          c(i, j) = c(j, i) = sum[static_cast<std::size_t>(at++)];
        }
      }
      c.diagonal().array() += cross[t];
      bool flipped_before = false;
      for (std::size_t q = 0; q < r; ++q) flipped_before = flipped_before || flip[q][t] > 0;
      if (!flipped_before && out_of_reach(c, space, gain, row, order + first, chosen)) {
        for (int j = 0; j < chosen; ++j)
          load[static_cast<std::size_t>(order[first + j])] += 1 / all;
        continue;
      }
      const Small l = root(c);
      std::array<double, kMost> still{};  // how the gain moves the logits
      std::array<double, kMost> z{};
      std::array<double, kMost> ds{};
      for (int j = 0; j < n; ++j) still[static_cast<std::size_t>(j)] = gain(row, order[first + j]);
      Draws draw(t + 1);
      int flips = 0;
      for (int d = 0; d < kDraws; ++d) {
        for (int j = 0; j < n; ++j) z[static_cast<std::size_t>(j)] = draw.normal();
        ds = still;
        for (int i = 0; i < n; ++i) {
          for (int j = 0; j <= i; ++j)
            ds[static_cast<std::size_t>(i)] += l(i, j) * z[static_cast<std::size_t>(j)];
        }
        for (std::size_t q = 0; q < r; ++q) {
          if (draw.uniform() >= flip[q][t]) continue;
          for (int j = 0; j < n; ++j) {
            ds[static_cast<std::size_t>(j)] +=
                responses_.flips[q].own_logits[r](row, order[first + j]);
          }
        }
        double lowest = HUGE_VAL;  // of the chosen
        double highest = -HUGE_VAL;
        // First by how far they can have moved: that decides most draws, and costs no function.
        for (int j = 0; j < n; ++j) {
          const double d_score = steep * ds[static_cast<std::size_t>(j)];
          const double from = space(row, order[first + j]);
          if (j < chosen) lowest = std::min(lowest, from + std::min(d_score, 0.0));
          if (j >= chosen) highest = std::max(highest, from + std::max(d_score, 0.0));
        }
        if (lowest >= highest) continue;
        lowest = HUGE_VAL;
        highest = -HUGE_VAL;
        for (int j = 0; j < n; ++j) {
          const int e = order[first + j];
          const double bias = gate.bias.empty() ? 0 : gate.bias[static_cast<std::size_t>(e)];
          const double at =
              moved(s(row, e), ds[static_cast<std::size_t>(j)], space(row, e), bias, gate);
          z[static_cast<std::size_t>(j)] = at;
          (j < chosen ? lowest : highest) =
              j < chosen ? std::min(lowest, at) : std::max(highest, at);
        }
        if (lowest >= highest) continue;  // a tie goes to the one that was chosen
        ++flips;
        for (const int j : top_k({z.data(), static_cast<std::size_t>(n)}, chosen))
          load[static_cast<std::size_t>(order[first + j])] += 1 / (all * kDraws);
      }
      for (int j = 0; j < chosen; ++j)
        load[static_cast<std::size_t>(order[first + j])] += (kDraws - flips) / (all * kDraws);
      p.flip_probability[t] = static_cast<double>(flips) / kDraws;
    }
    double variance = 0;
    for (const double q : p.flip_probability) variance += q * (1 - q);
    p.flip_rate = mean(p.flip_probability);
    p.flip_uncertainty = std::sqrt(variance) / static_cast<double>(tokens);
    for (std::size_t e = 0; e < load.size(); ++e) {
      const double clean = static_cast<double>(clean_.routing[top].rows[e].size()) / all;
      p.load_shift += std::fabs(load[e] - clean) / 2;
    }
    p.load = std::move(load);
    if (p.noise_sd > 0) {
      for (const double m : margins(s, {gate.k, gate.score, gate.bias})) {
        // Phi(-m / (sd sqrt 2)): the difference of two independent noises
        p.independent_flip_rate +=
            std::erfc(m / (2 * p.noise_sd)) / 2 / static_cast<double>(tokens);
      }
    }
    flip.push_back(p.flip_probability);
    out.routers.push_back(std::move(p));
  }
}

}  // namespace assay::simulator

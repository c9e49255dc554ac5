// SPDX-License-Identifier: Apache-2.0
// The part of a prediction that has tokens in it: routers and the loss.
#include <algorithm>
#include <cmath>
#include <random>

#include "simulator/graph/predict.h"
#include "simulator/router_noise.h"

namespace assay::simulator {
namespace {

constexpr int kDraws = 48;
constexpr int kBeside = 4;  // experts on either side of the boundary that can change sides
constexpr int kMost = 2 * kBeside;

using Small = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, 0, kMost, kMost>;
using SmallVector = Eigen::Matrix<double, Eigen::Dynamic, 1, 0, kMost, 1>;

/// Standard normal and uniform words, the same for every token: predictions are deterministic.
struct Words {
  std::vector<double> normal, uniform;
  Words() {
    std::mt19937_64 random(20260101);
    std::normal_distribution<double> n;
    std::uniform_real_distribution<double> u;
    for (int i = 0; i < 65536; ++i) {
      normal.push_back(n(random));
      uniform.push_back(u(random));
    }
  }
};
const Words& words() {
  static const Words table;
  return table;
}

/// A cursor through the words, started at a place that depends on the token.
class Draws {
 public:
  explicit Draws(std::size_t token) : n_(token * 7919), u_(token * 104729) {}
  double normal() { return words().normal[n_++ % words().normal.size()]; }
  double uniform() { return words().uniform[u_++ % words().uniform.size()]; }

 private:
  std::size_t n_, u_;
};

double quantile_of(std::vector<double>& v, double p) {
  const auto at = static_cast<std::ptrdiff_t>(p * static_cast<double>(v.size() - 1));
  std::nth_element(v.begin(), v.begin() + at, v.end());
  return v[static_cast<std::size_t>(at)];
}

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

/// The change in selection space when a logit of that score moves by d.
double moved(double logit, double d, const Gate& gate) {
  if (gate.bias.empty()) return d;
  const auto score = [&](double z) {
    Matrix m(1, 1);
    m(0, 0) = z;
    return router_scores(m, gate.score)(0, 0);
  };
  return gate.score == ScoreFunction::softmax ? d : score(logit + d) - score(logit);
}

}  // namespace

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
    const Matrix space = selection_space(s, gate.score, gate.bias);
    std::vector<double> load(static_cast<std::size_t>(experts), 0.0);
    p.flip_probability.assign(tokens, 0.0);
    const int k = gate.k;
    const int first = std::max(0, k - kBeside);
    const int last = std::min(static_cast<int>(experts), k + kBeside);
    const double all = static_cast<double>(tokens) * k;
    for (std::size_t t = 0; t < tokens; ++t) {
      const auto row = static_cast<std::int64_t>(t);
      const std::span<const double> values(space.data() + row * experts,
                                           static_cast<std::size_t>(experts));
      const auto order = top_k(values, last);
      for (int j = 0; j < first; ++j)
        load[static_cast<std::size_t>(order[static_cast<std::size_t>(j)])] += 1 / all;
      const int n = last - first;
      const int chosen = k - first;
      Small c = Small::Zero(n, n);
      SmallVector v(n);
      for (const std::size_t g : active) {
        const double weight = nsr_[g] / responses_.samples;
        for (const auto& sample : responses_.noise[g].logits) {
          for (int j = 0; j < n; ++j)
            v(j) = sample[r](row, order[static_cast<std::size_t>(first + j)]);
          c.noalias() += weight * v * v.transpose();
        }
      }
      c.diagonal().array() += cross[t];
      const Small l = root(c);
      Draws draw(t + 1);
      SmallVector z(n);
      int flips = 0;
      for (int d = 0; d < kDraws; ++d) {
        for (int j = 0; j < n; ++j) z(j) = draw.normal();
        SmallVector ds = l * z;
        for (int j = 0; j < n; ++j) ds(j) += gain(row, order[static_cast<std::size_t>(first + j)]);
        for (std::size_t q = 0; q < r; ++q) {
          if (draw.uniform() >= flip[q][t]) continue;
          for (int j = 0; j < n; ++j) {
            ds(j) +=
                responses_.flips[q].own_logits[r](row, order[static_cast<std::size_t>(first + j)]);
          }
        }
        for (int j = 0; j < n; ++j) {
          const int e = order[static_cast<std::size_t>(first + j)];
          z(j) = space(row, e) + moved(s(row, e), ds(j), gate);
        }
        const auto best = top_k({z.data(), static_cast<std::size_t>(n)}, chosen);
        bool same = true;
        for (const int j : best) {
          same = same && j < chosen;
          load[static_cast<std::size_t>(order[static_cast<std::size_t>(first + j)])] +=
              1 / (all * kDraws);
        }
        flips += same ? 0 : 1;
      }
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

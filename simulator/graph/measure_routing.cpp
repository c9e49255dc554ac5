// SPDX-License-Identifier: Apache-2.0
// Routers and the loss of two executions of a graph.
#include <algorithm>
#include <cmath>

#include "formats/philox.h"
#include "simulator/graph/measure.h"
#include "simulator/router_noise.h"

namespace assay::simulator {
namespace {

constexpr int kResamples = 1000;

double quantile_of(std::vector<double> v, double p) {
  std::sort(v.begin(), v.end());
  const double at = p * static_cast<double>(v.size() - 1);
  const auto low = static_cast<std::size_t>(at);
  const std::size_t high = std::min(low + 1, v.size() - 1);
  return v[low] + (at - static_cast<double>(low)) * (v[high] - v[low]);
}

/// Standard deviation of the mean over resamples with replacement (Efron 1979).
double bootstrap_error(const std::vector<double>& d) {
  double sum = 0;
  double squares = 0;
  std::uint64_t draw = 0;
  for (int r = 0; r < kResamples; ++r) {
    double mean = 0;
    for (std::size_t i = 0; i < d.size(); ++i) {
      mean += d[formats::philox_word(1, draw++) % d.size()];
    }
    mean /= static_cast<double>(d.size());
    sum += mean;
    squares += mean * mean;
  }
  const double m = sum / kResamples;
  return std::sqrt(std::max(0.0, squares / kResamples - m * m));
}

std::vector<double> load_of(const Routing& routing) {
  double total = 0;
  for (const auto& rows : routing.rows) total += static_cast<double>(rows.size());
  std::vector<double> load;
  for (const auto& rows : routing.rows) load.push_back(static_cast<double>(rows.size()) / total);
  return load;
}

}  // namespace

MarginHistogram margin_histogram(const std::vector<double>& margins) {
  constexpr std::size_t kBins = 20;
  MarginHistogram out{0.0, std::vector<std::uint64_t>(kBins, 0)};
  for (const double m : margins)
    if (std::isfinite(m)) out.largest = std::max(out.largest, m);
  for (const double m : margins) {
    if (!std::isfinite(m)) continue;
    const double place = out.largest > 0 ? m / out.largest * kBins : 0;
    ++out.bins[std::min(kBins - 1, static_cast<std::size_t>(place))];
  }
  return out;
}

std::vector<RouterMeasure> measure_routers(const Graph& graph, const Forward& clean,
                                           const Forward& changed) {
  std::vector<RouterMeasure> out;
  std::vector<std::uint8_t> flipped_before(graph.token_count(), 0);
  for (const std::size_t i : graph.routers) {
    const GraphNode& node = graph.nodes[i];
    const Matrix& s = clean.values[node.inputs[0]];
    const Matrix ds = changed.values[node.inputs[0]] - s;
    RouterMeasure r;
    r.op = node.id;
    r.layer = node.layer;
    r.tokens = s.rows();
    r.experts = s.cols();
    r.k = node.gate.k;
    const auto count = static_cast<double>(s.size());
    r.noise_sd = std::sqrt(ds.squaredNorm() / count);
    const Eigen::VectorXd mean = ds.rowwise().mean();
    r.centred_noise_sd = std::sqrt((ds.colwise() - mean).squaredNorm() / count);
    r.covariance = ds.transpose() * ds / static_cast<double>(s.rows());
    for (std::size_t t = 0; t < graph.token_count(); ++t) {
      auto a = clean.routing[i].choice[t];
      auto b = changed.routing[i].choice[t];
      std::sort(a.begin(), a.end());
      std::sort(b.begin(), b.end());
      const std::uint8_t flip = a == b ? 0 : 1;
      r.flipped.push_back(flip);
      r.flips += flip;
      if (flipped_before[t] == 0) {
        ++r.prefix_tokens;
        r.prefix_flips += flip;
      }
      flipped_before[t] |= flip;
    }
    r.load_clean = load_of(clean.routing[i]);
    r.load = load_of(changed.routing[i]);
    for (std::size_t e = 0; e < r.load.size(); ++e) {
      r.load_shift += std::fabs(r.load[e] - r.load_clean[e]) / 2;
    }
    r.margins = margin_histogram(margins(s, {node.gate.k, node.gate.score, node.gate.bias}));
    out.push_back(std::move(r));
  }
  return out;
}

LossMeasure measure_loss(const Graph& graph, const Forward& clean, const Forward& changed) {
  LossMeasure out;
  out.clean = clean.loss;
  out.recipe = changed.loss;
  std::vector<double> d;
  for (std::size_t t = 0; t < graph.token_count(); ++t) {
    d.push_back(changed.token_loss[t] - clean.token_loss[t]);
  }
  out.change = changed.loss - clean.loss;
  out.standard_error = bootstrap_error(d);
  out.p01 = quantile_of(d, 0.01);
  out.p05 = quantile_of(d, 0.05);
  out.p50 = quantile_of(d, 0.5);
  out.p95 = quantile_of(d, 0.95);
  out.p99 = quantile_of(d, 0.99);
  const Matrix lp = log_softmax(clean.values[graph.logits]);
  const Matrix lq = log_softmax(changed.values[graph.logits]);
  std::vector<double> kl;
  for (std::int64_t t = 0; t < lp.rows(); ++t) {
    kl.push_back((lp.row(t).array().exp() * (lp.row(t) - lq.row(t)).array()).sum());
    out.kl += kl.back() / static_cast<double>(lp.rows());
  }
  out.kl_p95 = quantile_of(kl, 0.95);
  out.kl_p99 = quantile_of(kl, 0.99);
  return out;
}

}  // namespace assay::simulator

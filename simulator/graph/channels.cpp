// SPDX-License-Identifier: Apache-2.0
#include "simulator/graph/channels.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace assay::simulator {
namespace {

constexpr std::size_t kListed = 8;

}  // namespace

ChannelProfile channel_profile(const Matrix& x) {
  ChannelProfile p;
  p.channels = x.cols();
  const double power = x.squaredNorm();
  if (power <= 0) return p;
  const Eigen::VectorXd squares = x.colwise().squaredNorm();
  std::vector<double> rms;
  for (std::int64_t c = 0; c < x.cols(); ++c) rms.push_back(std::sqrt(squares(c)));
  std::vector<double> sorted = rms;
  std::sort(sorted.begin(), sorted.end());
  // The lower of two middle values: a value half of whose channels are zero has no scale to
  // compare.
  const double median = sorted[(sorted.size() - 1) / 2];
  if (median <= 0) return p;
  for (std::int64_t c = 0; c < x.cols(); ++c) {
    const double ratio = rms[static_cast<std::size_t>(c)] / median;
    p.largest.push_back({c, ratio, squares(c) / power});
    if (ratio <= kOutlierRatio) continue;
    ++p.outliers;
    p.outlier_power += squares(c) / power;
  }
  std::stable_sort(p.largest.begin(), p.largest.end(),
                   [](const Channel& a, const Channel& b) { return a.ratio > b.ratio; });
  p.largest.resize(std::min(p.largest.size(), kListed));
  p.largest_ratio = p.largest.front().ratio;
  return p;
}

std::vector<ChannelProfile> channel_profiles(const Graph& graph, const Forward& run) {
  std::vector<ChannelProfile> all;
  std::set<std::size_t> seen;
  for (const GraphNode& n : graph.nodes) {
    if (n.kind != OpKind::linear) continue;
    const std::size_t value = n.source != kNone ? n.source : n.inputs[0];
    if (run.values[value].size() == 0 || !seen.insert(value).second) continue;
    ChannelProfile p = channel_profile(run.values[value]);
    p.op = graph.nodes[value].id;
    p.layer = graph.nodes[value].layer;
    all.push_back(std::move(p));
  }
  return all;
}

}  // namespace assay::simulator

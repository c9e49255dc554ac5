// SPDX-License-Identifier: Apache-2.0
#include "simulator/graph/block_statistics.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "formats/layout.h"

namespace assay::simulator {
namespace {

/// The kept blocks of most power: whole blocks until the budget is spent.
void choose_kept(BlockStatistics& s) {
  std::vector<std::size_t> order(s.amax.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return s.block_power[a] > s.block_power[b];
  });
  s.is_kept.assign(s.amax.size(), 0);
  std::size_t elements = 0;
  for (const std::size_t b : order) {
    const auto size = static_cast<std::size_t>(s.block_size[b]);
    if (s.amax[b] == 0 || elements + size > static_cast<std::size_t>(kKeptElements)) break;
    s.is_kept[b] = 1;
    elements += size;
  }
  std::size_t first = 0;
  for (std::size_t b = 0; b < s.amax.size(); ++b) {
    if (s.is_kept[b] == 0) continue;
    s.kept.push_back({b, first, static_cast<std::size_t>(s.block_size[b])});
    first += s.kept.back().count;
  }
  s.magnitude.resize(first);
  s.column.resize(first);
}

}  // namespace

BlockStatistics block_statistics(const Matrix& x, formats::BlockShape block) {
  BlockStatistics s;
  s.rows = x.rows();
  s.cols = x.cols();
  const auto grid = formats::block_grid(block, x.rows(), x.cols());
  s.block = {grid.block_rows, grid.block_cols};
  const auto count = static_cast<std::size_t>(grid.count());
  s.amax.resize(count);
  s.block_power.resize(count);
  s.block_size.resize(count);
  s.crest.resize(count);
  for (std::int64_t r = 0; r < x.rows(); ++r) {
    for (std::int64_t c = 0; c < x.cols(); ++c) {
      const auto b = static_cast<std::size_t>(grid.block_of(r, c));
      // Quantizers read FP32.
      s.amax[b] = std::max(s.amax[b], static_cast<float>(std::fabs(x(r, c))));
      s.block_power[b] += static_cast<float>(x(r, c) * x(r, c));
      s.block_size[b] += 1;
    }
  }
  std::vector<double> crests;
  std::vector<double> crest(count, 1.0);
  for (std::size_t b = 0; b < count; ++b) {
    s.power += s.block_power[b];
    if (s.amax[b] == 0) continue;
    crest[b] = s.amax[b] / std::sqrt(s.block_power[b] / s.block_size[b]);
    crests.push_back(crest[b]);
  }
  choose_kept(s);
  std::sort(crests.begin(), crests.end());
  std::vector<double> edges;
  for (std::size_t c = 1; c < kCrestClasses && !crests.empty(); ++c) {
    edges.push_back(crests[c * crests.size() / kCrestClasses]);
  }
  std::vector<double> blocks(kCrestClasses);
  s.ratios.assign(kCrestClasses, std::vector<double>(kRatioBins + 1));
  for (std::size_t b = 0; b < count; ++b) {
    s.crest[b] = static_cast<std::uint8_t>(std::upper_bound(edges.begin(), edges.end(), crest[b]) -
                                           edges.begin());
    if (s.amax[b] > 0 && s.is_kept[b] == 0) blocks[s.crest[b]] += 1;
  }
  std::vector<std::size_t> next(count, 0);  // where the block's next magnitude goes
  for (const KeptBlock& k : s.kept) next[k.block] = k.first;
  s.rest_amax.assign(static_cast<std::size_t>(x.cols()), 0.0);
  s.rest_power.assign(static_cast<std::size_t>(x.cols()), 0.0);
  for (std::int64_t r = 0; r < x.rows(); ++r) {
    for (std::int64_t c = 0; c < x.cols(); ++c) {
      const auto b = static_cast<std::size_t>(grid.block_of(r, c));
      if (s.amax[b] == 0) continue;
      const double ratio = std::fabs(x(r, c)) / s.amax[b];
      if (s.is_kept[b] != 0) {
        s.magnitude[next[b]] = static_cast<float>(std::min(1.0, ratio));
        s.column[next[b]++] = static_cast<std::uint32_t>(c);
        continue;
      }
      s.rest_amax[static_cast<std::size_t>(c)] += static_cast<double>(s.amax[b]) * s.amax[b];
      s.rest_power[static_cast<std::size_t>(c)] += x(r, c) * x(r, c);
      const auto bin =
          ratio >= 1 ? std::size_t{kRatioBins} : static_cast<std::size_t>(ratio * kRatioBins);
      s.ratios[s.crest[b]][bin] += 1;
    }
  }
  for (std::size_t c = 0; c < kCrestClasses; ++c) {
    for (double& v : s.ratios[c]) v /= std::max(1.0, blocks[c]);
  }
  return s;
}

}  // namespace assay::simulator

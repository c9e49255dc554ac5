// SPDX-License-Identifier: Apache-2.0
#include "simulator/graph/block_statistics.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

#include "formats/layout.h"

namespace assay::simulator {
namespace {

/// The kept blocks of most power: whole blocks until the budget is spent.
void choose_kept(BlockStatistics& s) {
  std::vector<std::size_t> order(s.amax.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto before = [&](std::size_t a, std::size_t b) {
    return s.block_power[a] != s.block_power[b] ? s.block_power[a] > s.block_power[b] : a < b;
  };
  if (order.empty()) return;
  // More than this many the budget does not hold, whatever their sizes.
  const float smallest = *std::min_element(s.block_size.begin(), s.block_size.end());
  const std::size_t most = std::min(
      order.size(), static_cast<std::size_t>(static_cast<float>(kKeptElements) / smallest) + 1);
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(most), order.end(),
                    before);
  order.resize(most);
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

/// From the exponent and the first bits of the fraction.
std::size_t bin_of(double ratio) {
  constexpr int shift = 52 - kBinBits;
  constexpr auto first =
      static_cast<std::int64_t>(std::bit_cast<std::uint64_t>(1.0) >> shift) - kRatioBins;
  const auto bin = static_cast<std::int64_t>(std::bit_cast<std::uint64_t>(ratio) >> shift) - first;
  return static_cast<std::size_t>(std::clamp<std::int64_t>(bin, 0, kRatioBins));
}

/// f(block, its elements of one row, their first column, their number), row after row.
template <class Grid, class F>
void for_runs(const Matrix& x, const Grid& grid, const F& f) {
  for (std::int64_t r = 0; r < x.rows(); ++r) {
    for (std::int64_t c = 0; c < x.cols(); c += grid.block_cols) {
      f(static_cast<std::size_t>(grid.block_of(r, c)), &x(r, c), c,
        std::min<std::int64_t>(grid.block_cols, x.cols() - c));
    }
  }
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
  std::vector<double> power(count);  // a block may be the whole tensor: too many terms for FP32
  for_runs(x, grid, [&](std::size_t b, const double* run, std::int64_t, std::int64_t size) {
    float amax = s.amax[b];
    double sum = power[b];
    for (std::int64_t c = 0; c < size; ++c) {
      amax = std::max(amax, static_cast<float>(std::fabs(run[c])));  // quantizers read FP32
      sum += run[c] * run[c];
    }
    s.amax[b] = amax;
    power[b] = sum;
    s.block_size[b] += static_cast<float>(size);
  });
  std::vector<double> crests;
  std::vector<double> crest(count, 1.0);
  for (std::size_t b = 0; b < count; ++b) {
    s.power += power[b];
    s.block_power[b] = static_cast<float>(power[b]);
    if (s.amax[b] == 0) continue;
    crest[b] = s.amax[b] / std::sqrt(s.block_power[b] / s.block_size[b]);
    crests.push_back(crest[b]);
  }
  choose_kept(s);
  std::vector<double> edges;
  for (std::size_t c = 1; c < kCrestClasses && !crests.empty(); ++c) {
    const auto at = crests.begin() + static_cast<std::ptrdiff_t>(c * crests.size() / kCrestClasses);
    std::nth_element(crests.begin(), at, crests.end());
    edges.push_back(*at);
  }
  std::vector<double> weight(kCrestClasses);
  s.ratios.assign(kCrestClasses, std::vector<double>(kRatioBins + 1));
  for (std::size_t b = 0; b < count; ++b) {
    s.crest[b] = static_cast<std::uint8_t>(std::upper_bound(edges.begin(), edges.end(), crest[b]) -
                                           edges.begin());
    if (s.is_kept[b] == 0) weight[s.crest[b]] += static_cast<double>(s.amax[b]) * s.amax[b];
  }
  std::vector<std::size_t> next(count, 0);  // where the block's next magnitude goes
  for (const KeptBlock& k : s.kept) next[k.block] = k.first;
  s.rest_amax.assign(static_cast<std::size_t>(x.cols()), 0.0);
  s.rest_power.assign(static_cast<std::size_t>(x.cols()), 0.0);
  for_runs(x, grid, [&](std::size_t b, const double* run, std::int64_t first, std::int64_t size) {
    const double amax = s.amax[b];
    if (amax == 0) return;
    if (s.is_kept[b] != 0) {
      for (std::int64_t c = 0; c < size; ++c) {
        s.magnitude[next[b]] = static_cast<float>(std::fabs(static_cast<float>(run[c])) / amax);
        s.column[next[b]++] = static_cast<std::uint32_t>(first + c);
      }
      return;
    }
    double* const bins = s.ratios[s.crest[b]].data();
    for (std::int64_t c = 0; c < size; ++c) {
      s.rest_amax[static_cast<std::size_t>(first + c)] += amax * amax;
      s.rest_power[static_cast<std::size_t>(first + c)] += run[c] * run[c];
      // In FP32 as the quantizers read it: the largest is 1 exactly, and rounds as no other does.
      bins[bin_of(std::fabs(static_cast<float>(run[c])) / amax)] += amax * amax;
    }
  });
  for (std::size_t c = 0; c < kCrestClasses; ++c) {
    if (weight[c] <= 0) continue;
    for (double& v : s.ratios[c]) v /= weight[c];
  }
  return s;
}

}  // namespace assay::simulator

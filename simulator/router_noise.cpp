// SPDX-License-Identifier: Apache-2.0
#include "simulator/router_noise.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace assay::simulator {
namespace {

std::span<const double> row_of(const Matrix& m, std::int64_t r) {
  return {m.data() + r * m.cols(), static_cast<std::size_t>(m.cols())};
}

}  // namespace

std::uint64_t RouterNoise::flips() const {
  return std::accumulate(flipped.begin(), flipped.end(), std::uint64_t{0});
}

std::vector<double> margins(const Matrix& logits, const Selection& selection) {
  const Matrix space = selection_space(logits, selection.score, selection.bias);
  std::vector<double> result(static_cast<std::size_t>(space.rows()),
                             std::numeric_limits<double>::infinity());
  if (selection.k >= space.cols()) return result;
  for (std::int64_t t = 0; t < space.rows(); ++t) {
    const auto row = row_of(space, t);
    const auto order = top_k(row, selection.k + 1);
    const auto k = static_cast<std::size_t>(selection.k);
    result[static_cast<std::size_t>(t)] =
        row[static_cast<std::size_t>(order[k - 1])] - row[static_cast<std::size_t>(order[k])];
  }
  return result;
}

RouterNoise router_noise(const Matrix& clean, const Matrix& noisy, const Selection& selection) {
  const std::int64_t tokens = clean.rows();
  const std::int64_t experts = clean.cols();
  const Matrix space = selection_space(clean, selection.score, selection.bias);
  const Matrix noisy_space = selection_space(noisy, selection.score, selection.bias);
  const bool all_chosen = selection.k >= experts;
  RouterNoise out;
  double raw = 0;
  double centred = 0;
  double difference = 0;
  for (std::int64_t t = 0; t < tokens; ++t) {
    double mean = 0;
    for (std::int64_t e = 0; e < experts; ++e) mean += noisy(t, e) - clean(t, e);
    mean /= static_cast<double>(experts);
    double largest = 0;
    for (std::int64_t e = 0; e < experts; ++e) {
      const double ds = noisy(t, e) - clean(t, e);
      raw += ds * ds;
      centred += (ds - mean) * (ds - mean);
      largest = std::max(largest, std::fabs(ds - mean));
    }
    out.token_noise.push_back(largest);
    auto before = top_k(row_of(space, t), selection.k + (all_chosen ? 0 : 1));
    auto after = top_k(row_of(noisy_space, t), selection.k);
    if (!all_chosen) {
      const int last = before[static_cast<std::size_t>(selection.k) - 1];
      const int next = before.back();
      const double d =
          (noisy_space(t, last) - space(t, last)) - (noisy_space(t, next) - space(t, next));
      difference += d * d;
      before.pop_back();
    }
    std::sort(before.begin(), before.end());
    std::sort(after.begin(), after.end());
    out.flipped.push_back(before == after ? 0 : 1);
  }
  const auto count = static_cast<double>(std::max<std::int64_t>(1, tokens));
  out.noise_sd = std::sqrt(raw / (count * static_cast<double>(experts)));
  out.centred_noise_sd = std::sqrt(centred / (count * static_cast<double>(experts)));
  out.difference_sd = std::sqrt(difference / count);
  if (out.difference_sd > 0) {
    for (const double m : margins(clean, selection)) {
      // Phi(-m / sd) = erfc(m / (sd sqrt 2)) / 2
      out.expected_flips += std::erfc(m / (out.difference_sd * std::sqrt(2.0))) / 2;
    }
  }
  return out;
}

}  // namespace assay::simulator

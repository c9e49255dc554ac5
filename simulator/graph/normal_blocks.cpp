// SPDX-License-Identifier: Apache-2.0
#include "simulator/graph/normal_blocks.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>
#include <random>
#include <tuple>

#include "simulator/fake_quantize.h"

namespace assay::simulator {
namespace {

constexpr int kSyntheticBlocks = 4096;
constexpr int kSyntheticClasses = 16;

const Synthetic& synthetic_of(const OperandFormat& format, std::int64_t elements) {
  static std::mutex mutex;
  static std::map<std::pair<std::string_view, std::int64_t>, Synthetic> tables;
  const std::lock_guard<std::mutex> lock(mutex);
  Synthetic& table = tables[{format.block->name, elements}];
  if (!table.noise.empty()) return table;
  std::mt19937_64 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> x(static_cast<std::size_t>(kSyntheticBlocks * elements));
  for (float& v : x) v = normal(random);
  OperandFormat flat = format;
  flat.block->block = {1, elements};
  flat.reencode.reset();
  const FakeQuantized q = fake_quantize(x, kSyntheticBlocks, elements, flat, 1);
  std::vector<std::tuple<double, double, double>> blocks;  // crest, noise, cross
  for (std::int64_t b = 0; b < kSyntheticBlocks; ++b) {
    double power = 0;
    double amax = 0;
    double noise = 0;
    double cross = 0;
    for (std::int64_t i = 0; i < elements; ++i) {
      const double v = x[static_cast<std::size_t>(b * elements + i)];
      const double e = q.values(b, i) - v;
      power += v * v;
      amax = std::max(amax, std::fabs(v));
      noise += e * e;
      cross += v * e;
    }
    const double crest = amax / std::sqrt(power / static_cast<double>(elements));
    blocks.emplace_back(crest, noise / power, cross / power);
  }
  std::sort(blocks.begin(), blocks.end());
  const std::size_t each = blocks.size() / kSyntheticClasses;
  for (std::size_t c = 0; c < kSyntheticClasses; ++c) {
    double noise = 0;
    double cross = 0;
    for (std::size_t i = c * each; i < (c + 1) * each; ++i) {
      noise += std::get<1>(blocks[i]) / static_cast<double>(each);
      cross += std::get<2>(blocks[i]) / static_cast<double>(each);
    }
    table.edges.push_back(std::get<0>(blocks[(c + 1) * each - 1]));
    table.noise.push_back(noise);
    table.cross.push_back(cross);
  }
  return table;
}

}  // namespace

const Synthetic& synthetic_of(const BlockStatistics& s, const OperandFormat& format) {
  return synthetic_of(format, std::min<std::int64_t>(1024, s.block.rows * s.block.cols));
}

std::pair<double, double> synthetic_block(const BlockStatistics& s, const Synthetic& table,
                                          std::size_t b) {
  const double crest = s.amax[b] / std::sqrt(s.block_power[b] / s.block_size[b]);
  auto at = std::lower_bound(table.edges.begin(), table.edges.end(), crest);
  if (at == table.edges.end()) --at;
  const auto c = static_cast<std::size_t>(at - table.edges.begin());
  return {table.noise[c] * s.block_power[b], table.cross[c] * s.block_power[b]};
}

}  // namespace assay::simulator

// SPDX-License-Identifier: Apache-2.0
#include "simulator/graph/block_statistics.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>
#include <random>
#include <tuple>

#include "formats/block.h"
#include "formats/codec.h"
#include "formats/fields.h"
#include "formats/layout.h"
#include "simulator/fake_quantize.h"

namespace assay::simulator {
namespace {

constexpr int kSteps = 128;  // of t to an octave
constexpr int kPoints = 16;  // of r inside a bin
constexpr int kSyntheticBlocks = 4096;
constexpr int kSyntheticClasses = 16;

/// F and G of one t, by bin of r.
struct Row {
  std::vector<double> noise, cross;
};

/// The positive values of an element format.
std::vector<double> magnitudes(const formats::FormatSpec& element) {
  std::vector<double> values;
  for (std::uint32_t c = 0; c <= formats::fields_of(element).max_finite(); ++c) {
    values.push_back(formats::decode(element, c));
  }
  return values;
}

Row make_row(const std::vector<double>& values, bool stochastic, double t) {
  Row row;
  for (int bin = 0; bin <= kRatioBins; ++bin) {
    double noise = 0;
    double cross = 0;
    for (int j = 0; j < kPoints; ++j) {
      const double r = bin == kRatioBins ? 1 : (bin + (j + 0.5) / kPoints) / kRatioBins;
      const double u = r / t;
      const auto above = std::upper_bound(values.begin(), values.end(), u);
      const double low = above == values.begin() ? values.front() : *(above - 1);
      const double high = above == values.end() ? values.back() : *above;
      double q = u - low <= high - u ? low : high;
      double spread = 0;
      if (stochastic && above != values.end()) {
        q = u;  // unbiased between its neighbours
        spread = (high - u) * (u - low);
      }
      noise += t * t * ((q - u) * (q - u) + spread);
      cross += t * r * (q - u);
    }
    row.noise.push_back(noise / kPoints);
    row.cross.push_back(cross / kPoints);
  }
  return row;
}

/// Rows are shared by all tensors: they depend on the element format and t alone.
const Row& row_of(const formats::FormatSpec& element, bool stochastic, int step) {
  static std::mutex mutex;
  static std::map<std::tuple<std::string_view, bool, int>, Row> rows;
  static std::map<std::string_view, std::vector<double>> values;
  const std::lock_guard<std::mutex> lock(mutex);
  Row& row = rows[{element.name, stochastic, step}];
  if (row.noise.empty()) {
    auto& v = values[element.name];
    if (v.empty()) v = magnitudes(element);
    row = make_row(v, stochastic, std::exp2(static_cast<double>(step) / kSteps));
  }
  return row;
}

/// Relative noise and cross term (over the block's power) of blocks of N(0, 1) by class of crest.
struct Synthetic {
  std::vector<double> edges, noise, cross;
};

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

/// The scale factor (with the tensor scale) that the format's rule gives each block, over its amax:
/// the amaxes are quantized as blocks of one element.
std::vector<double> scale_ratios(const BlockStatistics& s, const OperandFormat& format) {
  std::vector<double> t(s.amax.size());
  if (!format.block) {
    std::transform(s.amax.begin(), s.amax.end(), t.begin(), [](float a) { return 1.0 / a; });
    return t;
  }
  formats::BlockFormat single = *format.block;
  single.block = {1, 1};
  const auto count = static_cast<std::int64_t>(s.amax.size());
  const auto q = formats::quantize(s.amax, 1, count, single);
  for (std::size_t b = 0; b < t.size(); ++b) {
    const auto code = formats::load_code(q.scales.data(), static_cast<std::int64_t>(b),
                                         single.scale->storage_bits);
    t[b] = static_cast<double>(formats::decode(*single.scale, code)) * q.tensor_scale / s.amax[b];
  }
  return t;
}

bool chosen_by_error(const OperandFormat& format) {
  return format.block &&
         (format.scales == ScaleSource::least_squares || format.block->candidates != nullptr);
}

/// Sums over blocks of noise and cross term.
std::pair<double, double> by_rule(const BlockStatistics& s, const OperandFormat& format) {
  const formats::FormatSpec& element = format.block ? *format.block->element : *format.element;
  const bool stochastic = format.rounding == formats::RoundingMode::stochastic;
  const auto t = scale_ratios(s, format);
  std::map<int, std::vector<double>> weight;  // step of t -> sum of amax^2 by class
  double noise = 0;
  double cross = 0;
  for (std::size_t b = 0; b < t.size(); ++b) {
    if (s.amax[b] == 0) continue;
    const double a2 = static_cast<double>(s.amax[b]) * s.amax[b];
    if (!(t[b] > 0)) {  // the scale factor underflows: the block becomes zero
      double r2 = 0;
      const auto& ratios = s.ratios[s.crest[b]];
      for (int bin = 0; bin <= kRatioBins; ++bin) {
        const double r = bin == kRatioBins ? 1 : (bin + 0.5) / kRatioBins;
        r2 += ratios[static_cast<std::size_t>(bin)] * r * r;
      }
      noise += a2 * r2;
      cross -= a2 * r2;
      continue;
    }
    auto& w = weight[static_cast<int>(std::lround(std::log2(t[b]) * kSteps))];
    if (w.empty()) w.resize(kCrestClasses);
    w[s.crest[b]] += a2;
  }
  std::vector<double> mixed(kRatioBins + 1);
  for (const auto& [step, w] : weight) {
    std::fill(mixed.begin(), mixed.end(), 0.0);
    for (std::size_t c = 0; c < kCrestClasses; ++c) {
      if (w[c] == 0) continue;
      for (std::size_t bin = 0; bin <= kRatioBins; ++bin) mixed[bin] += w[c] * s.ratios[c][bin];
    }
    const Row& row = row_of(element, stochastic, step);
    for (std::size_t bin = 0; bin <= kRatioBins; ++bin) {
      noise += mixed[bin] * row.noise[bin];
      cross += mixed[bin] * row.cross[bin];
    }
  }
  return {noise, cross};
}

std::pair<double, double> by_error(const BlockStatistics& s, const OperandFormat& format) {
  const std::int64_t elements =
      std::min<std::int64_t>(1024, (s.block.rows > 0 ? s.block.rows : s.rows) *
                                       (s.block.cols > 0 ? s.block.cols : s.cols));
  const Synthetic& table = synthetic_of(format, elements);
  double noise = 0;
  double cross = 0;
  for (std::size_t b = 0; b < s.amax.size(); ++b) {
    if (s.amax[b] == 0) continue;
    const double crest = s.amax[b] / std::sqrt(s.block_power[b] / s.block_size[b]);
    auto at = std::lower_bound(table.edges.begin(), table.edges.end(), crest);
    if (at == table.edges.end()) --at;
    const auto c = static_cast<std::size_t>(at - table.edges.begin());
    noise += table.noise[c] * s.block_power[b];
    cross += table.cross[c] * s.block_power[b];
  }
  return {noise, cross};
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
    if (s.amax[b] > 0) blocks[s.crest[b]] += 1;
  }
  for (std::int64_t r = 0; r < x.rows(); ++r) {
    for (std::int64_t c = 0; c < x.cols(); ++c) {
      const auto b = static_cast<std::size_t>(grid.block_of(r, c));
      if (s.amax[b] == 0) continue;
      const double ratio = std::fabs(x(r, c)) / s.amax[b];
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

PredictedOperand predict_operand(const BlockStatistics& s, const OperandFormat& format) {
  PredictedOperand out;
  if (s.power <= 0) return out;
  const bool chosen = chosen_by_error(format);
  const auto [noise, cross] = chosen ? by_error(s, format) : by_rule(s, format);
  out.gain = 1 + cross / s.power;
  out.nsr = std::max(0.0, noise / s.power - (1 - out.gain) * (1 - out.gain));
  // An element's squared error has about its mean's size as standard deviation.
  const double sampling = 1 / std::sqrt(static_cast<double>(s.rows * s.cols));
  out.nsr_uncertainty = std::hypot(sampling, chosen ? 0.05 : 0.0);
  return out;
}

}  // namespace assay::simulator

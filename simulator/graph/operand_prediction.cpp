// SPDX-License-Identifier: Apache-2.0
// What a block format does to a tensor of known statistics.
#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>
#include <random>
#include <span>
#include <tuple>

#include "formats/block.h"
#include "formats/codec.h"
#include "formats/fields.h"
#include "formats/layout.h"
#include "formats/learned_scale.h"
#include "simulator/fake_quantize.h"
#include "simulator/graph/block_statistics.h"
#include "simulator/graph/kept_rounding.h"

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
    if (v.empty()) v = positive_values(element);
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

/// Sums over the blocks that are not kept of noise and cross term.
std::pair<double, double> by_rule(const BlockStatistics& s, const OperandFormat& format,
                                  const std::vector<double>& t) {
  const formats::FormatSpec& element = format.block ? *format.block->element : *format.element;
  const bool stochastic = format.rounding == formats::RoundingMode::stochastic;
  std::map<int, std::vector<double>> weight;  // step of t -> sum of amax^2 by class
  double noise = 0;
  double cross = 0;
  for (std::size_t b = 0; b < t.size(); ++b) {
    if (s.amax[b] == 0 || s.is_kept[b] != 0) continue;
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

const Synthetic& synthetic_of(const BlockStatistics& s, const OperandFormat& format) {
  return synthetic_of(format, std::min<std::int64_t>(1024, s.block.rows * s.block.cols));
}

/// The table's noise and cross term of block b.
std::pair<double, double> synthetic_block(const BlockStatistics& s, const Synthetic& table,
                                          std::size_t b) {
  const double crest = s.amax[b] / std::sqrt(s.block_power[b] / s.block_size[b]);
  auto at = std::lower_bound(table.edges.begin(), table.edges.end(), crest);
  if (at == table.edges.end()) --at;
  const auto c = static_cast<std::size_t>(at - table.edges.begin());
  return {table.noise[c] * s.block_power[b], table.cross[c] * s.block_power[b]};
}

/// Sums of noise and cross term, with the noise of each column.
struct Sums {
  double noise = 0, cross = 0;
  std::vector<double> columns;
};

/// Adds the kept block's terms at scale ratio t.
void add_kept(const BlockStatistics& s, const KeptBlock& k, const KeptRounding& round, double t,
              Sums& out) {
  const double a2 = static_cast<double>(s.amax[k.block]) * s.amax[k.block];
  for (std::size_t i = k.first; i < k.first + k.count; ++i) {
    const auto [noise, cross] = round.terms(s.magnitude[i], t);
    out.noise += a2 * noise;
    out.cross += a2 * cross;
    out.columns[s.column[i]] += a2 * noise;
  }
}

void search_scales(const BlockStatistics& s, const formats::FormatSpec& element) {
  if (s.least_squares_of == &element) return;
  s.least_squares.clear();
  for (const KeptBlock& k : s.kept) {
    const std::span<const float> r(s.magnitude.data() + k.first, k.count);
    s.least_squares.push_back(formats::least_squares_scale(r, element));
  }
  s.least_squares_of = &element;
}

/// Noise of the blocks that are not kept, laid over the columns.
void spread(const BlockStatistics& s, double noise, bool by_power, std::vector<double>& columns) {
  const auto& weight = by_power ? s.rest_power : s.rest_amax;
  double sum = 0;
  for (const double w : weight) sum += w;
  if (sum <= 0) return;
  for (std::size_t c = 0; c < columns.size(); ++c) columns[c] += noise * weight[c] / sum;
}

/// What the blocks that are not kept add.
std::pair<double, double> rest_by_error(const BlockStatistics& s, const OperandFormat& format,
                                        const Sums& kept) {
  if (s.kept.size() == s.amax.size()) return {0, 0};
  const Synthetic& table = synthetic_of(s, format);
  double noise = 0;
  double cross = 0;
  double kept_noise = 0;
  for (std::size_t b = 0; b < s.amax.size(); ++b) {
    if (s.amax[b] == 0) continue;
    const auto [n, c] = synthetic_block(s, table, b);
    if (s.is_kept[b] != 0) {
      kept_noise += n;
    } else {
      noise += n;
      cross += c;
    }
  }
  const double wrong = kept_noise > 0 && kept.noise > 0 ? kept.noise / kept_noise : 1;
  return {noise * wrong, cross * wrong};
}

}  // namespace

PredictedOperand predict_operand(const BlockStatistics& s, const OperandFormat& format) {
  PredictedOperand out;
  if (s.power <= 0) return out;
  const formats::FormatSpec& element = format.block ? *format.block->element : *format.element;
  const bool stochastic = format.rounding == formats::RoundingMode::stochastic;
  const KeptRounding round(element, stochastic);
  const bool candidates = format.block && format.block->candidates != nullptr;
  const bool least_squares = format.scales == ScaleSource::least_squares && !candidates;
  Sums sums;
  sums.columns.assign(static_cast<std::size_t>(s.cols), 0.0);
  std::pair<double, double> rest{0, 0};
  double kept_noise = 0;
  if (candidates) {
    // Every block by the table; its noise where the block's amax or power is.
    const Synthetic& table = synthetic_of(s, format);
    for (std::size_t b = 0; b < s.amax.size(); ++b) {
      if (s.amax[b] == 0) continue;
      const auto [noise, cross] = synthetic_block(s, table, b);
      sums.cross += cross;
      sums.noise += noise;
      if (s.is_kept[b] == 0) rest.first += noise;
    }
    for (const KeptBlock& k : s.kept) {
      const double each = synthetic_block(s, table, k.block).first / static_cast<double>(k.count);
      for (std::size_t i = k.first; i < k.first + k.count; ++i) sums.columns[s.column[i]] += each;
    }
    spread(s, rest.first, element.storage_bits > 4, sums.columns);
  } else {
    const auto t = least_squares ? std::vector<double>() : scale_ratios(s, format);
    if (least_squares) search_scales(s, element);
    for (std::size_t i = 0; i < s.kept.size(); ++i) {
      const KeptBlock& k = s.kept[i];
      add_kept(s, k, round, least_squares ? s.least_squares[i] : t[k.block], sums);
    }
    kept_noise = sums.noise;
    rest = least_squares ? rest_by_error(s, format, sums) : by_rule(s, format, t);
    sums.noise += rest.first;
    sums.cross += rest.second;
    spread(s, rest.first, element.storage_bits > 4, sums.columns);
  }
  out.gain = 1 + sums.cross / s.power;
  out.nsr = std::max(0.0, sums.noise / s.power - (1 - out.gain) * (1 - out.gain));
  double all = 0;
  for (const double c : sums.columns) all += c;
  for (const double c : sums.columns) {
    out.columns.push_back(static_cast<float>(all > 0 ? c / all : 0));
  }
  // An element's squared error has about its mean's size as standard deviation.
  const double unknown = sums.noise > 0 ? 1 - kept_noise / sums.noise : 0;
  const double sampling = 1 / std::sqrt(static_cast<double>(s.rows * s.cols));
  out.nsr_uncertainty = unknown * std::hypot(sampling, least_squares || candidates ? 0.05 : 0.0);
  return out;
}

}  // namespace assay::simulator

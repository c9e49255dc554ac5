// SPDX-License-Identifier: Apache-2.0
// What a block format does to a tensor of known statistics.
#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>
#include <numeric>
#include <span>
#include <tuple>

#include "formats/block.h"
#include "formats/codec.h"
#include "formats/fields.h"
#include "formats/layout.h"
#include "formats/learned_scale.h"
#include "simulator/graph/block_statistics.h"
#include "simulator/graph/kept_rounding.h"
#include "simulator/graph/normal_blocks.h"

namespace assay::simulator {
namespace {

constexpr int kFine = 4096;  // steps of t to an octave: where blocks have few of them,
constexpr int kSteps = 128;  // and else
constexpr std::size_t kFew = 32;
constexpr int kPoints = 8;  // of r inside a bin

/// F and G of one t, by bin of r.
struct Row {
  std::vector<double> noise, cross;
};

Row make_row(const std::vector<double>& values, bool stochastic, double t) {
  Row row;
  for (int bin = 0; bin <= kRatioBins; ++bin) {
    double noise = 0;
    double cross = 0;
    const double first = ratio_edge(bin);
    const double width = bin == kRatioBins ? 0 : ratio_edge(bin + 1) - first;
    for (int j = 0; j < kPoints; ++j) {
      const double r = first + width * (j + 0.5) / kPoints;
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
    row = make_row(v, stochastic, std::exp2(static_cast<double>(step) / kFine));
  }
  return row;
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

/// Step of t, of kFine to an octave -> sum of amax^2 by class.
using WeightsByStep = std::map<int, std::vector<double>>;

WeightsByStep coarser(const WeightsByStep& fine) {
  WeightsByStep out;
  constexpr int width = kFine / kSteps;
  for (const auto& [step, w] : fine) {
    auto& to = out[static_cast<int>(std::lround(static_cast<double>(step) / width)) * width];
    to.resize(kCrestClasses);
    for (std::size_t c = 0; c < kCrestClasses; ++c) to[c] += w[c];
  }
  return out;
}

/// Sums over the blocks that are not kept of noise and cross term.
std::pair<double, double> by_rule(const BlockStatistics& s, const OperandFormat& format,
                                  const std::vector<double>& t) {
  const formats::FormatSpec& element = format.block ? *format.block->element : *format.element;
  const bool stochastic = format.rounding == formats::RoundingMode::stochastic;
  WeightsByStep weight;
  int step = kFine;  // to an octave
  const auto step_of = [&](double scale) {
    return static_cast<int>(std::lround(std::log2(scale) * step)) * (kFine / step);
  };
  double noise = 0;
  double cross = 0;
  for (std::size_t b = 0; b < t.size(); ++b) {
    if (s.amax[b] == 0 || s.is_kept[b] != 0) continue;
    const double a2 = static_cast<double>(s.amax[b]) * s.amax[b];
    if (!(t[b] > 0)) {  // the scale factor underflows: the block becomes zero
      double r2 = 0;
      const auto& ratios = s.ratios[s.crest[b]];
      for (int bin = 0; bin <= kRatioBins; ++bin) {
        const double r = bin == kRatioBins ? 1 : (ratio_edge(bin) + ratio_edge(bin + 1)) / 2;
        r2 += ratios[static_cast<std::size_t>(bin)] * r * r;
      }
      noise += a2 * r2;
      cross -= a2 * r2;
      continue;
    }
    auto& w = weight[step_of(t[b])];
    if (w.empty()) w.resize(kCrestClasses);
    w[s.crest[b]] += a2;
    if (step == kFine && weight.size() > kFew) {
      step = kSteps;
      weight = coarser(weight);
    }
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

/// Sums of noise and cross term, with the noise of each column.
struct Sums {
  double noise = 0, cross = 0;
  std::vector<double> columns;
};

/// Adds the kept block's terms at scale ratio t.
void add_kept(const BlockStatistics& s, const KeptBlock& k, const KeptRounding& round, double t,
              Sums& out) {
  const double a2 = static_cast<double>(s.amax[k.block]) * s.amax[k.block] *
                    (t > KeptRounding::kNothing ? t * t : 1);
  KeptRounding::Chunk noise;
  KeptRounding::Chunk cross;
  double noise_sum = 0;
  double cross_sum = 0;
  for (std::size_t first = k.first; first < k.first + k.count; first += KeptRounding::kChunk) {
    const std::size_t n = std::min(KeptRounding::kChunk, k.first + k.count - first);
    round.terms({s.magnitude.data() + first, n}, t, noise, cross);
    const std::uint32_t* column = s.column.data() + first;
    for (std::size_t i = 0; i < n; ++i) {
      noise_sum += noise[i];
      cross_sum += cross[i];
    }
    // The columns of a block's elements ascend by 1 along a row: runs of them are added at once.
    for (std::size_t i = 0; i < n;) {
      std::size_t end = i + 1;
      if (column[n - 1] - column[i] == n - 1 - i) {
        end = n;
      } else {
        while (end < n && column[end] == column[end - 1] + 1) ++end;
      }
      double* to = out.columns.data() + column[i];
      for (std::size_t j = i; j < end; ++j) to[j - i] += a2 * noise[j];
      i = end;
    }
  }
  out.noise += a2 * noise_sum;
  out.cross += a2 * cross_sum;
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
  const double all = std::accumulate(sums.columns.begin(), sums.columns.end(), 0.0);
  out.columns.resize(sums.columns.size());
  std::transform(sums.columns.begin(), sums.columns.end(), out.columns.begin(),
                 [&](double c) { return static_cast<float>(all > 0 ? c / all : 0); });
  // An element's squared error has about its mean's size as standard deviation.
  const double unknown = sums.noise > 0 ? 1 - kept_noise / sums.noise : 0;
  const double sampling = 1 / std::sqrt(static_cast<double>(s.rows * s.cols));
  out.nsr_uncertainty = unknown * std::hypot(sampling, least_squares || candidates ? 0.05 : 0.0);
  return out;
}

}  // namespace assay::simulator

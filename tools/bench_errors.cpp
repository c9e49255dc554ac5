// SPDX-License-Identifier: Apache-2.0
#include "tools/bench_errors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <vector>

#include "formats/presets.h"
#include "simulator/atomic_file.h"
#include "tools/error_rows.h"
#include "tools/error_samples.h"
#include "tools/table.h"

namespace assay::tools {
namespace {

using formats::BlockFormat;

constexpr double tolerance = 0.02;
constexpr int phases = 16;        // of the sampled mean over an octave of sigma
constexpr int exact_phases = 64;  // of the integrals

struct Range {
  double mean = 0;
  double least = 0;
  double most = 0;
};

Range range_of(const std::vector<double>& values) {
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  double sum = 0;
  for (const double v : values) sum += v;
  return {sum / static_cast<double>(values.size()), *least, *most};
}

double quantity_of(Quantity quantity, const Sums& sums, double scale, const BlockFormat& format) {
  switch (quantity) {
    case Quantity::relative_error:
      return sums.error / sums.power;
    case Quantity::mean_error:
      return sums.error / sums.count;
    case Quantity::misalignment:
      return 1 - sums.product / sums.power;
    case Quantity::step:
      return scale;
    case Quantity::clip:
      return scale * positive_values(*format.element).back();
  }
  throw std::logic_error("no such quantity");
}

const char* name_of(Quantity quantity) {
  constexpr const char* names[] = {"relative MSE", "MSE", "1 - gain", "step", "clip"};
  return names[static_cast<std::size_t>(quantity)];
}

struct Result {
  const PublishedError* row = nullptr;
  Range ours;                  ///< sampled; over an octave of sigma where the row says so
  std::optional<Range> exact;  ///< the same as integrals
  bool reproduced = false;
};

std::optional<Range> exact_of(const PublishedError& row, double unit) {
  if (!row.input.empty()) return {};
  const std::vector<double> values = positive_values(*row.format->element);
  if (row.given == GivenScale::least_squares) {
    const double scale = best_scale(row.density, values);
    const Expected all = FixedScale(row.density, values, scale, row.rounding).upto();
    return range_of(
        {quantity_of(row.quantity, {all.error, all.product, 1, 1}, scale, *row.format)});
  }
  const auto pieces = scale_pieces(*row.format, unit);
  if (!pieces) return {};
  std::vector<double> figures;
  for (int i = 0; i < (row.octave ? exact_phases : 1); ++i) {
    const Expected e = expected_in_blocks(row.density, values, row.format->block.cols, *pieces,
                                          row.rounding, std::exp2(1.0 * i / exact_phases));
    figures.push_back(quantity_of(row.quantity, {e.error, e.product, 1, 1}, 0, *row.format));
  }
  return range_of(figures);
}

/// Within 2 %; a published 0 within four standard errors of the sample mean.
bool agrees(const PublishedError& row, double ours, double count) {
  if (row.published != 0) return std::fabs(ours / row.published - 1) <= tolerance;
  if (!row.input.empty()) return ours == 0;
  return std::fabs(ours) <= 4 * std::sqrt(0.05 / count);  // no NSR here is above 0.05
}

/// x scaled to the i-th of n positions of sigma within an octave.
std::vector<float> at_phase(const std::vector<float>& x, int i, int n) {
  const auto factor = static_cast<float>(std::exp2(1.0 * i / n));
  std::vector<float> scaled(x.size());
  std::transform(x.begin(), x.end(), scaled.begin(), [&](float v) { return v * factor; });
  return scaled;
}

Result measure(const PublishedError& row, const std::vector<float>& deviates, std::uint64_t seed) {
  Result result{.row = &row, .ours = {}, .exact = {}, .reproduced = false};
  std::vector<double> figures;
  double unit = 1;
  double count = 0;
  for (int i = 0; i < (row.octave ? phases : 1); ++i) {
    const std::vector<float> x = row.input.empty()
                                     ? at_phase(deviates, i, phases)
                                     : std::vector<float>(row.input.begin(), row.input.end());
    const Sampled s = sample(x, *row.format, row.rounding, row.given, seed);
    figures.push_back(quantity_of(row.quantity, s.sums, s.scale, *row.format));
    unit = s.scale;
    count = s.sums.count;
  }
  result.ours = range_of(figures);
  result.exact = exact_of(row, unit);
  result.reproduced = agrees(row, result.ours.mean, count);
  return result;
}

/// What an integral leaves of nothing is nothing.
std::string figure(double value) {
  return fmt::format("{:.4g}", std::fabs(value) < 1e-12 ? 0 : value);
}
std::string range_text(const Range& r) { return figure(r.least) + ".." + figure(r.most); }

const char* distribution(const PublishedError& row) {
  if (!row.input.empty()) return "10 20 30 40";
  if (row.density == Density::laplace) return "Laplace, var 1";
  return row.octave ? "N(0, s^2), s = 1..2" : "N(0, 1)";
}

std::string verdict(const Result& r) {
  if (r.row->stand_in) return r.reproduced ? "stand-in: agrees" : "stand-in: differs";
  if (r.reproduced) return r.row->missed.empty() ? "reproduced" : "reproduced UNEXPECTEDLY";
  const Range& range = r.exact ? *r.exact : r.ours;
  const bool inside = range.least <= r.row->published && r.row->published <= range.most;
  return r.row->octave && inside ? "MISSED, but inside the range" : "MISSED";
}

/// A miss without a reason, or a reason without a miss.
bool surprises(const Result& r) {
  return !r.row->stand_in && r.reproduced == !r.row->missed.empty();
}

nlohmann::ordered_json to_json(const Range& r) {
  return {{"mean", r.mean}, {"min", r.least}, {"max", r.most}};
}

}  // namespace

int bench_errors(const BenchErrorsOptions& options) {
  if (options.elements < 1)
    throw std::invalid_argument("bench errors: elements must be at least 1");
  const std::int64_t elements =
      (options.elements + sample_columns - 1) / sample_columns * sample_columns;
  const std::vector<float> samples[] = {draw(Density::normal, elements, options.seed),
                                        draw(Density::laplace, elements, options.seed)};
  // The scale factor of least squares sorts: a part will do.
  const auto deviates = [&](const PublishedError& row) {
    const std::vector<float>& all = samples[static_cast<std::size_t>(row.density)];
    const auto part = std::min<std::size_t>(all.size(), std::size_t{1} << 20);
    return row.given == GivenScale::least_squares
               ? std::vector<float>(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(part))
               : all;
  };

  std::vector<std::vector<std::string>> text{{"", "quantity", "input", "samples", "published",
                                              "ours", "ratio", "range over sigma", "integral",
                                              "its range", "verdict", "source"}};
  std::vector<std::string_view> sources;
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  int surprising = 0;
  for (const PublishedError& row : published_errors()) {
    const std::vector<float> x = deviates(row);
    const Result r = measure(row, x, options.seed);
    if (surprises(r)) ++surprising;
    auto source = std::find(sources.begin(), sources.end(), row.source);
    if (source == sources.end()) source = sources.insert(source, row.source);
    const std::size_t count = row.input.empty() ? x.size() * (row.octave ? phases : 1) : 4;
    const std::string ratio =
        row.published == 0 ? "-" : fmt::format("{:.4f}", r.ours.mean / row.published);
    text.push_back({std::string(row.name), name_of(row.quantity), distribution(row),
                    std::to_string(count), figure(row.published), figure(r.ours.mean), ratio,
                    row.octave ? range_text(r.ours) : "-", r.exact ? figure(r.exact->mean) : "-",
                    r.exact && row.octave ? range_text(*r.exact) : "-", verdict(r),
                    fmt::format("[{}]", source - sources.begin() + 1)});
    rows.push_back({{"name", row.name},
                    {"quantity", name_of(row.quantity)},
                    {"input", distribution(row)},
                    {"samples", count},
                    {"seed", options.seed},
                    {"format", row.format->name},
                    {"published", row.published},
                    {"source", row.source},
                    {"ours", to_json(r.ours)},
                    {"integral", r.exact ? to_json(*r.exact) : nlohmann::ordered_json()},
                    {"verdict", verdict(r)},
                    {"missed_because", row.missed}});
  }

  std::vector<std::vector<std::string>> other{
      {"", "rounding", "ours", "integral", "ratio", "integral over an octave of sigma"}};
  nlohmann::ordered_json expected = nlohmann::ordered_json::array();
  for (const ExpectedOnly& row : expected_only()) {
    const Sampled s = sample(samples[0], *row.format, row.rounding, GivenScale::none, options.seed);
    const double ours = s.sums.error / s.sums.power;
    const bool octave = row.format->scale == &formats::e8m0;
    const PublishedError as_row{.name = row.format->name,
                                .quantity = Quantity::relative_error,
                                .published = 0,
                                .source = {},
                                .format = row.format,
                                .rounding = row.rounding,
                                .octave = octave};
    PublishedError at_one = as_row;
    at_one.octave = false;
    const double exact = exact_of(at_one, s.scale).value().mean;
    const Range range = exact_of(as_row, s.scale).value();
    const char* rounding =
        row.rounding == formats::RoundingMode::stochastic ? "stochastic" : "nearest";
    other.push_back({std::string(row.format->name), rounding, figure(ours), figure(exact),
                     fmt::format("{:.4f}", ours / exact), octave ? range_text(range) : "-"});
    expected.push_back({{"format", row.format->name},
                        {"rounding", rounding},
                        {"ours", ours},
                        {"integral", exact},
                        {"over_an_octave", octave ? to_json(range) : nlohmann::ordered_json()}});
  }

  if (options.json != "-") {
    fmt::print("Published figures, seed {}; reproduced: within {} %\n\n{}\n", options.seed,
               100 * tolerance, table(text));
    for (std::size_t i = 0; i < sources.size(); ++i) fmt::print("[{}] {}\n", i + 1, sources[i]);
    for (const PublishedError& row : published_errors())
      if (!row.missed.empty())
        fmt::print("missed: {}, {}: {}\n", row.name, name_of(row.quantity), row.missed);
    fmt::print("\nRelative MSE of N(0, 1), {} samples, without a published figure\n\n{}\n",
               elements, table(other));
    fmt::print("Left out\n\n");
    for (const LeftOut& row : left_out_errors()) fmt::print("* {}: {}.\n", row.what, row.why);
  }
  nlohmann::ordered_json left = nlohmann::ordered_json::array();
  for (const LeftOut& row : left_out_errors())
    left.push_back({{"what", row.what}, {"why", row.why}});
  const nlohmann::ordered_json document{{"schema", "assay-bench-errors-1"},
                                        {"seed", options.seed},
                                        {"tolerance", tolerance},
                                        {"published", rows},
                                        {"expected", expected},
                                        {"left_out", left}};
  const std::string json = document.dump(2) + "\n";
  if (options.json == "-") {
    fmt::print("{}", json);
  } else if (!options.json.empty()) {
    simulator::AtomicFile file(options.json);
    file.write(json);
    file.commit();
  }
  return surprising;
}

}  // namespace assay::tools

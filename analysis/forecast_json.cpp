// SPDX-License-Identifier: Apache-2.0
// Forecasts as JSON and as text.
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "analysis/forecast.h"
#include "analysis/statistics.h"

namespace assay::analysis {
namespace {

using Json = nlohmann::ordered_json;

Json number(double v) { return std::isfinite(v) ? Json(v) : Json(nullptr); }

Json matrix(const simulator::Matrix& m) {
  Json rows = Json::array();
  for (std::int64_t r = 0; r < m.rows(); ++r) {
    Json row = Json::array();
    for (std::int64_t c = 0; c < m.cols(); ++c) row.push_back(number(m(r, c)));
    rows.push_back(std::move(row));
  }
  return rows;
}

Json value_error(const simulator::ValueError& v) {
  return {{"op", v.op},         {"tensor", v.tensor}, {"role", simulator::name(v.role)},
          {"layer", v.layer},   {"expert", v.expert}, {"gain", v.error.gain},
          {"nsr", v.error.nsr}, {"worst", v.worst},   {"cosine", v.cosine}};
}

template <class Range, class F>
Json list(const Range& range, F f) {
  Json out = Json::array();
  for (const auto& item : range) out.push_back(f(item));
  return out;
}

Json measured_router(const simulator::RouterMeasure& r) {
  return {{"op", r.op},
          {"layer", r.layer},
          {"tokens", r.tokens},
          {"experts", r.experts},
          {"k", r.k},
          {"noise_sd", r.noise_sd},
          {"centred_noise_sd", r.centred_noise_sd},
          {"covariance", matrix(r.covariance)},
          {"flips", r.flips},
          {"prefix_tokens", r.prefix_tokens},
          {"prefix_flips", r.prefix_flips},
          {"load_clean", r.load_clean},
          {"load", r.load},
          {"load_shift", r.load_shift},
          {"margins", {{"largest", r.margins.largest}, {"bins", r.margins.bins}}}};
}

Json measured_json(const simulator::Measurement& m) {
  const auto& l = m.loss;
  return {{"loss",
           {{"clean", l.clean},
            {"recipe", l.recipe},
            {"change", l.change},
            {"standard_error", l.standard_error},
            {"p01", l.p01},
            {"p05", l.p05},
            {"p50", l.p50},
            {"p95", l.p95},
            {"p99", l.p99},
            {"kl", l.kl},
            {"kl_p95", l.kl_p95},
            {"kl_p99", l.kl_p99}}},
          {"arithmetic", m.products == simulator::Products::recipe ? "recipe" : "exact"},
          {"routers", list(m.routers, measured_router)},
          {"accumulators", list(m.accumulators, value_error)},
          {"training", to_json(m.training)},
          {"experts", to_json(m.experts)},
          {"utilisation", to_json(m.use)},
          {"operands", list(m.operands, value_error)},
          {"linears", list(m.linears, value_error)},
          {"values", list(m.values, value_error)},
          {"gradients", list(m.gradients, value_error)}};
}

/// The middle and the worst of the weight gradients.
std::string gradient_line(const simulator::Measurement& m) {
  std::vector<double> nsr;
  std::vector<double> cosine;
  std::vector<double> bias;
  for (const auto& g : m.gradients) {
    nsr.push_back(g.error.nsr);
    cosine.push_back(g.cosine);
    bias.push_back(g.error.gain - 1);
  }
  if (nsr.empty()) return "";
  return fmt::format(
      "  weight gradients, measured: NSR {:.3e} (largest {:.3e}), cosine {:.4f} (smallest {:.4f}), "
      "bias {:+.4f}\n",
      quantile(nsr, 0.5), quantile(nsr, 1), quantile(cosine, 0.5), quantile(cosine, 0),
      quantile(bias, 0.5));
}

Json predicted_json(const simulator::Prediction& p) {
  const auto& l = p.loss;
  return {{"loss",
           {{"change", l.change},
            {"uncertainty", l.uncertainty},
            {"first_order", l.first_order},
            {"second_order", l.second_order},
            {"flips", l.flips},
            {"p01", l.p01},
            {"p05", l.p05},
            {"p50", l.p50},
            {"p95", l.p95},
            {"p99", l.p99},
            {"kl", l.kl},
            {"kl_uncertainty", l.kl_uncertainty},
            {"held_kl", l.held_kl},
            {"white_kl", l.white_kl}}},
          {"routers", list(p.routers,
                           [](const simulator::RouterPrediction& r) {
                             return Json{{"op", r.op},
                                         {"layer", r.layer},
                                         {"noise_sd", r.noise_sd},
                                         {"uncertainty", r.uncertainty},
                                         {"centred_noise_sd", r.centred_noise_sd},
                                         {"covariance", matrix(r.covariance)},
                                         {"flip_rate", r.flip_rate},
                                         {"flip_uncertainty", r.flip_uncertainty},
                                         {"load", r.load},
                                         {"load_shift", r.load_shift},
                                         {"white_noise_sd", r.white_noise_sd},
                                         {"independent_flip_rate", r.independent_flip_rate}};
                           })},
          {"operands", list(p.operands,
                            [](const simulator::OperandPrediction& o) {
                              return Json{{"op", o.op},
                                          {"tensor", o.tensor},
                                          {"role", simulator::name(o.role)},
                                          {"expert", o.expert},
                                          {"gain", o.figures.gain},
                                          {"nsr", o.figures.nsr},
                                          {"uncertainty", o.figures.nsr_uncertainty},
                                          {"exact", o.figures.exact}};
                            })},
          {"linears", list(p.linears,
                           [](const simulator::LinearPrediction& v) {
                             return Json{{"op", v.op},
                                         {"nsr", v.nsr},
                                         {"uncertainty", v.uncertainty},
                                         {"white", v.white}};
                           })},
          {"values", list(p.values,
                          [](const simulator::ValuePrediction& v) {
                            return Json{{"op", v.op}, {"nsr", v.nsr}};
                          })},
          {"contributions", list(p.contributions, [](const simulator::Contribution& c) {
             return Json{
                 {"group", c.group}, {"nsr", c.nsr}, {"kl", c.kl}, {"router_variance", c.variance}};
           })}};
}

}  // namespace

Json to_json(const Forecast& f) {
  Json j{{"recipe", f.recipe}};
  if (f.predicted) {
    j["predicted"] = predicted_json(*f.predicted);
    j["predicted"]["seconds"] = f.predicted->seconds;
    j["predicted"]["statistics_seconds"] = f.statistics_seconds;
  }
  if (f.measured) {
    j["measured"] = measured_json(*f.measured);
    j["measured"]["seconds"] = f.measured->seconds;
    j["measured"]["all_seconds"] = f.measured->all_seconds;
    j["measured"]["at_once"] = f.at_once;
  }
  return j;
}

Json to_json(const NetworkReport& report) {
  Json forecasts = Json::array();
  for (const auto& f : report.forecasts) forecasts.push_back(to_json(f));
  Json out{{"recording", report.recording},
           {"training_step", report.training_step},
           {"tokens", report.tokens},
           {"clean_loss", report.clean_loss},
           {"samples", report.samples},
           {"response_seconds", report.response_seconds},
           {"statistics_seconds", report.statistics_seconds},
           {"channels", to_json(report.channels)},
           {"experts", to_json(report.experts)},
           {"utilisation", to_json(report.use)},
           {"forecasts", std::move(forecasts)}};
  Json table = Json::array();
  for (const auto& a : agreements(report.forecasts)) {
    if (a.count == 0) continue;
    table.push_back({{"kind", a.kind},
                     {"count", a.count},
                     {"limit", a.limit},
                     {"within", a.within},
                     {"median", a.median},
                     {"worst", number(a.worst)},
                     {"worst_at", a.worst_at},
                     {"naive_median", number(a.naive_median)},
                     {"stated", a.stated},
                     {"within_two_stated_deviations", a.calibrated}});
  }
  out["agreement"] = std::move(table);
  return out;
}

std::string to_text(const NetworkReport& report) {
  std::string text =
      fmt::format("network of {}, step {}, {} tokens, loss {:.4f}\n", report.recording,
                  report.training_step, report.tokens, report.clean_loss);
  text += network_lines(report);
  for (const auto& f : report.forecasts) {
    text += fmt::format("\n{}\n", f.recipe);
    if (f.predicted) {
      const auto& l = f.predicted->loss;
      text += fmt::format(
          "  predicted  loss {:+.5f} +- {:.5f}  KL {:.5f}  {:.4f} s (statistics {:.4f} s)\n",
          l.change, l.uncertainty, l.kl, f.predicted->seconds, f.statistics_seconds);
    }
    if (f.measured) {
      const auto& l = f.measured->loss;
      text += fmt::format("  measured   loss {:+.5f} +- {:.5f}  KL {:.5f}  {:.4f} s\n", l.change,
                          l.standard_error, l.kl, f.measured->seconds);
      text += gradient_line(*f.measured);
      text += measure_lines(*f.measured);
    }
    const std::size_t routers =
        f.measured ? f.measured->routers.size() : f.predicted->routers.size();
    for (std::size_t r = 0; r < routers; ++r) {
      text += fmt::format("  {:24}",
                          f.measured ? f.measured->routers[r].op : f.predicted->routers[r].op);
      if (f.predicted) {
        const auto& p = f.predicted->routers[r];
        text +=
            fmt::format("  predicted noise {:.4f} flips {:5.1f} %", p.noise_sd, p.flip_rate * 100);
      }
      if (f.measured) {
        const auto& m = f.measured->routers[r];
        const auto percent = [](std::uint64_t a, auto b) {
          return b == 0 ? 0.0 : 100.0 * static_cast<double>(a) / static_cast<double>(b);
        };
        text += fmt::format("  measured noise {:.4f} flips {:5.1f} % ({:.1f} % given none before)",
                            m.noise_sd, percent(m.flips, m.tokens),
                            percent(m.prefix_flips, m.prefix_tokens));
      }
      text += "\n";
    }
  }
  bool head = false;
  for (const auto& a : agreements(report.forecasts)) {
    if (a.count == 0) continue;
    if (!head)
      text += "\npredicted over measured, as a factor: figures, median, worst, inside the limit\n";
    head = true;
    text += fmt::format(
        "  {:38} {:5}  {:6.3f}  {:8.3f}  {:5.1f} % within {:.2f}{}{}\n", a.kind, a.count, a.median,
        a.worst, a.within * 100, a.limit,
        a.stated > 0 ? fmt::format("  {:5.1f} % within 2 stated deviations", a.calibrated * 100)
                     : "",
        a.naive_median > 0 ? fmt::format("  (naive median {:.3f})", a.naive_median) : "");
  }
  return text;
}

}  // namespace assay::analysis

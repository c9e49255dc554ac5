// SPDX-License-Identifier: Apache-2.0
// Experts, channels, accumulators and the range of training, as JSON and as text.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "analysis/forecast.h"
#include "analysis/statistics.h"

namespace assay::analysis {
namespace {

using Json = nlohmann::ordered_json;

Json alikeness(const simulator::Alikeness& a) {
  return {{"mean", a.mean}, {"largest", a.largest}, {"experts", {a.first, a.second}}};
}

std::string diversity_lines(const std::vector<simulator::ExpertDiversity>& experts) {
  std::string text;
  for (const auto& d : experts) {
    text += fmt::format(
        "  {:24}  experts alike: weights {:+.4f} (largest {:+.4f}), outputs {:+.4f} ({:+.4f}), CKA "
        "{:.4f} ({:.4f}, {} and {})\n",
        d.op, d.weight_cosine.mean, d.weight_cosine.largest, d.output_cosine.mean,
        d.output_cosine.largest, d.output_cka.mean, d.output_cka.largest, d.output_cka.first,
        d.output_cka.second);
  }
  return text;
}

std::string use_lines(const std::vector<simulator::Utilisation>& use) {
  std::string text;
  for (const auto& u : use) {
    text += fmt::format("  {:24}  {:.2f} effective experts of {}, {} idle, largest load {:.2f}\n",
                        u.op, u.effective, u.load.size(), u.idle, u.largest);
    for (const auto& alarm : u.alarms) text += fmt::format("  {:24}  alarm: {}\n", u.op, alarm);
  }
  return text;
}

}  // namespace

Json to_json(const std::vector<simulator::ChannelProfile>& channels) {
  Json out = Json::array();
  for (const auto& p : channels) {
    Json largest = Json::array();
    for (const auto& c : p.largest) {
      largest.push_back({{"channel", c.index}, {"ratio", c.ratio}, {"power", c.power_share}});
    }
    out.push_back({{"op", p.op},
                   {"layer", p.layer},
                   {"channels", p.channels},
                   {"outliers", p.outliers},
                   {"outlier_power", p.outlier_power},
                   {"largest", std::move(largest)}});
  }
  return out;
}

Json to_json(const std::vector<simulator::ExpertDiversity>& experts) {
  Json out = Json::array();
  for (const auto& d : experts) {
    out.push_back({{"op", d.op},
                   {"layer", d.layer},
                   {"experts", d.experts},
                   {"weight_cosine", alikeness(d.weight_cosine)},
                   {"output_cosine", alikeness(d.output_cosine)},
                   {"output_cka", alikeness(d.output_cka)}});
  }
  return out;
}

Json to_json(const std::vector<simulator::Utilisation>& use) {
  Json out = Json::array();
  for (const auto& u : use) {
    out.push_back({{"op", u.op},
                   {"layer", u.layer},
                   {"load", u.load},
                   {"entropy", u.entropy},
                   {"effective_experts", u.effective},
                   {"idle_experts", u.idle},
                   {"largest_load", u.largest},
                   {"alarms", u.alarms}});
  }
  return out;
}

Json to_json(const simulator::TrainingRange& range) {
  Json gradients = Json::array();
  for (const auto& g : range.gradients) {
    gradients.push_back({{"what", g.what},
                         {"format", g.format},
                         {"nonzero", g.nonzero},
                         {"flushed_unscaled", g.flushed_unscaled},
                         {"loss_scale", g.scale},
                         {"flushed", g.flushed},
                         {"overflowed", g.overflowed},
                         {"best_loss_scale", g.best_scale},
                         {"best_flushed", g.best_flushed}});
  }
  Json updates = Json::array();
  for (const auto& u : range.updates) {
    updates.push_back({{"rule", u.rule},
                       {"master", u.master},
                       {"learning_rate", u.learning_rate},
                       {"updates", u.updates},
                       {"lost", u.lost}});
  }
  return {{"gradients", std::move(gradients)}, {"updates", std::move(updates)}};
}

std::string network_lines(const NetworkReport& report) {
  std::string text = use_lines(report.use) + diversity_lines(report.experts);
  for (const auto& p : report.channels) {
    if (p.outliers == 0) continue;
    text += fmt::format(
        "  {:24}  {} outlier channels of {} hold {:.1f} % of the power; channel {} has {:.1f} "
        "times "
        "the median rms\n",
        p.op, p.outliers, p.channels, 100 * p.outlier_power, p.largest.front().index,
        p.largest_ratio);
  }
  return text;
}

std::string measure_lines(const simulator::Measurement& m) {
  std::string text;
  if (!m.accumulators.empty()) {
    std::vector<double> nsr;
    std::vector<double> gain;
    for (const auto& a : m.accumulators) {
      nsr.push_back(a.error.nsr);
      gain.push_back(a.error.gain - 1);
    }
    text += fmt::format(
        "  accumulators and rounded outputs: NSR {:.3e} (largest {:.3e}), gain - 1 {:+.2e} "
        "(smallest {:+.2e})\n",
        quantile(nsr, 0.5), quantile(nsr, 1), quantile(gain, 0.5), quantile(gain, 0));
  }
  for (const auto& g : m.training.gradients) {
    text += fmt::format(
        "  {} in {}: {:.3f} % flushed without loss scaling, {:.3f} % (and {:.3f} % too large) at "
        "{:g}; least, {:.3f} %, at {:g}\n",
        g.what, g.format, 100 * g.flushed_unscaled, 100 * g.flushed, 100 * g.overflowed, g.scale,
        100 * g.best_flushed, g.best_scale);
  }
  for (const auto& u : m.training.updates) {
    text += fmt::format("  updates that a master in {} loses, {} at a rate of {:g}: {:.2f} %\n",
                        u.master, u.rule, u.learning_rate, 100 * u.lost);
  }
  text += diversity_lines(m.experts);
  for (const auto& u : m.use) {
    for (const auto& alarm : u.alarms) text += fmt::format("  {:24}  alarm: {}\n", u.op, alarm);
  }
  return text;
}

}  // namespace assay::analysis

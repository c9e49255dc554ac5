// SPDX-License-Identifier: Apache-2.0
#include "analysis/schedule.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "analysis/forecast.h"
#include "analysis/statistics.h"
#include "simulator/router_noise.h"

namespace assay::analysis {
namespace {

nlohmann::ordered_json step_or_null(const std::optional<std::int64_t>& step) {
  return step ? nlohmann::ordered_json(*step) : nlohmann::ordered_json(nullptr);
}

}  // namespace

Moment moment_of(const simulator::Graph& graph, const simulator::Forward& clean,
                 const simulator::Prediction& p, const Limits& limits) {
  Moment m;
  m.step = graph.training_step;
  m.loss_change = p.loss.change;
  m.uncertainty = p.loss.uncertainty;
  m.kl = p.loss.kl;
  std::size_t worst = 0;
  for (std::size_t r = 0; r < p.routers.size(); ++r) {
    m.noise_sd = std::max(m.noise_sd, p.routers[r].noise_sd);
    if (p.routers[r].flip_rate > m.flips) worst = r;
    m.flips = std::max(m.flips, p.routers[r].flip_rate);
  }
  if (!graph.routers.empty()) {
    const auto& node = graph.nodes[graph.routers[worst]];
    const auto margins = simulator::margins(clean.values[node.inputs[0]],
                                            {node.gate.k, node.gate.score, node.gate.bias});
    m.median_margin = quantile(margins, 0.5);
  }
  m.allowed = m.flips <= limits.flips && m.loss_change + m.uncertainty <= limits.loss;
  return m;
}

void finish(SchedulePlan& plan) {
  for (Part& part : plan.parts) {
    part.earliest.reset();
    for (auto m = part.moments.rbegin(); m != part.moments.rend() && m->allowed; ++m) {
      part.earliest = m->step;
    }
  }
  const Part& all = plan.parts.back();
  plan.orders.clear();
  if (plan.parts.size() > 2) {
    for (const Part& first : plan.parts) {
      if (&first == &all) continue;
      Order order{first.name + " first", {{first.name, first.earliest}}};
      // The others join when all together are allowed, and not before the first.
      std::optional<std::int64_t> rest = all.earliest;
      if (rest && first.earliest) rest = std::max(*rest, *first.earliest);
      if (!first.earliest) rest.reset();
      for (const Part& other : plan.parts) {
        if (&other != &first && &other != &all) order.switches.emplace_back(other.name, rest);
      }
      plan.orders.push_back(std::move(order));
    }
    // Soonest first: the order that a user would follow.
    std::stable_sort(plan.orders.begin(), plan.orders.end(), [](const Order& a, const Order& b) {
      const auto key = [](const Order& o) {
        return o.switches[0].second.value_or(std::numeric_limits<std::int64_t>::max());
      };
      return key(a) < key(b);
    });
  }
  plan.orders.push_back({"all at once", {{"all", all.earliest}}});
}

nlohmann::ordered_json to_json(const SchedulePlan& plan) {
  using Json = nlohmann::ordered_json;
  Json parts = Json::array();
  for (const Part& part : plan.parts) {
    Json moments = Json::array();
    for (const Moment& m : part.moments) {
      moments.push_back({{"step", m.step},
                         {"largest_flip_rate", m.flips},
                         {"median_margin", m.median_margin},
                         {"largest_noise_sd", m.noise_sd},
                         {"loss_change", m.loss_change},
                         {"uncertainty", m.uncertainty},
                         {"kl", m.kl},
                         {"allowed", m.allowed}});
    }
    parts.push_back({{"part", part.name},
                     {"earliest_step", step_or_null(part.earliest)},
                     {"steps", std::move(moments)}});
  }
  Json orders = Json::array();
  for (const Order& order : plan.orders) {
    Json switches = Json::array();
    for (const auto& [part, step] : order.switches) {
      switches.push_back({{"part", part}, {"step", step_or_null(step)}});
    }
    orders.push_back({{"order", order.name}, {"switches", std::move(switches)}});
  }
  Json use = Json::array();
  for (const auto& [step, routers] : plan.use) {
    use.push_back({{"step", step}, {"routers", to_json(routers)}});
  }
  return {{"schema", "assay-schedule"},
          {"schema_version", 1},
          {"recipe", plan.recipe},
          {"limits", {{"flips", plan.limits.flips}, {"loss", plan.limits.loss}}},
          {"parts", std::move(parts)},
          {"orders", std::move(orders)},
          {"utilisation", std::move(use)}};
}

}  // namespace assay::analysis

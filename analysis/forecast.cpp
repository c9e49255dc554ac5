// SPDX-License-Identifier: Apache-2.0
#include "analysis/forecast.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "analysis/statistics.h"

namespace assay::analysis {
namespace {

double rate(const simulator::RouterMeasure& r) {
  return static_cast<double>(r.flips) / static_cast<double>(r.tokens);
}

double factor(double a, double b) {
  if (a <= 0 || b <= 0) return std::numeric_limits<double>::infinity();
  return std::max(a / b, b / a);
}

}  // namespace

std::vector<Pair> operand_pairs(const Forecast& f) {
  std::map<std::string, double> measured;
  for (const auto& o : f.measured->operands) {
    measured[o.tensor + "|" + std::to_string(o.expert) +
             (o.role == simulator::Role::weight ? "w" : "x")] = o.error.nsr;
  }
  std::vector<Pair> pairs;
  for (const auto& o : f.predicted->operands) {
    if (o.figures.exact) continue;  // the rounding itself: nothing is predicted
    const auto at = measured.find(o.tensor + "|" + std::to_string(o.expert) +
                                  (o.role == simulator::Role::weight ? "w" : "x"));
    if (at == measured.end()) continue;
    pairs.push_back(
        {o.tensor, o.figures.nsr, at->second, 0, o.figures.nsr_uncertainty * o.figures.nsr});
  }
  return pairs;
}

std::vector<Pair> linear_pairs(const Forecast& f) {
  std::map<std::string, double> measured;
  for (const auto& l : f.measured->linears) measured[l.op] = l.error.nsr;
  std::vector<Pair> pairs;
  for (const auto& l : f.predicted->linears) {
    const auto at = measured.find(l.op);
    if (at != measured.end())
      pairs.push_back({l.op, l.nsr, at->second, l.white, l.uncertainty * l.nsr});
  }
  return pairs;
}

std::vector<Pair> router_noise_pairs(const Forecast& f) {
  std::vector<Pair> pairs;
  for (std::size_t r = 0; r < f.predicted->routers.size(); ++r) {
    const auto& p = f.predicted->routers[r];
    pairs.push_back({p.op, p.noise_sd, f.measured->routers[r].noise_sd, p.white_noise_sd,
                     p.uncertainty * p.noise_sd});
  }
  return pairs;
}

std::vector<Pair> flip_pairs(const Forecast& f) {
  std::vector<Pair> pairs;
  for (std::size_t r = 0; r < f.predicted->routers.size(); ++r) {
    const auto& p = f.predicted->routers[r];
    pairs.push_back({p.op, p.flip_rate, rate(f.measured->routers[r]), p.independent_flip_rate,
                     p.flip_uncertainty});
  }
  return pairs;
}

std::vector<Pair> value_pairs(const Forecast& f) {
  std::map<std::string, double> measured;
  for (const auto& v : f.measured->values) measured[v.op] = v.error.nsr;
  std::vector<Pair> pairs;
  for (const auto& v : f.predicted->values) pairs.push_back({v.op, v.nsr, measured[v.op], 0, 0});
  return pairs;
}

Agreement agreement(std::string kind, const std::vector<Pair>& pairs, double limit) {
  Agreement a;
  a.kind = std::move(kind);
  a.limit = limit;
  std::vector<double> factors;
  std::vector<double> naive;
  std::size_t inside = 0;
  std::size_t calibrated = 0;
  for (const auto& p : pairs) {
    if (p.measured <= 0) continue;
    factors.push_back(factor(p.predicted, p.measured));
    if (p.naive > 0) naive.push_back(factor(p.naive, p.measured));
    inside += factors.back() <= limit ? 1 : 0;
    if (p.uncertainty > 0) {
      ++a.stated;
      calibrated += std::fabs(p.predicted - p.measured) <= 2 * p.uncertainty ? 1 : 0;
    }
    if (factors.back() > a.worst) {
      a.worst = factors.back();
      a.worst_at = p.what;
    }
  }
  a.count = factors.size();
  if (factors.empty()) return a;
  a.median = quantile(factors, 0.5);
  a.within = static_cast<double>(inside) / static_cast<double>(factors.size());
  if (a.stated > 0) a.calibrated = static_cast<double>(calibrated) / static_cast<double>(a.stated);
  if (!naive.empty()) a.naive_median = quantile(naive, 0.5);
  return a;
}

std::vector<Agreement> agreements(const std::vector<Forecast>& forecasts) {
  std::vector<Pair> operands;
  std::vector<Pair> linears;
  std::vector<Pair> noise;
  std::vector<Pair> high_flips;
  std::vector<Pair> low_flips;
  std::vector<Pair> final_values;
  std::vector<Pair> loss;
  std::vector<Pair> kl;
  const auto join = [](std::vector<Pair>& to, const std::string& recipe, std::vector<Pair> from) {
    for (auto& p : from) {
      p.what = recipe + " " + p.what;
      to.push_back(std::move(p));
    }
  };
  for (const auto& f : forecasts) {
    if (!f.predicted || !f.measured) continue;
    join(operands, f.recipe, operand_pairs(f));
    join(linears, f.recipe, linear_pairs(f));
    join(noise, f.recipe, router_noise_pairs(f));
    std::vector<Pair> high;
    std::vector<Pair> low;
    for (auto& p : flip_pairs(f)) (p.measured > 0.05 ? high : low).push_back(std::move(p));
    join(high_flips, f.recipe, std::move(high));
    join(low_flips, f.recipe, std::move(low));
    auto values = value_pairs(f);
    if (!values.empty()) join(final_values, f.recipe, {values.back()});
    const auto& m = f.measured->loss;
    if (std::fabs(m.change) > m.standard_error) {
      loss.push_back({f.recipe, f.predicted->loss.change * (m.change < 0 ? -1 : 1),
                      std::fabs(m.change), 0,
                      std::hypot(f.predicted->loss.uncertainty, m.standard_error)});
    }
    if (m.kl > 0) {
      kl.push_back({f.recipe, f.predicted->loss.kl, m.kl, f.predicted->loss.white_kl,
                    f.predicted->loss.kl_uncertainty});
    }
  }
  return {agreement("NSR of an operand", operands, 1.03),
          agreement("NSR of a linear's output", linears, 1.10),
          agreement("noise of router logits (sd)", noise, 1.10),
          agreement("flip rate, measured above 5 %", high_flips, 1.15),
          agreement("flip rate, measured below", low_flips, 1.5),
          agreement("NSR of the final logits", final_values, 1.25),
          agreement("KL of the final logits", kl, 1.5),
          agreement("loss change above its standard error", loss, 1.5)};
}

}  // namespace assay::analysis

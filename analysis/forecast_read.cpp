// SPDX-License-Identifier: Apache-2.0
// A forecast's JSON read back: what forecast_json.cpp and forecast_measures.cpp write.
#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "analysis/forecast.h"

namespace assay::analysis {
namespace {

using Json = nlohmann::ordered_json;

double real(const Json& j) {
  return j.is_null() ? std::numeric_limits<double>::quiet_NaN() : j.get<double>();
}

std::vector<double> reals(const Json& j) {
  std::vector<double> out;
  for (const Json& v : j) out.push_back(real(v));
  return out;
}

/// The members of `j` of these names, in the order of the places they go to.
struct Members {
  const Json& j;
  void operator()(const char* name, double& to) const { to = real(j.at(name)); }
  void operator()(const char* name, std::vector<double>& to) const { to = reals(j.at(name)); }
  template <class T>
  void operator()(const char* name, T& to) const {
    j.at(name).get_to(to);
  }
};

simulator::Matrix matrix(const Json& rows) {
  simulator::Matrix m(static_cast<std::int64_t>(rows.size()),
                      static_cast<std::int64_t>(rows.empty() ? 0 : rows.front().size()));
  for (std::int64_t r = 0; r < m.rows(); ++r) {
    const Json& row = rows.at(static_cast<std::size_t>(r));
    for (std::int64_t c = 0; c < m.cols(); ++c) m(r, c) = real(row.at(static_cast<std::size_t>(c)));
  }
  return m;
}

simulator::Role role(const Json& j) {
  using simulator::Role;
  for (const Role r : {Role::weight, Role::input, Role::output, Role::output_grad})
    if (j == simulator::name(r)) return r;
  throw std::invalid_argument("no role of an operand or a value");
}

template <class F>
auto list(const Json& j, F read) {
  std::vector<decltype(read(j))> out;
  for (const Json& item : j) out.push_back(read(item));
  return out;
}

simulator::ValueError value_error(const Json& j) {
  simulator::ValueError v;
  const Members m{j};
  m("op", v.op);
  m("tensor", v.tensor);
  v.role = role(j.at("role"));
  m("layer", v.layer);
  m("expert", v.expert);
  m("gain", v.error.gain);
  m("nsr", v.error.nsr);
  m("worst", v.worst);
  m("cosine", v.cosine);
  return v;
}

simulator::RouterMeasure measured_router(const Json& j) {
  simulator::RouterMeasure r;
  const Members m{j};
  m("op", r.op);
  m("layer", r.layer);
  m("tokens", r.tokens);
  m("experts", r.experts);
  m("k", r.k);
  m("noise_sd", r.noise_sd);
  m("centred_noise_sd", r.centred_noise_sd);
  r.covariance = matrix(j.at("covariance"));
  m("flips", r.flips);
  m("prefix_tokens", r.prefix_tokens);
  m("prefix_flips", r.prefix_flips);
  m("load_clean", r.load_clean);
  m("load", r.load);
  m("load_shift", r.load_shift);
  Members{j.at("margins")}("largest", r.margins.largest);
  Members{j.at("margins")}("bins", r.margins.bins);
  return r;
}

simulator::Alikeness alikeness(const Json& j) {
  return {real(j.at("mean")), real(j.at("largest")), j.at("experts").at(0), j.at("experts").at(1)};
}

simulator::ExpertDiversity diversity(const Json& j) {
  return {j.at("op"),
          j.at("layer"),
          j.at("experts"),
          alikeness(j.at("weight_cosine")),
          alikeness(j.at("output_cosine")),
          alikeness(j.at("output_cka"))};
}

simulator::Utilisation use(const Json& j) {
  simulator::Utilisation u;
  const Members m{j};
  m("op", u.op);
  m("layer", u.layer);
  m("load", u.load);
  m("entropy", u.entropy);
  m("effective_experts", u.effective);
  m("idle_experts", u.idle);
  m("largest_load", u.largest);
  m("alarms", u.alarms);
  return u;
}

simulator::GradientRange gradient_range(const Json& j) {
  simulator::GradientRange g;
  const Members m{j};
  m("what", g.what);
  m("format", g.format);
  m("nonzero", g.nonzero);
  m("flushed_unscaled", g.flushed_unscaled);
  m("loss_scale", g.scale);
  m("flushed", g.flushed);
  m("overflowed", g.overflowed);
  m("best_loss_scale", g.best_scale);
  m("best_flushed", g.best_flushed);
  return g;
}

simulator::LostUpdates lost_updates(const Json& j) {
  return {j.at("rule"), j.at("master"), real(j.at("learning_rate")), j.at("updates"),
          real(j.at("lost"))};
}

simulator::Measurement measurement(const Json& j) {
  simulator::Measurement out;
  const Members loss{j.at("loss")};
  loss("clean", out.loss.clean);
  loss("recipe", out.loss.recipe);
  loss("change", out.loss.change);
  loss("standard_error", out.loss.standard_error);
  loss("p01", out.loss.p01);
  loss("p05", out.loss.p05);
  loss("p50", out.loss.p50);
  loss("p95", out.loss.p95);
  loss("p99", out.loss.p99);
  loss("kl", out.loss.kl);
  loss("kl_p95", out.loss.kl_p95);
  loss("kl_p99", out.loss.kl_p99);
  out.products =
      j.at("arithmetic") == "recipe" ? simulator::Products::recipe : simulator::Products::exact;
  out.routers = list(j.at("routers"), measured_router);
  out.accumulators = list(j.at("accumulators"), value_error);
  out.training.gradients = list(j.at("training").at("gradients"), gradient_range);
  out.training.updates = list(j.at("training").at("updates"), lost_updates);
  out.experts = list(j.at("experts"), diversity);
  out.use = list(j.at("utilisation"), use);
  out.operands = list(j.at("operands"), value_error);
  out.linears = list(j.at("linears"), value_error);
  out.values = list(j.at("values"), value_error);
  out.gradients = list(j.at("gradients"), value_error);
  const Members m{j};
  m("seconds", out.seconds);
  m("all_seconds", out.all_seconds);
  return out;
}

simulator::RouterPrediction predicted_router(const Json& j) {
  simulator::RouterPrediction r;
  const Members m{j};
  m("op", r.op);
  m("layer", r.layer);
  m("noise_sd", r.noise_sd);
  m("uncertainty", r.uncertainty);
  m("centred_noise_sd", r.centred_noise_sd);
  r.covariance = matrix(j.at("covariance"));
  m("flip_rate", r.flip_rate);
  m("flip_uncertainty", r.flip_uncertainty);
  m("load", r.load);
  m("load_shift", r.load_shift);
  m("white_noise_sd", r.white_noise_sd);
  m("independent_flip_rate", r.independent_flip_rate);
  return r;
}

simulator::OperandPrediction predicted_operand(const Json& j) {
  simulator::OperandPrediction o;
  const Members m{j};
  m("op", o.op);
  m("tensor", o.tensor);
  o.role = role(j.at("role"));
  m("expert", o.expert);
  m("gain", o.figures.gain);
  m("nsr", o.figures.nsr);
  m("uncertainty", o.figures.nsr_uncertainty);
  m("exact", o.figures.exact);
  return o;
}

simulator::Prediction prediction(const Json& j) {
  simulator::Prediction out;
  const Members loss{j.at("loss")};
  loss("change", out.loss.change);
  loss("uncertainty", out.loss.uncertainty);
  loss("first_order", out.loss.first_order);
  loss("second_order", out.loss.second_order);
  loss("flips", out.loss.flips);
  loss("p01", out.loss.p01);
  loss("p05", out.loss.p05);
  loss("p50", out.loss.p50);
  loss("p95", out.loss.p95);
  loss("p99", out.loss.p99);
  loss("kl", out.loss.kl);
  loss("kl_uncertainty", out.loss.kl_uncertainty);
  loss("held_kl", out.loss.held_kl);
  loss("white_kl", out.loss.white_kl);
  out.routers = list(j.at("routers"), predicted_router);
  out.operands = list(j.at("operands"), predicted_operand);
  out.linears = list(j.at("linears"), [](const Json& v) {
    return simulator::LinearPrediction{v.at("op"), real(v.at("nsr")), real(v.at("uncertainty")),
                                       real(v.at("white"))};
  });
  out.values = list(j.at("values"), [](const Json& v) {
    return simulator::ValuePrediction{v.at("op"), real(v.at("nsr"))};
  });
  out.contributions = list(j.at("contributions"), [](const Json& c) {
    return simulator::Contribution{c.at("group"), real(c.at("nsr")), real(c.at("kl")),
                                   reals(c.at("router_variance"))};
  });
  out.seconds = real(j.at("seconds"));
  return out;
}

}  // namespace

Forecast forecast_from_json(const Json& j) {
  Forecast f;
  f.recipe = j.at("recipe");
  if (j.contains("predicted")) {
    f.predicted = prediction(j.at("predicted"));
    f.statistics_seconds = real(j.at("predicted").at("statistics_seconds"));
  }
  if (j.contains("measured")) {
    f.measured = measurement(j.at("measured"));
    f.at_once = j.at("measured").at("at_once");
  }
  return f;
}

}  // namespace assay::analysis

// SPDX-License-Identifier: Apache-2.0
// The canonical JSON of a report; analysis/schema/report.schema.json describes it.
#include <cmath>
#include <nlohmann/json.hpp>

#include "analysis/report.h"
#include "analysis/statistics.h"
#include "proptests/batch_json.h"

namespace assay::analysis {
namespace {

using Json = nlohmann::ordered_json;

Json number(double v) { return std::isfinite(v) ? Json(v) : Json(nullptr); }

Json figures(const simulator::ErrorFigures& f) {
  return {{"gain", f.gain}, {"nsr", f.nsr}, {"relative_mse", f.relative_mse}};
}

Json verdict_json(const proptests::Verdict& v) {
  return {
      {"property", v.property},
      {"section", v.section},
      {"statement", v.statement},
      {"status", proptests::name_of(v.status)},
      {"planned", v.planned},
      {"cases", v.cases},
      {"undecided", v.undecided},
      {"not_supported", v.not_supported},
      {"flakes", v.flakes},
      {"detail", v.detail},
      {"worst_share_of_bound", v.points.empty() ? Json(nullptr) : number(v.points[0].share())},
      {"error_points", proptests::to_json(v.points)},
      {"counterexample", v.counterexample ? proptests::to_json(*v.counterexample) : Json(nullptr)}};
}

Json operand_json(const simulator::OperandFormat& o) {
  Json j{{"format", o.format_name()}};
  if (o.block) j["block"] = {o.block->block.rows, o.block->block.cols};
  if (o.reencode) j["reencode"] = o.reencode->name;
  if (o.scales == simulator::ScaleSource::least_squares) j["scales"] = "least_squares";
  if (o.random_bits > 0) j["random_bits"] = o.random_bits;
  if (o.hadamard > 0) j["hadamard"] = o.hadamard;
  return j;
}

Json recipe_summary(const simulator::Recipe& r) {
  Json classes = Json::object();
  for (std::size_t c = 0; c < r.classes.size(); ++c) {
    if (!r.classes[c]) continue;
    classes[std::string(simulator::kTensorClassNames[c])] = {
        {"weight", operand_json(r.classes[c]->weight)},
        {"activation", operand_json(r.classes[c]->activation)},
        {"gradient", operand_json(r.classes[c]->gradient)},
        {"ste", simulator::name(r.classes[c]->ste)}};
  }
  return {{"name", r.name},   {"summary", r.summary},     {"source", r.source},
          {"notes", r.notes}, {"master", r.master->name}, {"classes", std::move(classes)}};
}

Json tensor_json(const simulator::TensorReplay& t) {
  const auto& h = t.histogram;
  return {{"tensor", t.tensor},
          {"op", t.op},
          {"role", simulator::name(t.role)},
          {"class", simulator::name(t.tensor_class)},
          {"layer", t.layer},
          {"expert", t.expert},
          {"rows", t.rows},
          {"cols", t.cols},
          {"format", t.format},
          {"error", figures(t.error)},
          {"worst_block", {{"index", t.worst_block}, {"relative_error", t.worst_block_error}}},
          {"clipped", t.clipped},
          {"flushed", t.flushed},
          {"reencode_changed", t.reencode_changed},
          {"errors_out_of_range", h.below + h.above}};
}

Json linear_json(const simulator::LinearReplay& l) {
  Json j{{"op", l.op},
         {"class", simulator::name(l.tensor_class)},
         {"layer", l.layer},
         {"expert", l.expert},
         {"rows", l.rows},
         {"in", l.in},
         {"out", l.out},
         {"error", figures(l.error)},
         {"nsr_if_uncorrelated", l.nsr_if_uncorrelated},
         {"worst_row", {{"index", l.worst_row}, {"relative_error", l.worst_row_error}}},
         {"loss_change", nullptr}};
  if (l.has_loss_change) j["loss_change"] = l.loss_change;
  return j;
}

Json noise_json(const simulator::RouterNoise& n) {
  const auto interval = wilson(n.flips(), n.flipped.size());
  Json worst = nullptr;
  if (!n.token_noise.empty()) {
    const auto largest = std::max_element(n.token_noise.begin(), n.token_noise.end());
    worst = {{"token", largest - n.token_noise.begin()},
             {"noise", *largest},
             {"p95", quantile(n.token_noise, 0.95)}};
  }
  return {{"noise_sd", n.noise_sd},
          {"centred_noise_sd", n.centred_noise_sd},
          {"difference_sd", n.difference_sd},
          {"flips", n.flips()},
          {"flip_fraction", n.flipped.empty() ? 0.0
                                              : static_cast<double>(n.flips()) /
                                                    static_cast<double>(n.flipped.size())},
          {"flip_fraction_95", {interval.low, interval.high}},
          {"flips_expected_of_one_noise", n.expected_flips},
          {"worst", std::move(worst)}};
}

Json router_json(const simulator::RouterReplay& r) {
  Json margins = nullptr;
  if (!r.margins.empty()) {
    margins = {{"p01", number(quantile(r.margins, 0.01))},
               {"p10", number(quantile(r.margins, 0.1))},
               {"p50", number(quantile(r.margins, 0.5))}};
  }
  return {{"op", r.op},
          {"layer", r.layer},
          {"tokens", r.tokens},
          {"experts", r.experts},
          {"k", r.k},
          {"margins", std::move(margins)},
          {"recorded_choice_differs", r.recorded_differs},
          {"local", noise_json(r.local)},
          {"accumulated", noise_json(r.accumulated)}};
}

template <class Items, class F>
Json list(const Items& items, F f) {
  Json j = Json::array();
  for (const auto& item : items) j.push_back(f(item));
  return j;
}

Json replay_json(const Replayed& replayed) {
  const auto& r = replayed.result;
  const auto s = summarize(replayed);
  const auto interval = [](std::uint64_t flips, std::uint64_t n) {
    const auto i = wilson(flips, n);
    return Json{i.low, i.high};
  };
  return {{"recipe", recipe_summary(replayed.recipe)},
          {"recording", r.recording},
          {"training_step", r.training_step},
          {"summary",
           {{"weight_format", s.weight_format},
            {"bits_per_weight", s.bits_per_weight},
            {"median_weight_gain", s.weight_gain},
            {"median_weight_nsr", s.weight_nsr},
            {"median_output_nsr", s.output_nsr},
            {"worst_output_nsr", s.worst_output_nsr},
            {"worst_linear", s.worst_linear},
            {"router_decisions", s.tokens},
            {"local_flips", s.local_flips},
            {"local_flip_fraction_95", interval(s.local_flips, s.tokens)},
            {"accumulated_flips", s.accumulated_flips},
            {"accumulated_flip_fraction_95", interval(s.accumulated_flips, s.tokens)},
            {"first_order_loss_change", s.has_loss_change ? Json(s.loss_change) : Json(nullptr)}}},
          {"notes", r.notes},
          {"linears_left_alone", r.linears_left_alone},
          {"linears_without_rows", r.linears_without_rows},
          {"recomputations", list(r.recomputations,
                                  [](const auto& c) {
                                    return Json{{"op", c.op}, {"relative_mse", c.relative_mse}};
                                  })},
          {"routers", list(r.routers, router_json)},
          {"linears", list(r.linears, linear_json)},
          {"tensors", list(r.tensors, tensor_json)}};
}

Json certification_json(const proptests::Report& c) {
  return {{"device", c.device},
          {"seed", c.seed},
          {"cases_per_property", c.cases_per_property},
          {"entry", c.entry},
          {"profile", c.profile},
          {"profile_hash", c.profile_hash},
          {"waivers_judged_on", c.today},
          {"unfinished", c.unfinished()},
          {"claims", c.claims.empty() ? Json::array() : Json::parse(c.claims)},
          {"verdicts", list(c.verdicts, verdict_json)}};
}

}  // namespace

nlohmann::ordered_json to_json(const Report& report) {
  const auto& e = report.environment;
  Json out{{"schema", "assay-report"},
           {"schema_version", kReportSchemaVersion},
           {"tool", {{"name", "assay"}, {"version", e.version}, {"commit", e.commit}}},
           {"environment",
            {{"compiler", e.compiler}, {"cuda_headers", e.cuda_headers}, {"command", e.command}}},
           {"seed", report.seed},
           {"certifications", list(report.certifications, certification_json)},
           {"replays", list(report.replays, replay_json)}};
  if (report.network) out["network"] = to_json(*report.network);
  return out;
}

}  // namespace assay::analysis

// SPDX-License-Identifier: Apache-2.0
#include "proptests/certify.h"

#include <algorithm>
#include <array>
#include <stdexcept>

#include "formats/names.h"

namespace assay::proptests {
namespace {

bool selected(const std::string& id, const std::string& filter) {
  return filter.empty() || id == filter ||
         (id.starts_with(filter) && (filter.back() == '.' || id[filter.size()] == '.'));
}

/// There are hundreds of ids: the error names the nearest id, or beginning of ids, alone.
std::string unknown_property(const std::string& name, const std::vector<Property>& all) {
  std::vector<std::string_view> known;
  for (const Property& p : all) {
    const std::string_view id = p.id;
    known.push_back(id);
    for (std::size_t dot = id.find('.'); dot != id.npos; dot = id.find('.', dot + 1))
      known.push_back(id.substr(0, dot));
  }
  return "no property is called '" + name + "'; did you mean '" +
         std::string(formats::nearest_name(name, known)) +
         "'? 'assay list properties' prints every id, and the beginning of ids up to a dot will do";
}

BatchOptions batch_options(const CertifyOptions& options) {
  BatchOptions batch;
  batch.seed = options.seed;
  batch.shrink_trials = options.shrink_trials;
  batch.target = options.target;
  batch.entry = options.entry;
  batch.diagnose = options.diagnose;
  batch.observe = options.on_batch;
  return batch;
}

RunPlan plan_for(std::span<const Property> properties, const Device& device,
                 const CertifyOptions& options) {
  RunPlan plan = plan_for(properties, device, options.entry);
  plan.target = options.target;
  plan.seed = options.seed;
  plan.cases = options.cases;
  return plan;
}

}  // namespace

std::vector<Property> select(const Selection& selection) {
  std::vector<Property> properties = catalogue();
  for (const std::string& id : selection.ids)
    if (std::none_of(properties.begin(), properties.end(),
                     [&](const Property& p) { return p.id == id; }))
      throw std::invalid_argument(unknown_property(id, properties));
  std::erase_if(properties, [&](const Property& p) {
    return !selected(p.id, selection.property) ||
           (!selection.ids.empty() &&
            std::find(selection.ids.begin(), selection.ids.end(), p.id) == selection.ids.end());
  });
  if (properties.empty())
    throw std::invalid_argument(unknown_property(selection.property, catalogue()));
  return properties;
}

RunPlan plan_for(std::span<const Property> properties, const Device& device,
                 const std::string& entry) {
  RunPlan plan;
  plan.device = device.name();
  plan.entry = entry;
  const std::vector<kernels::Claim> claims = device.claims();
  plan.claims = claims_json(claims);
  std::vector<std::string> names;
  for (const kernels::Claim& claim : claims)
    if (claim.tactic == 0) names.push_back(name_of(claim));
  if (!entry.empty() && std::find(names.begin(), names.end(), entry) == names.end())
    throw std::invalid_argument(formats::unknown_name(
        "entry of the device", entry, std::vector<std::string_view>(names.begin(), names.end())));
  for (const Property& p : properties)
    plan.properties.push_back(
        {p.id, p.section, p.statement, !claims_for(p, device, entry).empty(), ""});
  return plan;
}

Verdict run_property(const Property& property, Device& device, const CertifyOptions& options) {
  const RunPlan plan = plan_for(std::span(&property, 1), device, options);
  const PlannedProperty& planned = plan.properties.front();
  Results results;
  if (!planned.applicable) return verdict_of(plan, planned, results);
  const CaseRunner runner(property, device, options.seed, options.entry);
  const auto keep = [&](BatchResult batch) {
    return results.emplace(std::pair(batch.property, batch.range.first), std::move(batch))
        .first->second.status;
  };
  if (!options.token.empty()) {
    keep(replay_case(runner, options.token, batch_options(options)));
    RunPlan one = plan;
    one.cases = 1;
    return verdict_of(one, planned, results);
  }
  for (const CaseRange& range : batches_of(options.cases))
    if (keep(run_batch(runner, range, batch_options(options))) != Status::pass) break;
  return verdict_of(plan, planned, results);
}

Report run_certification(Device& device, const CertifyOptions& options) {
  if (options.cases < 1) throw std::invalid_argument("--cases must be at least 1");
  const std::vector<Property> properties = select({options.property, {}});
  if (!options.token.empty() && properties.size() != 1)
    throw std::invalid_argument("--case needs --property with the id of one property");
  const RunPlan plan = plan_for(properties, device, options);
  if (!options.token.empty()) {
    Report report = report_of(plan, {});
    report.verdicts = {run_property(properties.front(), device, options)};
    return report;
  }
  const std::array<Device*, 1> devices{&device};
  RunControl control;
  control.devices = devices;
  control.shrink_trials = options.shrink_trials;
  control.on_verdict = options.on_verdict;
  control.diagnose = options.diagnose;
  control.observe = options.on_batch;
  Results results;
  carry_out(plan, properties, control, results);
  return report_of(plan, results);
}

}  // namespace assay::proptests

// SPDX-License-Identifier: Apache-2.0
#include "proptests/run_plan.h"

#include <algorithm>
#include <charconv>
#include <stdexcept>

#include "kernels/abi/claim.h"

namespace assay::proptests {

std::vector<WorkUnit> units_of(const RunPlan& plan) {
  const std::vector<CaseRange> ranges = batches_of(plan.cases);
  std::vector<WorkUnit> units;
  for (const CaseRange& range : ranges)
    for (std::size_t p = 0; p < plan.properties.size(); ++p)
      if (plan.properties[p].applicable && plan.properties[p].skip.empty())
        units.push_back({p, range});
  return units;
}

std::vector<WorkUnit> units_of(const RunPlan& plan, const Shard& shard) {
  const std::vector<WorkUnit> all = units_of(plan);
  std::vector<WorkUnit> units;
  for (auto i = static_cast<std::size_t>(shard.index - 1); i < all.size();
       i += static_cast<std::size_t>(shard.count))
    units.push_back(all[i]);
  return units;
}

Shard parse_shard(std::string_view text) {
  Shard shard{0, 0};
  const char* const end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, shard.index);
  bool good = first.ec == std::errc{} && first.ptr != end && *first.ptr == '/';
  if (good) {
    const auto second = std::from_chars(first.ptr + 1, end, shard.count);
    good = second.ec == std::errc{} && second.ptr == end;
  }
  if (!good || shard.index < 1 || shard.count < shard.index || shard.count > 1'000'000)
    throw std::invalid_argument("--shard '" + std::string(text) +
                                "' is none: write i/n with i from 1 to n, e.g. 2/4");
  return shard;
}

nlohmann::ordered_json claims_json(const std::vector<kernels::Claim>& claims) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const kernels::Claim& claim : claims) {
    const assay_dut_claim c = kernels::abi::to_abi(claim);
    list.push_back({{"entry", claim.entry},
                    {"name", name_of(claim)},
                    {"operation", claim.operation},
                    {"a", c.a},
                    {"b", c.b},
                    {"d", c.d},
                    {"profile", c.profile},
                    {"rounding", c.rounding},
                    {"accumulator", c.accumulator},
                    {"fraction_bits", c.fraction_bits},
                    {"promotion", c.promotion},
                    {"mma_model", c.mma_model},
                    {"scale_layout", c.scale_layout},
                    {"gate_layout", c.gate_layout},
                    {"group_layout", c.group_layout},
                    {"random", c.random},
                    {"random_bits", c.random_bits},
                    {"estimators", c.estimators},
                    {"multiples", {c.m_multiple, c.n_multiple, c.k_multiple}},
                    {"tactic", claim.tactic},
                    {"tactics", c.tactics},
                    {"flags", c.flags}});
  }
  return list;
}

nlohmann::ordered_json to_json(const RunPlan& plan) {
  nlohmann::ordered_json properties = nlohmann::ordered_json::array();
  for (const PlannedProperty& p : plan.properties)
    properties.push_back({{"id", p.id},
                          {"section", p.section},
                          {"statement", p.statement},
                          {"applicable", p.applicable},
                          {"skip", p.skip}});
  return {{"version", plan.version},   {"commit", plan.commit},
          {"compiler", plan.compiler}, {"cuda_headers", plan.cuda_headers},
          {"command", plan.command},   {"device", plan.device},
          {"target", plan.target},     {"entry", plan.entry},
          {"profile", plan.profile},   {"profile_hash", plan.profile_hash},
          {"claims", plan.claims},     {"seed", plan.seed},
          {"cases", plan.cases},       {"retries", plan.retries},
          {"flaky", plan.flaky},       {"properties", std::move(properties)}};
}

RunPlan plan_from_json(const nlohmann::ordered_json& j) {
  RunPlan plan;
  plan.version = j.at("version");
  plan.commit = j.at("commit");
  plan.compiler = j.at("compiler");
  plan.cuda_headers = j.at("cuda_headers");
  plan.command = j.at("command");
  plan.device = j.at("device");
  plan.target = j.at("target");
  plan.entry = j.at("entry");
  plan.profile = j.at("profile");
  plan.profile_hash = j.at("profile_hash");
  plan.claims = j.at("claims");
  plan.seed = j.at("seed");
  plan.cases = j.at("cases");
  plan.retries = j.at("retries");
  plan.flaky = j.at("flaky").get<std::vector<std::string>>();
  for (const auto& p : j.at("properties"))
    plan.properties.push_back(
        {p.at("id"), p.at("section"), p.at("statement"), p.at("applicable"), p.at("skip")});
  return plan;
}

}  // namespace assay::proptests

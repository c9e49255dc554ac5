// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a run is going to do, before it does it: everything that decides its report but the device's
// answers. The first line of a journal is the plan, so that a journal says by itself what it is the
// journal of, and two journals belong together exactly when their plans are equal.

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "proptests/batch.h"
#include "proptests/property.h"

namespace assay::proptests {

struct PlannedProperty {
  std::string id, section, statement;
  bool applicable = true;  ///< the device claims something that it is about
  std::string skip;        ///< why it is left out; empty: it runs
};

struct RunPlan {
  /// The build and the command that repeats the run, as the report names them.
  std::string version, commit, compiler, cuda_headers, command;
  std::string device;  ///< its own name
  std::string target;  ///< as the command line names it
  std::string entry;   ///< the one entry that is looked at; empty: all
  std::string profile, profile_hash;
  nlohmann::ordered_json claims;  ///< of the device, every entry and tactic
  std::uint64_t seed = 1;
  std::int64_t cases = 1000;       ///< per property
  std::int64_t retries = 0;        ///< of a failed case of a flaky property
  std::vector<std::string> flaky;  ///< ids of these
  std::vector<PlannedProperty> properties;
};

/// One batch of one property; the order of the units is the order of the run: the first batch of
/// every property, then the second, and so on.
struct WorkUnit {
  std::size_t property = 0;  ///< in RunPlan::properties
  CaseRange range;
};
[[nodiscard]] std::vector<WorkUnit> units_of(const RunPlan& plan);
/// The units of shard `shard` of `shards`, counted from 1.
struct Shard {
  std::int64_t index = 1, count = 1;
};
[[nodiscard]] std::vector<WorkUnit> units_of(const RunPlan& plan, const Shard& shard);
/// "2/4". Throws std::invalid_argument for anything else, and for a shard that there is not.
[[nodiscard]] Shard parse_shard(std::string_view text);

/// Every field of every claim, by the names of abi/assay_dut.h.
[[nodiscard]] nlohmann::ordered_json claims_json(const std::vector<kernels::Claim>& claims);
[[nodiscard]] nlohmann::ordered_json to_json(const RunPlan& plan);
/// Throws nlohmann::json::exception for what is not a plan.
[[nodiscard]] RunPlan plan_from_json(const nlohmann::ordered_json& json);

}  // namespace assay::proptests

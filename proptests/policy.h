// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a team has agreed on about known failures. A policy never changes what was found, only what
// a verdict is called, and every change says so in the verdict's detail.

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "proptests/certify.h"

namespace assay::proptests {

struct Waiver {
  std::string property, reason, reference;
  std::string expires;  ///< YYYY-MM-DD, the last day on which it holds
};

struct Policy {
  /// Ids of properties that are known to fail: fail becomes expected_fail, pass unexpected_pass.
  std::vector<std::string> baseline;
  /// A failure with a waiver that holds is expected_fail; with one that has expired it is what it
  /// was.
  std::vector<Waiver> waivers;
  std::string today;  ///< YYYY-MM-DD
};

/// Lines without comments (from # on) and blanks around them; empty lines are left out. Throws
/// simulator::InputError.
[[nodiscard]] std::vector<std::string> read_lines(const std::filesystem::path& path);

/// The ids of a baseline file, a line each. Throws simulator::InputError for an id that no property
/// of the catalogue has: a misspelt line would hide nothing and say nothing.
[[nodiscard]] std::vector<std::string> read_baseline(const std::filesystem::path& path);
/// A JSON array of objects with property, reason, reference and expires, all of them required.
[[nodiscard]] std::vector<Waiver> read_waivers(const std::filesystem::path& path);

/// Regular expressions (ECMAScript), a line each; true where one matches the whole id.
class IdPatterns {
 public:
  IdPatterns() = default;
  explicit IdPatterns(const std::filesystem::path& path);
  [[nodiscard]] bool match(const std::string& id) const;

 private:
  std::vector<std::string> lines_;
};

/// Throws std::invalid_argument for what is not a day of the calendar as YYYY-MM-DD.
void require_day(std::string_view day, std::string_view what);

void apply(const Policy& policy, Report& report);

[[nodiscard]] nlohmann::ordered_json to_json(const Policy& policy);
/// Throws nlohmann::json::exception or std::invalid_argument.
[[nodiscard]] Policy policy_from_json(const nlohmann::ordered_json& json);

}  // namespace assay::proptests

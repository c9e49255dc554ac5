// SPDX-License-Identifier: Apache-2.0
#pragma once
// From names to rows, with errors that help.

#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include "formats/spec.h"

namespace assay::formats {

/// The row of that name. Throws std::invalid_argument that suggests the nearest name and lists all.
const FormatSpec& find_format(std::string_view name);
const Profile& find_profile(std::string_view name);
RoundingMode find_rounding_mode(std::string_view name);
std::string_view name_of(RoundingMode mode);

/// The one of `known`, which is not empty, that is the fewest edits away.
std::string_view nearest_name(std::string_view name, std::span<const std::string_view> known);

/// The sentence of those errors: "unknown KIND 'NAME'; did you mean 'X'? known: A, B, C". For
/// tables of other rooms. `known` is not empty.
std::string unknown_name(std::string_view kind, std::string_view name,
                         std::span<const std::string_view> known);

/// The profile's conventions for one destination; null where the profile has no row for it.
constexpr const ProfileRow* profile_row_if_any(const Profile& profile, const FormatSpec& spec) {
  for (const ProfileRow& row : profile.rows) {
    if (row.format->name == spec.name) return &row;
  }
  return nullptr;
}

/// Throws the std::invalid_argument of profile_row().
[[noreturn]] void throw_no_row(const Profile& profile, const FormatSpec& spec);

/// The same; throws std::invalid_argument, naming both and the profile's formats, without a row.
constexpr const ProfileRow& profile_row(const Profile& profile, const FormatSpec& spec) {
  const ProfileRow* row = profile_row_if_any(profile, spec);
  if (row == nullptr) throw_no_row(profile, spec);
  return *row;
}

/// The policy for FP64 sources, which may treat NaN differently (CUDA E4M3).
constexpr Policy policy_for_f64(const ProfileRow& row) {
  return {row.policy.overflow, row.nan_from_f64, row.policy.unsigned_rule};
}

}  // namespace assay::formats

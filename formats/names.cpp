// SPDX-License-Identifier: Apache-2.0
#include "formats/names.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <utility>
#include <vector>

#include "formats/fields.h"

namespace assay::formats {
namespace {

constexpr std::pair<std::string_view, RoundingMode> mode_names[] = {
    {"nearest_even", RoundingMode::nearest_even},
    {"nearest_away", RoundingMode::nearest_away},
    {"toward_zero", RoundingMode::toward_zero},
    {"toward_positive", RoundingMode::toward_positive},
    {"toward_negative", RoundingMode::toward_negative},
    {"to_odd", RoundingMode::to_odd},
    {"stochastic", RoundingMode::stochastic},
};

// Levenshtein's distance, one row at a time.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

template <class Rows>
const auto& find_row(const Rows& rows, std::string_view kind, std::string_view name) {
  std::vector<std::string_view> known;
  for (const auto* row : rows) {
    if (row->name == name) return *row;
    known.push_back(row->name);
  }
  throw std::invalid_argument(unknown_name(kind, name, known));
}

}  // namespace

std::string_view nearest_name(std::string_view name, std::span<const std::string_view> known) {
  return *std::min_element(known.begin(), known.end(),
                           [name](std::string_view a, std::string_view b) {
                             return edit_distance(name, a) < edit_distance(name, b);
                           });
}

std::string unknown_name(std::string_view kind, std::string_view name,
                         std::span<const std::string_view> known) {
  return fmt::format("unknown {} '{}'; did you mean '{}'? known: {}", kind, name,
                     nearest_name(name, known), fmt::join(known, ", "));
}

const FormatSpec& find_format(std::string_view name) {
  return find_row(all_formats, "format", name);
}

const Profile& find_profile(std::string_view name) {
  return find_row(all_profiles, "profile", name);
}

RoundingMode find_rounding_mode(std::string_view name) {
  std::vector<std::string_view> known;
  for (const auto& [mode_name, mode] : mode_names) {
    if (mode_name == name) return mode;
    known.push_back(mode_name);
  }
  throw std::invalid_argument(unknown_name("rounding mode", name, known));
}

std::string_view name_of(RoundingMode mode) {
  return mode_names[static_cast<std::size_t>(mode)].first;
}

void throw_no_row(const Profile& profile, const FormatSpec& spec) {
  std::vector<std::string_view> known;
  for (const ProfileRow& row : profile.rows) known.push_back(row.format->name);
  throw std::invalid_argument(fmt::format(
      "profile {} says nothing about format {}; it has rows for {}; take another profile",
      profile.name, spec.name, fmt::join(known, ", ")));
}

void require_expressible(const FormatSpec& spec, const Policy& policy) {
  const std::string_view reason = refusal(fields_of(spec), policy);
  if (!reason.empty()) {
    throw std::invalid_argument(
        fmt::format("format {} cannot express the requested policy: {}", spec.name, reason));
  }
}

void require_random_bits(RoundingMode mode, int bits) {
  if (mode == RoundingMode::stochastic && (bits < 1 || bits > 16)) {
    throw std::invalid_argument(
        fmt::format("stochastic rounding takes 1 to 16 random bits, not {}", bits));
  }
}

}  // namespace assay::formats

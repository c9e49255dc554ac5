// SPDX-License-Identifier: Apache-2.0
// Every scale rule for every element format, as `assay formats` prints them.
#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "formats/rule_matrix.h"
#include "tools/format_tables.h"

namespace assay::tools {
namespace {

using formats::BlockFormat;
using formats::ErrorMeasure;
using formats::FormatSpec;
using formats::ScaleRule;

constexpr std::array<const FormatSpec*, 6> elements{&formats::e2m1, &formats::e2m3, &formats::e3m2,
                                                    &formats::e4m3, &formats::e5m2, &formats::int4};

struct RuleRow {
  std::string_view name;
  const FormatSpec* scale;
  ScaleRule rule;
  std::optional<ErrorMeasure> measure = {};  ///< of candidate orders; none: one order
};

constexpr RuleRow rule_rows[] = {
    {"E8M0 floor", &formats::e8m0, ScaleRule::floor},
    {"E8M0 ceil", &formats::e8m0, ScaleRule::ceil},
    {"E8M0 rceil", &formats::e8m0, ScaleRule::rceil},
    {"E8M0 even", &formats::e8m0, ScaleRule::even},
    {"E4M3 nearest", &formats::ue4m3, ScaleRule::nearest},
    {"E4M3 up", &formats::ue4m3, ScaleRule::up},
    {"4over6, squared error", &formats::ue4m3, ScaleRule::nearest, ErrorMeasure::squared},
    {"4over6, absolute error", &formats::ue4m3, ScaleRule::nearest, ErrorMeasure::absolute},
    {"4over6, largest error", &formats::ue4m3, ScaleRule::nearest, ErrorMeasure::largest},
    {"BF16 amax/max", &formats::bf16, ScaleRule::amax_over_max},
    {"FP32 amax/max", &formats::fp32, ScaleRule::amax_over_max},
};

bool has(const BlockFormat& format, const RuleRow& row) {
  if (format.scale != row.scale || format.rule != row.rule) return false;
  if (format.candidates == nullptr) return !row.measure.has_value();
  return row.measure == format.candidates->measure;
}

}  // namespace

std::vector<std::string> rule_columns() {
  std::vector<std::string> columns{"rule"};
  for (const FormatSpec* element : elements) columns.emplace_back(element->name);
  return columns;
}

Json describe_rules() {
  Json rows = Json::array();
  for (const RuleRow& rule : rule_rows) {
    Json row{{"rule", rule.name}};
    for (const FormatSpec* element : elements) {
      const auto* const found =
          std::find_if(formats::every_block_format.begin(), formats::every_block_format.end(),
                       [&](const BlockFormat* format) {
                         return format->element == element && has(*format, rule);
                       });
      row[std::string(element->name)] =
          found == formats::every_block_format.end() ? "-" : (*found)->name;
    }
    rows.push_back(row);
  }
  return rows;
}

}  // namespace assay::tools

// SPDX-License-Identifier: Apache-2.0
#include "tools/format_tables.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <bitset>
#include <initializer_list>
#include <string_view>
#include <vector>

#include "formats/rule_matrix.h"
#include "golden/codec.h"
#include "tools/operation_text.h"
#include "tools/table.h"

namespace assay::tools {
namespace {

using formats::BlockFormat;
using formats::FormatSpec;
using formats::Profile;

std::string cell(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

/// "-3*2^-1": exact.
std::string dyadic(const golden::Value& value) {
  const std::string sign = value.negative ? "-" : "";
  if (value.is_nan()) return sign + "NaN";
  if (value.is_infinite()) return sign + "Inf";
  if (value.is_zero()) return sign + "0";
  return fmt::format("{}*2^{}", value.number.significand.str(), value.number.exponent);
}

/// The shortest decimal that reads back as the value; every value of these formats is a double.
std::string decimal(const golden::Value& value) {
  if (!value.is_finite() || value.is_zero()) return dyadic(value);
  return fmt::format("{}", golden::approximate(value.number));
}

std::string hexadecimal(const golden::Value& value) {
  if (!value.is_finite() || value.is_zero()) return dyadic(value);
  return fmt::format("{:a}", golden::approximate(value.number));
}

Json describe_code(const FormatSpec& spec, std::uint32_t code) {
  const golden::Value value = golden::decode(spec, code);
  const int digits = (spec.storage_bits + 3) / 4;
  std::string bits = std::bitset<32>(code).to_string().substr(
      static_cast<std::size_t>(32 - spec.sign_bits - spec.exponent_bits - spec.mantissa_bits));
  if (spec.exponent_bits != 0) {
    bits.insert(static_cast<std::size_t>(spec.sign_bits + spec.exponent_bits), 1, ' ');
    if (spec.sign_bits == 1) bits.insert(1, 1, ' ');
    while (bits.back() == ' ') bits.pop_back();
  }
  return {{"code", fmt::format("0x{:0{}X}", code, digits)},
          {"bits", bits},
          {"decimal", decimal(value)},
          {"hexadecimal", hexadecimal(value)},
          {"dyadic", dyadic(value)}};
}

std::string_view name(formats::Overflow overflow) {
  constexpr std::array<std::string_view, 3> names{"saturate", "to_infinity", "to_nan"};
  return names[static_cast<std::size_t>(overflow)];
}
std::string_view name(formats::NanRule rule) {
  constexpr std::array<std::string_view, 6> names{"canonical",  "keep_sign", "all_ones",
                                                  "max_finite", "zero",      "opposite_zero"};
  return names[static_cast<std::size_t>(rule)];
}
std::string_view name(formats::UnsignedRule rule) {
  constexpr std::array<std::string_view, 3> names{"clamp", "nan", "absolute"};
  return names[static_cast<std::size_t>(rule)];
}
std::string_view name(formats::ScaleRule rule) {
  constexpr std::array<std::string_view, 8> names{"floor",   "ceil", "rceil",         "even",
                                                  "nearest", "up",   "amax_over_max", "given"};
  return names[static_cast<std::size_t>(rule)];
}

std::string_view name(formats::ErrorMeasure measure) {
  constexpr std::array<std::string_view, 3> names{"squared", "absolute", "largest"};
  return names[static_cast<std::size_t>(measure)];
}

/// The table of `objects` with the columns `keys`.
std::string table_of(const Json& objects, const std::vector<std::string>& keys) {
  std::vector<std::vector<std::string>> rows{keys};
  for (const Json& object : objects) {
    std::vector<std::string> row;
    for (const std::string& key : keys) row.push_back(cell(object.at(key)));
    rows.push_back(row);
  }
  return table(rows);
}

/// "key  value" for every member that is no array.
std::string members_text(const Json& object) {
  std::string text;
  for (const auto& [key, value] : object.items())
    if (!value.is_array()) text += fmt::format("{:<16}{}\n", key, cell(value));
  return text;
}

/// The rules among `all` with which the format can express some policy, by name; the others go to
/// `refused`, after `what` they are rules of.
template <class Rule>
std::string those_expressible(const FormatSpec& spec, std::string_view what,
                              std::initializer_list<Rule> all, formats::Policy (*with)(Rule),
                              std::vector<std::string>& refused) {
  std::vector<std::string_view> names;
  std::vector<std::string_view> others;
  for (const Rule rule : all)
    (golden::expressible(spec, with(rule)) ? names : others).push_back(name(rule));
  if (!others.empty()) refused.push_back(fmt::format("{} {}", what, fmt::join(others, ", ")));
  return fmt::format("{}", fmt::join(names, ", "));
}

/// The policy cells of a format: each overflow rule goes with each NaN rule and each rule for
/// negative numbers.
void describe_policies(const FormatSpec& spec, Json& out) {
  using formats::NanRule;
  using formats::Overflow;
  using formats::UnsignedRule;
  // A NaN rule that every format has.
  constexpr auto any_nan = NanRule::max_finite;
  std::vector<std::string> refused;
  out["overflow"] = those_expressible<Overflow>(
      spec, "overflow", {Overflow::saturate, Overflow::to_infinity, Overflow::to_nan},
      [](Overflow rule) {
        return formats::Policy{rule, any_nan, UnsignedRule::clamp};
      },
      refused);
  out["NaN becomes"] = those_expressible<NanRule>(
      spec, "NaN",
      {NanRule::canonical, NanRule::keep_sign, NanRule::all_ones, NanRule::max_finite,
       NanRule::zero, NanRule::opposite_zero},
      [](NanRule rule) {
        return formats::Policy{Overflow::saturate, rule, UnsignedRule::clamp};
      },
      refused);
  if (spec.sign_bits == 0)
    out["negatives"] = those_expressible<UnsignedRule>(
        spec, "negatives", {UnsignedRule::clamp, UnsignedRule::nan, UnsignedRule::absolute},
        [](UnsignedRule rule) {
          return formats::Policy{Overflow::saturate, any_nan, rule};
        },
        refused);
  std::vector<std::string_view> profiles;
  std::vector<std::string_view> without;
  for (const Profile* profile : formats::all_profiles) {
    const bool has =
        std::any_of(profile->rows.begin(), profile->rows.end(),
                    [&spec](const formats::ProfileRow& row) { return row.format == &spec; });
    (has ? profiles : without).push_back(profile->name);
  }
  out["profiles"] = fmt::format("{}", fmt::join(profiles, ", "));
  if (!without.empty()) refused.push_back(fmt::format("profile {}", fmt::join(without, ", ")));
  out["refused"] = refused.empty() ? "nothing" : fmt::format("{}", fmt::join(refused, "; "));
}

std::string extent(std::int64_t n) { return n == 0 ? "all" : std::to_string(n); }

}  // namespace

Json describe(const FormatSpec& spec) {
  const std::uint32_t max = golden::max_finite_code(spec);
  // The smallest positive code: the first with a value above zero (E8M0 has no zero: code 0).
  const std::uint32_t smallest = golden::has_zero(spec) ? 1 : 0;
  // The smallest normal: exponent field 1 where 0 means subnormal.
  const std::uint32_t normal = spec.subnormals ? 1U << spec.mantissa_bits : 0;
  const auto value = [&](std::uint32_t code) {
    const golden::Value x = golden::decode(spec, code);
    return fmt::format("{} = {}", decimal(x), dyadic(x));
  };
  Json out{{"name", spec.name},
           {"bits", spec.storage_bits},
           {"sign/exp/man",
            fmt::format("{}/{}/{}", spec.sign_bits, spec.exponent_bits, spec.mantissa_bits)},
           {"bias", spec.bias},
           {"max", value(max)},
           {"min normal", spec.exponent_bits == 0 ? "none" : value(normal)},
           {"min positive", value(smallest)},
           {"subnormals", spec.subnormals ? "yes" : "no"},
           {"zero",
            golden::has_zero(spec) ? (golden::has_negative_zero(spec) ? "+0, -0" : "+0") : "none"},
           {"Inf", golden::has_infinity(spec) ? "yes" : "none"},
           {"NaN", golden::has_nan(spec)
                       ? fmt::format("0x{:X}{}", golden::canonical_nan(spec),
                                     spec.specials == formats::Specials::ieee ? " and others" : "")
                       : "none"},
           {"source", spec.source}};
  if (spec.negatives == formats::Negatives::twos_complement)
    out["negative codes"] = "two's complement; -max - 1 has a code that no number becomes";
  if (spec.storage_shift != 0)
    out["in an array"] = fmt::format("the top {} of {} bits, zeros below",
                                     spec.storage_bits - spec.storage_shift, spec.storage_bits);
  describe_policies(spec, out);
  for (const formats::BlockFormatAlias& alias : formats::block_format_aliases)
    if (alias.name == spec.name) out["as a block format"] = alias.format->name;
  if (spec.storage_bits <= 8) {
    Json codes = Json::array();
    for (std::uint32_t code = 0; code <= golden::code_mask(spec); ++code)
      codes.push_back(describe_code(spec, code));
    out["codes"] = codes;
  }
  return out;
}

Json describe(const BlockFormat& format) {
  Json out{{"name", format.name},
           {"element", format.element->name},
           {"block", extent(format.block.rows) + "x" + extent(format.block.cols)},
           {"scale", format.scale->name},
           {"rule", name(format.rule)},
           {"tensor scale", format.tensor_scale == formats::TensorScale::fp32 ? "fp32" : "none"},
           {"order", format.order->name},
           {"source", format.source},
           {"order source", format.order->source},
           {"per tensor", operations_text(format.order->tensor)},
           {"per block", operations_text(format.order->block)},
           {"per element", operations_text(format.order->element)}};
  if (format.candidates != nullptr) {
    std::vector<std::string_view> orders;
    for (const formats::OperationOrder* order : format.candidates->orders)
      orders.push_back(order->name);
    out["candidates"] = fmt::format("{}; the block keeps that of the least {} error",
                                    fmt::join(orders, ", "), name(format.candidates->measure));
  }
  std::vector<std::string_view> short_names;
  for (const formats::BlockFormatAlias& alias : formats::block_format_aliases)
    if (alias.format == &format) short_names.push_back(alias.name);
  if (!short_names.empty()) out["short names"] = fmt::format("{}", fmt::join(short_names, ", "));
  return out;
}

Json describe(const Profile& profile) {
  Json rows = Json::array();
  for (const formats::ProfileRow& row : profile.rows)
    rows.push_back({{"format", row.format->name},
                    {"overflow", name(row.policy.overflow)},
                    {"NaN", name(row.policy.nan)},
                    {"NaN from f64", name(row.nan_from_f64)},
                    {"negative to unsigned", name(row.policy.unsigned_rule)}});
  return {{"name", profile.name}, {"source", profile.source}, {"rows", rows}};
}

std::string format_text(const Json& format) {
  std::string text = members_text(format);
  if (format.contains("codes"))
    text +=
        "\n" + table_of(format.at("codes"), {"code", "bits", "decimal", "hexadecimal", "dyadic"});
  return text;
}

std::string block_format_text(const Json& block_format) {
  std::string text = members_text(block_format);
  for (const char* phase : {"per tensor", "per block", "per element"}) {
    if (block_format.at(phase).empty()) continue;
    text += fmt::format("\n{}:\n", phase);
    for (const Json& step : block_format.at(phase)) text += fmt::format("  {}\n", cell(step));
  }
  return text;
}

std::string packed_block_text(const Json& packed_block) { return members_text(packed_block); }

std::string profile_text(const Json& profile) {
  return members_text(profile) + "\n" +
         table_of(profile.at("rows"),
                  {"format", "overflow", "NaN", "NaN from f64", "negative to unsigned"});
}

namespace {

template <class Rows>
Json described(const Rows& rows) {
  Json out = Json::array();
  for (const auto* row : rows) out.push_back(describe(*row));
  return out;
}

}  // namespace

Json describe_all() {
  Json all{{"formats", described(formats::all_formats)},
           {"block_formats", described(formats::every_block_format)},
           {"scale_rules", describe_rules()},
           {"short_names", Json::array()},
           {"packed_blocks", described(formats::all_packed_blocks)},
           {"profiles", described(formats::all_profiles)}};
  for (const formats::BlockFormatAlias& alias : formats::block_format_aliases)
    all["short_names"].push_back(describe(alias));
  return all;
}

std::string overview_text(const Json& all) {
  return "formats (assay formats NAME for every code)\n" +
         table_of(all.at("formats"),
                  {"name", "sign/exp/man", "bias", "max", "min positive", "Inf", "NaN", "source"}) +
         "\nblock formats (assay formats NAME for the order of operations)\n" +
         table_of(all.at("block_formats"),
                  {"name", "element", "block", "scale", "rule", "tensor scale", "source"}) +
         "\nscale rules by element (the first block format that has them)\n" +
         table_of(all.at("scale_rules"), rule_columns()) + "\nshort names of block formats\n" +
         table_of(all.at("short_names"), {"name", "block format"}) +
         "\npacked blocks (assay formats NAME for their bytes)\n" +
         table_of(all.at("packed_blocks"), {"name", "GGUF type", "elements", "bytes",
                                            "bits/element", "scale", "quantizer"}) +
         "\npolicy profiles (assay formats NAME for the rules)\n" +
         table_of(all.at("profiles"), {"name", "source"});
}

}  // namespace assay::tools

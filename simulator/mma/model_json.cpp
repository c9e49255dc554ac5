// SPDX-License-Identifier: Apache-2.0
// Rows of MmaModel as JSON, so that a vendor adds a unit without rebuilding.
#include <array>
#include <stdexcept>

#include "formats/names.h"
#include "simulator/json_node.h"
#include "simulator/mma/model.h"
#include "simulator/strict_json.h"

namespace assay::simulator {
namespace {

constexpr std::array<std::string_view, 5> arithmetics{"fused", "grouped", "lowered", "rounded",
                                                      "flushed"};
constexpr std::array<std::string_view, 4> conversions{"rz_fp32", "rz_e8m13", "rne_fp16",
                                                      "rne_fp32"};
constexpr std::array<std::string_view, 2> zero_rules{"term", "floor"};
constexpr std::array<std::string_view, 4> evidences{"verified", "captured", "published",
                                                    "conjectured"};

const formats::FormatSpec* format(const JsonNode& node) {
  try {
    return &formats::find_format(node.text());
  } catch (const std::invalid_argument& e) {
    node.fail(std::string("has an ") + e.what());
  }
}

int integer(const JsonNode& node, int fallback, const char* key) {
  return node.has(key) ? static_cast<int>(node.at(key).integer(-10000, 10000)) : fallback;
}

template <class Enum, std::size_t N>
Enum choice(const JsonNode& node, const char* key, const std::array<std::string_view, N>& names,
            Enum fallback) {
  return node.has(key) ? static_cast<Enum>(node.at(key).choice(names)) : fallback;
}

MmaModel parse(const JsonNode& node) {
  node.only({"name", "arithmetic", "a", "b", "d", "step", "shortest_k", "fraction_bits",
             "conversion", "zero_exponent", "zero_rule", "signed_underflow", "scale", "scale_block",
             "evidence", "evidence_text", "source"});
  MmaModel m;
  m.name = node.at("name").text();
  m.a = format(node.at("a"));
  m.b = node.has("b") ? format(node.at("b")) : m.a;
  m.d = format(node.at("d"));
  m.arithmetic = choice(node, "arithmetic", arithmetics, m.arithmetic);
  m.step = static_cast<int>(node.at("step").integer(1, 1024));
  m.shortest_k = integer(node, m.step, "shortest_k");
  m.fraction_bits = integer(node, 0, "fraction_bits");
  m.conversion = static_cast<Conversion>(node.at("conversion").choice(conversions));
  m.zero_exponent = integer(node, 0, "zero_exponent");
  m.zero_rule = choice(node, "zero_rule", zero_rules, m.zero_rule);
  m.signed_underflow = !node.has("signed_underflow") || node.at("signed_underflow").truth();
  if (node.has("scale")) m.scale = format(node.at("scale"));
  m.scale_block = integer(node, 0, "scale_block");
  m.evidence = choice(node, "evidence", evidences, Evidence::conjectured);
  if (node.has("evidence_text")) m.evidence_text = node.at("evidence_text").text();
  m.source = node.at("source").text();
  try {
    require_valid(m);
  } catch (const std::invalid_argument& e) {
    node.fail(std::string("is no unit that can be computed: ") + e.what());
  }
  return m;
}

}  // namespace

std::string_view name_of(Evidence evidence) {
  return evidences[static_cast<std::size_t>(evidence)];
}
std::string_view name_of(Arithmetic arithmetic) {
  return arithmetics[static_cast<std::size_t>(arithmetic)];
}
std::string_view name_of(Conversion conversion) {
  return conversions[static_cast<std::size_t>(conversion)];
}
std::string_view name_of(ZeroRule rule) { return zero_rules[static_cast<std::size_t>(rule)]; }

std::vector<MmaModel> parse_mma_models(std::string_view text, std::string_view origin) {
  const nlohmann::json document = parse_strict_json(text, origin, "the file");
  const JsonNode root(document, std::string(origin) + ":");
  root.only({"models"});
  std::vector<MmaModel> models;
  for (const JsonNode& node : root.at("models").items()) models.push_back(parse(node));
  if (models.empty()) root.fail("has no models");
  return models;
}

}  // namespace assay::simulator

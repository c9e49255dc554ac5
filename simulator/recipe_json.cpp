// SPDX-License-Identifier: Apache-2.0
// The JSON form of a recipe. Every key is checked: a misspelt one would silently mean a default.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

#include "formats/names.h"
#include "simulator/json_node.h"
#include "simulator/mma/model.h"
#include "simulator/recipe.h"

namespace assay::simulator {
namespace {

using nlohmann::json;
using Node = JsonNode;

/// Block formats come before formats: `int4` as an operand is the preset, groups of 128 with scale
/// factors, which the integers by themselves do not have.
const formats::BlockFormat* block_format_if_any(std::string_view name) {
  for (const formats::BlockFormat* format : formats::all_block_formats)
    if (format->name == name) return format;
  for (const formats::BlockFormatAlias& alias : formats::block_format_aliases)
    if (alias.name == name) return alias.format;
  return nullptr;
}

const formats::FormatSpec* format_if_any(std::string_view name) {
  for (const formats::FormatSpec* spec : formats::all_formats)
    if (spec->name == name) return spec;
  return nullptr;
}

std::vector<std::string_view> block_format_names() {
  std::vector<std::string_view> names;
  for (const formats::BlockFormat* format : formats::all_block_formats)
    names.push_back(format->name);
  for (const formats::BlockFormatAlias& alias : formats::block_format_aliases)
    names.push_back(alias.name);
  return names;
}

formats::BlockFormat parse_block_format(const Node& node) {
  const std::string name = node.text();
  if (const formats::BlockFormat* found = block_format_if_any(name)) return *found;
  node.fail("has an " + formats::unknown_name("block format", name, block_format_names()));
}

void parse_format_name(const Node& node, OperandFormat& operand) {
  const std::string name = node.text();
  if (const formats::BlockFormat* block = block_format_if_any(name)) {
    operand.block = *block;
    return;
  }
  operand.element = format_if_any(name);
  if (operand.element != nullptr) return;
  for (const formats::PackedBlock* packed : formats::all_packed_blocks)
    if (packed->name == name)
      node.fail("names the packed block " + name + ", which replay does not quantize to; take a " +
                "format or block format of assay formats");
  std::vector<std::string_view> known;
  for (const formats::FormatSpec* spec : formats::all_formats) known.push_back(spec->name);
  for (const std::string_view block : block_format_names()) known.push_back(block);
  node.fail("has an " + formats::unknown_name("format", name, known));
}

formats::RoundingMode parse_rounding(const Node& node) {
  try {
    return formats::find_rounding_mode(node.text());
  } catch (const std::invalid_argument& e) {
    node.fail(std::string("has an ") + e.what());
  }
}

void parse_hadamard(const Node& node, OperandFormat& operand) {
  if (!node.has("hadamard")) {
    if (node.has("signs")) node.at("signs").fail("needs \"hadamard\" beside it");
    return;
  }
  operand.hadamard = static_cast<int>(node.at("hadamard").integer(2, 1024));
  if (!std::has_single_bit(static_cast<unsigned>(operand.hadamard)))
    node.at("hadamard").fail("must be a power of two");
  if (operand.reencode) node.at("hadamard").fail("does not go with \"reencode\"");
  if (!node.has("signs")) return;
  static constexpr std::array<std::string_view, 2> signs{"plus", "random"};
  operand.random_signs = node.at("signs").choice(signs) == 1;
}

OperandFormat parse_operand(const Node& node) {
  OperandFormat operand;
  if (node.value().is_string()) {
    parse_format_name(node, operand);
  } else {
    node.only(
        {"format", "block", "rounding", "random_bits", "scales", "reencode", "hadamard", "signs"});
    parse_format_name(node.at("format"), operand);
    if (node.has("block")) {
      const auto sides = node.at("block").items();
      if (!operand.block || sides.size() != 2) {
        node.fail("gives a block shape: it needs a block format and [rows, columns], 0 for all");
      }
      operand.block->block = {sides[0].integer(0, 1 << 30), sides[1].integer(0, 1 << 30)};
    }
    if (node.has("rounding")) {
      operand.rounding = parse_rounding(node.at("rounding"));
    }
    if (node.has("random_bits")) {
      operand.random_bits = static_cast<int>(node.at("random_bits").integer(1, 16));
    }
    if (node.has("scales")) {
      static constexpr std::array<std::string_view, 2> sources{"rule", "least_squares"};
      operand.scales = static_cast<ScaleSource>(node.at("scales").choice(sources));
    }
    if (node.has("reencode")) operand.reencode = parse_block_format(node.at("reencode"));
    parse_hadamard(node, operand);
  }
  const bool stochastic = operand.rounding == formats::RoundingMode::stochastic;
  if (stochastic != (operand.random_bits > 0)) {
    node.fail("needs \"random_bits\" (1..16) exactly when its rounding is stochastic");
  }
  const bool given = operand.block && operand.block->rule == formats::ScaleRule::given;
  if (given != (operand.scales == ScaleSource::least_squares)) {
    node.fail(
        "needs \"scales\": \"least_squares\" exactly when its block format has no scale rule");
  }
  if (operand.reencode && (!operand.block || operand.block->scale != &formats::e8m0)) {
    node.fail("re-encodes values that need not fit FP32: it needs a block format with e8m0 scales");
  }
  return operand;
}

AccumulatorModel parse_accumulator(const Node& node) {
  node.only({"kind", "fraction_bits", "promotion"});
  AccumulatorModel model;
  const Node kind = node.at("kind");
  model.kind = kind.text();
  if (model.kind != "fp32" && model.kind != "truncating") {
    try {
      (void)find_mma_model(model.kind);
    } catch (const std::invalid_argument& error) {
      kind.fail(std::string("must be fp32, truncating or a matrix unit: ") + error.what());
    }
  }
  const bool truncating = model.kind == "truncating";
  if (truncating != node.has("fraction_bits")) {
    node.fail("needs \"fraction_bits\" exactly when its kind is truncating");
  }
  if (truncating) model.fraction_bits = static_cast<int>(node.at("fraction_bits").integer(1, 52));
  if (node.has("promotion")) {
    model.promotion = static_cast<int>(node.at("promotion").integer(0, 1 << 20));
  }
  return model;
}

/// Golden's estimators; a name, or {kind, parameter} of those that have a parameter.
void parse_ste(const Node& node, Treatment& t) {
  const bool named = node.value().is_string();
  if (!named) node.only({"kind", "parameter"});
  t.ste = static_cast<SteKind>((named ? node : node.at("kind")).choice(kSteNames));
  const bool takes_one = t.ste == SteKind::ewgs || t.ste == SteKind::trust_mask;
  if (takes_one != (!named && node.has("parameter"))) {
    node.fail("is {\"kind\", \"parameter\"} exactly for ewgs (its delta) and trust_mask (its T)");
  }
  if (!takes_one) return;
  const Node parameter = node.at("parameter");
  if (parameter.value().is_number())
    t.ste_parameter = static_cast<float>(parameter.value().get<double>());
  if (!parameter.value().is_number() || !std::isfinite(t.ste_parameter) || t.ste_parameter < 0) {
    parameter.fail("must be a finite FP32 number of at least 0");
  }
}

Treatment parse_treatment(const Node& node, const OperandFormat& high_precision) {
  node.only({"class", "weight", "activation", "gradient", "wgrad_input", "wgrad_gradient", "ste",
             "accumulator"});
  Treatment t;
  t.weight = t.activation = t.gradient = high_precision;
  t.weight = parse_operand(node.at("weight"));
  if (node.has("activation")) t.activation = parse_operand(node.at("activation"));
  if (node.has("gradient")) t.gradient = parse_operand(node.at("gradient"));
  if (node.has("wgrad_input")) t.wgrad_input = parse_operand(node.at("wgrad_input"));
  if (node.has("wgrad_gradient")) t.wgrad_gradient = parse_operand(node.at("wgrad_gradient"));
  if (node.has("ste")) parse_ste(node.at("ste"), t);
  if (node.has("accumulator")) t.accumulator = parse_accumulator(node.at("accumulator"));
  return t;
}

ScheduleEntry parse_entry(const Node& node) {
  node.only({"step", "class", "experts", "weight"});
  ScheduleEntry entry;
  entry.step = node.at("step").integer(0, INT64_MAX);
  entry.tensor_class = static_cast<TensorClass>(node.at("class").choice(kTensorClassNames));
  entry.weight = parse_operand(node.at("weight"));
  if (node.has("experts") && node.at("experts").value() != "all") {
    for (const auto& expert : node.at("experts").items()) {
      entry.experts.push_back(static_cast<int>(expert.integer(0, 1 << 20)));
    }
  }
  return entry;
}

LossScaling parse_loss_scaling(const Node& node) {
  node.only({"kind", "initial", "growth_interval"});
  static constexpr std::array<std::string_view, 3> kinds{"none", "static", "dynamic"};
  LossScaling scaling;
  scaling.kind = kinds[node.at("kind").choice(kinds)];
  if (node.has("initial")) {
    const auto& v = node.at("initial").value();
    if (!v.is_number() || !(v.get<double>() > 0)) node.at("initial").fail("must be positive");
    scaling.initial = v.get<double>();
  }
  if (node.has("growth_interval")) {
    scaling.growth_interval = static_cast<int>(node.at("growth_interval").integer(1, 1 << 30));
  }
  return scaling;
}

double parse_share(const Node& node) {
  const auto& v = node.value();
  if (!v.is_number() || !(v.get<double>() >= 0 && v.get<double>() <= 1))
    node.fail("must be a share of the layers, 0 to 1");
  return v.get<double>();
}

const formats::FormatSpec* parse_element(const Node& node) {
  const std::string name = node.text();
  const formats::FormatSpec* spec = format_if_any(name);
  if (spec == nullptr) node.fail("is \"" + name + "\", not a format");
  return spec;
}

Recipe parse(const Node& node) {
  node.only({"schema_version", "name", "summary", "source", "notes", "high_precision", "classes",
             "high_precision_layers", "master", "moments", "weight_gradient", "loss_scaling",
             "schedule"});
  if (node.at("schema_version").integer(0, INT64_MAX) != 1) {
    node.at("schema_version").fail("must be 1");
  }
  Recipe recipe;
  recipe.name = node.at("name").text();
  recipe.summary = node.at("summary").text();
  recipe.source = node.at("source").text();
  if (node.has("notes")) {
    for (const auto& note : node.at("notes").items()) recipe.notes.push_back(note.text());
  }
  recipe.high_precision = parse_operand(node.at("high_precision"));
  recipe.classes.resize(kTensorClassNames.size());
  for (const auto& item : node.at("classes").items()) {
    auto& slot = recipe.classes[item.at("class").choice(kTensorClassNames)];
    if (slot) item.at("class").fail("appears twice");
    slot = parse_treatment(item, recipe.high_precision);
  }
  recipe.master = parse_element(node.at("master"));
  if (node.has("moments")) recipe.moments = parse_element(node.at("moments"));
  if (node.has("weight_gradient"))
    recipe.weight_gradient = parse_element(node.at("weight_gradient"));
  if (node.has("high_precision_layers")) {
    const Node kept = node.at("high_precision_layers");
    kept.only({"first", "last"});
    if (kept.has("first")) recipe.kept.first = parse_share(kept.at("first"));
    if (kept.has("last")) recipe.kept.last = parse_share(kept.at("last"));
  }
  if (node.has("loss_scaling")) recipe.loss_scaling = parse_loss_scaling(node.at("loss_scaling"));
  if (node.has("schedule")) {
    for (const auto& item : node.at("schedule").items()) {
      recipe.schedule.push_back(parse_entry(item));
      const auto n = recipe.schedule.size();
      if (n > 1 && recipe.schedule[n - 2].step > recipe.schedule[n - 1].step) {
        item.fail("has an earlier step than the entry before it; sort the schedule by step");
      }
    }
  }
  return recipe;
}

}  // namespace

Recipe parse_recipe(std::string_view text, std::string_view origin) {
  json parsed;
  try {
    parsed = json::parse(text);
  } catch (const json::parse_error& e) {
    throw InputError("recipe " + std::string(origin) + " is not JSON: error at byte " +
                     std::to_string(e.byte) + ".");
  } catch (const json::out_of_range&) {
    throw InputError("recipe " + std::string(origin) + " has a number that no double holds.");
  }
  return parse(Node(parsed, "recipe " + std::string(origin)));
}

}  // namespace assay::simulator

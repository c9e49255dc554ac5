// SPDX-License-Identifier: Apache-2.0
// Plans as JSON; docs/gemm-plans.md describes the members.
#include <array>
#include <stdexcept>

#include "formats/names.h"
#include "simulator/gemm_plan.h"
#include "simulator/json_node.h"
#include "simulator/strict_json.h"

namespace assay::simulator {
namespace {

constexpr std::string_view schema = "assay-gemm-plan-1";
constexpr std::array<std::string_view, 2> tile_orders{"ascending", "descending"};
constexpr std::array<std::string_view, 3> split_tiles{"contiguous", "balanced", "interleaved"};
constexpr std::array<std::string_view, 3> reductions{"ascending", "descending", "pairwise"};
constexpr std::array<std::string_view, 4> factors{"alpha", "scale_a", "scale_b", "scale_d"};
constexpr std::array<std::string_view, 2> addends{"c", "bias"};
constexpr std::array<std::string_view, 3> operations{"multiply", "add", "multiply_add"};
constexpr std::array<std::string_view, 6> roundings{
    "nearest_even", "nearest_away", "toward_zero", "toward_positive", "toward_negative", "to_odd"};
constexpr std::array<std::string_view, 3> overflows{"saturate", "to_infinity", "to_nan"};
constexpr std::array<std::string_view, 2> starts{"zero", "c"};

const formats::FormatSpec* format(const JsonNode& node) {
  try {
    return &formats::find_format(node.text());
  } catch (const std::invalid_argument& e) {
    node.fail(std::string("has an ") + e.what());
  }
}

template <class Enum, std::size_t N>
void choose(const JsonNode& node, const char* key, const std::array<std::string_view, N>& names,
            Enum& value) {
  if (node.has(key)) value = static_cast<Enum>(node.at(key).choice(names));
}

void size(const JsonNode& node, const char* key, int& value) {
  if (node.has(key)) value = static_cast<int>(node.at(key).integer(1, 1 << 24));
}

MmaModel model(const JsonNode& node, std::span<const MmaModel> models) {
  const std::string name = node.text();
  for (const MmaModel& m : models)
    if (m.name == name) return m;
  try {
    return find_mma_model(name);
  } catch (const std::invalid_argument& e) {
    node.fail(std::string("names an ") + e.what());
  }
}

EpilogueStep epilogue_step(const JsonNode& node) {
  node.only({"op", "by", "term", "fused"});
  EpilogueStep step;
  step.op = static_cast<EpilogueStep::Op>(node.at("op").choice(operations));
  const bool adds = step.op != EpilogueStep::Op::multiply;
  if (step.op != EpilogueStep::Op::add)
    for (const JsonNode& f : node.at("by").items())
      step.by.push_back(static_cast<Factor>(f.choice(factors)));
  else if (node.has("by"))
    node.fail("adds and does not multiply: \"by\" belongs to multiply and multiply_add");
  if (adds)
    step.term = static_cast<Addend>(node.at("term").choice(addends));
  else if (node.has("term"))
    node.fail("multiplies and does not add: \"term\" belongs to add and multiply_add");
  if (node.has("fused")) {
    if (step.op != EpilogueStep::Op::add || step.term != Addend::c)
      node.fail("is not an add of c, the only step with \"fused\"");
    step.fused = node.at("fused").truth();
  }
  return step;
}

SplitK split(const JsonNode& node) {
  node.only({"count", "tiles", "reduction", "partials"});
  SplitK s;
  s.count = static_cast<int>(node.at("count").integer(1, 1024));
  choose(node, "tiles", split_tiles, s.tiles);
  choose(node, "reduction", reductions, s.order);
  if (node.has("partials")) s.partials = format(node.at("partials"));
  return s;
}

void output(const JsonNode& node, GemmPlan& plan) {
  node.only({"format", "rounding", "overflow"});
  plan.output = format(node.at("format"));
  choose(node, "rounding", roundings, plan.rounding);
  // What a cast to FP8 and narrower does in every library; wider formats have infinities.
  plan.overflow =
      plan.output->storage_bits <= 8 ? formats::Overflow::saturate : formats::Overflow::to_infinity;
  choose(node, "overflow", overflows, plan.overflow);
}

template <std::size_t N, class Enum>
std::string_view name(const std::array<std::string_view, N>& names, Enum value) {
  return names.at(static_cast<std::size_t>(value));
}

}  // namespace

GemmPlan parse_gemm_plan(std::string_view text, std::string_view origin,
                         std::span<const MmaModel> models) {
  const nlohmann::json document = parse_strict_json(text, origin, "the file");
  const JsonNode root(document, std::string(origin) + ":");
  root.only({"schema", "name", "source", "model", "instruction_k", "tile_k", "tile_order",
             "promote_every", "accumulator", "split_k", "c", "bias", "epilogue", "output"});
  if (root.at("schema").text() != schema)
    root.at("schema").fail("must be \"" + std::string(schema) + "\"");
  GemmPlan p;
  p.name = root.at("name").text();
  if (root.has("source")) p.source = root.at("source").text();
  p.model = model(root.at("model"), models);
  p.instruction_k = p.model.step;
  size(root, "instruction_k", p.instruction_k);
  p.tile_k = p.instruction_k;
  size(root, "tile_k", p.tile_k);
  choose(root, "tile_order", tile_orders, p.tile_order);
  size(root, "promote_every", p.promote_every);
  if (root.has("accumulator")) p.start_from_c = root.at("accumulator").choice(starts) == 1;
  if (root.has("split_k")) p.split = split(root.at("split_k"));
  if (root.has("c")) p.c = format(root.at("c"));
  if (root.has("bias")) p.bias = format(root.at("bias"));
  if (root.has("epilogue"))
    for (const JsonNode& step : root.at("epilogue").items())
      p.epilogue.push_back(epilogue_step(step));
  output(root.at("output"), p);
  try {
    require_valid(p);
  } catch (const std::invalid_argument& e) {
    root.fail(std::string("is no plan that can be computed: ") + e.what());
  }
  return p;
}

std::string gemm_plan_json(const GemmPlan& p) {
  nlohmann::ordered_json j{{"schema", schema},
                           {"name", p.name},
                           {"source", p.source},
                           {"model", p.model.name},
                           {"instruction_k", p.instruction_k},
                           {"tile_k", p.tile_k},
                           {"tile_order", name(tile_orders, p.tile_order)}};
  if (p.promote_every != 0) j["promote_every"] = p.promote_every;
  j["accumulator"] = starts.at(p.start_from_c ? 1 : 0);
  j["split_k"] = {{"count", p.split.count},
                  {"tiles", name(split_tiles, p.split.tiles)},
                  {"reduction", name(reductions, p.split.order)},
                  {"partials", p.split.partials->name}};
  j["c"] = p.c->name;
  j["bias"] = p.bias->name;
  j["epilogue"] = nlohmann::ordered_json::array();
  for (const EpilogueStep& step : p.epilogue) {
    nlohmann::ordered_json row{{"op", name(operations, step.op)}};
    for (const Factor f : step.by) row["by"].push_back(name(factors, f));
    if (step.op != EpilogueStep::Op::multiply) row["term"] = name(addends, step.term);
    if (step.op == EpilogueStep::Op::add && step.term == Addend::c) row["fused"] = step.fused;
    j["epilogue"].push_back(std::move(row));
  }
  j["output"] = {{"format", p.output->name},
                 {"rounding", name(roundings, p.rounding)},
                 {"overflow", name(overflows, p.overflow)}};
  return j.dump(2) + "\n";
}

}  // namespace assay::simulator

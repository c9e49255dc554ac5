// SPDX-License-Identifier: Apache-2.0
#include "simulator/recipe.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>

#include "golden/estimator.h"
#include "simulator/embedded_recipes.h"
#include "simulator/input_error.h"
#include "simulator/name_list.h"

namespace assay::simulator {

namespace {

constexpr bool same_estimators() {
  for (std::size_t i = 0; i < kSteNames.size(); ++i)
    if (kSteNames[i] != golden::estimator_rules[i].name) return false;
  return kSteNames.size() == golden::estimator_rules.size();
}
static_assert(same_estimators(), "a recipe names the estimators that golden knows, in its order");

}  // namespace

std::string_view name(TensorClass c) { return kTensorClassNames[static_cast<std::size_t>(c)]; }
std::string_view name(SteKind k) { return kSteNames[static_cast<std::size_t>(k)]; }

TensorClass tensor_class(std::string_view name) {
  const auto found = std::find(kTensorClassNames.begin(), kTensorClassNames.end(), name);
  if (found == kTensorClassNames.end()) {
    throw InputError("unknown tensor class \"" + std::string(name) +
                     "\"; known: " + name_list(kTensorClassNames) + ".");
  }
  return static_cast<TensorClass>(found - kTensorClassNames.begin());
}

std::string_view OperandFormat::format_name() const { return block ? block->name : element->name; }

Treatment Recipe::treatment(TensorClass c, int expert, std::int64_t step, LayerPlace place) const {
  const auto& declared = classes[static_cast<std::size_t>(c)];
  Treatment plain;
  plain.weight = plain.activation = plain.gradient = high_precision;
  if (place.layer >= 0 && place.layers > 0) {
    const auto count = [&](double share) {
      return static_cast<int>(std::ceil(share * place.layers));
    };
    if (place.layer < count(kept.first) || place.layer >= place.layers - count(kept.last))
      return plain;
  }
  Treatment base = declared.value_or(plain);
  bool scheduled = false;
  const ScheduleEntry* last = nullptr;
  for (const auto& entry : schedule) {
    const bool applies =
        entry.tensor_class == c &&
        (entry.experts.empty() ||
         std::find(entry.experts.begin(), entry.experts.end(), expert) != entry.experts.end());
    scheduled = scheduled || applies;
    if (applies && entry.step <= step) last = &entry;
  }
  if (!scheduled) return base;
  if (last == nullptr) return plain;
  base.weight = last->weight;
  return base;
}

std::string recipe_text(const std::string& name_or_path) {
  for (const auto& embedded : embedded_recipes)
    if (embedded.name == name_or_path) return std::string(embedded.json);
  std::ifstream file(name_or_path, std::ios::binary);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf())) {
    throw InputError("recipe " + name_or_path + " is neither a known recipe (" +
                     name_list(recipe_names()) + ") nor a readable file.");
  }
  return text.str();
}

Recipe load_recipe(const std::string& name_or_path) {
  return parse_recipe(recipe_text(name_or_path), name_or_path);
}

std::vector<std::string_view> recipe_names() {
  std::vector<std::string_view> names;
  for (const auto& embedded : embedded_recipes) names.push_back(embedded.name);
  return names;
}

std::string_view recipe_json(std::string_view name) {
  for (const auto& embedded : embedded_recipes) {
    if (embedded.name == name) return embedded.json;
  }
  throw InputError("unknown recipe " + std::string(name) + "; known: " + name_list(recipe_names()) +
                   ".");
}

}  // namespace assay::simulator

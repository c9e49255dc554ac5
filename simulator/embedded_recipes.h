// SPDX-License-Identifier: Apache-2.0
#pragma once
// The recipe files of simulator/recipes/, embedded by the build (simulator/CMakeLists.txt).

#include <span>
#include <string_view>

namespace assay::simulator {

struct EmbeddedRecipe {
  std::string_view name;
  std::string_view json;
};

/// In the order of the tables users see.
extern const std::span<const EmbeddedRecipe> embedded_recipes;

}  // namespace assay::simulator

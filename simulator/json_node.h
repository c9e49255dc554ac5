// SPDX-License-Identifier: Apache-2.0
#pragma once
// JSON that people write (recipes, models), read key by key with an error that names the place.
// Private to the readers.

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "simulator/input_error.h"
#include "simulator/name_list.h"

namespace assay::simulator {

/// One place of a file: the value and the words that name it in an error.
class JsonNode {
 public:
  JsonNode(const nlohmann::json& value, std::string where)
      : value_(&value), where_(std::move(where)) {}

  [[noreturn]] void fail(const std::string& what) const {
    throw InputError(where_ + " " + what + ".");
  }
  [[nodiscard]] const nlohmann::json& value() const { return *value_; }
  [[nodiscard]] bool has(const char* key) const { return value_->contains(key); }
  [[nodiscard]] JsonNode at(const char* key) const {
    if (!has(key)) fail(std::string("lacks the key \"") + key + "\"");
    return {(*value_)[key], where_ + ", \"" + key + "\","};
  }
  [[nodiscard]] std::vector<JsonNode> items() const {
    if (!value_->is_array()) fail("must be a list");
    std::vector<JsonNode> nodes;
    for (std::size_t i = 0; i < value_->size(); ++i) {
      nodes.emplace_back((*value_)[i], where_ + " entry " + std::to_string(i));
    }
    return nodes;
  }
  [[nodiscard]] std::string text() const {
    if (!value_->is_string()) fail("must be a string");
    return value_->get<std::string>();
  }
  [[nodiscard]] std::int64_t integer(std::int64_t low, std::int64_t high) const {
    if (!value_->is_number_integer() ||
        (value_->is_number_unsigned() && value_->get<std::uint64_t>() > INT64_MAX)) {
      fail("must be an integer");
    }
    const auto v = value_->get<std::int64_t>();
    if (v < low || v > high) {
      fail("must lie in " + std::to_string(low) + ".." + std::to_string(high));
    }
    return v;
  }
  [[nodiscard]] bool truth() const {
    if (!value_->is_boolean()) fail("must be true or false");
    return value_->get<bool>();
  }
  /// A misspelt key would silently mean the default, so every key must be known.
  void only(std::initializer_list<std::string_view> keys) const {
    if (!value_->is_object()) fail("must be an object");
    for (const auto& [key, ignored] : value_->items()) {
      if (std::find(keys.begin(), keys.end(), key) == keys.end()) {
        fail("has the unknown key \"" + key + "\"; known: " + name_list(keys));
      }
    }
  }
  template <std::size_t N>
  [[nodiscard]] std::size_t choice(const std::array<std::string_view, N>& names) const {
    const std::string t = text();
    const auto found = std::find(names.begin(), names.end(), t);
    if (found == names.end()) fail("is \"" + t + "\"; known: " + name_list(names));
    return static_cast<std::size_t>(found - names.begin());
  }

 private:
  const nlohmann::json* value_;
  std::string where_;
};

}  // namespace assay::simulator

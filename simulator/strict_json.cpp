// SPDX-License-Identifier: Apache-2.0
#include "simulator/strict_json.h"

#include <set>
#include <vector>

#include "simulator/input_error.h"

namespace assay::simulator {
namespace {

constexpr int kMaxDepth = 32;  // recordings need 5, safetensors headers 3

}  // namespace

nlohmann::json parse_strict_json(std::string_view text, std::string_view file_name,
                                 std::string_view what) {
  using Json = nlohmann::json;
  const std::string where = std::string(file_name) + ": " + std::string(what);
  std::vector<std::set<std::string>> keys;
  const auto check = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (depth > kMaxDepth) throw InputError(where + " is nested too deeply.");
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key &&
        !keys.back().insert(parsed.get_ref<const std::string&>()).second) {
      throw InputError(where + " has the key \"" + parsed.get<std::string>() + "\" twice.");
    }
    return true;
  };
  try {
    return Json::parse(text.begin(), text.end(), check);
  } catch (const nlohmann::json::exception& error) {
    // The library's text names byte and token; its prefix "[json.exception...] " helps nobody.
    std::string reason = error.what();
    if (const auto end = reason.find("] "); end != std::string::npos) reason.erase(0, end + 2);
    throw InputError(where + " is not valid JSON (" + reason + ").");
  }
}

}  // namespace assay::simulator

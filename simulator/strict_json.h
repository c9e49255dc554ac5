// SPDX-License-Identifier: Apache-2.0
#pragma once
// JSON from strangers: unlike the plain parser it rejects duplicate keys (which would let two
// readers of one file disagree) and deep nesting. Private to the readers.

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace assay::simulator {

/// Throws InputError: "FILE: WHAT is not valid JSON (...)."
nlohmann::json parse_strict_json(std::string_view text, std::string_view file_name,
                                 std::string_view what);

}  // namespace assay::simulator

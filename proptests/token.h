// SPDX-License-Identifier: Apache-2.0
#pragma once
// How a case is named: "417" is case 417 of its property and seed, "417/0.3.12" is what is left of
// it after taking the first, then the fourth, then the thirteenth of the simpler cases on offer. A
// step that repeats is written once: "3x5". The case regenerates from this, the property and the
// seed.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace assay::proptests {

struct Token {
  std::int64_t index = 0;
  std::vector<std::int64_t> path;
};

[[nodiscard]] std::string to_string(const Token& token);
/// Throws std::invalid_argument for anything that to_string does not write.
[[nodiscard]] Token parse_token(std::string_view text);

}  // namespace assay::proptests

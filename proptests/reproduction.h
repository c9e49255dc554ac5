// SPDX-License-Identifier: Apache-2.0
#pragma once
// Everything that names one case, in one word to paste: "assay1:" and base64url of a JSON object
// with its checksum. `assay reproduce` needs nothing else but the device.

#include <cstdint>
#include <string>
#include <string_view>

namespace assay::proptests {

struct Reproduction {
  std::string device;  ///< as the command line names it
  std::string entry;   ///< empty: every claim of the device
  std::string property;
  std::uint64_t seed = 1;
  std::string token;  ///< the case and its simplifications (token.h)
};

[[nodiscard]] std::string to_string(const Reproduction& reproduction);
/// Throws std::invalid_argument for anything that to_string does not write.
[[nodiscard]] Reproduction parse_reproduction(std::string_view text);

}  // namespace assay::proptests

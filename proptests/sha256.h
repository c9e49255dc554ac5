// SPDX-License-Identifier: Apache-2.0
#pragma once
// SHA-256 (FIPS 180-4), for the manifests and headers that a third party checks.

#include <string>
#include <string_view>

namespace assay::proptests {

/// 64 hexadecimal digits.
[[nodiscard]] std::string sha256(std::string_view bytes);

}  // namespace assay::proptests

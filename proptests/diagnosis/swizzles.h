// SPDX-License-Identifier: Apache-2.0
#pragma once
// Every way the index of the 128x4 layout goes wrong: it counts tiles, rows or columns otherwise.

#include <cstdint>
#include <span>

#include "golden/layout.h"
#include "kernels/device_under_test.h"

namespace assay::proptests::diagnosis {

struct Swizzle {
  const char* id;
  const char* text;
  /// Where the scale factor of row r and block b is looked for; may lie beyond the array.
  std::int64_t (*at)(const golden::BlockGrid& g, std::int64_t r, std::int64_t b);
};
[[nodiscard]] std::span<const Swizzle> swizzles();

[[nodiscard]] bool is_swizzled(const kernels::Claim& c);

}  // namespace assay::proptests::diagnosis

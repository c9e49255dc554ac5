// SPDX-License-Identifier: Apache-2.0
#pragma once
// Sizes of untrusted shapes: every product is checked for overflow. Private to the readers.

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>

#include "simulator/dtype.h"

namespace assay::simulator {

/// The product of the extents; nothing if one is negative or the product (zeros left out, so that
/// the answer does not depend on their place) does not fit int64.
inline std::optional<std::uint64_t> element_count(std::span<const std::int64_t> shape) {
  std::uint64_t product = 1;
  bool zero = false;
  for (const std::int64_t extent : shape) {
    if (extent < 0) return std::nullopt;
    if (extent == 0) {
      zero = true;
    } else if (__builtin_mul_overflow(product, static_cast<std::uint64_t>(extent), &product)) {
      return std::nullopt;
    }
  }
  if (product > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    return std::nullopt;
  }
  return zero ? 0 : product;
}

/// Bytes of such a tensor, elements narrower than a byte packed; nothing on overflow or if the
/// elements do not fill whole bytes.
inline std::optional<std::uint64_t> byte_count(Dtype dtype, std::span<const std::int64_t> shape) {
  const std::optional<std::uint64_t> count = element_count(shape);
  std::uint64_t bits = 0;
  if (!count ||
      __builtin_mul_overflow(*count, static_cast<std::uint64_t>(info(dtype).bits), &bits) ||
      bits % 8 != 0) {
    return std::nullopt;
  }
  return bits / 8;
}

/// "2x3", "scalar".
inline std::string shape_text(std::span<const std::int64_t> shape) {
  if (shape.empty()) return "scalar";
  std::string text;
  for (const std::int64_t extent : shape) {
    text += (text.empty() ? "" : "x") + std::to_string(extent);
  }
  return text;
}

}  // namespace assay::simulator

// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the bytes of a packed block (formats/tensor.h, PackedBlock) stand for, one element at a
// time.

#include <cstdint>
#include <span>

#include "formats/tensor.h"
#include "golden/value.h"

namespace assay::golden {

/// The code of element i, 0 <= i < block.elements. `bytes` are those of one block.
[[nodiscard]] std::uint32_t packed_code(const formats::PackedBlock& block,
                                        std::span<const std::uint8_t> bytes, int i);

/// The exact value of element i: NaN where a scale factor or offset is NaN.
[[nodiscard]] Value packed_value(const formats::PackedBlock& block,
                                 std::span<const std::uint8_t> bytes, int i);

}  // namespace assay::golden

// SPDX-License-Identifier: Apache-2.0
#pragma once
// Operands of integers: offsets, counts, random words.

#include <span>
#include <vector>

#include "proptests/device.h"

namespace assay::proptests {

template <class Integer>
[[nodiscard]] Operand integers(std::uint32_t role, std::vector<std::int64_t> shape,
                               std::span<const Integer> values) {
  // FP32 has no part in it: it makes a dense shape, whose type is then replaced.
  Operand o = operand(role, ASSAY_DUT_VALUES, formats::fp32, std::move(shape), bytes_of(values));
  o.shape.type_code = std::is_signed_v<Integer> ? ASSAY_DUT_INT : ASSAY_DUT_UINT;
  o.shape.type_bits = 8 * sizeof(Integer);
  o.shape.bytes = values.size_bytes();
  return o;
}

}  // namespace assay::proptests

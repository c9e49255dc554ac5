// SPDX-License-Identifier: Apache-2.0
#pragma once
// Tensors of a call as words, for text_vectors.h.

#include <cstdint>
#include <string>
#include <vector>

#include "proptests/device.h"

namespace assay::proptests {

/// "q scales"
[[nodiscard]] std::string tensor_name(const assay_dut_tensor& t);
/// "e8m0 2 2 1": type and shape.
[[nodiscard]] std::string tensor_shape(const assay_dut_tensor& t);
[[nodiscard]] std::string type_name(const assay_dut_tensor& t);

/// The elements of a dense tensor, in order: how many there are in a row, and how many rows. Rows
/// of 4-bit codes start at a byte. The 128x4 layout is one row.
struct Rows {
  std::int64_t count = 0, length = 0;
  int bits = 0;
  [[nodiscard]] std::int64_t row_bytes() const { return (length * bits + 7) / 8; }
};
[[nodiscard]] Rows rows_of(const assay_dut_tensor& t);
[[nodiscard]] std::uint64_t element(const std::uint8_t* row, std::int64_t i, int bits);
/// The place of a 4-bit element must hold zero.
void set_element(std::uint8_t* row, std::int64_t i, int bits, std::uint64_t value);

}  // namespace assay::proptests

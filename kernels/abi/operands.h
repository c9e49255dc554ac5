// SPDX-License-Identifier: Apache-2.0
#pragma once
// Finding the operands of a C call.

#include <cstdint>
#include <span>

#include "kernels/abi/assay_dut.h"

namespace assay::kernels::abi {

/// Null where the call has no such operand.
[[nodiscard]] inline const assay_dut_tensor* find(std::span<const assay_dut_tensor> tensors,
                                                  std::uint32_t role,
                                                  std::uint32_t part = ASSAY_DUT_VALUES) {
  for (const assay_dut_tensor& t : tensors)
    if (t.role == role && t.part == part) return &t;
  return nullptr;
}
[[nodiscard]] inline std::span<const assay_dut_tensor> inputs(const assay_dut_call& call) {
  return {call.in, call.n_in};
}
[[nodiscard]] inline std::span<const assay_dut_tensor> outputs(const assay_dut_call& call) {
  return {call.out, call.n_out};
}
/// The memory of an operand as an array of T; empty where the operand is absent.
template <class T>
[[nodiscard]] std::span<T> data_of(const assay_dut_tensor* t) {
  return t == nullptr ? std::span<T>{}
                      : std::span<T>{static_cast<T*>(t->data), t->bytes / sizeof(T)};
}
/// Whether every row follows the one before it (true of scale layouts other than strides).
[[nodiscard]] inline bool is_dense(const assay_dut_tensor& t) {
  std::int64_t step = 1;
  for (int i = t.ndim - 1; t.layout == ASSAY_DUT_STRIDED && i >= 0; --i) {
    // Rows of 4-bit codes start at a byte.
    if (i == t.ndim - 2 && t.type_bits == 4) step = (step + 1) / 2 * 2;
    if (t.shape[i] > 1 && t.strides[i] != step) return false;
    step *= t.shape[i];
  }
  return true;
}

}  // namespace assay::kernels::abi

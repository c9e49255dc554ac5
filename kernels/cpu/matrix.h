// SPDX-License-Identifier: Apache-2.0
#pragma once
// Block-scaled tensors and outputs of a C call as the CPU kernels compute with them.

#include <span>
#include <vector>

#include "formats/tensor.h"
#include "kernels/abi/assay_dut.h"

namespace assay::kernels::cpu {

/// Matrix `index` of an operand (0 of a two-dimensional one), dense; of a tensor scale for each
/// matrix its own. Its format is null where the operand is absent.
formats::BlockScaledTensor matrix(std::span<const assay_dut_tensor> tensors, std::uint32_t role,
                                  const formats::BlockFormat* format, std::int64_t index = 0);

/// A matrix without contents, of the shape and scale layout of an output. Its format is null where
/// the call has no such output.
formats::BlockScaledTensor output_shape(const assay_dut_call& call, std::uint32_t role,
                                        const formats::BlockFormat* format);
void store_matrix(const formats::BlockScaledTensor& t, const assay_dut_call& call,
                  std::uint32_t role);

/// Numbers (in the format, widened to FP32) to the rows of a tensor from `first_row` on.
void store_numbers(const formats::FormatSpec& format, const std::vector<float>& numbers,
                   const assay_dut_tensor& to, std::int64_t first_row = 0);

/// rows x cols, transposed.
std::vector<float> transposed(const std::vector<float>& x, std::int64_t rows, std::int64_t cols);

}  // namespace assay::kernels::cpu

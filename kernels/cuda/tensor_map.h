// SPDX-License-Identifier: Apache-2.0
#pragma once
// Descriptions of matrices for the tensor copy engine, made by the driver.

#include <cuda.h>

#include <cstdint>

namespace assay::kernels::cuda {

/// A row-major matrix `rows` x `cols` in device memory, copied in boxes of `box_rows` x `box_cols`,
/// where box_cols * element bytes is 128, swizzled by 128 bytes. `data` and the rows' bytes are
/// multiples of 16. Throws std::runtime_error where the driver has no such thing.
CUtensorMap tensor_map(CUtensorMapDataType type, const void* data, std::int64_t rows,
                       std::int64_t cols, int box_rows, int box_cols);

}  // namespace assay::kernels::cuda

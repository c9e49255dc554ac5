// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/tensor_map.h"

#include "kernels/cuda/check.h"

namespace assay::kernels::cuda {
namespace {

using Encode = decltype(&cuTensorMapEncodeTiled);

/// The runtime is static and the driver is not linked: its entry point is asked for.
Encode encode() {
  static const Encode entry = [] {
    void* address = nullptr;
    cudaDriverEntryPointQueryResult result{};
    check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &address, 12000,
                                           cudaEnableDefault, &result),
          "cuTensorMapEncodeTiled");
    if (result != cudaDriverEntryPointSuccess || address == nullptr)
      throw std::runtime_error("the driver has no cuTensorMapEncodeTiled; it must know CUDA 12");
    return reinterpret_cast<Encode>(address);
  }();
  return entry;
}

}  // namespace

CUtensorMap tensor_map(CUtensorMapDataType type, const void* data, std::int64_t rows,
                       std::int64_t cols, int box_rows, int box_cols) {
  const int bytes = type == CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 ? 2 : 1;
  const cuuint64_t shape[2] = {static_cast<cuuint64_t>(cols), static_cast<cuuint64_t>(rows)};
  const cuuint64_t stride[1] = {static_cast<cuuint64_t>(cols * bytes)};
  const cuuint32_t box[2] = {static_cast<cuuint32_t>(box_cols), static_cast<cuuint32_t>(box_rows)};
  const cuuint32_t step[2] = {1, 1};
  CUtensorMap map{};
  const CUresult status =
      encode()(&map, type, 2, const_cast<void*>(data), shape, stride, box, step,
               CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
               CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (status != CUDA_SUCCESS)
    throw std::runtime_error("cuTensorMapEncodeTiled refused a matrix of " + std::to_string(rows) +
                             " x " + std::to_string(cols) + " (error " + std::to_string(status) +
                             ")");
  return map;
}

}  // namespace assay::kernels::cuda

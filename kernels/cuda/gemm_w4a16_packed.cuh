// SPDX-License-Identifier: Apache-2.0
#pragma once
// W4A16 of rearranged weights, for batches of at most 16.

#include "kernels/cuda/check.h"
#include "kernels/cuda/gemm_w4a16.cuh"

namespace assay::kernels::cuda {

/// Owns a rearranged copy of a problem's weights (w4a16_packed.h), n and k padded to whole tiles.
class PackedWeights {
 public:
  /// k is a multiple of 32.
  explicit PackedWeights(const GemmW4a16& problem);
  /// False where a scale factor cannot be packed: MXFP4's below 2^-106, above 2^20 or NaN.
  [[nodiscard]] bool fits() const { return fits_; }
  /// The problem with these weights beside its own.
  [[nodiscard]] GemmW4a16 attached_to(GemmW4a16 problem) const;

 private:
  mutable DeviceBuffer<std::uint32_t> codes_;
  mutable DeviceBuffer<std::uint8_t> scales_;
  bool fits_ = false;
};

/// `columns`: 8 or 16.
[[nodiscard]] bool w4a16_packed_takes(int columns, const GemmW4a16& problem);
void launch_w4a16_packed(int columns, const GemmW4a16& problem, cudaStream_t stream);

}  // namespace assay::kernels::cuda

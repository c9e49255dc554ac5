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
  mutable DeviceBuffer<std::uint8_t> tiles_;
  bool fits_ = false;
};

/// `columns`: 8 or 16. The packed weights are read before the kernel ahead in the stream has ended,
/// so that kernel must not write them; PackedWeights' constructor waits for its own.
[[nodiscard]] bool w4a16_packed_takes(int columns, const GemmW4a16& problem);
void launch_w4a16_packed(int columns, const GemmW4a16& problem, cudaStream_t stream);

/// Tiles of `columns` rows of A, 64, 128 or 256, by 128 rows of B.
[[nodiscard]] bool w4a16_packed_wgmma_takes(const GemmW4a16& problem);
void launch_w4a16_packed_wgmma(int columns, const GemmW4a16& problem, cudaStream_t stream);

}  // namespace assay::kernels::cuda

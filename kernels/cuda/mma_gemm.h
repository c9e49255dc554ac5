// SPDX-License-Identifier: Apache-2.0
#pragma once
// Whole products with a matrix unit's bits, computed by the GPU's ordinary units: a model on the
// device, for any unit, whether or not this GPU has it.

#include <cstdint>
#include <span>
#include <string>

#include "simulator/mma/device_step.h"

namespace assay::kernels::cuda {

struct DeviceMmaCall {
  simulator::DeviceMma model;
  std::int64_t m = 0, n = 0, k = 0;    ///< m and n multiples of 64, k of the model's chunk
  std::span<const std::uint8_t> a, b;  ///< m x k and n x k codes, one a byte
  std::span<const std::uint8_t> scale_a, scale_b;  ///< of `grouped`: m and n x k / scale_block
  std::span<std::uint32_t> d;                      ///< m x n codes
  std::span<std::uint8_t> done;                    ///< m x n; 0 where dot() must take the output
};

/// C is zero. Seconds of the median of `repeats` runs, without copies. Throws
/// std::invalid_argument for other sizes.
[[nodiscard]] double run_device_mma(const DeviceMmaCall& call, int repeats);

/// Name of the GPU, which becomes the current one; empty where there is none, with `reason`.
[[nodiscard]] std::string mma_gpu(int device, std::string& reason);

}  // namespace assay::kernels::cuda

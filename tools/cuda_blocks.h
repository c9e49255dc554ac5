// SPDX-License-Identifier: Apache-2.0
#pragma once
// Block quantizers as plain loops over the CUDA headers' host functions, for every preset: what
// `assay bench blocks` measures against. Compiled and used like cuda_baseline.h, and as plain.

#include <cstdint>

namespace assay::tools::cuda_baseline {

/// A matrix in row-major order, finite, with blocks whose scale factors are normal and not 0. Codes
/// and scale factors in row-major order, as BlockScaledTensor keeps them; tensor_scale is set where
/// the format has one. `given`: scale factors, for formats that take them.
struct BlockCall {
  const float* x = nullptr;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  const float* given = nullptr;
  std::uint8_t* codes = nullptr;
  std::uint8_t* scales = nullptr;
  float tensor_scale = 1;
};

using BlockLoop = void (*)(BlockCall& call);

/// The loop of the block format of that name; null where there is none.
BlockLoop block_loop(const char* name);

}  // namespace assay::tools::cuda_baseline

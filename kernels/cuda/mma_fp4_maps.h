// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which lane holds what of mma.sync.m16n8k64 with .block_scale. Published, not run on such a GPU:
// the fragments are those of PTX ISA 9.0, section 9.7.14.5.11 (mma.m16n8k64, .e2m1), the scale
// factors and their selectors of section 9.7.14.3 with its figures 43 to 45.

#include "kernels/cuda/host_device.h"

namespace assay::kernels::cuda {

inline constexpr int mma_fp4_m = 16, mma_fp4_n = 8, mma_fp4_k = 64;

struct MmaPlace {
  int row, col;
};

/// Nibble `i` (0..7, lowest first) of register `r` (0..3) of A: row m and column k.
[[nodiscard]] ASSAY_HOST_DEVICE constexpr MmaPlace mma_fp4_a(int lane, int r, int i) {
  return {lane / 4 + r % 2 * 8, lane % 4 * 8 + i + r / 2 * 32};
}
/// Nibble `i` of register `r` (0..1) of B: row k and column n.
[[nodiscard]] ASSAY_HOST_DEVICE constexpr MmaPlace mma_fp4_b(int lane, int r, int i) {
  return {lane % 4 * 8 + i + r * 32, lane / 4};
}
/// Register `r` (0..3) of C and D: row m and column n.
[[nodiscard]] ASSAY_HOST_DEVICE constexpr MmaPlace mma_fp4_d(int lane, int r) {
  return {lane / 4 + r / 2 * 8, lane % 4 * 2 + r % 2};
}

/// The scale factor that a byte (0..3) of a lane's scale-a-data is for the instruction with this
/// selector {byte-id-a, thread-id-a}: row m and block along k; {-1, -1}: not read. `count` scale
/// factors a row (4: .scale_vec::4X, byte-id 0; 2: .scale_vec::2X, byte-id 0 or 2). thread-id-a 0
/// takes the lanes 0 and 1 of each quad, 1 the lanes 2 and 3; the first of the pair has row
/// lane / 4, the second the row 8 below.
[[nodiscard]] ASSAY_HOST_DEVICE constexpr MmaPlace mma_fp4_scale_a(int lane, int byte, int count,
                                                                   int byte_id, int thread_id) {
  const bool read = lane % 4 / 2 == thread_id && byte >= byte_id && byte < byte_id + count;
  return read ? MmaPlace{lane / 4 + lane % 2 * 8, byte - byte_id} : MmaPlace{-1, -1};
}
/// The same of scale-b-data: block along k and column n. thread-id-b is the lane of each quad.
[[nodiscard]] ASSAY_HOST_DEVICE constexpr MmaPlace mma_fp4_scale_b(int lane, int byte, int count,
                                                                   int byte_id, int thread_id) {
  const bool read = lane % 4 == thread_id && byte >= byte_id && byte < byte_id + count;
  return read ? MmaPlace{byte - byte_id, lane / 4} : MmaPlace{-1, -1};
}

}  // namespace assay::kernels::cuda

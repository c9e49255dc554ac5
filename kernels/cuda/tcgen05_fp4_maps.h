// SPDX-License-Identifier: Apache-2.0
#pragma once
// Descriptors and layouts of tcgen05.mma with .block_scale, .cta_group::1 and M = 128. Published,
// not run on such a GPU; sections of PTX ISA 9.0.

#include <cstdint>

#include "kernels/cuda/gemm_fp4.h"
#include "kernels/cuda/host_device.h"

namespace assay::kernels::cuda {

inline constexpr int tcgen05_m = 128;

/// Swizzling modes of the shared-memory descriptor.
enum class SharedSwizzle : std::uint32_t { none = 0, bytes128 = 2 };

/// Section 9.7.16.4.1, table "Shared memory descriptor layout". Address and strides are multiples
/// of 16 and below 2^18; bits 46 to 48 are 0b001, the base offset is 0 (patterns start at multiples
/// of 1024 bytes), and the leading stride, bits 16 to 29, is relative.
[[nodiscard]] ASSAY_HOST_DEVICE constexpr std::uint64_t shared_descriptor(
    std::uint32_t address, std::uint32_t leading_stride, std::uint32_t stride,
    SharedSwizzle swizzle) {
  return std::uint64_t{(address & 0x3FFFFU) >> 4} |
         std::uint64_t{(leading_stride & 0x3FFFFU) >> 4} << 16 |
         std::uint64_t{(stride & 0x3FFFFU) >> 4} << 32 | std::uint64_t{1} << 46 |
         std::uint64_t{static_cast<std::uint32_t>(swizzle)} << 61;
}
/// Rows of 128 bytes along k (256 codes, two to a byte without padding: section 9.7.16.10.4.6) in
/// the 128-byte swizzle of the tensor copy: eight rows are 1024 bytes, the leading stride is not
/// used (K-major canonical layout, section 9.7.16.3.3), and 64 of k further on the start moves by
/// 32 bytes.
[[nodiscard]] ASSAY_HOST_DEVICE constexpr std::uint64_t fp4_rows_descriptor(std::uint32_t address) {
  return shared_descriptor(address, 0, 1024, SharedSwizzle::bytes128);
}
/// A block of 512 bytes of the layout "128x4" as tcgen05.cp.32x128b takes it: 32 rows of 16 bytes,
/// eight of them are 128 bytes.
[[nodiscard]] ASSAY_HOST_DEVICE constexpr std::uint64_t scale_block_descriptor(
    std::uint32_t address) {
  return shared_descriptor(address, 0, 128, SharedSwizzle::none);
}

/// Where the tensor copy with CU_TENSOR_MAP_SWIZZLE_128B puts byte `byte` (0..127) of row `row` of
/// a box: section 5.5.7, the 16-byte chunk number is xored with the row number modulo 8.
[[nodiscard]] ASSAY_HOST_DEVICE constexpr int swizzled_byte(int row, int byte) {
  return row * 128 + ((byte / 16) ^ (row % 8)) * 16 + byte % 16;
}

/// Section 9.7.16.4.2, table "Instruction descriptor format for .kind::mxf4 and .kind::mxf4nvf4":
/// dense, nothing negated or transposed, K = 64. `columns`: N, a multiple of 8. `scale_id`: the
/// byte (0 or 2) of the words in tensor memory at which the scale factors of both operands start.
[[nodiscard]] ASSAY_HOST_DEVICE constexpr std::uint32_t fp4_instruction_descriptor(Fp4Kind kind,
                                                                                   int columns,
                                                                                   int scale_id) {
  constexpr std::uint32_t e2m1 = 1;
  const std::uint32_t e8m0 = kind == Fp4Kind::nvfp4 ? 0 : 1;
  const auto id = static_cast<std::uint32_t>(scale_id);
  return id << 4 | e2m1 << 7 | e2m1 << 10 | static_cast<std::uint32_t>(columns >> 3) << 17 |
         e8m0 << 23 | std::uint32_t{tcgen05_m >> 7} << 27 | id << 29;
}

/// Tensor memory: 128 lanes of 512 columns of 32 bits, addressed by lane << 16 | column
/// (sections 9.7.16.1 and 9.7.16.1.1).
[[nodiscard]] ASSAY_HOST_DEVICE constexpr std::uint32_t tensor_address(int lane, int column) {
  return static_cast<std::uint32_t>(lane) << 16 | static_cast<std::uint32_t>(column);
}

struct TensorPlace {
  int lane, column;
};

/// Word with the scale factors of row m of A (or column n of B), from the scale address on:
/// sections 9.7.16.10.7.2 and 9.7.16.10.7.3 (layouts 2X and 4X). 32 rows to a column, the same in
/// each of the four groups of 32 lanes. The scale factor of block b of the instruction is byte
/// scale_id + b.
[[nodiscard]] ASSAY_HOST_DEVICE constexpr TensorPlace tensor_scale_word(int row) {
  return {row % 32, row / 32};
}

/// What tcgen05.ld.32x32b gives register `r` of `lane` in warp `warp`, from the column of the
/// address on: a warp reaches the 32 lanes of its number modulo 4 only (sections 9.7.16.2.3.1.1
/// and 9.7.16.8.1).
[[nodiscard]] ASSAY_HOST_DEVICE constexpr TensorPlace tensor_loaded(int warp, int lane, int r) {
  return {warp % 4 * 32 + lane, r};
}

}  // namespace assay::kernels::cuda

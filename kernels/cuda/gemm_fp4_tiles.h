// SPDX-License-Identifier: Apache-2.0
#pragma once
// The index plan of the tcgen05 kernel: what is copied where, the descriptors of every instruction,
// and which thread stores which output. The kernel (gemm_fp4_tcgen05.cu) and its emulation on the
// CPU run these same functions on machines of their own.
//
// A thread block has a tile of 128 rows of A by 128 or 256 rows of B. A stage is 256 of k: rows of
// 128 bytes, the width of the swizzle. The scale factors of each stage have columns of tensor
// memory of their own: a copy into them is ordered behind the products that read what was there by
// the same barrier that lets the stage's shared memory be written again. (Section 9.7.16.6.2 orders
// a multiplication behind the copies before it, but not a copy behind a multiplication.)

#include "kernels/cuda/gemm_fp4.h"
#include "kernels/cuda/tcgen05_fp4_maps.h"

// The machine's functions run where the caller does.
#ifdef __CUDACC__
#define ASSAY_MACHINE_CALLS _Pragma("nv_exec_check_disable")
#else
#define ASSAY_MACHINE_CALLS
#endif

namespace assay::kernels::cuda {

template <Fp4Kind kind, int columns>
struct Fp4Tiles {
  static_assert(columns == 128 || columns == 256);
  static constexpr int rows = tcgen05_m, cols = columns, stage_k = 256, stages = 4;
  static constexpr int row_bytes = stage_k / 2;
  static constexpr int halves = columns / scale_block_rows;  ///< scale blocks across B
  static constexpr int block_k = scale_block_cols * fp4_block(kind);
  static constexpr int blocks = stage_k / block_k;  ///< scale blocks along k

  /// Of shared memory: codes of A and B, then scale blocks of A and of each half of B. Stages start
  /// at multiples of 1024, the length of the swizzle's pattern.
  static constexpr int b_at = rows * row_bytes, a_scales_at = b_at + columns * row_bytes;
  static constexpr int scales_bytes = blocks * scale_block_bytes;
  static constexpr int b_scales_at = a_scales_at + scales_bytes;
  static constexpr int stage_bytes = b_scales_at + halves * scales_bytes;
  static_assert(stage_bytes % 1024 == 0);

  /// Of tensor memory: D, then for each stage the scale factors of A and of B. An allocation is a
  /// power of two columns.
  static constexpr int scale_columns = scale_block_rows / 32;  ///< of one block
  static constexpr int stage_columns = blocks * scale_columns * (1 + halves);
  static constexpr int allocated = columns == 128 ? 256 : 512;
  static_assert(columns + stages * stage_columns <= allocated);
  [[nodiscard]] ASSAY_HOST_DEVICE static constexpr int a_scales_column(int stage, int block) {
    return columns + stage * stage_columns + block * scale_columns;
  }
  [[nodiscard]] ASSAY_HOST_DEVICE static constexpr int b_scales_column(int stage, int block) {
    return columns + stage * stage_columns + (blocks + block * halves) * scale_columns;
  }

  [[nodiscard]] ASSAY_HOST_DEVICE static int stage_count(std::int64_t k) {
    return static_cast<int>((k + stage_k - 1) / stage_k);
  }

  /// Everything that enters stage k0 / stage_k, whose memory starts at `stage`. The machine's
  /// expect(bytes), box(is_a, to, byte along k, row) of rows x 128 bytes with zeros outside of the
  /// matrix, and bytes(to, from, count).
  ASSAY_MACHINE_CALLS
  template <class Machine>
  ASSAY_HOST_DEVICE static void load(Machine& machine, const GemmFp4& p, std::int64_t row0,
                                     std::int64_t col0, std::int64_t k0, int stage) {
    const std::int64_t all = scale_blocks(kind, p.k), first = k0 / block_k;
    const int count = static_cast<int>(all - first < blocks ? all - first : blocks);
    int present = 0;  // halves of B that have rows
    for (int half = 0; half < halves; ++half)
      if (col0 + half * scale_block_rows < p.n) ++present;
    machine.expect(a_scales_at + (1 + present) * count * scale_block_bytes);
    machine.box(true, stage, k0 / 2, row0);
    machine.box(false, stage + b_at, k0 / 2, col0);
    machine.bytes(stage + a_scales_at,
                  p.a_scales + (row0 / scale_block_rows * all + first) * scale_block_bytes,
                  count * scale_block_bytes);
    for (int half = 0; half < present; ++half)
      machine.bytes(
          stage + b_scales_at + half * scales_bytes,
          p.b_scales + ((col0 / scale_block_rows + half) * all + first) * scale_block_bytes,
          count * scale_block_bytes);
  }

  /// The instructions of the stage in slot `slot`, in order, as far as k goes. `tensor`: address of
  /// the allocation. The machine's copy_scales(tensor address, descriptor) and multiply(D, A, B,
  /// instruction, scales of A, scales of B, accumulate).
  ASSAY_MACHINE_CALLS
  template <class Machine>
  ASSAY_HOST_DEVICE static void multiply(Machine& machine, const GemmFp4& p, std::int64_t k0,
                                         std::uint32_t stage, int slot, std::uint32_t tensor) {
    constexpr int steps = stage_k / fp4_instruction_k, block_steps = block_k / fp4_instruction_k;
#ifdef __CUDA_ARCH__
#pragma unroll
#endif
    for (int step = 0; step < steps; ++step) {
      if (k0 + step * fp4_instruction_k >= p.k) break;
      const int block = step / block_steps;
      const std::uint32_t scale_a = tensor + tensor_address(0, a_scales_column(slot, block));
      const std::uint32_t scale_b = tensor + tensor_address(0, b_scales_column(slot, block));
      if (step % block_steps == 0) {
        machine.copy_scales(
            scale_a, scale_block_descriptor(stage + a_scales_at + block * scale_block_bytes));
        for (int half = 0; half < halves; ++half)
          machine.copy_scales(scale_b + tensor_address(0, half * scale_columns),
                              scale_block_descriptor(stage + b_scales_at + half * scales_bytes +
                                                     block * scale_block_bytes));
      }
      const std::uint32_t along_k = step * fp4_instruction_k / 2;
      machine.multiply(
          tensor, fp4_rows_descriptor(stage + along_k), fp4_rows_descriptor(stage + b_at + along_k),
          fp4_instruction_descriptor(kind, columns, step % block_steps * fp4_scales(kind)), scale_a,
          scale_b, k0 + step > 0);
    }
  }

  static constexpr int width = 32;  ///< columns that a thread loads at once
  /// What one thread of the four warps that store does with D. The machine's load(address, values).
  ASSAY_MACHINE_CALLS
  template <class Machine>
  ASSAY_HOST_DEVICE static void store(Machine& machine, const GemmFp4& p, std::int64_t row0,
                                      std::int64_t col0, int warp, int lane, std::uint32_t tensor) {
    for (int first = 0; first < columns; first += width) {
      if (col0 + first >= p.n) break;  // alike in all lanes: they load together
      float sum[width];
      machine.load(tensor + tensor_address(tensor_loaded(warp, 0, 0).lane, first), sum);
      const std::int64_t row = row0 + tensor_loaded(warp, lane, 0).lane;
#ifdef __CUDA_ARCH__
#pragma unroll
#endif
      for (int r = 0; r < width; ++r) {
        const std::int64_t col = col0 + first + tensor_loaded(warp, lane, r).column;
        if (row < p.m && col < p.n) store_fp4(p, row, col, p.k == 0 ? 0.0F : sum[r]);
      }
    }
  }
};

}  // namespace assay::kernels::cuda

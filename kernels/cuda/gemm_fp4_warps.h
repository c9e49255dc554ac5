// SPDX-License-Identifier: Apache-2.0
#pragma once
// The index plan of the mma.sync kernel: which bytes a thread copies into shared memory, where its
// fragments lie there, which selectors name its scale factors, and which outputs are its own. The
// kernel (gemm_fp4_mma_sync.cu) and its emulation on the CPU call these and nothing else.
//
// A block of 256 threads has a tile of 128 x 128 outputs; its 8 warps are 2 x 4, each with 64 x 32:
// 4 x 4 instructions. A stage is 128 of k. One word of scale-a-data serves two instructions: quad
// lanes 0 and 1 hold the rows of one, lanes 2 and 3 those of the next below (thread-id-a). One word
// of scale-b-data serves four: quad lane i holds the columns of the i-th (thread-id-b). With MXFP4
// the word also serves two steps of k (byte-id).

#include "kernels/cuda/gemm_fp4.h"
#include "kernels/cuda/mma_fp4_maps.h"

namespace assay::kernels::cuda {

template <Fp4Kind kind>
struct Fp4Warps {
  static constexpr int tile = 128, stage_k = 128, stages = 3;
  static constexpr int warps = 8, threads = 32 * warps;
  static constexpr int m_count = 4, n_count = 4;             ///< instructions of a warp
  static constexpr int steps = stage_k / fp4_instruction_k;  ///< of a stage
  static constexpr int row_bytes = stage_k / 2, chunk = 16;

  /// Of shared memory: codes of A and of B, scale factors of A and of B.
  static constexpr int codes_bytes = tile * row_bytes;
  static constexpr int stage_blocks = stage_k / (scale_block_cols * fp4_block(kind));
  static constexpr int scales_bytes = stage_blocks * scale_block_bytes;
  static constexpr int b_codes_at = codes_bytes, a_scales_at = 2 * codes_bytes;
  static constexpr int b_scales_at = a_scales_at + scales_bytes;
  static constexpr int stage_bytes = b_scales_at + scales_bytes;
  static constexpr int chunks = stage_bytes / chunk;

  /// Byte `byte` of row `row` of a tile of codes. The 16-byte chunks of a row change places from
  /// one pair of rows to the next: the 8 rows that a fragment reads at once are then in 32
  /// different banks.
  [[nodiscard]] ASSAY_HOST_DEVICE static constexpr int code_at(int row, int byte) {
    return row * row_bytes + (byte / chunk ^ row / 2 % 4) * chunk + byte % chunk;
  }

  /// 16 bytes to copy: from `from` + `offset` to `to`, or zeros.
  struct Copy {
    const std::uint8_t* from;
    std::int64_t offset;
    int to;
    bool inside;
  };
  /// Chunk i of the stage that starts at k0, of the tile at (row0, col0).
  [[nodiscard]] ASSAY_HOST_DEVICE static Copy copy(const GemmFp4& p, std::int64_t row0,
                                                   std::int64_t col0, std::int64_t k0, int i) {
    constexpr int of_codes = codes_bytes / chunk, of_scales = scales_bytes / chunk;
    const bool codes = i < 2 * of_codes;
    const int within = codes ? i % of_codes : (i - 2 * of_codes) % of_scales;
    const bool is_a = codes ? i < of_codes : i - 2 * of_codes < of_scales;
    const std::int64_t first = is_a ? row0 : col0;
    const std::int64_t rows = is_a ? p.m : p.n;
    if (codes) {
      const int row = within / (row_bytes / chunk);
      const int byte = within % (row_bytes / chunk) * chunk;
      return {is_a ? p.a_codes : p.b_codes, (first + row) * (p.k / 2) + k0 / 2 + byte,
              (is_a ? 0 : b_codes_at) + code_at(row, byte),
              first + row < rows && k0 + 2 * byte < p.k};
    }
    const std::int64_t blocks = scale_blocks(kind, p.k);
    const std::int64_t block = k0 / stage_k * stage_blocks + within * chunk / scale_block_bytes;
    return {is_a ? p.a_scales : p.b_scales,
            (first / scale_block_rows * blocks + block) * scale_block_bytes +
                within * chunk % scale_block_bytes,
            (is_a ? a_scales_at : b_scales_at) + within * chunk, first < rows && block < blocks};
  }

  [[nodiscard]] ASSAY_HOST_DEVICE static constexpr int warp_row(int warp) { return warp / 4 * 64; }
  [[nodiscard]] ASSAY_HOST_DEVICE static constexpr int warp_col(int warp) { return warp % 4 * 32; }

  /// Byte of the stage from which a lane loads register r of A, of the i-th instruction downwards
  /// in step `step`.
  [[nodiscard]] ASSAY_HOST_DEVICE static constexpr int a_word(int warp, int lane, int i, int step,
                                                              int r) {
    const MmaPlace at = mma_fp4_a(lane, r, 0);
    return code_at(warp_row(warp) + i * mma_fp4_m + at.row,
                   (step * fp4_instruction_k + at.col) / 2);
  }
  /// The same of B, of the j-th instruction to the right.
  [[nodiscard]] ASSAY_HOST_DEVICE static constexpr int b_word(int warp, int lane, int j, int step,
                                                              int r) {
    const MmaPlace at = mma_fp4_b(lane, r, 0);
    return b_codes_at + code_at(warp_col(warp) + j * mma_fp4_n + at.col,
                                (step * fp4_instruction_k + at.row) / 2);
  }

  // A word has the scale factors of 4 blocks: those of one step with NVFP4, of two with MXFP4.
  static constexpr int word_steps = 4 / fp4_scales(kind);
  [[nodiscard]] ASSAY_HOST_DEVICE static constexpr int byte_id(int step) {
    return step % word_steps * fp4_scales(kind);
  }
  [[nodiscard]] ASSAY_HOST_DEVICE static constexpr int thread_id_a(int i) { return i % 2; }
  [[nodiscard]] ASSAY_HOST_DEVICE static constexpr int thread_id_b(int j) { return j; }
  /// Byte of the stage from which a lane loads scale-a-data of the instructions i and i + 1
  /// downwards, i even.
  [[nodiscard]] ASSAY_HOST_DEVICE static constexpr int a_scale_word(int warp, int lane, int i,
                                                                    int step) {
    const int row = i * mma_fp4_m + lane % 4 / 2 * mma_fp4_m + lane % 2 * 8 + lane / 4;
    return a_scales_at + step / word_steps * scale_block_bytes + scale_word(warp_row(warp) + row);
  }
  /// The same of scale-b-data, of all four instructions to the right.
  [[nodiscard]] ASSAY_HOST_DEVICE static constexpr int b_scale_word(int warp, int lane, int step) {
    return b_scales_at + step / word_steps * scale_block_bytes +
           scale_word(warp_col(warp) + lane % 4 * mma_fp4_n + lane / 4);
  }

  /// Where in the tile register r of instruction (i, j) goes.
  [[nodiscard]] ASSAY_HOST_DEVICE static constexpr MmaPlace output(int warp, int lane, int i, int j,
                                                                   int r) {
    const MmaPlace at = mma_fp4_d(lane, r);
    return {warp_row(warp) + i * mma_fp4_m + at.row, warp_col(warp) + j * mma_fp4_n + at.col};
  }
};

}  // namespace assay::kernels::cuda

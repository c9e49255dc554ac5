// SPDX-License-Identifier: Apache-2.0
// NVFP4 with one scale factor for 16 x 16 elements. A thread has 16 elements of the rows r and
// r + 8 of a block; a warp has four blocks side by side, so that it reads 64 elements of a row.
#include "kernels/cuda/quantize_kernel.cuh"

namespace assay::kernels::cuda {
namespace {

template <class In, bool whole>
__global__ void __launch_bounds__(kQuantizeThreads, 3) block_2d_kernel(QuantizeTask task) {
  constexpr int parts = 16 / Piece<In>::count;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const std::int64_t block_col =
      std::int64_t{blockIdx.x} * (kQuantizeThreads / 32 * 4) + warp * 4 + lane % 4;
  const std::int64_t first = block_col * 16;
  const std::int64_t row_bytes = (task.cols + 1) / 2;
  const std::int64_t block_rows = (task.rows + 15) / 16;
  const NvFp4Te order(__uint_as_float(*task.amax_bits));
  if ((blockIdx.x | blockIdx.y | threadIdx.x) == 0) *task.tensor_scale = order.decode;
  for (std::int64_t block_row = blockIdx.y; block_row < block_rows; block_row += gridDim.y) {
    Piece<In> pieces[2][parts];
    unsigned amax = 0;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const std::int64_t row = block_row * 16 + half * 8 + lane / 4;
      const std::int64_t cols = row < task.rows ? task.cols : 0;
#pragma unroll
      for (int i = 0; i < parts; ++i)
        pieces[half][i] = load_piece<In, whole>(static_cast<const In*>(task.x) + row * task.cols,
                                                first + i * Piece<In>::count, cols);
    }
#pragma unroll
    for (auto& half : pieces)
#pragma unroll
      for (const Piece<In>& piece : half) amax = max(amax, piece.magnitude());
#pragma unroll
    for (int distance = 4; distance < 32; distance *= 2)
      amax = max(amax, __shfl_xor_sync(0xFFFFFFFFU, amax, distance));
    const bool poisoned = amax >= kInfinityBits;
    const BlockFactors factors = order.factors(__uint_as_float(poisoned ? 0U : amax));
    if (first >= task.cols) continue;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const std::int64_t row = block_row * 16 + half * 8 + lane / 4;
      if (row >= task.rows) continue;
      std::uint32_t codes[2];
#pragma unroll
      for (int part = 0; part < 2; ++part) {
        float x[8];
#pragma unroll
        for (int e = 0; e < 8; ++e)
          x[e] = pieces[half][(8 * part + e) / Piece<In>::count][(8 * part + e) % Piece<In>::count];
        codes[part] = poisoned ? 0 : NvFp4Te::encode8(x, factors);
      }
      std::uint8_t* out = task.codes + row * row_bytes + first / 2;
      if constexpr (whole) {
        *reinterpret_cast<uint2*>(out) = make_uint2(codes[0], codes[1]);
      } else {
#pragma unroll
        for (int byte = 0; byte < 8; ++byte)
          if (first + 2 * byte < task.cols)
            out[byte] = static_cast<std::uint8_t>(codes[byte / 4] >> 8 * (byte % 4));
      }
    }
    if (lane < 4)
      task.scales[task.index(block_row, block_col)] = poisoned ? NvFp4Te::nan_scale : factors.code;
  }
}

}  // namespace

void launch_quantize_2d(const QuantizeTask& task, cudaStream_t stream) {
  if (task.rows == 0 || task.cols == 0) return;
  constexpr int cols = kQuantizeThreads / 32 * 4 * 16;
  const dim3 grid(static_cast<unsigned>((task.cols + cols - 1) / cols),
                  static_cast<unsigned>(std::min<std::int64_t>((task.rows + 15) / 16, 32768)));
  const bool whole = takes_vectors(task, 16);
  const auto kernel =
      task.bf16
          ? (whole ? block_2d_kernel<std::uint16_t, true> : block_2d_kernel<std::uint16_t, false>)
          : (whole ? block_2d_kernel<float, true> : block_2d_kernel<float, false>);
  kernel<<<grid, kQuantizeThreads, 0, stream>>>(task);
  check(cudaGetLastError(), "quantize_2d");
}

}  // namespace assay::kernels::cuda

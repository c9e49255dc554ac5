// SPDX-License-Identifier: Apache-2.0
// FP4 x FP4 by the tensor-memory instruction of sm_100: one warp copies stages into shared memory,
// one thread of another copies scale factors on to tensor memory and multiplies, four warps store
// D. All indices and descriptors are Fp4Tiles'. Compiled for its target in every build, not run on
// such a GPU.
#include "kernels/cuda/check.h"
#include "kernels/cuda/gemm_fp4.cuh"
#include "kernels/cuda/gemm_fp4_tiles.h"
#include "kernels/cuda/tcgen05.cuh"
#include "kernels/cuda/tensor_map.h"
#include "kernels/cuda/tile_order.cuh"

namespace assay::kernels::cuda {
namespace {

[[maybe_unused]] constexpr unsigned kAcross = 8;  // tiles of rows that advance together
constexpr int kThreads = 192;                     // copy, multiply, 4 x store

/// 1 in the machine code that has the instruction.
__constant__ int compiled = ASSAY_HAS_TCGEN05;

#if ASSAY_HAS_TCGEN05

/// Fp4Tiles::load's: copies that complete on one barrier.
struct Copier {
  const CUtensorMap *a, *b;
  unsigned char* shared;
  std::uint64_t* barrier;

  __device__ void expect(int bytes) const { barrier_expect(barrier, bytes); }
  __device__ void box(bool is_a, int to, std::int64_t byte, std::int64_t row) const {
    copy_box(is_a ? a : b, barrier, shared + to, static_cast<int>(byte), static_cast<int>(row));
  }
  __device__ void bytes(int to, const std::uint8_t* from, int count) const {
    copy_bytes(from, barrier, shared + to, count);
  }
};
/// Fp4Tiles::multiply's.
template <Fp4Kind kind>
struct Multiplier {
  __device__ void copy_scales(std::uint32_t to, std::uint64_t from) const {
    tensor_copy_scales(to, from);
  }
  __device__ void multiply(std::uint32_t d, std::uint64_t a, std::uint64_t b,
                           std::uint32_t instruction, std::uint32_t scale_a, std::uint32_t scale_b,
                           bool accumulate) const {
    tensor_multiply<kind>(d, a, b, instruction, scale_a, scale_b, accumulate);
  }
};
/// Fp4Tiles::store's.
struct Loader {
  __device__ void load(std::uint32_t from, float (&x)[32]) const { tensor_load(from, x); }
};

#endif

template <Fp4Kind kind, int columns>
constexpr int shared_bytes = Fp4Tiles<kind, columns>::stages* Fp4Tiles<kind, columns>::stage_bytes +
                             1024;  // the stages start at a multiple of 1024

template <Fp4Kind kind, int columns>
__global__ void __launch_bounds__(kThreads, 1)
    gemm_kernel([[maybe_unused]] const GemmFp4 p, [[maybe_unused]] unsigned row_tiles,
                [[maybe_unused]] unsigned col_tiles,
                [[maybe_unused]] const __grid_constant__ CUtensorMap map_a,
                [[maybe_unused]] const __grid_constant__ CUtensorMap map_b) {
#if ASSAY_HAS_TCGEN05
  using Plan = Fp4Tiles<kind, columns>;
  extern __shared__ unsigned char raw[];
  __shared__ std::uint64_t full[Plan::stages], empty[Plan::stages], done;
  __shared__ std::uint32_t allocation;
  unsigned char* stages = raw + (1024 - shared_address(raw) % 1024) % 1024;
  const TilePlace place = tile_place(blockIdx.x, row_tiles, col_tiles, kAcross);
  const std::int64_t row0 = std::int64_t{place.row} * Plan::rows;
  const std::int64_t col0 = std::int64_t{place.col} * columns;
  const int count = Plan::stage_count(p.k);
  const int warp = __shfl_sync(0xFFFFFFFFU, static_cast<int>(threadIdx.x) / 32, 0);

  if (warp == 0 && elected()) {
    for (int i = 0; i < Plan::stages; ++i) {
      barrier_init(full + i, 1);
      barrier_init(empty + i, 1);
    }
    barrier_init(&done, 1);
    barriers_initialized();
  }
  if (warp == 1) {
    tensor_allocate<Plan::allocated>(&allocation);
    tensor_fence_before();
  }
  __syncthreads();
  tensor_fence_after();
  const std::uint32_t tensor = allocation;

  if (warp == 0) {
    if (elected())
      for (int s = 0; s < count; ++s) {
        const int slot = s % Plan::stages;
        if (s >= Plan::stages) barrier_wait(empty + slot, (s / Plan::stages - 1) & 1);
        Copier copier{&map_a, &map_b, stages, full + slot};
        Plan::load(copier, p, row0, col0, std::int64_t{s} * Plan::stage_k,
                   slot * Plan::stage_bytes);
      }
    __syncwarp();
  } else if (warp == 1) {
    if (elected()) {
      Multiplier<kind> multiplier;
      for (int s = 0; s < count; ++s) {
        const int slot = s % Plan::stages;
        barrier_wait(full + slot, s / Plan::stages & 1);
        tensor_fence_after();
        Plan::multiply(multiplier, p, std::int64_t{s} * Plan::stage_k,
                       shared_address(stages + slot * Plan::stage_bytes), slot, tensor);
        tensor_commit(empty + slot);
      }
      tensor_commit(&done);
    }
    __syncwarp();
  } else {
    barrier_wait(&done, 0);
    tensor_fence_after();
    Loader loader;
    Plan::store(loader, p, row0, col0, warp, static_cast<int>(threadIdx.x) % 32, tensor);
    tensor_fence_before();
  }
  __syncthreads();
  if (warp == 1) {
    tensor_fence_after();
    tensor_free<Plan::allocated>(tensor);
  }
#endif
}

template <Fp4Kind kind, int columns>
void start(const GemmFp4& p, cudaStream_t stream) {
  using Plan = Fp4Tiles<kind, columns>;
  const auto tiles = [](std::int64_t extent, int tile) {
    return static_cast<unsigned>((extent + tile - 1) / tile);
  };
  // Bytes, not 4-bit elements: the copy moves the same bytes to the same places, and zeros outside
  // of the matrix are codes of zero either way. Without k there is nothing to copy.
  const auto map = [&](const std::uint8_t* codes, std::int64_t rows, int box_rows) {
    return p.k == 0 ? CUtensorMap{}
                    : tensor_map(CU_TENSOR_MAP_DATA_TYPE_UINT8, codes, rows, p.k / 2, box_rows,
                                 Plan::row_bytes);
  };
  const auto kernel = gemm_kernel<kind, columns>;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             shared_bytes<kind, columns>),
        "gemm_fp4_tcgen05: shared memory");
  const unsigned row_tiles = tiles(p.m, Plan::rows), col_tiles = tiles(p.n, columns);
  kernel<<<row_tiles * col_tiles, kThreads, shared_bytes<kind, columns>, stream>>>(
      p, row_tiles, col_tiles, map(p.a_codes, p.m, Plan::rows), map(p.b_codes, p.n, columns));
  check(cudaGetLastError(), "gemm_fp4_tcgen05");
}

}  // namespace

bool has_fp4_tcgen05() {
  int value = 0;
  check(cudaMemcpyFromSymbol(&value, compiled, sizeof value), "gemm_fp4_tcgen05: its machine code");
  return value != 0;
}

void launch_fp4_tcgen05(Fp4Kind kind, int columns, const GemmFp4& p, cudaStream_t stream) {
  if (p.m == 0 || p.n == 0) return;  // a grid without blocks is an error
  if (kind == Fp4Kind::nvfp4)
    columns == 128 ? start<Fp4Kind::nvfp4, 128>(p, stream) : start<Fp4Kind::nvfp4, 256>(p, stream);
  else
    columns == 128 ? start<Fp4Kind::mxfp4, 128>(p, stream) : start<Fp4Kind::mxfp4, 256>(p, stream);
}

}  // namespace assay::kernels::cuda

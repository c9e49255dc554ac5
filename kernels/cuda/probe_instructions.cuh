// SPDX-License-Identifier: Apache-2.0
#pragma once
// The matrix instructions of compute capability 9.0 behind one shape: 64 x 8 outputs by 128
// threads. Fragments and shared-memory matrices as PTX ISA 9.0 lays them out (sections on mma.sync
// and on wgmma: "Matrix fragments", "Strides", "Matrix descriptor").

#include <cstdint>

namespace assay::kernels::cuda {

template <class... Instructions>
struct InstructionList {};

/// `element`: bytes of an operand in the registers. `halves`: D and C are packed FP16.
template <int element_bytes, int k_, bool halves_, bool warpgroup_>
struct InstructionShape {
  static constexpr int element = element_bytes;
  static constexpr int k = k_;
  static constexpr bool halves = halves_;
  static constexpr bool warpgroup = warpgroup_;
};

/// `a`: four registers (two where k is the shorter one), `b`: two (one), `c`: in and out.
#define ASSAY_MMA(ID, MODEL, MNEMONIC, BYTES, K, HALVES, BODY)                                     \
  struct ID : InstructionShape<BYTES, K, HALVES, false> {                                          \
    static constexpr const char* model = MODEL;                                                    \
    static constexpr const char* mnemonic = MNEMONIC;                                              \
    static __device__ void run(const std::uint32_t* a, const std::uint32_t* b, std::uint32_t* c) { \
      BODY(MNEMONIC);                                                                              \
    }                                                                                              \
  };
#define ASSAY_MMA_LONG_F32(M)                                             \
  asm volatile(M " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};" \
               : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])           \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))
#define ASSAY_MMA_LONG_F16(M)                                 \
  asm volatile(M " {%0,%1}, {%2,%3,%4,%5}, {%6,%7}, {%0,%1};" \
               : "+r"(c[0]), "+r"(c[1])                       \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))
#define ASSAY_MMA_SHORT_F32(M)                                   \
  asm volatile(M " {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};" \
               : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])  \
               : "r"(a[0]), "r"(a[1]), "r"(b[0]))
#define ASSAY_MMA_SHORT_F16(M)                       \
  asm volatile(M " {%0,%1}, {%2,%3}, {%4}, {%0,%1};" \
               : "+r"(c[0]), "+r"(c[1])              \
               : "r"(a[0]), "r"(a[1]), "r"(b[0]))

#define ASSAY_PTX "mma.sync.aligned."
// clang-format off
ASSAY_MMA(MmaTf32Short, "hopper.mma.tf32.f32", ASSAY_PTX "m16n8k4.row.col.f32.tf32.tf32.f32", 4, 4, false, ASSAY_MMA_SHORT_F32)
ASSAY_MMA(MmaTf32, "hopper.mma.tf32.f32", ASSAY_PTX "m16n8k8.row.col.f32.tf32.tf32.f32", 4, 8, false, ASSAY_MMA_LONG_F32)
ASSAY_MMA(MmaF16Short, "hopper.mma.f16.f32", ASSAY_PTX "m16n8k8.row.col.f32.f16.f16.f32", 2, 8, false, ASSAY_MMA_SHORT_F32)
ASSAY_MMA(MmaF16, "hopper.mma.f16.f32", ASSAY_PTX "m16n8k16.row.col.f32.f16.f16.f32", 2, 16, false, ASSAY_MMA_LONG_F32)
ASSAY_MMA(MmaBf16Short, "hopper.mma.bf16.f32", ASSAY_PTX "m16n8k8.row.col.f32.bf16.bf16.f32", 2, 8, false, ASSAY_MMA_SHORT_F32)
ASSAY_MMA(MmaBf16, "hopper.mma.bf16.f32", ASSAY_PTX "m16n8k16.row.col.f32.bf16.bf16.f32", 2, 16, false, ASSAY_MMA_LONG_F32)
ASSAY_MMA(MmaF16HalfShort, "hopper.mma.f16.f16", ASSAY_PTX "m16n8k8.row.col.f16.f16.f16.f16", 2, 8, true, ASSAY_MMA_SHORT_F16)
ASSAY_MMA(MmaF16Half, "hopper.mma.f16.f16", ASSAY_PTX "m16n8k16.row.col.f16.f16.f16.f16", 2, 16, true, ASSAY_MMA_LONG_F16)
ASSAY_MMA(MmaE4E4, "hopper.mma.e4m3.f32", ASSAY_PTX "m16n8k32.row.col.f32.e4m3.e4m3.f32", 1, 32, false, ASSAY_MMA_LONG_F32)
ASSAY_MMA(MmaE4E5, "hopper.mma.e4m3_e5m2.f32", ASSAY_PTX "m16n8k32.row.col.f32.e4m3.e5m2.f32", 1, 32, false, ASSAY_MMA_LONG_F32)
ASSAY_MMA(MmaE5E4, "hopper.mma.e5m2_e4m3.f32", ASSAY_PTX "m16n8k32.row.col.f32.e5m2.e4m3.f32", 1, 32, false, ASSAY_MMA_LONG_F32)
ASSAY_MMA(MmaE5E5, "hopper.mma.e5m2.f32", ASSAY_PTX "m16n8k32.row.col.f32.e5m2.e5m2.f32", 1, 32, false, ASSAY_MMA_LONG_F32)
ASSAY_MMA(MmaE4E4Half, "hopper.mma.e4m3.f16", ASSAY_PTX "m16n8k32.row.col.f16.e4m3.e4m3.f16", 1, 32, true, ASSAY_MMA_LONG_F16)
ASSAY_MMA(MmaE4E5Half, "hopper.mma.e4m3_e5m2.f16", ASSAY_PTX "m16n8k32.row.col.f16.e4m3.e5m2.f16", 1, 32, true, ASSAY_MMA_LONG_F16)
ASSAY_MMA(MmaE5E4Half, "hopper.mma.e5m2_e4m3.f16", ASSAY_PTX "m16n8k32.row.col.f16.e5m2.e4m3.f16", 1, 32, true, ASSAY_MMA_LONG_F16)
ASSAY_MMA(MmaE5E5Half, "hopper.mma.e5m2.f16", ASSAY_PTX "m16n8k32.row.col.f16.e5m2.e5m2.f16", 1, 32, true, ASSAY_MMA_LONG_F16)
// clang-format on
#undef ASSAY_PTX

/// `TAIL`: the immediates after scale-d: signs of A and B, and for 16-bit elements their
/// transposes.
#define ASSAY_WGMMA(ID, MODEL, MNEMONIC, BYTES, K, HALVES, BODY, TAIL)               \
  struct ID : InstructionShape<BYTES, K, HALVES, true> {                             \
    static constexpr const char* model = MODEL;                                      \
    static constexpr const char* mnemonic = MNEMONIC;                                \
    static __device__ void run(std::uint64_t a, std::uint64_t b, std::uint32_t* c) { \
      BODY(MNEMONIC, TAIL);                                                          \
    }                                                                                \
  };
#define ASSAY_WGMMA_F32(M, TAIL)                                                    \
  asm volatile("wgmma.fence.sync.aligned;\n" M " {%0,%1,%2,%3}, %4, %5, " TAIL      \
               ";\n"                                                                \
               "wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;" \
               : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])                     \
               : "l"(a), "l"(b)                                                     \
               : "memory")
#define ASSAY_WGMMA_F16(M, TAIL)                                                    \
  asm volatile("wgmma.fence.sync.aligned;\n" M " {%0,%1}, %2, %3, " TAIL            \
               ";\n"                                                                \
               "wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;" \
               : "+r"(c[0]), "+r"(c[1])                                             \
               : "l"(a), "l"(b)                                                     \
               : "memory")

#define ASSAY_PTX "wgmma.mma_async.sync.aligned.m64n8"
// clang-format off
ASSAY_WGMMA(WgmmaTf32, "hopper.wgmma.tf32.f32", ASSAY_PTX "k8.f32.tf32.tf32", 4, 8, false, ASSAY_WGMMA_F32, "1, 1, 1")
ASSAY_WGMMA(WgmmaF16, "hopper.wgmma.f16.f32", ASSAY_PTX "k16.f32.f16.f16", 2, 16, false, ASSAY_WGMMA_F32, "1, 1, 1, 0, 0")
ASSAY_WGMMA(WgmmaBf16, "hopper.wgmma.bf16.f32", ASSAY_PTX "k16.f32.bf16.bf16", 2, 16, false, ASSAY_WGMMA_F32, "1, 1, 1, 0, 0")
ASSAY_WGMMA(WgmmaF16Half, "hopper.wgmma.f16.f16", ASSAY_PTX "k16.f16.f16.f16", 2, 16, true, ASSAY_WGMMA_F16, "1, 1, 1, 0, 0")
ASSAY_WGMMA(WgmmaE4E4, "hopper.wgmma.e4m3.f32", ASSAY_PTX "k32.f32.e4m3.e4m3", 1, 32, false, ASSAY_WGMMA_F32, "1, 1, 1")
ASSAY_WGMMA(WgmmaE4E5, "hopper.wgmma.e4m3_e5m2.f32", ASSAY_PTX "k32.f32.e4m3.e5m2", 1, 32, false, ASSAY_WGMMA_F32, "1, 1, 1")
ASSAY_WGMMA(WgmmaE5E4, "hopper.wgmma.e5m2_e4m3.f32", ASSAY_PTX "k32.f32.e5m2.e4m3", 1, 32, false, ASSAY_WGMMA_F32, "1, 1, 1")
ASSAY_WGMMA(WgmmaE5E5, "hopper.wgmma.e5m2.f32", ASSAY_PTX "k32.f32.e5m2.e5m2", 1, 32, false, ASSAY_WGMMA_F32, "1, 1, 1")
ASSAY_WGMMA(WgmmaE4E4Half, "hopper.wgmma.e4m3.f16", ASSAY_PTX "k32.f16.e4m3.e4m3", 1, 32, true, ASSAY_WGMMA_F16, "1, 1, 1")
ASSAY_WGMMA(WgmmaE4E5Half, "hopper.wgmma.e4m3_e5m2.f16", ASSAY_PTX "k32.f16.e4m3.e5m2", 1, 32, true, ASSAY_WGMMA_F16, "1, 1, 1")
ASSAY_WGMMA(WgmmaE5E4Half, "hopper.wgmma.e5m2_e4m3.f16", ASSAY_PTX "k32.f16.e5m2.e4m3", 1, 32, true, ASSAY_WGMMA_F16, "1, 1, 1")
ASSAY_WGMMA(WgmmaE5E5Half, "hopper.wgmma.e5m2.f16", ASSAY_PTX "k32.f16.e5m2.e5m2", 1, 32, true, ASSAY_WGMMA_F16, "1, 1, 1")
// clang-format on
#undef ASSAY_PTX

using AllInstructions =
    InstructionList<MmaTf32Short, MmaTf32, MmaF16Short, MmaF16, MmaBf16Short, MmaBf16,
                    MmaF16HalfShort, MmaF16Half, MmaE4E4, MmaE4E5, MmaE5E4, MmaE5E5, MmaE4E4Half,
                    MmaE4E5Half, MmaE5E4Half, MmaE5E5Half, WgmmaTf32, WgmmaF16, WgmmaBf16,
                    WgmmaF16Half, WgmmaE4E4, WgmmaE4E5, WgmmaE5E4, WgmmaE5E5, WgmmaE4E4Half,
                    WgmmaE4E5Half, WgmmaE5E4Half, WgmmaE5E5Half>;

/// 4 / element codes of a row, the first in the low bits.
template <class I>
__device__ std::uint32_t packed(const std::uint32_t* row) {
  std::uint32_t word = 0;
  for (int i = 0; i < 4 / I::element; ++i) {
    const int shift = 8 * I::element * i;
    word |= row[i] << shift;
  }
  return word;
}

/// The four outputs of a thread: rows g and g + 8 of its warp's 16, two columns each.
template <class I>
__device__ void load_c(const std::uint32_t* c, int row, int col, std::uint32_t* r) {
  for (int half = 0; half < 2; ++half) {
    const std::uint32_t* at = c + (row + 8 * half) * 8 + col;
    if (I::halves) {
      r[half] = at[0] | at[1] << 16;
    } else {
      r[2 * half] = at[0];
      r[2 * half + 1] = at[1];
    }
  }
}
template <class I>
__device__ void store_d(const std::uint32_t* r, int row, int col, std::uint32_t* d) {
  for (int half = 0; half < 2; ++half) {
    std::uint32_t* at = d + (row + 8 * half) * 8 + col;
    at[0] = I::halves ? r[half] & 0xFFFFU : r[2 * half];
    at[1] = I::halves ? r[half] >> 16 : r[2 * half + 1];
  }
}

/// Codes: A 64 x k, B 8 x k (column n of B is row n), C and D 64 x 8. Each of the four warps has 16
/// rows.
template <class I>
__device__ void warp_tile(const std::uint32_t* a, const std::uint32_t* b, const std::uint32_t* c,
                          std::uint32_t* d) {
  constexpr int per_word = 4 / I::element;
  constexpr int span = 16 / I::element;  // of k, that one register of each of four threads holds
  constexpr int words = I::k / span;     // registers along k
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int group = lane / 4;
  const int in_group = lane % 4;
  const int row = 16 * warp + group;
  std::uint32_t ra[4], rb[2], rc[4];
  for (int w = 0; w < words; ++w) {
    const int k = in_group * per_word + w * span;
    ra[2 * w] = packed<I>(a + row * I::k + k);
    ra[2 * w + 1] = packed<I>(a + (row + 8) * I::k + k);
    rb[w] = packed<I>(b + group * I::k + k);
  }
  load_c<I>(c, row, 2 * in_group, rc);
  I::run(ra, rb, rc);
  store_d<I>(rc, row, 2 * in_group, d);
}

/// Rows in blocks of 8, each with two core matrices of 8 rows x 16 bytes; the second half of k lies
/// `rows` / 8 core matrices behind the first.
template <class I>
__device__ void store_core_matrices(const std::uint32_t* codes, int rows, unsigned char* to) {
  for (int i = static_cast<int>(threadIdx.x); i < rows * I::k; i += static_cast<int>(blockDim.x)) {
    const int row = i / I::k;
    const int byte = i % I::k * I::element;
    const int at = (byte / 16 * (rows / 8) + row / 8) * 128 + row % 8 * 16 + byte % 16;
    for (int j = 0; j < I::element; ++j)
      to[at + j] = static_cast<unsigned char>(codes[i] >> (8 * j));
  }
}

/// No swizzle: leading offset between core matrices along k, stride between blocks of 8 rows.
__device__ inline std::uint64_t descriptor(const unsigned char* matrix, int leading, int stride) {
  const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(matrix));
  const auto field = [](std::uint32_t bytes) {
    return static_cast<std::uint64_t>((bytes & 0x3FFFFU) >> 4);
  };
  return field(address) | field(static_cast<std::uint32_t>(leading)) << 16 |
         field(static_cast<std::uint32_t>(stride)) << 32;
}

template <class I>
__device__ void warpgroup_tile(const std::uint32_t* a, const std::uint32_t* b,
                               const std::uint32_t* c, std::uint32_t* d, unsigned char* matrices) {
  constexpr int a_bytes = 64 * 32;
  store_core_matrices<I>(a, 64, matrices);
  store_core_matrices<I>(b, 8, matrices + a_bytes);
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  __syncthreads();
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int row = 16 * warp + lane / 4;
  const int col = lane % 4 * 2;
  std::uint32_t rc[4];
  load_c<I>(c, row, col, rc);
  I::run(descriptor(matrices, 8 * 128, 128), descriptor(matrices + a_bytes, 128, 128), rc);
  store_d<I>(rc, row, col, d);
}

}  // namespace assay::kernels::cuda

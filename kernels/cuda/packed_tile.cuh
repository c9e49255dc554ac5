// SPDX-License-Identifier: Apache-2.0
#pragma once
// A lane's part of a tile of rearranged weights (w4a16_packed.h), from memory to fragments of the
// matrix unit.

#include "kernels/cuda/fp4_registers.cuh"
#include "kernels/cuda/w4a16_packed.h"

namespace assay::kernels::cuda {

template <Fp4Weights format>
inline constexpr int packed_bytes = packed_tile_bytes(format == Fp4Weights::nvfp4 ? 8 : 4);

inline constexpr std::uint32_t kUp = 0x49004900U;  // 2^19 as bf16, twice
static_assert((0x4900 >> 7) - 127 == kPackedShift);

/// A value that the compiler takes as it is: it would compute addresses anew at every use.
template <class T>
__device__ inline T kept(T value) {
  if constexpr (sizeof(T) == 8)
    asm volatile("" : "+l"(value));
  else
    asm volatile("" : "+r"(value));
  return value;
}

/// A lane's part of a tile, straight from memory: nobody else needs it, and never again.
template <Fp4Weights format>
struct PackedTile {
  static constexpr int scale_words = format == Fp4Weights::nvfp4 ? 4 : 2;
  std::uint32_t codes[8];
  std::uint32_t scales[scale_words];

  /// `at`: the lane's codes; of four steps each half.
  __device__ void load_codes(const std::uint8_t* at, int half) {
    stream(at + 512 * half, codes + 4 * half);
  }
  /// `groups`: of rows lane / 4 and + 8.
  __device__ void load_scales(const std::uint8_t* groups) {
    if constexpr (format == Fp4Weights::nvfp4) {
      stream(groups, scales);
    } else {
      const uint2 v = __ldg(reinterpret_cast<const uint2*>(groups));
      scales[0] = v.x;
      scales[1] = v.y;
    }
  }
  __device__ void load(const std::uint8_t* at, const std::uint8_t* groups) {
    load_codes(at, 0);
    load_codes(at, 1);
    load_scales(groups);
  }

 private:
  static __device__ void stream(const std::uint8_t* at, std::uint32_t* to) {
    asm volatile("ld.global.nc.L1::no_allocate.L2::256B.v4.u32 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "l"(at));
  }
};

/// A pair times one half of another, which the multiplication itself picks.
__device__ inline std::uint32_t multiply_by_half(std::uint32_t a, std::uint32_t scales, bool high) {
  std::uint32_t d;
  if (high)
    asm("{\n.reg .b16 l, h;\n.reg .b32 s;\nmov.b32 {l, h}, %2;\nmov.b32 s, {h, h};\n"
        "mul.rn.bf16x2 %0, %1, s;\n}"
        : "=r"(d)
        : "r"(a), "r"(scales));
  else
    asm("{\n.reg .b16 l, h;\n.reg .b32 s;\nmov.b32 {l, h}, %2;\nmov.b32 s, {l, l};\n"
        "mul.rn.bf16x2 %0, %1, s;\n}"
        : "=r"(d)
        : "r"(a), "r"(scales));
  return d;
}

/// kPackedHighBits as a value that stays in a register.
__device__ inline std::uint32_t packed_high_bits() {
  std::uint32_t bits;
  asm volatile("mov.b32 %0, %1;" : "=r"(bits) : "n"(kPackedHighBits));
  return bits;
}

/// The A fragment of a step of the tile, for mma.m16n8k16 and for a warp of wgmma.m64nNk16 alike;
/// times 2^-19 unless `whole`.
template <Fp4Weights format, bool whole>
__device__ inline void fragment_of(const PackedTile<format>& w, int step, std::uint32_t high_bits,
                                   std::uint32_t (&a)[4]) {
  const std::uint32_t scale = format == Fp4Weights::nvfp4
                                  ? unpack_ue4m3(w.scales[step / 2], step % 2, high_bits)
                                  : unpack_e8m0(w.scales[step / 4], step / 2 % 2);
  unpack_pairs(w.codes[step], a);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    a[i] = multiply_by_half(a[i], scale, i % 2 != 0);
    if constexpr (whole) a[i] = multiply_bf16x2(a[i], kUp);
  }
}

}  // namespace assay::kernels::cuda

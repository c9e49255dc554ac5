// SPDX-License-Identifier: Apache-2.0
// Elements are rounded as formats/block_elements-inl.h does, whose rounded magnitude is the
// element's value, and the numbers of tile_kernels.cpp are added in the order of tile_kernels.cpp:
// |x| and |x^| have one sign, so x x^ = |x| |x^| and (x^ - x)^2 = (|x^| - |x|)^2, to the bit.
#include <array>

#include "simulator/bf16_rows.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simulator/bf16_row_kernels.cpp"
#include <hwy/foreach_target.h>
// foreach_target.h comes first: it includes this file again for every other instruction set.
#include <hwy/highway.h>

#include <algorithm>
#include <cstring>

#if HWY_ARCH_X86
#if HWY_COMPILER_GCC_ACTUAL
// GCC 12 warns of its own header, where all of an uninitialized result is overwritten.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#endif

HWY_BEFORE_NAMESPACE();
namespace assay::simulator {
namespace HWY_NAMESPACE {

#if HWY_ARCH_X86 && HWY_MAX_BYTES == 64

constexpr std::size_t kStep = 32;  // elements

/// The constants of a rounding.
struct Rounder {
  __m512i most, lowest, shift;

  HWY_INLINE explicit Rounder(const formats::EncodeParams& p)
      : most(_mm512_set1_epi32(p.max_value)),
        lowest(_mm512_set1_epi32(p.lowest << 23)),
        shift(_mm512_set1_epi32(p.shift << 23)) {}
};

/// 32 elements and what they are rounded to, before it is scaled again: magnitudes.
template <bool divide>
struct Rounded {
  __m512 x[2], element[2];
  std::uint32_t clipped = 0, flushed = 0;

  /// Of block b of the row.
  HWY_INLINE Rounded(const std::uint16_t* from, const Rounder& r, const Bf16Row& row,
                     std::size_t b) {
    const __m512 factor = _mm512_set1_ps(row.factor[b]);
    const __m512i clip = _mm512_set1_epi16(static_cast<std::int16_t>(row.clip[b]));
    const __m512i v = _mm512_and_si512(_mm512_loadu_si512(from), _mm512_set1_epi16(0x7FFF));
    clipped = _mm512_cmpgt_epu16_mask(v, clip);
    const std::uint32_t low = round(_mm512_castsi512_si256(v), r, factor, x[0], element[0]);
    const std::uint32_t high = round(_mm512_extracti64x4_epi64(v, 1), r, factor, x[1], element[1]);
    flushed = low | high << 16;
  }

 private:
  /// Returns which are not zero and become it.
  static HWY_INLINE std::uint32_t round(__m256i magnitude, const Rounder& r, __m512 factor,
                                        __m512& x, __m512& element) {
    const __m512i bits = _mm512_slli_epi32(_mm512_cvtepu16_epi32(magnitude), 16);
    x = _mm512_castsi512_ps(bits);
    const __m512 scaled = divide ? _mm512_div_ps(x, factor) : _mm512_mul_ps(x, factor);
    const __m512i a = _mm512_min_epi32(_mm512_castps_si512(scaled), r.most);
    const __m512i binade =
        _mm512_max_epi32(_mm512_and_si512(a, _mm512_set1_epi32(0x7F800000)), r.lowest);
    const __m512 t = _mm512_castsi512_ps(_mm512_add_epi32(binade, r.shift));
    element = _mm512_sub_ps(_mm512_add_ps(_mm512_castsi512_ps(a), t), t);
    const __m512i value = _mm512_castps_si512(element);
    return _mm512_mask_testn_epi32_mask(_mm512_test_epi32_mask(bits, bits), value, value);
  }
};

/// The sums of a run of a row, and its counts.
struct Run {
  __m512d xx, ee, xy;
  std::uint64_t clipped = 0, flushed = 0;

  /// x has 8 significant bits and x^ at most 39, so x x and x x^ are doubles and fusing their
  /// addition rounds where adding the product would. (x^ - x)^2 is not.
  HWY_INLINE void add_8(__m256 x, __m256 element, __m512d scale) {
    const __m512d v = _mm512_cvtps_pd(x);
    const __m512d y = _mm512_mul_pd(_mm512_cvtps_pd(element), scale);
    const __m512d n = _mm512_sub_pd(y, v);
    xx = _mm512_fmadd_pd(v, v, xx);
    ee = _mm512_add_pd(ee, _mm512_mul_pd(n, n));
    xy = _mm512_fmadd_pd(v, y, xy);
  }
  template <class R>
  HWY_INLINE void add(const R& now, double by) {
    const __m512d scale = _mm512_set1_pd(by);
    for (int i = 0; i < 2; ++i) {
      add_8(_mm512_castps512_ps256(now.x[i]), _mm512_castps512_ps256(now.element[i]), scale);
      add_8(_mm512_extractf32x8_ps(now.x[i], 1), _mm512_extractf32x8_ps(now.element[i], 1), scale);
    }
    clipped += static_cast<unsigned>(_mm_popcnt_u32(now.clipped));
    flushed += static_cast<unsigned>(_mm_popcnt_u32(now.flushed));
  }
};

/// lane_sum() of two vectors, added to a block.
HWY_INLINE void add_block(__m512d power, __m512d error, BlockSums& block) {
  const auto two = [](__m512d v) HWY_ATTR {
    const __m256d four = _mm256_add_pd(_mm512_castpd512_pd256(v), _mm512_extractf64x4_pd(v, 1));
    return _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
  };
  const __m128d p = two(power);
  const __m128d e = two(error);
  const __m128d both = _mm_add_pd(_mm_unpacklo_pd(p, e), _mm_unpackhi_pd(p, e));
  _mm_storeu_pd(&block.power, _mm_add_pd(_mm_loadu_pd(&block.power), both));
}

/// Whole blocks of whole steps. What comes next is rounded while what is at hand is added up: each
/// has too long a chain of instructions to keep a core busy.
template <bool divide>
HWY_INLINE void add_steps(const Rounder& r, const Bf16Row& row, StatisticsSums& sums, Run& run) {
  const std::size_t blocks = row.cols / row.width;
  Rounded<divide> now(row.x, r, row, 0);
  std::size_t next = kStep;
  for (std::size_t b = 0; b < blocks; ++b) {
    run.xx = run.ee = _mm512_setzero_pd();
    for (std::size_t left = row.width; left > 0; left -= kStep) {
      const std::size_t of = left > kStep ? b : b + 1;
      const bool last = of == blocks;
      const Rounded<divide> ahead(row.x + (last ? 0 : next), r, row, last ? b : of);
      next += kStep;
      run.add(now, row.scale[b]);
      now = ahead;
    }
    add_block(run.xx, run.ee, sums.blocks[b]);
  }
}

template <bool divide>
HWY_INLINE void add_any(const Rounder& r, const Bf16Row& row, StatisticsSums& sums, Run& run) {
  std::size_t b = 0;
  for (std::size_t begin = 0; begin < row.cols; begin += row.width, ++b) {
    const std::size_t count = std::min(row.width, row.cols - begin);
    const std::size_t whole = count / kStep * kStep;
    run.xx = run.ee = _mm512_setzero_pd();
    for (std::size_t i = 0; i < whole; i += kStep)
      run.add(Rounded<divide>(row.x + begin + i, r, row, b), row.scale[b]);
    if (whole < count) {  // and zeros, which add none
      alignas(64) std::array<std::uint16_t, kStep> rest{};
      std::memcpy(rest.data(), row.x + begin + whole, (count - whole) * sizeof(rest[0]));
      run.add(Rounded<divide>(rest.data(), r, row, b), row.scale[b]);
    }
    add_block(run.xx, run.ee, sums.blocks[b]);
  }
}

template <bool divide>
void add_row(const formats::ElementJob& job, const Bf16Row& row, StatisticsSums& sums) {
  const Rounder r(job.params);
  Run run;
  run.xy = _mm512_loadu_pd(sums.xy);
  if (row.width % kStep == 0 && row.cols % row.width == 0) {
    add_steps<divide>(r, row, sums, run);
  } else {
    add_any<divide>(r, row, sums, run);
  }
  _mm512_storeu_pd(sums.xy, run.xy);
  sums.clipped += run.clipped;
  sums.flushed += run.flushed;
}

void AddRowBf16(const formats::ElementJob& job, const Bf16Row& row, StatisticsSums& sums) {
  job.path == formats::ElementPath::divide ? add_row<true>(job, row, sums)
                                           : add_row<false>(job, row, sums);
}

void RowAmax(const std::uint16_t* x, std::size_t cols, std::size_t width, std::uint16_t* amax) {
  std::size_t b = 0;
  for (std::size_t begin = 0; begin < cols; begin += width, ++b) {
    const std::size_t count = std::min(width, cols - begin);
    const std::size_t whole = count / kStep * kStep;
    __m512i most = _mm512_setzero_si512();
    const auto take = [&](const void* p) HWY_ATTR {
      most = _mm512_max_epu16(most,
                              _mm512_and_si512(_mm512_loadu_si512(p), _mm512_set1_epi16(0x7FFF)));
    };
    for (std::size_t i = 0; i < whole; i += kStep) take(x + begin + i);
    if (whole < count) {
      alignas(64) std::array<std::uint16_t, kStep> rest{};
      std::memcpy(rest.data(), x + begin + whole, (count - whole) * sizeof(rest[0]));
      take(rest.data());
    }
    const __m256i half =
        _mm256_max_epu16(_mm512_castsi512_si256(most), _mm512_extracti64x4_epi64(most, 1));
    const __m128i eight =
        _mm_max_epu16(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
    const __m128i least = _mm_minpos_epu16(_mm_xor_si128(eight, _mm_set1_epi16(-1)));
    amax[b] = std::max(amax[b], static_cast<std::uint16_t>(~_mm_cvtsi128_si32(least)));
  }
}

#else

void AddRowBf16(const formats::ElementJob& /*job*/, const Bf16Row& /*row*/,
                StatisticsSums& /*sums*/) {
  HWY_ABORT("no vector code for this machine");
}
void RowAmax(const std::uint16_t* /*x*/, std::size_t /*cols*/, std::size_t /*width*/,
             std::uint16_t* /*amax*/) {
  HWY_ABORT("no vector code for this machine");
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace assay::simulator
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace assay::simulator {

HWY_EXPORT(AddRowBf16);
HWY_EXPORT(RowAmax);

void add_row_bf16(const formats::ElementJob& job, const Bf16Row& row, StatisticsSums& sums) {
  HWY_DYNAMIC_DISPATCH(AddRowBf16)(job, row, sums);
}

void row_amax_bf16(const std::uint16_t* x, std::size_t cols, std::size_t width,
                   std::uint16_t* amax) {
  HWY_DYNAMIC_DISPATCH(RowAmax)(x, cols, width, amax);
}

}  // namespace assay::simulator
#endif
#if HWY_ARCH_X86 && HWY_COMPILER_GCC_ACTUAL
#pragma GCC diagnostic pop
#endif

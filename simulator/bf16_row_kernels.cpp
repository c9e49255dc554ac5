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
// GCC's own header leaves a result uninitialized where all of it is overwritten (its bug 105593).
HWY_DIAGNOSTICS(push)
HWY_DIAGNOSTICS_OFF(disable : 4703, ignored "-Wmaybe-uninitialized")
#include <immintrin.h>
#endif

HWY_BEFORE_NAMESPACE();
namespace assay::simulator {
namespace HWY_NAMESPACE {

#if HWY_ARCH_X86 && HWY_MAX_BYTES == 64

constexpr std::size_t kStep = 32;  // elements

/// The constants of a rounding, and one block's factors.
struct Rounder {
  __m512i most, lowest, shift;
  __m512 factor;
  __m512d scale;

  HWY_INLINE explicit Rounder(const formats::EncodeParams& p)
      : most(_mm512_set1_epi32(p.max_value)),
        lowest(_mm512_set1_epi32(p.lowest << 23)),
        shift(_mm512_set1_epi32(p.shift << 23)) {}
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

  template <bool divide>
  HWY_INLINE void add_16(__m256i magnitude, const Rounder& r) {
    const __m512i bits = _mm512_slli_epi32(_mm512_cvtepu16_epi32(magnitude), 16);
    const __m512 x = _mm512_castsi512_ps(bits);
    const __m512 scaled = divide ? _mm512_div_ps(x, r.factor) : _mm512_mul_ps(x, r.factor);
    const __m512i a = _mm512_min_epi32(_mm512_castps_si512(scaled), r.most);
    const __m512i binade =
        _mm512_max_epi32(_mm512_and_si512(a, _mm512_set1_epi32(0x7F800000)), r.lowest);
    const __m512 t = _mm512_castsi512_ps(_mm512_add_epi32(binade, r.shift));
    const __m512 rounded = _mm512_sub_ps(_mm512_add_ps(_mm512_castsi512_ps(a), t), t);
    add_8(_mm512_castps512_ps256(x), _mm512_castps512_ps256(rounded), r.scale);
    add_8(_mm512_extractf32x8_ps(x, 1), _mm512_extractf32x8_ps(rounded, 1), r.scale);
    const __mmask16 some = _mm512_test_epi32_mask(bits, bits);
    const __m512i value = _mm512_castps_si512(rounded);
    flushed +=
        static_cast<unsigned>(_mm_popcnt_u32(_mm512_mask_testn_epi32_mask(some, value, value)));
  }

  template <bool divide>
  HWY_INLINE void add(const std::uint16_t* x, const Rounder& r, __m512i clip) {
    const __m512i v = _mm512_and_si512(_mm512_loadu_si512(x), _mm512_set1_epi16(0x7FFF));
    clipped += static_cast<unsigned>(_mm_popcnt_u32(_mm512_cmpgt_epu16_mask(v, clip)));
    add_16<divide>(_mm512_castsi512_si256(v), r);
    add_16<divide>(_mm512_extracti64x4_epi64(v, 1), r);
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

template <bool divide>
void add_row(const formats::ElementJob& job, const Bf16Row& row, StatisticsSums& sums) {
  Rounder r(job.params);
  Run run;
  run.xy = _mm512_loadu_pd(sums.xy);
  std::size_t b = 0;
  for (std::size_t begin = 0; begin < row.cols; begin += row.width, ++b) {
    const std::size_t count = std::min(row.width, row.cols - begin);
    const std::size_t whole = count / kStep * kStep;
    const bool inverse = job.path == formats::ElementPath::power_of_two;
    r.factor = _mm512_set1_ps(inverse ? 1.0F / row.factor[b] : row.factor[b]);
    r.scale = _mm512_set1_pd(row.scale[b]);
    const __m512i clip = _mm512_set1_epi16(static_cast<std::int16_t>(row.clip[b]));
    run.xx = run.ee = _mm512_setzero_pd();
    for (std::size_t i = 0; i < whole; i += kStep) run.add<divide>(row.x + begin + i, r, clip);
    if (whole < count) {  // and zeros, which add none
      alignas(64) std::array<std::uint16_t, kStep> rest{};
      std::memcpy(rest.data(), row.x + begin + whole, (count - whole) * sizeof(rest[0]));
      run.add<divide>(rest.data(), r, clip);
    }
    add_block(run.xx, run.ee, sums.blocks[b]);
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
#if HWY_ARCH_X86
HWY_DIAGNOSTICS(pop)
#endif

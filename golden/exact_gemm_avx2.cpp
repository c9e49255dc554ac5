// SPDX-License-Identifier: Apache-2.0
#include "golden/exact_gemm_kernels.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#include "golden/exact_gemm_loops.h"

#define ASSAY_TARGET __attribute__((target("avx2,fma,popcnt")))

namespace assay::golden::exact_parts {
namespace {

ASSAY_TARGET inline __m256i load(const std::uint32_t* p) {
  return _mm256_load_si256(reinterpret_cast<const __m256i*>(p));
}
ASSAY_TARGET inline __m256i broadcast(std::uint32_t x) {
  return _mm256_set1_epi32(static_cast<int>(x));
}

ASSAY_TARGET inline __m256i widened(const std::int32_t* p) {
  return _mm256_cvtepi32_epi64(_mm_load_si128(reinterpret_cast<const __m128i*>(p)));
}

/// 16 columns at a time. Products of bytes are added in pairs (24 * 12 * 2 is far from saturating)
/// and the two words of a lane become one number only when the scale factors multiply them.
template <int rows, int steps>
ASSAY_TARGET void byte_sums_of(const ByteJob& job, int column, std::int32_t* sums) {
  const __m256i bias = broadcast(steps * 4 * 144);
  const __m256i low_word = broadcast(0xFFFF);
  __m256i total[rows][2];
  for (int m = 0; m < rows; ++m) total[m][0] = total[m][1] = _mm256_setzero_si256();
  const std::uint32_t* a = job.a;
  const std::uint32_t* b = job.b + column;
  for (int pair = 0; pair < job.pairs; ++pair) {
    const int at = pair * b_rows + column;
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      __m256i z[rows][2];
      for (int v = 0; v < 2; ++v) {
        const __m256i starts = load(job.b_starts + at + 8 * v);
        const __m256i start =
            half == 0 ? _mm256_and_si256(starts, low_word) : _mm256_srli_epi32(starts, 16);
        for (int m = 0; m < rows; ++m) z[m][v] = _mm256_sub_epi16(start, bias);
      }
#pragma GCC unroll 8
      for (int step = 0; step < steps; ++step) {
        const __m256i b0 = load(b);
        const __m256i b1 = load(b + 8);
#pragma GCC unroll 6
        for (int m = 0; m < rows; ++m) {
          const __m256i x = broadcast(a[m]);
          z[m][0] = _mm256_add_epi16(z[m][0], _mm256_maddubs_epi16(x, b0));
          z[m][1] = _mm256_add_epi16(z[m][1], _mm256_maddubs_epi16(x, b1));
        }
        a += rows;
        b += b_rows;
      }
#pragma GCC unroll 2
      for (int v = 0; v < 2; ++v) {
        __m256i scales = load(job.b_scales + at + 8 * v);
        scales = half == 0 ? _mm256_srli_epi32(scales, 16) : _mm256_and_si256(scales, low_word);
        scales = _mm256_or_si256(scales, _mm256_slli_epi32(scales, 16));
#pragma GCC unroll 6
        for (int m = 0; m < rows; ++m) {
          const std::uint32_t both = job.a_scales[pair * rows + m];
          const std::uint32_t one = half == 0 ? both >> 16 : both & 0xFFFFU;
          const __m256i scale = _mm256_mullo_epi16(broadcast(one * 0x10001U), scales);
          total[m][v] = _mm256_add_epi32(total[m][v], _mm256_madd_epi16(z[m][v], scale));
        }
      }
    }
  }
  for (int m = 0; m < rows; ++m)
    for (int v = 0; v < 2; ++v)
      _mm256_store_si256(reinterpret_cast<__m256i*>(sums + m * b_rows + column) + v, total[m][v]);
}

template <int rows>
void byte_sums_rows(const ByteJob& job, std::int32_t* sums) {
  for (int column = 0; column < b_rows; column += 16)
    if (job.steps == 4)
      byte_sums_of<rows, 4>(job, column, sums);
    else
      byte_sums_of<rows, 8>(job, column, sums);
}

void byte_sums(const ByteJob& job, std::int32_t* sums) {
  static constexpr void (*table[])(const ByteJob&, std::int32_t*) = {
      byte_sums_rows<1>, byte_sums_rows<2>, byte_sums_rows<3>,
      byte_sums_rows<4>, byte_sums_rows<5>, byte_sums_rows<6>};
  table[job.rows - 1](job, sums);
}

/// 16 columns: sums begin with the first of them, as job.b does, whose pairs are `stride` apart.
template <int rows, int stride>
ASSAY_TARGET void word_sums_of(const WordJob& job, std::int32_t* sums) {
  __m256i total[rows][2];
  for (int m = 0; m < rows; ++m)
    for (int v = 0; v < 2; ++v)
      total[m][v] = job.add ? _mm256_load_si256(reinterpret_cast<__m256i*>(sums + m * b_rows) + v)
                            : _mm256_setzero_si256();
  for (int i = 0; i < job.count; ++i) {
    const std::uint32_t* a = job.a + (job.a_index == nullptr ? i : job.a_index[i]) * rows;
    const std::uint32_t* b = job.b + (job.b_index == nullptr ? i : job.b_index[i]) * stride;
    const __m256i b0 = load(b);
    const __m256i b1 = load(b + 8);
#pragma GCC unroll 6
    for (int m = 0; m < rows; ++m) {
      const __m256i x = broadcast(a[m]);
      total[m][0] = _mm256_add_epi32(total[m][0], _mm256_madd_epi16(x, b0));
      total[m][1] = _mm256_add_epi32(total[m][1], _mm256_madd_epi16(x, b1));
    }
  }
  for (int m = 0; m < rows; ++m)
    for (int v = 0; v < 2; ++v)
      _mm256_store_si256(reinterpret_cast<__m256i*>(sums + m * b_rows) + v, total[m][v]);
}

template <int stride>
void both_halves(const WordJob& low, const WordJob& high, std::int32_t* sums) {
  static constexpr void (*table[])(const WordJob&, std::int32_t*) = {
      word_sums_of<1, stride>, word_sums_of<2, stride>, word_sums_of<3, stride>,
      word_sums_of<4, stride>, word_sums_of<5, stride>, word_sums_of<6, stride>};
  table[low.rows - 1](low, sums);
  table[high.rows - 1](high, sums + b_rows / 2);
}

void word_sums(const WordJob& job, std::int32_t* sums) {
  WordJob high = job;
  high.b += b_rows / 2;
  both_halves<b_rows>(job, high, sums);
}

void word_sums_halves(const WordJob& low, const WordJob& high, std::int32_t* sums) {
  both_halves<b_rows / 2>(low, high, sums);
}

ASSAY_TARGET int intersect(std::uint64_t a, std::uint64_t b, std::uint8_t* a_index,
                           std::uint8_t* b_index) {
  return intersect_loop(a, b, a_index, b_index);
}

ASSAY_TARGET void add_shifted(const ShiftJob& job) {
  for (int n = 0; n < b_rows; n += 4) {
    const __m256i right = widened(job.right + n);
    for (int m = 0; m < job.rows; ++m) {
      auto* at = reinterpret_cast<__m256i*>(job.totals + m * b_rows + n);
      __m256i total = _mm256_load_si256(at);
      for (int s = 0; s < job.count; ++s) {
        const __m256i by = _mm256_add_epi64(_mm256_set1_epi64x(job.left[m] - job.down[s]), right);
        const __m256i sum = widened(job.sums + s * tile_size + m * b_rows + n);
        total = _mm256_add_epi64(total, _mm256_sllv_epi64(sum, by));
      }
      _mm256_store_si256(at, total);
    }
  }
}

ASSAY_TARGET void add_scaled(int rows, const std::int32_t* sums, const std::int64_t* left,
                             const std::int64_t* right, std::int64_t* totals) {
  add_scaled_loop(rows, sums, left, right, totals);
}

ASSAY_TARGET void add_late(const LateJob& job) { add_late_loop(job); }

/// Four 64-bit integers of at most 2^53: 2^84 + 2^63 + high half and 2^52 + low half are doubles of
/// which these are the mantissas; their sum without the powers is exact.
ASSAY_TARGET inline __m256d to_double(__m256i x) {
  const __m256i high =
      _mm256_xor_si256(_mm256_srli_epi64(x, 32), _mm256_set1_epi64x(0x4530000080000000));
  const __m256i low = _mm256_blend_epi32(x, _mm256_set1_epi64x(0x4330000000000000), 0xAA);
  return _mm256_add_pd(_mm256_sub_pd(_mm256_castsi256_pd(high), _mm256_set1_pd(0x1.00000801p84)),
                       _mm256_castsi256_pd(low));
}

/// round_loop(), four sums at a time.
ASSAY_TARGET bool round(const RoundJob& job) {
  const __m256i most = _mm256_set1_epi64x(std::int64_t{1} << 53);
  const __m256i one = _mm256_set1_epi64x(1);
  __m256i outside = _mm256_setzero_si256();
  for (int n = 0; n < b_rows; n += 4) {
    const __m256d column = _mm256_load_pd(job.column_factors + n);
    for (int m = 0; m < job.rows; ++m) {
      const int at = m * b_rows + n;
      const __m256i sum = _mm256_load_si256(reinterpret_cast<const __m256i*>(job.sums + at));
      outside = _mm256_or_si256(outside, _mm256_add_epi64(sum, most));
      const __m256d x = to_double(sum);
      const __m256d factor = _mm256_mul_pd(_mm256_set1_pd(job.row_factors[m]), column);
      const __m256d p = _mm256_mul_pd(x, factor);
      const __m256d error = _mm256_fmsub_pd(x, factor, p);
      __m256i bits = _mm256_castpd_si256(p);
      const __m256i inexact =
          _mm256_castpd_si256(_mm256_cmp_pd(error, _mm256_setzero_pd(), _CMP_NEQ_UQ));
      const __m256i even = _mm256_cmpeq_epi64(_mm256_and_si256(bits, one), _mm256_setzero_si256());
      const __m256i signs = _mm256_srai_epi32(_mm256_xor_si256(bits, _mm256_castpd_si256(error)),
                                              31);  // of the high words
      const __m256i outwards = _mm256_or_si256(_mm256_shuffle_epi32(signs, 0xF5), one);
      bits = _mm256_add_epi64(bits, _mm256_and_si256(_mm256_and_si256(inexact, even), outwards));
      const __m256d nonzero = _mm256_cmp_pd(p, _mm256_setzero_pd(), _CMP_NEQ_UQ);
      const __m256d odd = _mm256_and_pd(_mm256_castsi256_pd(bits), nonzero);
      _mm256_store_pd(job.odd + at, odd);
      _mm_store_si128(reinterpret_cast<__m128i*>(job.f32 + at),
                      _mm_castps_si128(_mm256_cvtpd_ps(odd)));
    }
  }
  return _mm256_testz_si256(outside, _mm256_set1_epi64x(-(std::int64_t{1} << 54))) != 0;
}

bool round_digits(const RoundJob& /*job*/) { return false; }

}  // namespace

const KernelTable* avx2_kernels() {
  static constexpr KernelTable table{byte_sums, word_sums,   word_sums_halves,
                                     intersect, add_shifted, add_scaled,
                                     add_late,  round,       round_digits};
  static const bool has = __builtin_cpu_supports("avx2") != 0 &&
                          __builtin_cpu_supports("fma") != 0 &&
                          __builtin_cpu_supports("popcnt") != 0;
  return has ? &table : nullptr;
}

}  // namespace assay::golden::exact_parts
#else
namespace assay::golden::exact_parts {
const KernelTable* avx2_kernels() { return nullptr; }
}  // namespace assay::golden::exact_parts
#endif

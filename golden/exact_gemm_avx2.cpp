// SPDX-License-Identifier: Apache-2.0
#include "golden/exact_gemm_kernels.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#include "golden/exact_gemm_loops.h"

#define ASSAY_TARGET __attribute__((target("avx2,fma")))

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

template <int rows>
ASSAY_TARGET void word_sums_of(const WordJob& job, int column, std::int32_t* sums) {
  __m256i total[rows][2];
  for (int m = 0; m < rows; ++m)
    for (int v = 0; v < 2; ++v)
      total[m][v] =
          job.add ? _mm256_load_si256(reinterpret_cast<__m256i*>(sums + m * b_rows + column) + v)
                  : _mm256_setzero_si256();
  for (int i = 0; i < job.count; ++i) {
    const std::uint32_t* a = job.a + (job.a_index == nullptr ? i : job.a_index[i]) * rows;
    const std::uint32_t* b =
        job.b + (job.b_index == nullptr ? i : job.b_index[i]) * job.b_stride + column;
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
      _mm256_store_si256(reinterpret_cast<__m256i*>(sums + m * b_rows + column) + v, total[m][v]);
}

template <int columns>
void word_sums(const WordJob& job, std::int32_t* sums) {
  static constexpr void (*table[])(const WordJob&, int, std::int32_t*) = {
      word_sums_of<1>, word_sums_of<2>, word_sums_of<3>,
      word_sums_of<4>, word_sums_of<5>, word_sums_of<6>};
  for (int column = 0; column < columns; column += 16) table[job.rows - 1](job, column, sums);
}

ASSAY_TARGET void add_shifted(int rows, const std::int32_t* sums, const std::int32_t* left,
                              const std::int32_t* right, std::int64_t* totals) {
  for (int m = 0; m < rows; ++m) {
    const __m256i by = _mm256_set1_epi64x(left[m]);
    for (int n = 0; n < b_rows; n += 4) {
      auto* at = reinterpret_cast<__m256i*>(totals + m * b_rows + n);
      const __m256i term = _mm256_sllv_epi64(widened(sums + m * b_rows + n),
                                             _mm256_add_epi64(by, widened(right + n)));
      _mm256_store_si256(at, _mm256_add_epi64(_mm256_load_si256(at), term));
    }
  }
}

ASSAY_TARGET void add_scaled(int rows, const std::int32_t* sums, const std::int64_t* left,
                             const std::int64_t* right, std::int64_t* totals) {
  add_scaled_loop(rows, sums, left, right, totals);
}

ASSAY_TARGET void add_late(const LateJob& job) { add_late_loop(job); }

ASSAY_TARGET bool round(const RoundJob& job) { return round_loop(job); }

}  // namespace

const KernelTable* avx2_kernels() {
  static constexpr KernelTable table{byte_sums,  word_sums<32>, word_sums<16>, add_shifted,
                                     add_scaled, add_late,      round};
  static const bool has = __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0;
  return has ? &table : nullptr;
}

}  // namespace assay::golden::exact_parts
#else
namespace assay::golden::exact_parts {
const KernelTable* avx2_kernels() { return nullptr; }
}  // namespace assay::golden::exact_parts
#endif

// SPDX-License-Identifier: Apache-2.0
#include "golden/exact_gemm_kernels.h"

#if defined(__x86_64__) && defined(__GNUC__)
// GCC 12 warns of the undefined vectors in its own header (GCC bug 105593).
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#pragma GCC diagnostic pop

#include "golden/exact_gemm_loops.h"

#define ASSAY_TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma")))

namespace assay::golden::exact_parts {
namespace {

ASSAY_TARGET inline __m512i load(const std::uint32_t* p) { return _mm512_load_si512(p); }
ASSAY_TARGET inline __m512i broadcast(std::uint32_t x) {
  return _mm512_set1_epi32(static_cast<int>(x));
}

/// A pair of groups shares a lane: the first group's sum, biased so that it is not negative, is
/// rotated into the high word, where the second group's sum below it cannot borrow. See
/// pack_starts() in exact_gemm_pack_bytes.cpp.
template <int rows, int steps>
ASSAY_TARGET void byte_sums_of(const ByteJob& job, std::int32_t* sums) {
  const __m512i bias = broadcast(steps * 4 * 144 * 0x10001U);
  __m512i total[rows][2];
  for (int m = 0; m < rows; ++m) total[m][0] = total[m][1] = _mm512_setzero_si512();
  const std::uint32_t* a = job.a;
  const std::uint32_t* b = job.b;
  for (int pair = 0; pair < job.pairs; ++pair) {
    const __m512i start0 = load(job.b_starts + pair * b_rows);
    const __m512i start1 = load(job.b_starts + pair * b_rows + 16);
    __m512i z[rows][2];
    for (int m = 0; m < rows; ++m) {
      z[m][0] = start0;
      z[m][1] = start1;
    }
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
#pragma GCC unroll 8
      for (int step = 0; step < steps; ++step) {
        const __m512i b0 = load(b);
        const __m512i b1 = load(b + 16);
#pragma GCC unroll 6
        for (int m = 0; m < rows; ++m) {
          const __m512i x = broadcast(a[m]);
          z[m][0] = _mm512_dpbusd_epi32(z[m][0], x, b0);
          z[m][1] = _mm512_dpbusd_epi32(z[m][1], x, b1);
        }
        a += rows;
        b += b_rows;
      }
      if (half == 0)
#pragma GCC unroll 6
        for (int m = 0; m < rows; ++m) {
          z[m][0] = _mm512_rol_epi32(z[m][0], 16);
          z[m][1] = _mm512_rol_epi32(z[m][1], 16);
        }
    }
    const __m512i scale0 = load(job.b_scales + pair * b_rows);
    const __m512i scale1 = load(job.b_scales + pair * b_rows + 16);
#pragma GCC unroll 6
    for (int m = 0; m < rows; ++m) {
      const __m512i scale = broadcast(job.a_scales[pair * rows + m]);
      total[m][0] = _mm512_dpwssd_epi32(total[m][0], _mm512_sub_epi16(z[m][0], bias),
                                        _mm512_mullo_epi16(scale, scale0));
      total[m][1] = _mm512_dpwssd_epi32(total[m][1], _mm512_sub_epi16(z[m][1], bias),
                                        _mm512_mullo_epi16(scale, scale1));
    }
  }
  for (int m = 0; m < rows; ++m) {
    _mm512_store_si512(sums + m * b_rows, total[m][0]);
    _mm512_store_si512(sums + m * b_rows + 16, total[m][1]);
  }
}

template <int rows>
void byte_sums_rows(const ByteJob& job, std::int32_t* sums) {
  if (job.steps == 4)
    byte_sums_of<rows, 4>(job, sums);
  else
    byte_sums_of<rows, 8>(job, sums);
}

void byte_sums(const ByteJob& job, std::int32_t* sums) {
  static constexpr void (*table[])(const ByteJob&, std::int32_t*) = {
      byte_sums_rows<1>, byte_sums_rows<2>, byte_sums_rows<3>,
      byte_sums_rows<4>, byte_sums_rows<5>, byte_sums_rows<6>};
  table[job.rows - 1](job, sums);
}

template <int rows, int vectors>
ASSAY_TARGET void word_sums_of(const WordJob& job, std::int32_t* sums) {
  __m512i total[rows][vectors];
  for (int m = 0; m < rows; ++m)
    for (int v = 0; v < vectors; ++v)
      total[m][v] =
          job.add ? _mm512_load_si512(sums + m * b_rows + 16 * v) : _mm512_setzero_si512();
  for (int i = 0; i < job.count; ++i) {
    const std::uint32_t* a = job.a + (job.a_index == nullptr ? i : job.a_index[i]) * rows;
    const std::uint32_t* b = job.b + (job.b_index == nullptr ? i : job.b_index[i]) * job.b_stride;
    __m512i y[vectors];
    for (int v = 0; v < vectors; ++v) y[v] = load(b + 16 * v);
#pragma GCC unroll 6
    for (int m = 0; m < rows; ++m) {
      const __m512i x = broadcast(a[m]);
      for (int v = 0; v < vectors; ++v) total[m][v] = _mm512_dpwssd_epi32(total[m][v], x, y[v]);
    }
  }
  for (int m = 0; m < rows; ++m)
    for (int v = 0; v < vectors; ++v) _mm512_store_si512(sums + m * b_rows + 16 * v, total[m][v]);
}

template <int vectors>
void word_sums(const WordJob& job, std::int32_t* sums) {
  static constexpr void (*table[])(const WordJob&, std::int32_t*) = {
      word_sums_of<1, vectors>, word_sums_of<2, vectors>, word_sums_of<3, vectors>,
      word_sums_of<4, vectors>, word_sums_of<5, vectors>, word_sums_of<6, vectors>};
  table[job.rows - 1](job, sums);
}

ASSAY_TARGET void add_shifted(int rows, const std::int32_t* sums, const std::int32_t* left,
                              const std::int32_t* right, std::int64_t* totals) {
  __m512i shifts[4];
  for (int v = 0; v < 4; ++v)
    shifts[v] =
        _mm512_cvtepi32_epi64(_mm256_load_si256(reinterpret_cast<const __m256i*>(right) + v));
  for (int m = 0; m < rows; ++m) {
    const __m512i by = _mm512_set1_epi64(left[m]);
    for (int v = 0; v < 4; ++v) {
      const __m512i sum = _mm512_cvtepi32_epi64(
          _mm256_load_si256(reinterpret_cast<const __m256i*>(sums + m * b_rows) + v));
      std::int64_t* at = totals + m * b_rows + 8 * v;
      _mm512_store_si512(at,
                         _mm512_add_epi64(_mm512_load_si512(at),
                                          _mm512_sllv_epi64(sum, _mm512_add_epi64(by, shifts[v]))));
    }
  }
}

ASSAY_TARGET void add_scaled(int rows, const std::int32_t* sums, const std::int64_t* left,
                             const std::int64_t* right, std::int64_t* totals) {
  add_scaled_loop(rows, sums, left, right, totals);
}

/// add_late_loop() with the multiplication of 32-bit halves that it means.
ASSAY_TARGET void add_late(const LateJob& job) {
  const __m512i low = _mm512_set1_epi64((std::int64_t{1} << 31) - 1);
  for (int v = 0; v < 4; ++v) {
    const __m512i right =
        _mm512_cvtepu32_epi64(_mm256_load_si256(reinterpret_cast<const __m256i*>(job.right) + v));
    for (int m = 0; m < job.rows; ++m) {
      const int at = m * b_rows + 8 * v;
      const __m512i left = _mm512_set1_epi64(job.left[m]);
      const __m512i total = _mm512_load_si512(job.totals + at);
      const __m512i u0 = _mm512_mul_epi32(_mm512_and_si512(total, low), left);
      const __m512i u1 = _mm512_add_epi64(_mm512_mul_epi32(_mm512_srai_epi64(total, 31), left),
                                          _mm512_srli_epi64(u0, 31));
      const __m512i v0 = _mm512_mul_epi32(_mm512_and_si512(u0, low), right);
      const __m512i v1 = _mm512_mul_epi32(_mm512_and_si512(u1, low), right);
      const __m512i v2 = _mm512_mul_epi32(_mm512_srai_epi64(u1, 31), right);
      std::int64_t* d0 = job.digits + at;
      std::int64_t* d1 = d0 + job.digit_stride;
      std::int64_t* d2 = d1 + job.digit_stride;
      _mm512_store_si512(d0, _mm512_add_epi64(_mm512_load_si512(d0), _mm512_and_si512(v0, low)));
      _mm512_store_si512(
          d1, _mm512_add_epi64(_mm512_load_si512(d1), _mm512_add_epi64(_mm512_srli_epi64(v0, 31),
                                                                       _mm512_and_si512(v1, low))));
      _mm512_store_si512(d2, _mm512_add_epi64(_mm512_load_si512(d2),
                                              _mm512_add_epi64(_mm512_srli_epi64(v1, 31), v2)));
    }
  }
}

ASSAY_TARGET bool round(const RoundJob& job) { return round_loop(job); }

}  // namespace

const KernelTable* avx512_kernels() {
  static constexpr KernelTable table{byte_sums,  word_sums<2>, word_sums<1>, add_shifted,
                                     add_scaled, add_late,     round};
  static const bool has =
      __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
      __builtin_cpu_supports("avx512dq") != 0 && __builtin_cpu_supports("avx512vl") != 0 &&
      __builtin_cpu_supports("avx512vnni") != 0 && __builtin_cpu_supports("fma") != 0;
  return has ? &table : nullptr;
}

}  // namespace assay::golden::exact_parts
#else
namespace assay::golden::exact_parts {
const KernelTable* avx512_kernels() { return nullptr; }
}  // namespace assay::golden::exact_parts
#endif

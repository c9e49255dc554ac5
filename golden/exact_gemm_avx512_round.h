// SPDX-License-Identifier: Apache-2.0
#pragma once
// Inside exact_gemm_avx512.cpp, which defines ASSAY_TARGET: sums rounded in vectors.

#include <immintrin.h>

#include "golden/exact_gemm_kernels.h"
#include "golden/exact_gemm_operand.h"

namespace assay::golden::exact_parts {
namespace {

/// round_loop(), eight sums at a time.
ASSAY_TARGET inline bool round(const RoundJob& job) {
  const __m512i most = _mm512_set1_epi64(std::int64_t{1} << 53);
  const __m512i one = _mm512_set1_epi64(1);
  __m512i outside = _mm512_setzero_si512();
  for (int n = 0; n < b_rows; n += 8) {
    const __m512d column = _mm512_load_pd(job.column_factors + n);
    for (int m = 0; m < job.rows; ++m) {
      const int at = m * b_rows + n;
      const __m512i sum = _mm512_load_si512(job.sums + at);
      outside = _mm512_or_si512(outside, _mm512_add_epi64(sum, most));
      const __m512d x = _mm512_cvtepi64_pd(sum);
      const __m512d factor = _mm512_mul_pd(_mm512_set1_pd(job.row_factors[m]), column);
      const __m512d p = _mm512_mul_pd(x, factor);
      const __m512d error = _mm512_fmsub_pd(x, factor, p);
      const __m512i bits = _mm512_castpd_si512(p);
      const __mmask8 changes = _mm512_cmp_pd_mask(error, _mm512_setzero_pd(), _CMP_NEQ_UQ) &
                               _mm512_testn_epi64_mask(bits, one);
      const __m512i signs =
          _mm512_srai_epi64(_mm512_xor_si512(bits, _mm512_castpd_si512(error)), 63);
      const __m512i odd = _mm512_mask_add_epi64(bits, changes, bits, _mm512_or_si512(signs, one));
      const __m512d result = _mm512_maskz_mov_pd(
          _mm512_cmp_pd_mask(p, _mm512_setzero_pd(), _CMP_NEQ_UQ), _mm512_castsi512_pd(odd));
      _mm512_store_pd(job.odd + at, result);
      _mm256_store_si256(reinterpret_cast<__m256i*>(job.f32 + at),
                         _mm256_castps_si256(_mm512_cvtpd_ps(result)));
    }
  }
  return _mm512_test_epi64_mask(outside, _mm512_set1_epi64(-(std::int64_t{1} << 54))) == 0;
}

/// Digits carried and without a sign are h 2^62 + l. With h (or l, where h = 0) moved up to bit 63
/// the first 53 bits are those of the result, and what is below them makes it odd. The factors are
/// powers of two.
ASSAY_TARGET inline bool round_digits(const RoundJob& job) {
  const __m512i low = _mm512_set1_epi64((std::int64_t{1} << 31) - 1);
  const __m512i zero = _mm512_setzero_si512();
  const __m512i one = _mm512_set1_epi64(1);
  for (int n = 0; n < b_rows; n += 8) {
    const __m512d column = _mm512_load_pd(job.column_factors + n);
    for (int m = 0; m < job.rows; ++m) {
      const int at = m * b_rows + n;
      __m512i d0 = _mm512_load_si512(job.sums + at);
      __m512i d1 = _mm512_load_si512(job.sums + at + tile_size);
      __m512i d2 = _mm512_load_si512(job.sums + at + 2 * tile_size);
      d1 = _mm512_add_epi64(d1, _mm512_srai_epi64(d0, 31));
      d2 = _mm512_add_epi64(d2, _mm512_srai_epi64(d1, 31));
      const __mmask8 negative = _mm512_cmplt_epi64_mask(d2, zero);
      d0 = _mm512_and_si512(d0, low);
      d1 = _mm512_and_si512(d1, low);
      d0 = _mm512_mask_sub_epi64(d0, negative, zero, d0);
      d1 = _mm512_mask_sub_epi64(d1, negative, zero, d1);
      d2 = _mm512_mask_sub_epi64(d2, negative, zero, d2);
      d1 = _mm512_add_epi64(d1, _mm512_srai_epi64(d0, 31));
      d2 = _mm512_add_epi64(d2, _mm512_srai_epi64(d1, 31));
      d0 = _mm512_and_si512(d0, low);
      d1 = _mm512_and_si512(d1, low);
      __m512i l = _mm512_or_si512(_mm512_slli_epi64(d1, 31), d0);
      const __mmask8 small = _mm512_testn_epi64_mask(d2, d2);
      const __m512i h = _mm512_mask_mov_epi64(d2, small, l);
      l = _mm512_mask_mov_epi64(_mm512_slli_epi64(l, 2), small, zero);
      const __m512i up = _mm512_lzcnt_epi64(h);
      const __m512i top =
          _mm512_or_si512(_mm512_sllv_epi64(h, up),
                          _mm512_srlv_epi64(l, _mm512_sub_epi64(_mm512_set1_epi64(64), up)));
      const __mmask8 below =
          _mm512_test_epi64_mask(_mm512_sllv_epi64(l, up), _mm512_set1_epi64(-1)) |
          _mm512_test_epi64_mask(top, _mm512_set1_epi64(0x7FF));
      const __m512i bits = _mm512_srli_epi64(top, 11);
      const __m512d x = _mm512_cvtepi64_pd(_mm512_mask_or_epi64(bits, below, bits, one));
      // 1023 + 11 - up, and 62 more where h was d2.
      const __m512i field = _mm512_sub_epi64(
          _mm512_mask_mov_epi64(_mm512_set1_epi64(1034 + 62), small, _mm512_set1_epi64(1034)), up);
      const __m512d power = _mm512_castsi512_pd(_mm512_slli_epi64(field, 52));
      const __m512d factor = _mm512_mul_pd(_mm512_set1_pd(job.row_factors[m]), column);
      __m512d value = _mm512_mul_pd(_mm512_mul_pd(x, power), factor);
      value = _mm512_mask_sub_pd(value, negative, _mm512_setzero_pd(), value);
      value =
          _mm512_maskz_mov_pd(_mm512_cmp_pd_mask(value, _mm512_setzero_pd(), _CMP_NEQ_UQ), value);
      _mm512_store_pd(job.odd + at, value);
      _mm256_store_si256(reinterpret_cast<__m256i*>(job.f32 + at),
                         _mm256_castps_si256(_mm512_cvtpd_ps(value)));
    }
  }
  return true;
}

}  // namespace
}  // namespace assay::golden::exact_parts

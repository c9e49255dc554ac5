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

#include <utility>

#include "golden/exact_gemm_loops.h"

#define ASSAY_TARGET \
  __attribute__((target("avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512vnni,fma,popcnt")))

#define ASSAY_INLINE ASSAY_TARGET inline __attribute__((always_inline))

#include "golden/exact_gemm_avx512_round.h"

namespace assay::golden::exact_parts {
namespace {

ASSAY_INLINE __m512i load(const std::uint32_t* p) { return _mm512_load_si512(p); }
ASSAY_INLINE __m512i broadcast(std::uint32_t x) { return _mm512_set1_epi32(static_cast<int>(x)); }

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
        if (rows <= 2) {  // few products a byte of B: its pace is the memory's
          _mm_prefetch(reinterpret_cast<const char*>(b) + 4096, _MM_HINT_T0);
          _mm_prefetch(reinterpret_cast<const char*>(b + 16) + 4096, _MM_HINT_T0);
        }
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

/// sum += two words of each lane of a times those of b. In assembly, since GCC 12 copies the sums
/// around otherwise.
ASSAY_INLINE void add_products(__m512i& sum, __m512i a, __m512i b) {
  asm("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
}

// Loops over rows as folds: their indices are constants before the compiler looks for registers.
template <int... m>
using Rows = std::integer_sequence<int, m...>;

template <int... m>
ASSAY_INLINE void load_sums(Rows<m...> /*rows*/, __m512i* x, const std::int32_t* sums, bool add) {
  ((x[m] = add ? _mm512_load_si512(sums + m * b_rows) : _mm512_setzero_si512()), ...);
}
template <int... m>
ASSAY_INLINE void store_sums(Rows<m...> /*rows*/, const __m512i* x, std::int32_t* sums) {
  (_mm512_store_si512(sums + m * b_rows, x[m]), ...);
}
/// Rows of A that begin at `a`, by 16 columns.
template <int... m>
ASSAY_INLINE void add_half(Rows<m...> /*rows*/, __m512i* x, const std::uint32_t* a, __m512i b) {
  (add_products(x[m], broadcast(a[m]), b), ...);
}
ASSAY_INLINE void add_row(__m512i& low, __m512i& high, std::uint32_t a, __m512i b0, __m512i b1) {
  const __m512i x = broadcast(a);
  add_products(low, x, b0);
  add_products(high, x, b1);
}
template <int... m>
ASSAY_INLINE void add_pair(Rows<m...> /*rows*/, __m512i* low, __m512i* high, const std::uint32_t* a,
                           const std::uint32_t* b) {
  const __m512i b0 = load(b);
  const __m512i b1 = load(b + 16);
  (add_row(low[m], high[m], a[m], b0, b1), ...);
}

template <int rows>
ASSAY_TARGET void word_sums_of(const WordJob& job, std::int32_t* sums) {
  constexpr std::make_integer_sequence<int, rows> all{};
  __m512i low[rows];
  __m512i high[rows];
  load_sums(all, low, sums, job.add);
  load_sums(all, high, sums + 16, job.add);
  const std::uint32_t* a = job.a;
  const std::uint32_t* b = job.b;
  if (job.b_index == nullptr)
    for (int i = 0; i < job.count; ++i) add_pair(all, low, high, a + i * rows, b + i * b_rows);
  else
    for (int i = 0; i < job.count; ++i)
      add_pair(all, low, high, a + i * rows, b + job.b_index[i] * b_rows);
  store_sums(all, low, sums);
  store_sums(all, high, sums + 16);
}

void word_sums(const WordJob& job, std::int32_t* sums) {
  static constexpr void (*table[])(const WordJob&, std::int32_t*) = {
      word_sums_of<1>, word_sums_of<2>, word_sums_of<3>,
      word_sums_of<4>, word_sums_of<5>, word_sums_of<6>};
  table[job.rows - 1](job, sums);
}

/// Where pair i of a half's job begins.
ASSAY_INLINE const std::uint32_t* of_a(const WordJob& job, int i, int rows) {
  return job.a + job.a_index[i] * rows;
}
ASSAY_INLINE __m512i of_b(const WordJob& job, int i) {
  return load(job.b + (job.b_index == nullptr ? i : job.b_index[i]) * 16);
}

/// The halves in turns, so that twice as many sums are on their way.
template <int rows>
ASSAY_TARGET void word_sums_halves_of(const WordJob& low, const WordJob& high, std::int32_t* sums) {
  constexpr std::make_integer_sequence<int, rows> all{};
  __m512i x[rows];
  __m512i y[rows];
  load_sums(all, x, sums, low.add);
  load_sums(all, y, sums + 16, high.add);
  const int both = low.count < high.count ? low.count : high.count;
  for (int i = 0; i < both; ++i) {
    add_half(all, x, of_a(low, i, rows), of_b(low, i));
    add_half(all, y, of_a(high, i, rows), of_b(high, i));
  }
  for (int i = both; i < low.count; ++i) add_half(all, x, of_a(low, i, rows), of_b(low, i));
  for (int i = both; i < high.count; ++i) add_half(all, y, of_a(high, i, rows), of_b(high, i));
  store_sums(all, x, sums);
  store_sums(all, y, sums + 16);
}

void word_sums_halves(const WordJob& low, const WordJob& high, std::int32_t* sums) {
  static constexpr void (*table[])(const WordJob&, const WordJob&, std::int32_t*) = {
      word_sums_halves_of<1>, word_sums_halves_of<2>, word_sums_halves_of<3>,
      word_sums_halves_of<4>, word_sums_halves_of<5>, word_sums_halves_of<6>};
  table[low.rows - 1](low, high, sums);
}

ASSAY_TARGET inline __m512i widened(const std::int32_t* p) {
  return _mm512_cvtepi32_epi64(_mm256_load_si256(reinterpret_cast<const __m256i*>(p)));
}

ASSAY_TARGET int intersect(std::uint64_t a, std::uint64_t b, std::uint8_t* a_index,
                           std::uint8_t* b_index) {
  return intersect_loop(a, b, a_index, b_index);
}

ASSAY_TARGET void add_shifted(const ShiftJob& job) {
  for (int n = 0; n < b_rows; n += 8) {
    const __m512i right = widened(job.right + n);
    for (int m = 0; m < job.rows; ++m) {
      std::int64_t* at = job.totals + m * b_rows + n;
      __m512i total = _mm512_load_si512(at);
      for (int s = 0; s < job.count; ++s) {
        const __m512i by = _mm512_add_epi64(_mm512_set1_epi64(job.left[m] - job.down[s]), right);
        const __m512i sum = widened(job.sums + s * tile_size + m * b_rows + n);
        total = _mm512_add_epi64(total, _mm512_sllv_epi64(sum, by));
      }
      _mm512_store_si512(at, total);
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

}  // namespace

const KernelTable* avx512_kernels() {
  static constexpr KernelTable table{byte_sums, word_sums,   word_sums_halves,
                                     intersect, add_shifted, add_scaled,
                                     add_late,  round,       round_digits};
  static const bool has =
      __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
      __builtin_cpu_supports("avx512cd") != 0 && __builtin_cpu_supports("avx512dq") != 0 &&
      __builtin_cpu_supports("avx512vl") != 0 && __builtin_cpu_supports("avx512vnni") != 0 &&
      __builtin_cpu_supports("fma") != 0;
  return has ? &table : nullptr;
}

}  // namespace assay::golden::exact_parts
#else
namespace assay::golden::exact_parts {
const KernelTable* avx512_kernels() { return nullptr; }
}  // namespace assay::golden::exact_parts
#endif

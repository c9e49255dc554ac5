// SPDX-License-Identifier: Apache-2.0
// Sixteen bits are enough to find an element's code: its magnitude's bits are compared with the
// thresholds of its block, 32 elements at a time. Then the numbers of tile_kernels.cpp are added in
// the order of tile_kernels.cpp: |x| and |x^| have one sign, so x x^ = |x| |x^| and (x^ - x)^2 =
// (|x^| - |x|)^2, to the bit. Included by bf16_kernels.cpp only.

#if defined(ASSAY_SIMULATOR_BF16_ELEMENTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ASSAY_SIMULATOR_BF16_ELEMENTS_INL_H_
#undef ASSAY_SIMULATOR_BF16_ELEMENTS_INL_H_
#else
#define ASSAY_SIMULATOR_BF16_ELEMENTS_INL_H_
#endif

#include <array>
#include <cstddef>
#include <cstdint>

#include "hwy/highway.h"
#include "simulator/bf16_kernels.h"

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

using Words = __m512i;
using Doubles = __m512d;

/// Element 8 j + q of 32 goes to place j of the q-th group of four: shifting groups of 64 bits then
/// leaves elements 8 j ... 8 j + 7, in order, in eight lanes.
struct alignas(64) Places {
  std::uint16_t from[32];
  constexpr Places() : from() {
    for (unsigned q = 0; q < 8; ++q)
      for (unsigned j = 0; j < 4; ++j) from[4 * q + j] = static_cast<std::uint16_t>(8 * j + q);
  }
};
constexpr Places kPlaces;

/// What is known of a run, each time less.
enum class Kind : std::uint8_t {
  plain,    ///< all elements are normal numbers, and no block clips one
  clipped,  ///< all elements are normal numbers
  any,
};

/// The codes of 32 elements: of one block, or of one and the next. Bits of the masks are elements.
template <int width, Kind kind>
struct Codes {
  Words magnitude, code;  ///< of the code, the lowest three bits count
  __mmask32 four, two, below_one, negative, zero, clipped;

  HWY_INLINE Codes(const std::uint16_t* x, const ElementRule& a, const ElementRule& b) {
    const Words one = _mm512_set1_epi16(1);
    // The second block's thresholds are 8 places behind the first's.
    const Words base = _mm512_set1_epi64(width == 16 ? 0x0008000800000000 : 0);
    const Words table = thresholds(a, b);
    const Words raw =
        _mm512_permutexvar_epi16(_mm512_load_si512(kPlaces.from), _mm512_loadu_si512(x));
    magnitude = _mm512_and_si512(raw, _mm512_set1_epi16(0x7FFF));
    negative = _mm512_movepi16_mask(raw);
    zero = kind == Kind::any ? _mm512_testn_epi16_mask(magnitude, magnitude) : 0;
    clipped = kind == Kind::plain ? 0 : reaches(_mm512_permutexvar_epi16(base, table));
    // Is the code at least 4? At least 2 or 6? At least 1, 3, 5 or 7?
    four = reaches(_mm512_permutexvar_epi16(_mm512_add_epi16(base, _mm512_set1_epi16(4)), table));
    const Words middle = _mm512_mask_add_epi16(_mm512_add_epi16(base, _mm512_set1_epi16(2)), four,
                                               base, _mm512_set1_epi16(6));
    two = reaches(_mm512_permutexvar_epi16(middle, table));
    const Words last = _mm512_mask_add_epi16(_mm512_sub_epi16(middle, one), two, middle, one);
    below_one = _mm512_cmplt_epu16_mask(magnitude, _mm512_permutexvar_epi16(last, table));
    code = _mm512_mask_sub_epi16(last, below_one, last, one);
  }

 private:
  [[nodiscard]] HWY_INLINE __mmask32 reaches(Words threshold) const {
    return _mm512_cmpge_epu16_mask(magnitude, threshold);
  }
  static HWY_INLINE Words thresholds(const ElementRule& a, const ElementRule& b) {
    const __m128i first = _mm_load_si128(reinterpret_cast<const __m128i*>(a.step.data()));
    if constexpr (width == 32) return _mm512_castsi128_si512(first);
    const __m128i second = _mm_load_si128(reinterpret_cast<const __m128i*>(b.step.data()));
    return _mm512_castsi256_si512(
        _mm256_inserti128_si256(_mm256_castsi128_si256(first), second, 1));
  }
};

/// Elements 8 j ... 8 j + 7 of 32: |x| and |x^|, times 2^-kDown.
template <int j, bool plain>
struct Eight {
  Doubles x, y;

  /// The bits of a BF16 magnitude are put where a double has exponent and fraction. Of a normal
  /// number, an exponent of 8 bits behind the bits 011 is then the number's times 2^(768 + 127 -
  /// 1023) = 2^-128. Of subnormal ones and zero too the bits behind zeros are the value but for the
  /// biases' difference 2^(127 - 1023): times 2^768 it is the same.
  HWY_INLINE Eight(Words magnitude, Words code, const ElementRule& rule) {
    static_assert(kDown == 128);
    const Words put =
        j == 3 ? _mm512_srli_epi64(magnitude, 3) : _mm512_slli_epi64(magnitude, 45 - 16 * (j % 3));
    const Words where = _mm512_set1_epi64(0x0FFFE00000000000);
    if constexpr (plain) {
      constexpr int kAndThenOr = 0xEA;
      x = _mm512_castsi512_pd(
          _mm512_ternarylogic_epi64(put, where, _mm512_set1_epi64(0x3000000000000000), kAndThenOr));
    } else {
      x = _mm512_mul_pd(_mm512_castsi512_pd(_mm512_and_si512(put, where)), _mm512_set1_pd(0x1p768));
    }
    y = _mm512_permutexvar_pd(_mm512_srli_epi64(code, 16 * j), _mm512_load_pd(rule.value.data()));
  }
};

/// Partial sums of a block. x has 8 significant bits and x^ at most 30 (2 of the element, 4 of the
/// scale factor, 24 of the tensor scale): x x and x x^ are doubles, so fusing the addition rounds
/// where adding the product would. (x^ - x)^2 is not, but for scale factors that are powers of two:
/// add_blocks_bf16() says why.
template <bool fuse_squares>
struct Sums {
  Doubles xx, ee;

  template <class E>
  HWY_INLINE void begin(const E& v, Doubles& xy) {
    const Doubles n = _mm512_sub_pd(v.y, v.x);
    xx = _mm512_mul_pd(v.x, v.x);
    ee = _mm512_mul_pd(n, n);
    xy = _mm512_fmadd_pd(v.x, v.y, xy);
  }
  template <class E>
  HWY_INLINE void add(const E& v, Doubles& xy) {
    const Doubles n = _mm512_sub_pd(v.y, v.x);
    xx = _mm512_fmadd_pd(v.x, v.x, xx);
    ee = fuse_squares ? _mm512_fmadd_pd(n, n, ee) : _mm512_add_pd(ee, _mm512_mul_pd(n, n));
    xy = _mm512_fmadd_pd(v.x, v.y, xy);
  }
};

/// lane_sum() of the vectors of eight blocks, in three steps: of each two, of each four, of all, in
/// the order 0 4 1 5 2 6 3 7. The first adds lanes i and i + 4, the second i and i + 2.
HWY_INLINE Doubles sum_two(Doubles a, Doubles b) {
  return _mm512_add_pd(_mm512_shuffle_f64x2(a, b, 0x44), _mm512_shuffle_f64x2(a, b, 0xEE));
}
HWY_INLINE Doubles sum_four(Doubles ab, Doubles cd) {
  return _mm512_add_pd(_mm512_shuffle_f64x2(ab, cd, 0x88), _mm512_shuffle_f64x2(ab, cd, 0xDD));
}
HWY_INLINE Doubles sum_eight(const Doubles* two) {
  const Doubles low = sum_four(two[0], two[1]);
  const Doubles high = sum_four(two[2], two[3]);
  return _mm512_add_pd(_mm512_unpacklo_pd(low, high), _mm512_unpackhi_pd(low, high));
}

/// Sums of eight blocks, on their way to the totals.
struct EightBlocks {
  Doubles power[4], error[4];

  template <class S>
  HWY_INLINE void set(std::size_t pair, const S& a, const S& b) {
    power[pair] = sum_two(a.xx, b.xx);
    error[pair] = sum_two(a.ee, b.ee);
  }
};

/// Counts codes by their bits: how many have all of a set of bits, for every set.
struct CodeBits {
  std::uint64_t with[16] = {};
  std::uint64_t zeros = 0, clipped = 0;

  static HWY_INLINE std::uint64_t both(std::uint64_t a, std::uint64_t b) { return a | b << 32; }
  static HWY_INLINE std::uint64_t count(std::uint64_t bits) {
    return static_cast<std::uint64_t>(_mm_popcnt_u64(bits));
  }
  template <int width, Kind kind>
  HWY_INLINE void add(const Codes<width, kind>& low, const Codes<width, kind>& high) {
    const std::uint64_t a = ~both(low.below_one, high.below_one);
    const std::uint64_t b = both(low.two, high.two);
    const std::uint64_t c = both(low.four, high.four);
    const std::uint64_t d = both(low.negative, high.negative);
    const std::uint64_t ab = a & b;
    const std::uint64_t ac = a & c;
    const std::uint64_t bc = b & c;
    const std::uint64_t abc = ab & c;
    with[0] += 64;
    with[1] += count(a);
    with[2] += count(b);
    with[3] += count(ab);
    with[4] += count(c);
    with[5] += count(ac);
    with[6] += count(bc);
    with[7] += count(abc);
    with[8] += count(d);
    with[9] += count(a & d);
    with[10] += count(b & d);
    with[11] += count(ab & d);
    with[12] += count(c & d);
    with[13] += count(ac & d);
    with[14] += count(bc & d);
    with[15] += count(abc & d);
    if (kind == Kind::any) zeros += count(both(low.zero, high.zero));
    if (kind != Kind::plain) clipped += count(both(low.clipped, high.clipped));
  }
  void finish(BlockRunSums& s) {
    for (unsigned bit = 1; bit < 16; bit *= 2)
      for (unsigned set = 0; set < 16; ++set)
        if ((set & bit) == 0) with[set] -= with[set | bit];
    for (unsigned set = 0; set < 16; ++set) s.codes[set] += with[set];
    s.zeros += zeros;
    s.clipped += clipped;
  }
};

#endif

}  // namespace HWY_NAMESPACE
}  // namespace assay::simulator
HWY_AFTER_NAMESPACE();
#if HWY_ARCH_X86 && HWY_COMPILER_GCC_ACTUAL
#pragma GCC diagnostic pop
#endif

#endif  // per-target include guard

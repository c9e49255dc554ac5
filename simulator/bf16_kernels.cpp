// SPDX-License-Identifier: Apache-2.0
// Sixteen bits are enough to find an element's code: its magnitude's bits are compared with the
// thresholds of its block, 32 elements at a time. Then the numbers of tile_kernels.cpp are added in
// the order of tile_kernels.cpp: |x| and |x^| have one sign, so x x^ = |x| |x^| and (x^ - x)^2 =
// (|x^| - |x|)^2, to the bit.
#include "simulator/bf16_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simulator/bf16_kernels.cpp"
#include <hwy/foreach_target.h>
// foreach_target.h comes first: it includes this file again for every other instruction set.
#include <hwy/highway.h>

#include <algorithm>

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

bool Applies() { return true; }

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

/// The codes of 64 elements, four blocks or two, and then their sums.
template <int width, bool fuse_squares, Kind kind>
struct SixtyFour {
  static constexpr int kBlocks = 64 / width;
  using Half = Codes<width, kind>;
  using BlockSums = Sums<fuse_squares>;
  template <int j>
  using Part = Eight<j, kind != Kind::any>;
  Half low, high;

  HWY_INLINE SixtyFour(const std::uint16_t* x, const ElementRule* rules, const std::uint16_t* which)
      : low(x, rules[which[0]], rules[which[width == 16 ? 1 : 0]]),
        high(x + 32, rules[which[kBlocks / 2]], rules[which[kBlocks - 1]]) {}

  /// The blocks are those from number `at` on, of eight.
  HWY_INLINE void add(const ElementRule* rules, const std::uint16_t* which, std::size_t at,
                      EightBlocks& out, Doubles& xy) const {
    if constexpr (width == 16) {
      add_16(low, rules[which[0]], rules[which[1]], at / 2, out, xy);
      add_16(high, rules[which[2]], rules[which[3]], at / 2 + 1, out, xy);
    } else {
      const BlockSums first = add_32(low, rules[which[0]], xy);
      const BlockSums second = add_32(high, rules[which[1]], xy);
      out.set(at / 2, first, second);
    }
  }

 private:
  static HWY_INLINE void add_16(const Half& c, const ElementRule& first, const ElementRule& second,
                                std::size_t pair, EightBlocks& out, Doubles& xy) {
    BlockSums a;
    a.begin(Part<0>(c.magnitude, c.code, first), xy);
    a.add(Part<1>(c.magnitude, c.code, first), xy);
    BlockSums b;
    b.begin(Part<2>(c.magnitude, c.code, second), xy);
    b.add(Part<3>(c.magnitude, c.code, second), xy);
    out.set(pair, a, b);
  }
  static HWY_INLINE BlockSums add_32(const Half& c, const ElementRule& rule, Doubles& xy) {
    BlockSums b;
    b.begin(Part<0>(c.magnitude, c.code, rule), xy);
    b.add(Part<1>(c.magnitude, c.code, rule), xy);
    b.add(Part<2>(c.magnitude, c.code, rule), xy);
    b.add(Part<3>(c.magnitude, c.code, rule), xy);
    return b;
  }
};

/// The block of largest relative error, and that error.
struct Worst {
  double error;
  std::int64_t block;

  HWY_NOINLINE void find(Doubles power, Doubles error_of, std::int64_t first) {
    alignas(64) double p[8];
    alignas(64) double e[8];
    _mm512_store_pd(p, power);
    _mm512_store_pd(e, error_of);
    for (int b = 0; b < 8; ++b) {
      const int lane = b % 4 * 2 + b / 4;  // see sum_eight()
      const double relative = p[lane] > 0 ? e[lane] / p[lane] : 0;
      if (relative > error) {
        error = relative;
        block = first + b;
      }
    }
  }
};

/// The totals of power and error, to which blocks are added one by one: those of the eight before,
/// while others are being computed.
struct Totals {
  __m128d total;
  alignas(64) double both[16] = {};  ///< power and error of block after block

  HWY_INLINE void add() {
    for (int b = 0; b < 16; b += 2) total = _mm_add_pd(total, _mm_load_pd(both + b));
  }
  HWY_INLINE void set(Doubles power, Doubles error) {
    _mm512_store_pd(both, _mm512_unpacklo_pd(power, error));  // of blocks 0 1 2 3, see sum_eight()
    _mm512_store_pd(both + 8, _mm512_unpackhi_pd(power, error));
  }
};

template <int width, bool fuse_squares, Kind kind>
void add_blocks(const std::uint16_t* x, std::size_t blocks, const ElementRule* rules,
                const std::uint16_t* which, std::int64_t first, BlockRunSums& s) {
  using Step = SixtyFour<width, fuse_squares, kind>;
  if (blocks == 0) return;
  CodeBits counts;
  // Powers of two, and all sums and terms stay far inside the range of doubles: nothing rounds
  // elsewhere than without them.
  constexpr double kSumsDown = 0x1p-256;
  static_assert(2 * kDown == 256);
  Doubles xy = _mm512_mul_pd(_mm512_loadu_pd(s.xy), _mm512_set1_pd(kSumsDown));
  Totals totals{_mm_mul_pd(_mm_set_pd(s.total.error, s.total.power), _mm_set1_pd(kSumsDown))};
  Worst worst{s.worst_error, s.worst_block};
  // The codes of what comes next are found while the sums of what is at hand are added up: each has
  // too long a chain of instructions to keep a core busy.
  Step now(x, rules, which);
  for (std::size_t i = 0; i < blocks; i += kBlocksTogether) {
    EightBlocks sums;
    totals.add();
    HWY_UNROLL(2)
    for (std::size_t k = 0; k < kBlocksTogether; k += Step::kBlocks) {
      const std::size_t next = std::min(i + k + Step::kBlocks, blocks - Step::kBlocks);
      const Step ahead(x + next * width, rules, which + next);
      for (std::size_t line = 0; line < 64; line += 32)
        _mm_prefetch(reinterpret_cast<const char*>(x + (i + k) * width + line + kRunElements),
                     _MM_HINT_T0);
      now.add(rules, which + i + k, k, sums, xy);
      counts.add(now.low, now.high);
      now = ahead;
    }
    const Doubles power = sum_eight(sums.power);
    const Doubles error = sum_eight(sums.error);
    totals.set(power, error);
    // Only where error / power may round to more than the worst so far: it does not where error <=
    // worst (1 - 2^-50) power, for both roundings on the way are of at most 2^-53.
    const Doubles most = _mm512_mul_pd(power, _mm512_set1_pd(worst.error * (1 - 0x1p-50)));
    if (HWY_UNLIKELY(_mm512_cmp_pd_mask(error, most, _CMP_GT_OQ) != 0))
      worst.find(power, error, first + static_cast<std::int64_t>(i));
  }
  totals.add();
  _mm512_storeu_pd(s.xy, _mm512_mul_pd(xy, _mm512_set1_pd(1 / kSumsDown)));
  const __m128d total = _mm_mul_pd(totals.total, _mm_set1_pd(1 / kSumsDown));
  s.total = {_mm_cvtsd_f64(total), _mm_cvtsd_f64(_mm_unpackhi_pd(total, total))};
  s.worst_error = worst.error;
  s.worst_block = worst.block;
  counts.finish(s);
}

template <int width, bool fuse_squares>
void add_blocks(const BlockRun& run, const ElementRule* rules, BlockRunSums& sums) {
  const auto add = [&](auto of)
                       HWY_ATTR { of(run.x, run.blocks, rules, run.which, run.first, sums); };
  if (!run.normal) return add(add_blocks<width, fuse_squares, Kind::any>);
  add(run.clips ? add_blocks<width, fuse_squares, Kind::clipped>
                : add_blocks<width, fuse_squares, Kind::plain>);
}

void AddBlocks(const BlockRun& run, const ElementRule* rules, BlockRunSums& sums) {
  if (run.width == 16) {
    return run.powers_of_two ? add_blocks<16, true>(run, rules, sums)
                             : add_blocks<16, false>(run, rules, sums);
  }
  run.powers_of_two ? add_blocks<32, true>(run, rules, sums)
                    : add_blocks<32, false>(run, rules, sums);
}

template <int width, class Sink>
HWY_INLINE std::uint16_t block_amax(const std::uint16_t* x, std::size_t blocks, Sink sink) {
  const auto load = [](const std::uint16_t* p) HWY_ATTR {
    return _mm256_and_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)),
                            _mm256_set1_epi16(0x7FFF));
  };
  const auto smallest = [](__m128i v) HWY_ATTR {
    return static_cast<std::uint16_t>(_mm_cvtsi128_si32(_mm_minpos_epu16(v)));
  };
  __m256i least = _mm256_set1_epi16(-1);
  for (std::size_t b = 0; b < blocks; ++b, x += width) {
    __m256i v = load(x);
    least = _mm256_min_epu16(least, v);
    if constexpr (width == 32) {
      const __m256i more = load(x + 16);
      least = _mm256_min_epu16(least, more);
      v = _mm256_max_epu16(v, more);
    }
    const __m128i eight = _mm_max_epu16(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    sink(b, static_cast<std::uint16_t>(~smallest(_mm_xor_si128(eight, _mm_set1_epi16(-1)))));
  }
  return smallest(_mm_min_epu16(_mm256_castsi256_si128(least), _mm256_extracti128_si256(least, 1)));
}

template <int width>
HWY_INLINE FoundRules find_rules(const std::uint16_t* x, std::size_t blocks, const RuleOf& rule_of,
                                 std::uint16_t* which) {
  std::uint16_t most = 0;
  std::uint16_t any = 0;
  const std::uint16_t least =
      block_amax<width>(x, blocks, [&](std::size_t b, std::uint16_t amax) HWY_ATTR {
        const std::uint16_t rule = rule_of[amax].load(std::memory_order_acquire);
        most = std::max(most, rule);
        any |= rule;
        which[b] = rule & kRuleNumber;
      });
  return {most, any, least};
}

FoundRules FindRules(const std::uint16_t* x, std::size_t width, std::size_t blocks,
                     const RuleOf& rule_of, std::uint16_t* which) {
  return width == 16 ? find_rules<16>(x, blocks, rule_of, which)
                     : find_rules<32>(x, blocks, rule_of, which);
}

void BlockAmax(const std::uint16_t* x, std::size_t width, std::size_t blocks, std::uint16_t* amax) {
  const auto keep = [&](std::size_t b, std::uint16_t most) HWY_ATTR { amax[b] = most; };
  (void)(width == 16 ? block_amax<16>(x, blocks, keep) : block_amax<32>(x, blocks, keep));
}

#else

bool Applies() { return false; }
void AddBlocks(const BlockRun& /*run*/, const ElementRule* /*rules*/, BlockRunSums& /*sums*/) {
  HWY_ABORT("no vector code for this machine");
}
FoundRules FindRules(const std::uint16_t* /*x*/, std::size_t /*width*/, std::size_t /*blocks*/,
                     const RuleOf& /*rule_of*/, std::uint16_t* /*which*/) {
  HWY_ABORT("no vector code for this machine");
}
void BlockAmax(const std::uint16_t* /*x*/, std::size_t /*width*/, std::size_t /*blocks*/,
               std::uint16_t* /*amax*/) {
  HWY_ABORT("no vector code for this machine");
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace assay::simulator
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace assay::simulator {

HWY_EXPORT(Applies);
HWY_EXPORT(AddBlocks);
HWY_EXPORT(FindRules);
HWY_EXPORT(BlockAmax);

bool bf16_kernels_apply() { return HWY_DYNAMIC_DISPATCH(Applies)(); }

FoundRules find_rules_bf16(const std::uint16_t* x, std::size_t width, std::size_t blocks,
                           const RuleOf& rule_of, std::uint16_t* which) {
  return HWY_DYNAMIC_DISPATCH(FindRules)(x, width, blocks, rule_of, which);
}

void block_amax_bf16(const std::uint16_t* x, std::size_t width, std::size_t blocks,
                     std::uint16_t* amax) {
  HWY_DYNAMIC_DISPATCH(BlockAmax)(x, width, blocks, amax);
}

void add_blocks_bf16(const BlockRun& run, const ElementRule* rules, BlockRunSums& sums) {
  HWY_DYNAMIC_DISPATCH(AddBlocks)(run, rules, sums);
}

}  // namespace assay::simulator
#endif
#if HWY_ARCH_X86
HWY_DIAGNOSTICS(pop)
#endif

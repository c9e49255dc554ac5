// SPDX-License-Identifier: Apache-2.0
// The loops over blocks: their largest magnitudes, and their sums.
#include "simulator/bf16_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simulator/bf16_kernels.cpp"
#include <hwy/foreach_target.h>
// foreach_target.h comes first: it includes this file again for every other instruction set.
#include <hwy/highway.h>

#include <algorithm>

#include "simulator/bf16_elements-inl.h"

#if HWY_ARCH_X86
#if HWY_COMPILER_GCC_ACTUAL
// As in bf16_elements-inl.h.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#endif

HWY_BEFORE_NAMESPACE();
namespace assay::simulator {
namespace HWY_NAMESPACE {

#if HWY_ARCH_X86 && HWY_MAX_BYTES == 64

bool Applies() { return true; }

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

/// Calls sink(b, kTop less the largest bits of |x| in block b): what is smallest takes one
/// instruction to find, and so does turning the bits. Returns the smallest bits of all.
template <int width, class Sink>
HWY_INLINE std::uint16_t block_amax(const std::uint16_t* x, std::size_t blocks, Sink sink) {
  const auto turned = [](const std::uint16_t* p) HWY_ATTR {
    return _mm256_andnot_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)),
                               _mm256_set1_epi16(static_cast<std::int16_t>(kTop)));
  };
  const auto smallest = [](__m256i v) HWY_ATTR {
    const __m128i eight = _mm_min_epu16(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    return static_cast<std::uint16_t>(_mm_cvtsi128_si32(_mm_minpos_epu16(eight)));
  };
  __m256i least = _mm256_setzero_si256();  // turned: the largest
  for (std::size_t b = 0; b < blocks; ++b, x += width) {
    __m256i v = turned(x);
    least = _mm256_max_epu16(least, v);
    if constexpr (width == 32) {
      const __m256i more = turned(x + 16);
      least = _mm256_max_epu16(least, more);
      v = _mm256_min_epu16(v, more);
    }
    sink(b, smallest(v));
  }
  return smallest(_mm256_sub_epi16(_mm256_set1_epi16(static_cast<std::int16_t>(kTop)), least));
}

template <int width>
HWY_INLINE FoundRules find_rules(const std::uint16_t* x, std::size_t blocks, const RuleOf& rule_of,
                                 std::uint16_t* which) {
  const std::uint16_t least =
      block_amax<width>(x, blocks, [&](std::size_t b, std::uint16_t below_top) HWY_ATTR {
        which[b] = rule_of[below_top].load(std::memory_order_acquire);
      });
  std::uint16_t any = 0;
  for (std::size_t b = 0; b < blocks; ++b) {
    any |= which[b];
    which[b] &= kRuleNumber;
  }
  return {any, least};
}

FoundRules FindRules(const std::uint16_t* x, std::size_t width, std::size_t blocks,
                     const RuleOf& rule_of, std::uint16_t* which) {
  return width == 16 ? find_rules<16>(x, blocks, rule_of, which)
                     : find_rules<32>(x, blocks, rule_of, which);
}

void BlockAmax(const std::uint16_t* x, std::size_t width, std::size_t blocks, std::uint16_t* amax) {
  const auto keep = [&](std::size_t b, std::uint16_t below_top)
                        HWY_ATTR { amax[b] = static_cast<std::uint16_t>(kTop - below_top); };
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
#if HWY_ARCH_X86 && HWY_COMPILER_GCC_ACTUAL
#pragma GCC diagnostic pop
#endif

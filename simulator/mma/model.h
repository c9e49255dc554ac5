// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a matrix unit computes, as data: one row per instruction. simulator/mma/dot.h interprets a
// row; golden/fused_sum.h defines the same arithmetic in exact numbers, from the row's parameters
// alone.
//
// The arithmetic `fused` (T-FDPA of Xie et al., MMA-Sim, arXiv 2511.10909; Khattak and Mikaitis,
// arXiv 2512.07004), one step of L products and the accumulator c:
//   1. NaN among a, b, c, Inf * 0, or infinities of both signs give the canonical NaN; infinities
//      of one sign that infinity.
//   2. A number keeps the exponent of its encoding: subnormal numbers have the smallest exponent
//      and a significand below 1. A product has the exact product of the significands, in [0, 4),
//      and the sum of the exponents: it is not renormalised. A zero product, and c = 0, take
//      `zero_exponent`.
//   3. e_max is the largest exponent of the L products and c. Every term is truncated toward zero
//      to a multiple of 2^(e_max - F); the terms are then added exactly.
//   4. The sum is converted once (`Conversion`) and is the next step's c.
// With block scales (ue8m0, one per 32 elements of each operand) the exponents of the scales are
// added to those of the products before the alignment; c is not scaled.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/spec.h"

namespace assay::simulator {

enum class Arithmetic : std::uint8_t {
  fused,    ///< steps of `step` products, above
  grouped,  ///< the block-scaled FP4 kinds: groups of 16 products are exact sums, see dot.h
  lowered,  ///< FP8 mma.sync on units without it: two f16 sums, see dot.h
  rounded,  ///< the exact sum of `step` products and c, one rounding to nearest even; a step of 1
            ///< is a chain of fused multiply-adds
  flushed,  ///< products and sums of neighbours (of `step`, two by two), then c: each one FP32
            ///< operation to nearest even, subnormal numbers flushed to zero, see dot.h
};

/// The one rounding at the end of a step.
enum class Conversion : std::uint8_t {
  rz_fp32,   ///< truncation to FP32, subnormal numbers too; 2^128 and above are infinite
  rz_e8m13,  ///< the same with 13 fraction bits, the low 10 bits of the FP32 result are 0
  rne_fp16,  ///< to nearest even, overflow to infinity
  rne_fp32,  ///< likewise
};

/// What `zero_exponent` is: published models disagree where every exponent is below it.
enum class ZeroRule : std::uint8_t {
  term,   ///< the exponent of a term that is zero (MMA-Sim)
  floor,  ///< a lower limit of e_max (Khattak and Mikaitis)
};

/// How a row is known.
enum class Evidence : std::uint8_t {
  verified,   ///< this project ran the instruction and compared
  captured,   ///< reproduces vectors that others captured
  published,  ///< a published model says so
  conjectured,
};
[[nodiscard]] std::string_view name_of(Evidence evidence);
[[nodiscard]] std::string_view name_of(Arithmetic arithmetic);
[[nodiscard]] std::string_view name_of(Conversion conversion);
[[nodiscard]] std::string_view name_of(ZeroRule rule);

/// One instruction for one pair of input formats. C has the format of D.
struct MmaModel {
  std::string name;  ///< UNIT.INSTRUCTION.INPUT.OUTPUT; INPUT is A_B where they differ
  Arithmetic arithmetic = Arithmetic::fused;
  const formats::FormatSpec* a = nullptr;
  const formats::FormatSpec* b = nullptr;
  const formats::FormatSpec* d = nullptr;  ///< fp32 or fp16
  int step = 0;                            ///< L: products of one rounding
  /// K of the shortest instruction, `step` or less. That the products it lacks are zero terms
  /// cannot be observed: they matter where c = 0 only, which is one already.
  int shortest_k = 0;
  int fraction_bits = 0;  ///< F
  Conversion conversion = Conversion::rz_fp32;
  int zero_exponent = 0;
  ZeroRule zero_rule = ZeroRule::term;
  bool signed_underflow = true;                ///< a nonzero sum that rounds to zero keeps its sign
  const formats::FormatSpec* scale = nullptr;  ///< of block scales; nullptr: none
  int scale_block = 0;                         ///< elements along k that share one
  Evidence evidence = Evidence::published;
  std::string evidence_text;  ///< GPU, counts, date; or whose vectors
  std::string source;
};

/// Every model that assay knows, in the order of the table.
[[nodiscard]] std::span<const MmaModel> all_mma_models();

/// Throws std::invalid_argument that suggests the nearest name.
[[nodiscard]] const MmaModel& find_mma_model(std::string_view name);

/// Models of other units, from JSON: {"models": [{"name": .., "a": .., "step": .., ..}, ..]}, the
/// keys of MmaModel by name; `b` is `a` unless given. `origin` names the text in errors. Throws
/// InputError; what require_valid() refuses, too.
[[nodiscard]] std::vector<MmaModel> parse_mma_models(std::string_view json,
                                                     std::string_view origin);

/// Throws std::invalid_argument with one sentence where the parameters contradict each other or
/// exceed what the interpreter holds exactly.
void require_valid(const MmaModel& model);

}  // namespace assay::simulator

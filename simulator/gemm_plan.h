// SPDX-License-Identifier: Apache-2.0
#pragma once
// A reduction plan: everything beside the operands that decides the bits of a GEMM kernel's result.
// Which matrix unit multiplies, in which order it takes the tiles of K, when its accumulator is
// promoted, how split-K adds up, and what the epilogue does, one rounding at a time. Plans are
// data: docs/gemm-plans.md describes the JSON. simulator/gemm.h computes with them.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/spec.h"
#include "simulator/mma/model.h"

namespace assay::simulator {

enum class TileOrder : std::uint8_t { ascending, descending };

/// Which tiles of K a slice of split-K takes, `count` slices of T tiles.
enum class SplitTiles : std::uint8_t {
  contiguous,   ///< ceil(T / count) tiles in a row each, the last slices fewer or none
  balanced,     ///< floor(T / count) in a row each, the first T mod count slices one more
  interleaved,  ///< tile t goes to slice t mod count
};

/// How the slices' results are added, each addition rounded to FP32, to nearest even.
enum class ReductionOrder : std::uint8_t {
  ascending,   ///< ((s0 + s1) + s2) + ..
  descending,  ///< from the last slice to the first
  pairwise,    ///< neighbours first: (s0 + s1) + (s2 + s3); an odd one waits for the next round
};

struct SplitK {
  int count = 1;
  SplitTiles tiles = SplitTiles::contiguous;
  ReductionOrder order = ReductionOrder::ascending;
  /// What a slice's result is rounded to (nearest even) before the reduction.
  const formats::FormatSpec* partials = &formats::fp32;
};

/// A number of the call that the epilogue multiplies by.
enum class Factor : std::uint8_t { alpha, scale_a, scale_b, scale_d };

/// What the epilogue adds: beta * C, or the bias of the column.
enum class Addend : std::uint8_t { c, bias };

/// One step of the epilogue on the FP32 value x. Every operation named rounds to FP32, to nearest
/// even. Several factors are multiplied with each other first, from left to right.
struct EpilogueStep {
  enum class Op : std::uint8_t {
    multiply,      ///< x = x * f
    add,           ///< x = x + beta * c: the product is rounded, or not where `fused`; x + bias
    multiply_add,  ///< x = fma(x, f, t), t = beta * c rounded, or the bias
  };
  Op op = Op::multiply;
  std::vector<Factor> by;
  Addend term = Addend::c;
  bool fused = false;  ///< of add with c: fma(beta, c, x)
};

struct GemmPlan {
  std::string name;
  std::string source;  ///< how the plan is known
  MmaModel model;
  /// K of one instruction: a multiple of the model's step, or its shortest_k, where every
  /// instruction is a rounding of that many products.
  int instruction_k = 0;
  int tile_k = 0;  ///< a multiple of instruction_k; K is filled with zeros to a multiple of it
  TileOrder tile_order = TileOrder::ascending;  ///< inside a slice; a tile's own k ascend
  /// 0: one accumulator. Otherwise after that many elements of a slice the unit's accumulator is
  /// added to an FP32 accumulator (nearest even; both start at +0) and starts again.
  int promote_every = 0;
  bool start_from_c = false;  ///< the first slice's accumulator starts as C, in the unit's D format
  SplitK split;
  const formats::FormatSpec* c = &formats::fp32;     ///< format of C
  const formats::FormatSpec* bias = &formats::fp32;  ///< format of the bias
  std::vector<EpilogueStep> epilogue;                ///< empty: the accumulator as it is
  const formats::FormatSpec* output = &formats::fp32;
  formats::RoundingMode rounding = formats::RoundingMode::nearest_even;
  formats::Overflow overflow = formats::Overflow::to_infinity;
};

/// Throws std::invalid_argument with one sentence where the parameters contradict each other.
void require_valid(const GemmPlan& plan);

/// A plan from JSON (docs/gemm-plans.md). `models` are those that "model" may name, all of assay's
/// where empty. `origin` names the text in errors. Throws InputError, also for what require_valid()
/// refuses.
[[nodiscard]] GemmPlan parse_gemm_plan(std::string_view json, std::string_view origin,
                                       std::span<const MmaModel> models = {});

/// The same as JSON, every member spelt out.
[[nodiscard]] std::string gemm_plan_json(const GemmPlan& plan);

/// [first, first + count) of K.
struct KRange {
  std::int64_t first = 0, count = 0;
  friend bool operator==(const KRange&, const KRange&) = default;
};

/// What one accumulator of the unit takes, in order, from 0 to its promotion or its slice's end.
using Segment = std::vector<KRange>;

/// The order that a plan gives to K: slices of segments. Slices without a tile are left out.
struct Schedule {
  std::int64_t padded_k = 0;
  std::vector<std::vector<Segment>> slices;
  friend bool operator==(const Schedule&, const Schedule&) = default;
};
[[nodiscard]] Schedule schedule_of(const GemmPlan& plan, std::int64_t k);

}  // namespace assay::simulator

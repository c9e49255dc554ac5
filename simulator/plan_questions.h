// SPDX-License-Identifier: Apache-2.0
#pragma once
// Operands made to show in which order a kernel adds. Each row i of A and B is a question, and
// D[i, i] its answer:
//   order   a large product in block X of K, its negative a few elements later, one small product
//           in block Z, zeros elsewhere. The small product is lost where it is added while the
//           large one is in the accumulator: Z is before X, or in X's step, of the same chain.
//   step    the same within the first elements: which k are added before one rounding.
//   bits    the large product cancels within its step; s exponents lower a product of all ones
//           shows how many of its bits the alignment keeps.
//   under   products around the smallest FP16 and FP32 numbers, sums below the smallest normal one.
//   cancel  dense rows in which two products of different blocks cancel: what the additions in
//           between rounded away remains.
//   dense   everyday, wide and run-wise exponents; every D[i, j] among the first `dense_rows`
//   counts.

#include <cstdint>
#include <vector>

#include "formats/spec.h"
#include "simulator/gemm.h"
#include "simulator/mma/model.h"

namespace assay::simulator {

/// The inputs of the kernel that is asked.
struct PlanTask {
  const formats::FormatSpec* a = nullptr;
  const formats::FormatSpec* b = nullptr;
  const formats::FormatSpec* scale = nullptr;  ///< block scales; nullptr: none
  int scale_block = 0;
  std::int64_t k = 512;  ///< the plan is inferred for this K
  const formats::FormatSpec* output = &formats::fp32;
  formats::RoundingMode rounding = formats::RoundingMode::nearest_even;
  formats::Overflow overflow = formats::Overflow::to_infinity;
  std::uint64_t seed = 1;
};

/// Throws std::invalid_argument: no model takes these formats, or a K that is no multiple of the
/// blocks, below 64 or above 4096.
void require_valid(const PlanTask& task);

/// Elements of K whose order is told apart: K / 32, at least 16, the scale block, and what divides.
[[nodiscard]] std::int64_t granularity(const PlanTask& task);

/// Question i asks about blocks x and z (of granularity()).
struct OrderQuestion {
  std::int64_t x = 0, z = 0;
};

/// Of the dense rows the first so many are held against each other; of D nothing else is read but
/// the diagonal.
inline constexpr std::int64_t dense_rows = 96;

struct PlanQuestions {
  std::int64_t rows = 0, k = 0;  ///< A and B are rows x k
  std::vector<std::uint32_t> a, b, scale_a, scale_b;
  std::vector<OrderQuestion> order;  ///< rows 0 .. order.size() - 1
  std::int64_t first_dense = 0;      ///< rows from here on are dense
  [[nodiscard]] GemmOperands operands() const { return {rows, rows, k, a, b, scale_a, scale_b}; }
};

/// The same for the same task. C is absent, alpha and all other factors are 1.
[[nodiscard]] PlanQuestions plan_questions(const PlanTask& task);

/// The element of block X where the large product stands, of where its negative stands, and that of
/// the small product in block Z. Chosen to be in one half of every `lowered` unit, and so that a
/// unit of short steps has the small one before and the large one in between.
inline constexpr std::int64_t large_at = 4, negative_at = 12, small_at = 0;

}  // namespace assay::simulator

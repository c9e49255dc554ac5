// SPDX-License-Identifier: Apache-2.0
#pragma once
// Inside the fast exact GEMM: the inner loops, once for each instruction set. All work on a tile of
// D: `rows` of A (1 to 6) by 32 rows of B, row-major.

#include <cstdint>

namespace assay::golden::exact_parts {

struct ByteJob {
  int rows;
  int pairs;  ///< of groups
  int steps;  ///< of 4 k in a group: 4 or 8
  const std::uint32_t* a;
  const std::uint32_t* a_scales;
  const std::uint32_t* b;
  const std::uint32_t* b_starts;
  const std::uint32_t* b_scales;
};

struct WordJob {
  int rows;
  int count;                    ///< pairs of k
  const std::uint32_t* a;       ///< `rows` a pair
  const std::uint8_t* a_index;  ///< which of a's pairs; null: one after the other
  const std::uint32_t* b;       ///< 32 columns a pair, of halves 16
  const std::uint8_t* b_index;  ///< likewise
  bool add;                     ///< to what is in the sums already
};

/// Products of planes of a chunk, summed apart by the power of two that they count: totals +=
/// sums[s] << (left[m] + right[n] - down[s]).
constexpr int most_sums = 4;
struct ShiftJob {
  int rows;
  int count;  ///< of sums: tiles, one after the other
  const std::int32_t* sums;
  const std::int32_t* down;
  const std::int32_t* left;
  const std::int32_t* right;
  std::int64_t* totals;
};

/// Terms of three digits: digits[0] + 2^31 digits[1] + 2^62 digits[2], a tile of each.
struct LateJob {
  int rows;
  const std::int64_t* totals;  ///< below 2^62 in magnitude
  const std::uint32_t* left;   ///< below 2^31
  const std::uint32_t* right;
  std::int64_t* digits;
  int digit_stride;
};

/// What the sums of a tile are to be scaled by on rounding: value = sum * row * column, all exact.
struct RoundJob {
  int rows;
  const std::int64_t* sums;
  const double* row_factors;
  const double* column_factors;
  double* odd;         ///< the values, rounded to odd to 53 bits
  std::uint32_t* f32;  ///< and then to nearest FP32
};

struct KernelTable {
  /// sums[m][n] = sum over groups of (A's integers . B's integers) * A's scale * B's scale.
  void (*byte_sums)(const ByteJob& job, std::int32_t* sums);
  /// sums[m][n] = sum over pairs of the products of words; all of a's pairs.
  void (*word_sums)(const WordJob& job, std::int32_t* sums);
  /// The same for columns 0 to 15 and 16 to 31, which have pairs of their own; some of a's.
  void (*word_sums_halves)(const WordJob& low, const WordJob& high, std::int32_t* sums);
  /// The pairs of both masks, as places among those of each; their number.
  int (*intersect)(std::uint64_t a, std::uint64_t b, std::uint8_t* a_index, std::uint8_t* b_index);
  /// Modulo 2^64; a shift outside 0..63 gives 0.
  void (*add_shifted)(const ShiftJob& job);
  /// totals += sums * left[m] * right[n], modulo 2^64.
  void (*add_scaled)(int rows, const std::int32_t* sums, const std::int64_t* left,
                     const std::int64_t* right, std::int64_t* totals);
  /// digits += totals * left[m] * right[n].
  void (*add_late)(const LateJob& job);
  /// False where a sum exceeds 2^53: nothing is to be used then.
  bool (*round)(const RoundJob& job);
  /// As round(), of sums in three digits (LateJob).
  bool (*round_digits)(const RoundJob& job);
};

[[nodiscard]] const KernelTable& portable_kernels();
/// Null where the compiler or the machine lacks the instructions.
[[nodiscard]] const KernelTable* avx2_kernels();
[[nodiscard]] const KernelTable* avx512_kernels();

}  // namespace assay::golden::exact_parts

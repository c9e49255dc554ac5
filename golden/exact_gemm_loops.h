// SPDX-License-Identifier: Apache-2.0
#pragma once
// Inside the fast exact GEMM: loops that a compiler makes vectors of by itself, inlined into a
// function of each instruction set.

#include <cstdint>
#include <cstring>

#include "golden/exact_gemm_kernels.h"
#include "golden/exact_gemm_operand.h"

#define ASSAY_ALWAYS_INLINE inline __attribute__((always_inline))

namespace assay::golden::exact_parts {

ASSAY_ALWAYS_INLINE int intersect_loop(std::uint64_t a, std::uint64_t b, std::uint8_t* a_index,
                                       std::uint8_t* b_index) {
  int count = 0;
  for (std::uint64_t rest = a & b; rest != 0; rest &= rest - 1, ++count) {
    const std::uint64_t below = (rest & -rest) - 1;
    a_index[count] = static_cast<std::uint8_t>(__builtin_popcountll(a & below));
    b_index[count] = static_cast<std::uint8_t>(__builtin_popcountll(b & below));
  }
  return count;
}

ASSAY_ALWAYS_INLINE void add_shifted_loop(const ShiftJob& job) {
  for (int s = 0; s < job.count; ++s)
    for (int at = 0; at < job.rows * b_rows; ++at) {
      const auto shift =
          static_cast<std::uint32_t>(job.left[at / b_rows] + job.right[at % b_rows] - job.down[s]);
      const auto sum = static_cast<std::uint64_t>(std::int64_t{job.sums[s * tile_size + at]});
      job.totals[at] = static_cast<std::int64_t>(static_cast<std::uint64_t>(job.totals[at]) +
                                                 (shift < 64 ? sum << shift : 0));
    }
}

ASSAY_ALWAYS_INLINE void add_scaled_loop(int rows, const std::int32_t* sums,
                                         const std::int64_t* left, const std::int64_t* right,
                                         std::int64_t* totals) {
  for (int m = 0; m < rows; ++m)
    for (int n = 0; n < b_rows; ++n) {
      const auto scale = static_cast<std::uint64_t>(left[m]) * static_cast<std::uint64_t>(right[n]);
      const auto sum = static_cast<std::uint64_t>(std::int64_t{sums[m * b_rows + n]});
      std::int64_t& total = totals[m * b_rows + n];
      total = static_cast<std::int64_t>(static_cast<std::uint64_t>(total) + sum * scale);
    }
}

/// In digits of 31 bits, the highest signed: a product of two digits has 62 bits, and the highest
/// digits of the sums hold as many terms as the range check (exact_gemm_tile.h) says.
ASSAY_ALWAYS_INLINE void add_late_loop(const LateJob& job) {
  constexpr std::int64_t low = (std::int64_t{1} << 31) - 1;
  for (int m = 0; m < job.rows; ++m) {
    const auto left = static_cast<std::int64_t>(job.left[m]);
    for (int n = 0; n < b_rows; ++n) {
      const int at = m * b_rows + n;
      const auto right = static_cast<std::int64_t>(job.right[n]);
      const std::int64_t total = job.totals[at];
      const std::int64_t u0 = (total & low) * left;
      const std::int64_t u1 = (total >> 31) * left + (u0 >> 31);
      const std::int64_t v0 = (u0 & low) * right;
      const std::int64_t v1 = (u1 & low) * right;
      const std::int64_t v2 = (u1 >> 31) * right;
      job.digits[at] += v0 & low;
      job.digits[at + job.digit_stride] += (v0 >> 31) + (v1 & low);
      job.digits[at + 2 * job.digit_stride] += (v1 >> 31) + v2;
    }
  }
}

/// The factors have at most 53 significant bits together and the sums are at most 2^53, so sum,
/// factor = row * column and the error of the rounded product p (a multiple of the product of their
/// last bits, far above 2^-1074) are doubles. Round to odd: where the error is not 0, p's neighbour
/// with an odd last bit on the other side of the exact value, unless p is odd itself. 53 bits
/// rounded to odd hold enough for any later rounding to at most 51 bits to be as of the exact value
/// (Boldo and Melquiond, 2008).
ASSAY_ALWAYS_INLINE bool round_loop(const RoundJob& job) {
  constexpr std::int64_t most = std::int64_t{1} << 53;
  std::int64_t outside = 0;
  for (int m = 0; m < job.rows; ++m) {
    for (int n = 0; n < b_rows; ++n) {
      const std::int64_t sum = job.sums[m * b_rows + n];
      outside |= static_cast<std::int64_t>(sum > most) | static_cast<std::int64_t>(sum < -most);
      const auto x = static_cast<double>(sum);
      const double factor = job.row_factors[m] * job.column_factors[n];
      const double p = x * factor;
      const double error = __builtin_fma(x, factor, -p);
      std::int64_t bits;
      std::memcpy(&bits, &p, sizeof bits);
      std::int64_t error_bits;
      std::memcpy(&error_bits, &error, sizeof error_bits);
      const std::int64_t outwards = (bits ^ error_bits) < 0 ? -1 : 1;
      bits += (error != 0 && (bits & 1) == 0) ? outwards : 0;
      bits = p == 0 ? 0 : bits;  // an exact zero is +0
      std::memcpy(&job.odd[m * b_rows + n], &bits, sizeof bits);
    }
    for (int n = 0; n < b_rows; ++n) {
      const auto f = static_cast<float>(job.odd[m * b_rows + n]);
      std::memcpy(&job.f32[m * b_rows + n], &f, sizeof f);
    }
  }
  return outside == 0;
}

}  // namespace assay::golden::exact_parts

// SPDX-License-Identifier: Apache-2.0
// The inner loops in plain C++.
#include <algorithm>

#include "golden/exact_gemm_kernels.h"
#include "golden/exact_gemm_loops.h"

namespace assay::golden::exact_parts {
namespace {

/// The dot product of 4 bytes, A's not signed.
std::int32_t dot_bytes(std::uint32_t a, std::uint32_t b) {
  std::int32_t sum = 0;
  for (int i = 0; i < 32; i += 8)
    sum += static_cast<std::uint8_t>(a >> i) * static_cast<std::int8_t>(b >> i);
  return sum;
}

void byte_sums(const ByteJob& job, std::int32_t* sums) {
  const std::int32_t bias = job.steps * 4 * 144;
  std::fill(sums, sums + job.rows * b_rows, 0);
  for (int pair = 0; pair < job.pairs; ++pair)
    for (int m = 0; m < job.rows; ++m)
      for (int n = 0; n < b_rows; ++n)
        for (int half = 0; half < 2; ++half) {
          const int word = half == 0 ? 0 : 16;
          std::int32_t sum =
              static_cast<std::int32_t>(job.b_starts[pair * b_rows + n] >> word & 0xFFFFU) - bias;
          for (int step = 0; step < job.steps; ++step) {
            const int at = (pair * 2 + half) * job.steps + step;
            sum += dot_bytes(job.a[at * job.rows + m], job.b[at * b_rows + n]);
          }
          const std::uint32_t left = job.a_scales[pair * job.rows + m] >> (16 - word) & 0xFFFFU;
          const std::uint32_t right = job.b_scales[pair * b_rows + n] >> (16 - word) & 0xFFFFU;
          // As the vectors have it: the product of scales modulo 2^16, with a sign.
          sums[m * b_rows + n] = static_cast<std::int32_t>(
              static_cast<std::uint32_t>(sums[m * b_rows + n]) +
              static_cast<std::uint32_t>(sum * static_cast<std::int16_t>(left * right)));
        }
}

void word_sums_of(const WordJob& job, int columns, std::int32_t* sums) {
  for (int m = 0; m < job.rows; ++m)
    for (int n = 0; n < columns; ++n) {
      std::uint32_t total = job.add ? static_cast<std::uint32_t>(sums[m * b_rows + n]) : 0;
      for (int i = 0; i < job.count; ++i) {
        const std::uint32_t a = job.a[(job.a_index == nullptr ? i : job.a_index[i]) * job.rows + m];
        const std::uint32_t b = job.b[(job.b_index == nullptr ? i : job.b_index[i]) * columns + n];
        for (int word = 0; word < 32; word += 16)
          total += static_cast<std::uint32_t>(static_cast<std::int16_t>(a >> word) *
                                              static_cast<std::int16_t>(b >> word));
      }
      sums[m * b_rows + n] = static_cast<std::int32_t>(total);
    }
}

void word_sums(const WordJob& job, std::int32_t* sums) { word_sums_of(job, b_rows, sums); }

void word_sums_halves(const WordJob& low, const WordJob& high, std::int32_t* sums) {
  word_sums_of(low, b_rows / 2, sums);
  word_sums_of(high, b_rows / 2, sums + b_rows / 2);
}

int intersect(std::uint64_t a, std::uint64_t b, std::uint8_t* a_index, std::uint8_t* b_index) {
  return intersect_loop(a, b, a_index, b_index);
}

void add_shifted(const ShiftJob& job) { add_shifted_loop(job); }

void add_scaled(int rows, const std::int32_t* sums, const std::int64_t* left,
                const std::int64_t* right, std::int64_t* totals) {
  add_scaled_loop(rows, sums, left, right, totals);
}

void add_late(const LateJob& job) { add_late_loop(job); }

bool round(const RoundJob& job) { return round_loop(job); }

bool round_digits(const RoundJob& /*job*/) { return false; }

}  // namespace

const KernelTable& portable_kernels() {
  static constexpr KernelTable table{byte_sums, word_sums,   word_sums_halves,
                                     intersect, add_shifted, add_scaled,
                                     add_late,  round,       round_digits};
  return table;
}

}  // namespace assay::golden::exact_parts

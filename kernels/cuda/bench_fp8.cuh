// SPDX-License-Identifier: Apache-2.0
#pragma once
// Random operands of W4A8 products and the check of their results, for the benchmark.

#include "kernels/cuda/bench_support.cuh"
#include "kernels/cuda/gemm_w4a8.cuh"

namespace assay::kernels::cuda {

/// m x k E4M3 codes (no NaN) with E8M0 scale factors per 1x128.
class Fp8Activations {
 public:
  Fp8Activations(std::int64_t m, std::int64_t k, std::uint64_t seed);
  [[nodiscard]] std::uint8_t* codes() const { return codes_.data(); }
  [[nodiscard]] std::uint8_t* scales() const { return scales_.data(); }
  /// The numbers as bf16, which holds them; k is a multiple of 128.
  void widen(std::uint16_t* to) const;

 private:
  [[nodiscard]] std::int64_t blocks() const { return (k_ + 127) / 128; }

  std::int64_t m_, k_;
  mutable DeviceBuffer<std::uint8_t> codes_, scales_;
};

/// Random MXFP4 weights, scale factors within 2^7.
class Mxfp4Matrices {
 public:
  Mxfp4Matrices(std::int64_t groups, std::int64_t n, std::int64_t k, std::uint64_t seed);
  [[nodiscard]] const std::uint8_t* codes() const { return codes_.data(); }
  [[nodiscard]] const std::uint8_t* scales() const { return scales_.data(); }
  void widen(std::uint16_t* to) const;

 private:
  std::int64_t count_;
  mutable DeviceBuffer<std::uint8_t> codes_, scales_;
};

/// What a check found. `first` is the smallest index row * n + column of a wrong output.
struct Fp8Errors {
  unsigned long long checked, wrong, first;
  unsigned expected, got;  ///< bits at `first`
};
/// Holds p.d (FP32, on poisoned memory) to the unit's own arithmetic, bit for bit: every
/// `row_step`-th row at all columns and every `column_step`-th column at all rows. `tiles` as for
/// the launch.
Fp8Errors check_fp8(const GemmW4a8& p, const RowTile* tiles, std::int64_t count,
                    std::int64_t row_step, std::int64_t column_step);
/// Into the row; a mismatch is printed to the error stream with its place.
void count_errors(const Fp8Errors& errors, std::int64_t n, BenchRow& row);

}  // namespace assay::kernels::cuda

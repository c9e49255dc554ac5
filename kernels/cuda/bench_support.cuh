// SPDX-License-Identifier: Apache-2.0
#pragma once
// Shared by the suites of the GPU benchmark (bench.h).

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <functional>

#include "kernels/cuda/bench.h"
#include "kernels/cuda/check.h"
#include "kernels/cuda/cublas.h"

namespace assay::kernels::cuda {

enum class WordKind { bits, gaussian_bf16, gaussian_f32, ue4m3_scales, e8m0_scales, e4m3 };
/// `bytes`, a multiple of 4, of random data.
void fill_words(void* data, std::int64_t bytes, std::uint64_t seed, WordKind kind);

struct Times {
  double median, best;  ///< microseconds of one launch
};
/// A graph of `launches` launches (run's argument counts them, for rotating operands), replayed
/// `repeats` times after two warm-ups.
Times time_launches(int repeats, int launches, const std::function<void(int, cudaStream_t)>& run);

struct BenchContext {
  const BenchOptions& options;
  Cublas* cublas;  ///< null: absent
  BenchResult& result;
};

void bench_w4a16(const BenchContext& context);
void bench_quantize(const BenchContext& context);
void bench_requantize(const BenchContext& context);
void bench_wide(const BenchContext& context);
void bench_qat(const BenchContext& context);
void bench_exact(const BenchContext& context);
void bench_w4a8(const BenchContext& context);
void bench_grouped(const BenchContext& context);

}  // namespace assay::kernels::cuda

// SPDX-License-Identifier: Apache-2.0
#pragma once
// Launchers of the QAT step's parts. All pointers are device memory, matrices row-major FP32.
// Launched without waiting, on `stream`, where they take one; nothing uses atomics, and every sum
// has one order, whatever the launch.

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda/mutant.h"
#include "kernels/device_under_test.h"

namespace assay::kernels::cuda {

/// Where scale factors come from: the order of the quantizer, or given (learned) ones.
enum class QatOrder : int { nvfp4_te, nvfp4_divide, mxfp4_rceil, learned_16, learned_32 };
[[nodiscard]] __host__ __device__ constexpr int block_of(QatOrder order) {
  return order == QatOrder::mxfp4_rceil || order == QatOrder::learned_32 ? 32 : 16;
}
[[nodiscard]] constexpr bool is_learned(QatOrder order) { return order >= QatOrder::learned_16; }

/// The weights of a step, rows x cols, and what is stored for their blocks along the rows:
/// `scales`, rows x ceil(cols/block) decoded scale factors, NaN for a block with a NaN or an
/// infinity, and one `tensor_scale`.
struct QatWeights {
  const float* w;
  std::int64_t rows, cols;
  float* scales;
  float* tensor_scale;
};

/// out, rows x cols = the dequantized code of each weight, rounded once. Scale factors are written,
/// from *amax_bits (launch_amax) where the order has a tensor scale; learned ones come in `given`.
void launch_fake_quantize(QatOrder order, const QatWeights& weights, const float* given,
                          const unsigned* amax_bits, float* out, cudaStream_t stream);

/// The estimators of golden/estimator.h, in place on dw, the gradient with respect to the
/// dequantized weights; lsq and pact also write dscale, as `scales`. parameter: delta of ewgs, T of
/// the trust mask. Precisions and orders: kernels/cuda/qat_elements.cuh.
void launch_estimate(QatOrder order, Estimator estimator, const QatWeights& weights,
                     float parameter, float* dw, float* dscale, cudaStream_t stream,
                     Mutant mutant = Mutant::none);

/// dbias[j] = sum_i dy[i,j]: 64 rows ascending at a time, then these sums ascending. `partial`:
/// ceil(rows/64) x cols numbers of scratch.
constexpr std::int64_t kSumRows = 64;
void launch_column_sums(const float* dy, std::int64_t rows, std::int64_t cols, float* partial,
                        float* dbias, cudaStream_t stream);

/// The step on BF16 masters (golden/master.h, MasterUpdate): w' = round(w - rate g / loss_scale)
/// with one rounding, in place; not if *skip, which launch_find_not_finite sets to 1 where some
/// gradient is not finite (zero it before). `random_bits` 0: nearest even; 1 to 16: stochastic with
/// these bits of Philox word i under `seed`. loss_scale: a power of two.
struct MasterTask {
  std::uint16_t* masters;
  const float* gradients;
  std::int64_t count;
  float rate, loss_scale;
  int random_bits;
  std::uint64_t seed;
  unsigned* skip;
};
void launch_find_not_finite(const MasterTask& task, cudaStream_t stream);
void launch_update_masters(const MasterTask& task, cudaStream_t stream);

}  // namespace assay::kernels::cuda

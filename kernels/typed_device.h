// SPDX-License-Identifier: Apache-2.0
#pragma once
// The kernels of this tree take typed operands: a device that implements these gets its C calls
// unpacked. Matrices are dense and row-major; GEMM is "TN":
// D[m,n] = round(alpha * sum_k A[m,k] B[n,k] + beta C[m,n] + bias[n]), A is m x k, B is n x k, the
// blocks of both run along k.

#include <span>

#include "kernels/device_under_test.h"

namespace assay::kernels {

struct GemmCall {
  const formats::BlockScaledTensor* a = nullptr;  ///< null where the claim's A is bf16
  std::span<const std::uint16_t> a_bf16;          ///< m x k codes, where the claim's A is bf16
  const formats::BlockScaledTensor* b = nullptr;
  std::int64_t m = 0, n = 0, k = 0;
  float alpha = 1.0F, beta = 0.0F;
  std::span<const float> c;     ///< m x n, or empty for beta == 0
  std::span<const float> bias;  ///< n, or empty
  std::span<float> d;           ///< m x n, in the claim's output format, widened to FP32
};

/// One linear layer y = x W^T + bias with fake-quantized weights (W is n x k, x is m x k, FP32).
struct QatCall {
  std::int64_t m = 0, n = 0, k = 0;
  std::span<const float> x, w, bias;  ///< bias may be empty
  std::span<const float> scales;      ///< n x ceil(k/block) learned scales; empty: from amax
  Estimator estimator = Estimator::identity;
  float parameter = 0.0F;                  ///< delta of ewgs, T of trust_mask
  std::span<float> y;                      ///< forward: m x n
  std::span<const float> dy;               ///< backward: m x n
  std::span<float> dx, dw, dscale, dbias;  ///< backward outputs; dscale as `scales` (lsq, pact)
};

/// Overrides what it has; the rest is not_supported. Padded rows are copied to dense ones and back
/// where the claim has ASSAY_DUT_STRIDES, and declined otherwise.
class TypedDevice : public DeviceUnderTest {
 public:
  Status run(const Claim& claim, const assay_dut_call& call) const override;

  /// x: rows x cols FP32, row-major; `out` arrives with format, shape and layouts set.
  virtual Status quantize(const Claim&, std::span<const float> x,
                          formats::BlockScaledTensor& out) const;
  virtual Status dequantize(const Claim&, const formats::BlockScaledTensor& in,
                            std::span<float> out) const;
  virtual Status gemm(const Claim&, const GemmCall&) const;
  virtual Status qat_forward(const Claim&, const QatCall&) const;
  virtual Status qat_backward(const Claim&, const QatCall&) const;

 private:
  [[nodiscard]] Status run_dense(const Claim& claim, const assay_dut_call& call) const;
};

}  // namespace assay::kernels

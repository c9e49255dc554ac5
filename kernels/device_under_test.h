// SPDX-License-Identifier: Apache-2.0
#pragma once
// The one interface behind which every kernel stands: what is tested, and what a replay may use as
// its fast path. Operands are raw codes (formats/tensor.h). Matrices are row-major; GEMM is "TN":
// D[m,n] = round(alpha * sum_k A[m,k] B[n,k] + beta C[m,n] + bias[n]), A is m x k, B is n x k, the
// blocks of both run along k.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "formats/presets.h"

namespace assay::kernels {

/// What a kernel says its accumulator does; golden/bounds.h derives the error bound of each class.
enum class Accumulator : std::uint8_t {
  exact,             ///< no rounding before the output
  fp32_any_order,    ///< FP32 additions in any order and association
  fp32_fixed_order,  ///< FP32, k ascending, one accumulator, no fused multiply-add
  truncating,  ///< tensor-core style: `fraction_bits` kept, promoted to FP32 every `promotion`
};

/// What one entry says it computes. The claim selects the oracle and the criterion.
struct Claim {
  std::string operation;  ///< quantize, dequantize, gemm, qat_forward, qat_backward
  const formats::BlockFormat* a = nullptr;  ///< operand A, or the format quantized to / from
  const formats::BlockFormat* b = nullptr;  ///< operand B (gemm; weights); a == nullptr: A is bf16
  formats::RoundingMode rounding = formats::RoundingMode::nearest_even;
  formats::ScaleLayout scale_layout = formats::ScaleLayout::row_major;
  Accumulator accumulator = Accumulator::fp32_any_order;
  int fraction_bits = 0;  ///< of a truncating accumulator
  int promotion = 0;      ///< its promotion interval in k; 0: never
  const formats::FormatSpec* output = &formats::fp32;
  std::int64_t k_multiple = 1;  ///< shapes the entry accepts
};

enum class Status : std::uint8_t { ok, not_supported, failed };

/// Straight-through estimators of the QAT step; formulas and sources in golden/qat.h.
enum class Estimator : std::uint8_t { identity, clip_mask, lsq };

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
  std::span<float> y;                      ///< forward: m x n
  std::span<const float> dy;               ///< backward: m x n
  std::span<float> dx, dw, dscale, dbias;  ///< backward outputs; dscale as `scales` (lsq only)
};

/// A kernel library. An operation it does not have returns not_supported; a test then is not a
/// pass.
class DeviceUnderTest {
 public:
  virtual ~DeviceUnderTest() = default;
  [[nodiscard]] virtual std::string name() const = 0;
  [[nodiscard]] virtual std::vector<Claim> claims() const = 0;
  /// x: rows x cols FP32, row-major; `out` arrives with format, shape and layouts set.
  virtual Status quantize(const Claim&, std::span<const float> x,
                          formats::BlockScaledTensor& out) const;
  virtual Status dequantize(const Claim&, const formats::BlockScaledTensor& in,
                            std::span<float> out) const;
  virtual Status gemm(const Claim&, const GemmCall&) const;
  virtual Status qat_forward(const Claim&, const QatCall&) const;
  virtual Status qat_backward(const Claim&, const QatCall&) const;
};

}  // namespace assay::kernels

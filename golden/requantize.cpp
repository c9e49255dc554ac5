// SPDX-License-Identifier: Apache-2.0
#include "golden/requantize.h"

#include <bit>
#include <stdexcept>

namespace assay::golden {

std::vector<float> dequantize_to_fp32(const formats::BlockScaledTensor& t) {
  const Policy policy = policy_of(formats::ieee, formats::fp32);
  std::vector<float> result;
  for (const Value& v : dequantize(t)) {
    result.push_back(
        std::bit_cast<float>(encode(formats::fp32, v, RoundingMode::nearest_even, policy)));
  }
  return result;
}

std::vector<float> transpose(std::span<const float> x, std::int64_t rows, std::int64_t cols) {
  if (rows < 1 || cols < 1 || static_cast<std::int64_t>(x.size()) != rows * cols) {
    throw std::invalid_argument("A matrix to transpose needs rows * cols elements.");
  }
  std::vector<float> result(x.size());
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < cols; ++c) result[c * rows + r] = x[r * cols + c];
  }
  return result;
}

formats::BlockScaledTensor transpose_quantize(std::span<const float> x, std::int64_t rows,
                                              std::int64_t cols, const formats::BlockFormat& format,
                                              const QuantizeOptions& options) {
  return quantize(transpose(x, rows, cols), cols, rows, format, options);
}

formats::BlockScaledTensor transpose_requantize(const formats::BlockScaledTensor& t,
                                                const formats::BlockFormat& format,
                                                const QuantizeOptions& options) {
  return transpose_quantize(dequantize_to_fp32(t), t.rows, t.cols, format, options);
}

GemmOracle quantize_gemm_oracle(std::span<const float> a, std::int64_t m,
                                const formats::BlockFormat& a_format,
                                const QuantizeOptions& options, const FactoredMatrix& b,
                                const GemmEpilogue& epilogue, const AccumulatorModel& model) {
  return gemm_oracle(factor(quantize(a, m, b.cols, a_format, options)), b, epilogue, model);
}

}  // namespace assay::golden

// SPDX-License-Identifier: Apache-2.0
#pragma once
// The kernels behind the CPU device. Codes are row-major; shapes are checked by the device.

#include <functional>
#include <span>
#include <vector>

#include "formats/tensor.h"
#include "kernels/typed_device.h"

namespace assay::kernels::cpu {

/// Blocks along a row of `cols` elements.
inline std::int64_t blocks_per_row(std::int64_t cols, std::int64_t block) {
  return (cols + block - 1) / block;
}
/// Bytes of a row of 4-bit codes.
inline std::int64_t row_bytes(std::int64_t cols) { return (cols + 1) / 2; }

/// Index of the scale factor of (row, block) in an array of `blocks` block columns.
std::int64_t scale_index(formats::ScaleLayout layout, std::int64_t row, std::int64_t block,
                         std::int64_t blocks);
/// Scale factors that an array of this layout holds, padding included.
std::int64_t scale_count(formats::ScaleLayout layout, std::int64_t rows, std::int64_t blocks);

/// x (rows x cols) to codes, scale factors and tensor scale. False: no kernel for this format.
bool quantize(std::span<const float> x, formats::BlockScaledTensor& out);

/// Where the random words of stochastic rounding come from: the top `bits` of word(element index)
/// are used (formats/spec.h, RoundingMode::stochastic).
struct RandomWords {
  std::function<std::uint32_t(std::int64_t index)> word;
  int bits = 16;
};
bool quantize_stochastic(std::span<const float> x, const RandomWords& random,
                         formats::BlockScaledTensor& out);

/// element * block scale in FP32 for a rows x cols matrix; the tensor scale is left out.
std::vector<float> decode_blocks(const formats::BlockScaledTensor& in);

/// The code values alone.
std::vector<float> decode_elements(const formats::BlockScaledTensor& in);

/// element * block scale * tensor scale, rounded once to FP32.
void dequantize(const formats::BlockScaledTensor& in, std::span<float> out);

/// acc[m,n] = sum over k ascending of a[m,k] b[n,k], each product and each sum rounded to FP32.
std::vector<float> multiply(std::span<const float> a, std::span<const float> b, std::int64_t m,
                            std::int64_t n, std::int64_t k);

/// What a product multiplies: element * scale factor, the tensor scale apart.
struct Operand {
  std::vector<float> values;
  float tensor_scale = 1.0F;
};
Operand operand(const formats::BlockScaledTensor& in);

/// The rest of a GEMM: shape and epilogue. C is not read where beta is 0.
struct Product {
  std::int64_t m = 0, n = 0, k = 0;
  float alpha = 1.0F, beta = 0.0F;
  std::span<const float> c = {}, bias = {};
};
/// d = round(alpha A B' + beta C + bias), in the format `output`, widened to FP32.
void gemm(const Operand& a, const Operand& b, const Product& product,
          const formats::FormatSpec& output, std::span<float> d);

Status qat_forward(const Claim& claim, const QatCall& call);
Status qat_backward(const Claim& claim, const QatCall& call);

}  // namespace assay::kernels::cpu

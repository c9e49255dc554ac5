// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <limits>

#include "formats/presets.h"
#include "kernels/cpu/element.h"
#include "kernels/cpu/kernels.h"

namespace assay::kernels::cpu {
namespace {

constexpr float float_max = std::numeric_limits<float>::max();
constexpr std::int64_t max_block = 32;

/// What the tensor pass hands to the blocks.
struct TensorFactors {
  float tensor_scale = 1.0F;
  float encode = 1.0F;  ///< TransformerEngine's S_enc * (1/6)
};

/// A block's stored scale code, and the factor that its elements meet.
struct BlockFactors {
  std::uint8_t code;
  float factor;
};

float finite_magnitude(float x) {
  const float a = std::fabs(x);
  return a <= float_max ? a : 0.0F;  // NaN and Inf do not count in any amax
}

// TransformerEngine's order of operations (formats/presets.h, nvfp4_te): everything is a multiply.
struct TransformerEngine {
  static TensorFactors tensor(float amax) {
    float s_enc = std::min(2688.0F / amax, float_max);
    if (amax == 0.0F || s_enc == 0.0F) s_enc = 1.0F;
    return {1.0F / s_enc, s_enc * (1.0F / 6.0F)};
  }
  static BlockFactors block(float amax, const TensorFactors& t) {
    const std::uint8_t code = encode_ue4m3(std::min(amax * t.encode, float_max));
    return {code, std::min(1.0F / (decode_ue4m3(code) * t.tensor_scale), float_max)};
  }
  static float element(float x, float factor) { return x * factor; }
};

// The defining formulas with true divisions (nvfp4_divide).
struct Divide {
  static TensorFactors tensor(float amax) {
    const float g = amax / 2688.0F;
    return {g == 0.0F ? 1.0F : g, 1.0F};
  }
  static BlockFactors block(float amax, const TensorFactors& t) {
    const std::uint8_t code = encode_ue4m3(amax / 6.0F / t.tensor_scale);
    return {code, decode_ue4m3(code) * t.tensor_scale};
  }
  static float element(float x, float factor) { return factor == 0.0F ? 0.0F : x / factor; }
};

// Power-of-two scales. Dividing by 2^e is exact in FP32 unless the quotient is subnormal, and then
// it rounds to the same code, a zero, either way.
template <std::uint8_t (*Scale)(float)>
struct PowerOfTwo {
  static TensorFactors tensor(float) { return {}; }
  static BlockFactors block(float amax, const TensorFactors&) {
    const std::uint8_t code = Scale(amax);
    return {code, decode_e8m0(code)};
  }
  static float element(float x, float factor) { return x / factor; }
};

/// How a scaled element becomes a code; `index` is the element's place in the matrix.
struct Nearest {
  std::uint8_t operator()(float scaled, std::int64_t) const { return encode_e2m1(scaled); }
};
struct Stochastic {
  const RandomWords* random;
  std::uint8_t operator()(float scaled, std::int64_t index) const {
    return encode_e2m1_stochastic(scaled, random->word(index) >> (32 - random->bits), random->bits);
  }
};

template <class Order, class Encode>
void quantize_block(const float* x, std::int64_t count, std::int64_t index,
                    const TensorFactors& tensor, std::uint8_t nan_code, const Encode& encode,
                    std::uint8_t* codes, std::uint8_t* scale) {
  float amax = 0.0F;
  bool finite = true;
  for (std::int64_t i = 0; i < count; ++i) {
    amax = std::max(amax, finite_magnitude(x[i]));
    finite = finite && std::fabs(x[i]) <= float_max;
  }
  std::array<std::uint8_t, max_block> code{};
  if (finite) {
    const BlockFactors block = Order::block(amax, tensor);
    *scale = block.code;
    for (std::int64_t i = 0; i < count; ++i)
      code[i] = encode(Order::element(x[i], block.factor), index + i);
  } else {
    *scale = nan_code;  // the whole block is NaN, with element codes 0
  }
  for (std::int64_t i = 0; i < count; i += 2)
    codes[i / 2] = static_cast<std::uint8_t>(code[i] | (code[i + 1] << 4));
}

template <class Order, class Encode>
void quantize_all(std::span<const float> x, const Encode& encode, formats::BlockScaledTensor& out) {
  const std::int64_t block = out.format->block.cols;
  const std::int64_t blocks = blocks_per_row(out.cols, block);
  out.codes.assign(out.rows * row_bytes(out.cols), 0);
  out.scales.assign(scale_count(out.scale_layout, out.rows, blocks), 0);
  float amax = 0.0F;
  if (out.format->tensor_scale == formats::TensorScale::fp32) {
#pragma omp parallel for reduction(max : amax) if (x.size() > 65536)
    for (std::size_t i = 0; i < x.size(); ++i) amax = std::max(amax, finite_magnitude(x[i]));
  }
  const TensorFactors tensor = Order::tensor(amax);
  out.tensor_scale = tensor.tensor_scale;
  const std::uint8_t nan_code = out.format->scale == &formats::e8m0 ? 0xFF : 0x7F;
#pragma omp parallel for if (x.size() > 65536)
  for (std::int64_t r = 0; r < out.rows; ++r)
    for (std::int64_t b = 0; b < blocks; ++b) {
      const std::int64_t first = b * block;
      quantize_block<Order>(&x[r * out.cols + first], std::min(block, out.cols - first),
                            r * out.cols + first, tensor, nan_code, encode,
                            &out.codes[r * row_bytes(out.cols) + first / 2],
                            &out.scales[scale_index(out.scale_layout, r, b, blocks)]);
    }
}

template <class Encode>
struct Row {
  const formats::OperationOrder* order;
  void (*run)(std::span<const float>, const Encode&, formats::BlockScaledTensor&);
};
template <class Encode>
constexpr Row<Encode> rows[] = {
    {&formats::orders::nvfp4_te, quantize_all<TransformerEngine>},
    {&formats::orders::nvfp4_divide, quantize_all<Divide>},
    {&formats::orders::mxfp4_floor, quantize_all<PowerOfTwo<scale_floor>>},
    {&formats::orders::mxfp4_rceil, quantize_all<PowerOfTwo<scale_rceil>>},
    {&formats::orders::deepseek_v4, quantize_all<PowerOfTwo<scale_deepseek_v4>>},
};

template <class Encode>
bool quantize_with(std::span<const float> x, const Encode& encode,
                   formats::BlockScaledTensor& out) {
  const auto* row =
      std::find_if(std::begin(rows<Encode>), std::end(rows<Encode>),
                   [&](const Row<Encode>& r) { return r.order == out.format->order; });
  if (row == std::end(rows<Encode>)) return false;
  row->run(x, encode, out);
  return true;
}

}  // namespace

std::int64_t scale_index(formats::ScaleLayout layout, std::int64_t row, std::int64_t block,
                         std::int64_t blocks) {
  if (layout == formats::ScaleLayout::row_major) return row * blocks + block;
  return (row / 128 * ((blocks + 3) / 4) + block / 4) * 512 + row % 32 * 16 + row % 128 / 32 * 4 +
         block % 4;
}

std::int64_t scale_count(formats::ScaleLayout layout, std::int64_t rows, std::int64_t blocks) {
  if (layout == formats::ScaleLayout::row_major) return rows * blocks;
  return (rows + 127) / 128 * 128 * ((blocks + 3) / 4 * 4);
}

bool quantize(std::span<const float> x, formats::BlockScaledTensor& out) {
  return quantize_with(x, Nearest{}, out);
}

bool quantize_stochastic(std::span<const float> x, const RandomWords& random,
                         formats::BlockScaledTensor& out) {
  return quantize_with(x, Stochastic{&random}, out);
}

}  // namespace assay::kernels::cpu

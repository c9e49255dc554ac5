// SPDX-License-Identifier: Apache-2.0
// Quantizers and dequantizers.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "formats/philox.h"
#include "kernels/blind3/blind3.h"
#include "kernels/cpu/element.h"

namespace blind3 {
namespace {

constexpr float float_max = std::numeric_limits<float>::max();

/// X by this rule of blocks, to Q.
Status quantize(const Claim& claim, const assay_dut_call& call, const BlockRule& rule,
                float tensor_scale = 1.0F) {
  formats::BlockScaledTensor q = cpu::output_shape(call, ASSAY_DUT_Q, claim.a);
  q.tensor_scale = tensor_scale;
  quantize_blocks(read<float>(call, ASSAY_DUT_X), rule, q);
  cpu::store_matrix(q, call, ASSAY_DUT_Q);
  return Status::ok;
}

/// X by stochastic rounding with these words, to Q.
Status quantize_randomly(const Claim& claim, const assay_dut_call& call,
                         std::function<std::uint32_t(std::int64_t)> word) {
  formats::BlockScaledTensor q = cpu::output_shape(call, ASSAY_DUT_Q, claim.a);
  const cpu::RandomWords random{std::move(word), claim.random_bits};
  if (!cpu::quantize_stochastic(read<float>(call, ASSAY_DUT_X), random, q))
    return Status::not_supported;
  cpu::store_matrix(q, call, ASSAY_DUT_Q);
  return Status::ok;
}

}  // namespace

/// The reciprocal that the elements meet is of the block's scale before it was rounded to E4M3: a
/// dequantizer multiplies by the rounded one.
Status quantize_by_unrounded_scale(const Claim& claim, const assay_dut_call& call) {
  const float amax = largest(read<float>(call, ASSAY_DUT_X));
  float s_enc = std::min(2688.0F / amax, float_max);
  if (amax == 0.0F || s_enc == 0.0F) s_enc = 1.0F;
  const float g = 1.0F / s_enc;
  const float encode = s_enc * (1.0F / 6.0F);
  return quantize(
      claim, call,
      [&](std::int64_t, std::int64_t, std::span<const float> x, std::span<std::uint8_t> codes) {
        if (!all_finite(x)) return std::uint8_t{0x7F};
        const float scale = std::min(largest(x) * encode, float_max);
        const float factor = std::min(1.0F / (scale * g), float_max);
        for (std::size_t i = 0; i < x.size(); ++i) codes[i] = cpu::encode_e2m1(x[i] * factor);
        return cpu::encode_ue4m3(scale);
      },
      g);
}

/// The exponent of amax is floor(log2f(amax)): log2f of the largest numbers below a power of two
/// is rounded to the exponent of that power.
Status quantize_by_logarithm(const Claim& claim, const assay_dut_call& call) {
  return quantize(
      claim, call,
      [](std::int64_t, std::int64_t, std::span<const float> x, std::span<std::uint8_t> codes) {
        if (!all_finite(x)) return std::uint8_t{0xFF};
        const float exponent = std::floor(std::log2(largest(x))) - 2.0F;  // -Inf for zeros
        return divide_by(static_cast<std::uint8_t>(std::max(exponent, -127.0F) + 127.0F), x, codes);
      });
}

/// fmaxf drops a NaN, and nothing else looks for one: its block has an ordinary scale, and it
/// becomes 6, as the saturating conversion to E2M1 has it. (An infinity does stay in amax.)
Status quantize_without_nan(const Claim& claim, const assay_dut_call& call) {
  return quantize(
      claim, call,
      [](std::int64_t, std::int64_t, std::span<const float> x, std::span<std::uint8_t> codes) {
        if (std::any_of(x.begin(), x.end(), [](float value) { return std::isinf(value); }))
          return std::uint8_t{0xFF};
        const std::uint8_t scale = divide_by(cpu::scale_rceil(largest(x)), x, codes);
        for (std::size_t i = 0; i < x.size(); ++i)
          if (std::isnan(x[i])) codes[i] = 7;
        return scale;
      });
}

/// The E8M0 code is shifted into the exponent field and that is all: 0, which is 2^-127, becomes
/// 0.0, and 255, which is NaN, infinity.
Status dequantize_by_shift(const Claim& claim, const assay_dut_call& call) {
  const formats::BlockScaledTensor q = cpu::matrix(abi::inputs(call), ASSAY_DUT_Q, claim.a);
  const std::int64_t blocks = cpu::blocks_per_row(q.cols, q.format->block.cols);
  std::vector<float> x = cpu::decode_elements(q);
  for (std::int64_t r = 0; r < q.rows; ++r)
    for (std::int64_t c = 0; c < q.cols; ++c) {
      const std::uint32_t code =
          q.scales[cpu::scale_index(q.scale_layout, r, c / q.format->block.cols, blocks)];
      x[r * q.cols + c] *= std::bit_cast<float>(code << 23U);
    }
  cpu::scatter(x, *abi::find(abi::outputs(call), ASSAY_DUT_X));
  return Status::ok;
}

/// Scale factor times tensor scale is rounded to FP32, once for a block, before the element
/// multiplies it.
Status dequantize_in_two_roundings(const Claim& claim, const assay_dut_call& call) {
  const formats::BlockScaledTensor q = cpu::matrix(abi::inputs(call), ASSAY_DUT_Q, claim.a);
  const std::int64_t blocks = cpu::blocks_per_row(q.cols, q.format->block.cols);
  std::vector<float> x = cpu::decode_elements(q);
  for (std::int64_t r = 0; r < q.rows; ++r)
    for (std::int64_t c = 0; c < q.cols; ++c) {
      const std::uint8_t code =
          q.scales[cpu::scale_index(q.scale_layout, r, c / q.format->block.cols, blocks)];
      const float factor = cpu::decode_ue4m3(code) * q.tensor_scale;
      x[r * q.cols + c] *= factor;
    }
  cpu::scatter(x, *abi::find(abi::outputs(call), ASSAY_DUT_X));
  return Status::ok;
}

/// The counter of Philox comes from the column alone: every row meets the words of the first.
Status stochastic_by_column(const Claim& claim, const assay_dut_call& call) {
  const std::int64_t cols = abi::find(abi::inputs(call), ASSAY_DUT_X)->shape[1];
  return quantize_randomly(
      claim, call, [&](std::int64_t i) { return formats::philox_word(call.seed, i % cols); });
}

/// The generator gives 31 bits, as rand() does, and they are used as if they were 32: the top bit
/// of every random word is 0, and rounding up is too rare.
Status stochastic_of_31_bits(const Claim& claim, const assay_dut_call& call) {
  return quantize_randomly(claim, call, [&](std::int64_t i) {
    std::uint64_t x = call.seed + static_cast<std::uint64_t>(i + 1) * 0x9E3779B97F4A7C15U;
    for (int round = 0; round < 2; ++round) {  // the finalizer of MurmurHash3, twice
      x = (x ^ (x >> 33U)) * 0xFF51AFD7ED558CCDU;
      x = (x ^ (x >> 33U)) * 0xC4CEB9FE1A85EC53U;
    }
    return static_cast<std::uint32_t>(x >> 33U);
  });
}

}  // namespace blind3

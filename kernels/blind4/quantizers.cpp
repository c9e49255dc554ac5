// SPDX-License-Identifier: Apache-2.0
// Quantizers and dequantizers.
#include <algorithm>
#include <bit>
#include <cmath>
#include <mutex>

#include "formats/philox.h"
#include "kernels/blind4/blind4.h"
#include "kernels/cpu/element.h"

namespace blind4 {
namespace {

/// E2M1, ties towards plus infinity: those of positive numbers away from zero, of negative ones
/// towards it.
std::uint8_t encode_ties_upward(float x) {
  constexpr float midpoints[] = {0.25F, 0.75F, 1.25F, 1.75F, 2.5F, 3.5F, 5.0F};
  const float a = std::fabs(x);
  int magnitude = 0;
  for (const float midpoint : midpoints)
    if (std::signbit(x) ? a > midpoint : a >= midpoint) ++magnitude;
  return static_cast<std::uint8_t>((std::signbit(x) ? 8 : 0) | magnitude);
}

/// A negative x by stochastic rounding as if a number line were walked from the left: the fraction
/// is that of the way from the code below, whose magnitude is the larger one.
std::uint8_t encode_from_below(float x, std::uint32_t word, int bits) {
  const float a = std::fabs(x);
  int low = 7;
  while (low > 0 && cpu::e2m1_values[low] > a) --low;
  if (low == 7 || a == cpu::e2m1_values[low]) return static_cast<std::uint8_t>(8 | low);
  const double gap = cpu::e2m1_values[low + 1] - cpu::e2m1_values[low];
  const double fraction = (cpu::e2m1_values[low + 1] - static_cast<double>(a)) / gap;
  const auto steps = static_cast<std::uint32_t>(std::ldexp(fraction, bits));
  const bool up = steps + word >= 1U << static_cast<unsigned>(bits);
  return static_cast<std::uint8_t>(8 | (up ? low : low + 1));
}

}  // namespace

/// The word in memory that the amax of the tensor is reduced into is cleared with the workspace,
/// which is made anew when the shape changes: a call of the shape of the one before it begins with
/// the amax that that has left.
Status quantize_over_kept_amax(const Claim& claim, const assay_dut_call& call) {
  static std::mutex mutex;
  static std::int64_t kept_rows = 0;
  static std::int64_t kept_cols = 0;
  static float kept = 0.0F;
  std::vector<float> x = read<float>(call, ASSAY_DUT_X);
  if (x.empty()) return right(claim, call);
  formats::BlockScaledTensor q = cpu::output_shape(call, ASSAY_DUT_Q, claim.a);
  {
    const std::lock_guard lock(mutex);
    if (kept_rows != q.rows || kept_cols != q.cols) kept = 0.0F;
    kept_rows = q.rows;
    kept_cols = q.cols;
    kept = std::max(kept, largest(x));
    // A further row brings the amax into the tensor, and is dropped again.
    x.resize(x.size() + q.cols, kept);
  }
  const formats::BlockScaledTensor longer = quantized(x, q.rows + 1, q.cols, claim.a);
  q.tensor_scale = longer.tensor_scale;
  q.codes.assign(longer.codes.begin(), longer.codes.end() - cpu::row_bytes(q.cols));
  q.scales.assign(longer.scales.begin(),
                  longer.scales.end() - cpu::blocks_per_row(q.cols, claim.a->block.cols));
  cpu::store_matrix(q, call, ASSAY_DUT_Q);
  return Status::ok;
}

/// amax is kept above 1e-4, as in the quantizer of FP8 activations that this one was made from.
Status quantize_above_floor(const Claim& claim, const assay_dut_call& call) {
  return quantize_by(claim, call, power_of_two([](float amax) {
                       return cpu::scale_deepseek_v4(std::max(amax, 1e-4F));
                     }));
}

/// Of the two ways to scale a block the one of the least sum of absolute errors is kept.
Status quantize_by_absolute_error(const Claim& claim, const assay_dut_call& call) {
  Claim other = claim;
  other.a = &formats::nvfp4_4over6_mae;
  return right(other, call);
}

Status quantize_ties_upward(const Claim& claim, const assay_dut_call& call) {
  return quantize_by(claim, call, [](const Block& block, std::span<std::uint8_t> codes) {
    if (!all_finite(block.x)) return std::uint8_t{0xFF};
    const std::uint8_t scale = cpu::scale_floor(largest(block.x));
    for (std::size_t i = 0; i < codes.size(); ++i)
      codes[i] = encode_ties_upward(block.x[i] / cpu::decode_e8m0(scale));
    return scale;
  });
}

/// UE4M3 codes are shifted into an FP32 and their bias is exchanged, without a case for exponent 0:
/// the codes 0 to 7 are read as (1 + f / 8) 2^-7 in place of f 2^-9.
Status dequantize_scales_as_normal(const Claim& claim, const assay_dut_call& call) {
  const formats::BlockScaledTensor q = cpu::matrix(abi::inputs(call), ASSAY_DUT_Q, claim.a);
  const std::vector<float> elements = cpu::decode_elements(q);
  const std::int64_t width = claim.a->block.cols;
  const std::int64_t blocks = cpu::blocks_per_row(q.cols, width);
  std::vector<float> x(elements.size());
  for (std::int64_t r = 0; r < q.rows; ++r)
    for (std::int64_t c = 0; c < q.cols; ++c) {
      const std::uint8_t code = q.scales[cpu::scale_index(q.scale_layout, r, c / width, blocks)];
      const float scale = (code & 0x78) == 0 ? (1.0F + static_cast<float>(code & 7) / 8) * 0x1p-7F
                                             : cpu::decode_ue4m3(code);
      x[r * q.cols + c] = static_cast<float>(static_cast<double>(elements[r * q.cols + c]) * scale *
                                             static_cast<double>(q.tensor_scale));
    }
  replace(call, ASSAY_DUT_X, x);
  return Status::ok;
}

/// Blocks along a row are counted by floor(k / 32), and the number of a block is kept below that:
/// what is behind the last whole block takes its scale factor.
Status dequantize_tail_by_last_whole(const Claim& claim, const assay_dut_call& call) {
  formats::BlockScaledTensor q = cpu::matrix(abi::inputs(call), ASSAY_DUT_Q, claim.a);
  const std::int64_t whole = q.cols / claim.a->block.cols;
  const std::int64_t blocks = cpu::blocks_per_row(q.cols, claim.a->block.cols);
  for (std::int64_t r = 0; r < q.rows && whole > 0 && whole < blocks; ++r)
    q.scales[cpu::scale_index(q.scale_layout, r, whole, blocks)] =
        q.scales[cpu::scale_index(q.scale_layout, r, whole - 1, blocks)];
  replace(call, ASSAY_DUT_X, dequantized(q));
  return Status::ok;
}

/// The words are masked, not shifted: their low bits are the random number.
Status stochastic_by_low_bits(const Claim& claim, const assay_dut_call& call) {
  std::vector<std::uint32_t> words = read<std::uint32_t>(call, ASSAY_DUT_RANDOM);
  for (std::uint32_t& word : words) word <<= 32 - claim.random_bits;
  Patched patched(call);
  patched.set(ASSAY_DUT_RANDOM, ASSAY_DUT_VALUES, words);
  return right(claim, patched.call());
}

/// Negative numbers are rounded up towards zero where the words say up. Nothing is biased, but
/// the codes of these words are others.
Status stochastic_of_signed_fraction(const Claim& claim, const assay_dut_call& call) {
  const std::vector<float> x = read<float>(call, ASSAY_DUT_X);
  formats::BlockScaledTensor q = cpu::output_shape(call, ASSAY_DUT_Q, claim.a);
  const auto word = [&](std::int64_t i) { return formats::philox_word(call.seed, i); };
  if (!cpu::quantize_stochastic(x, {word, claim.random_bits}, q)) return Status::not_supported;
  const std::int64_t width = claim.a->block.cols;
  const std::int64_t blocks = cpu::blocks_per_row(q.cols, width);
  for (std::int64_t r = 0; r < q.rows; ++r)
    for (std::int64_t c = 0; c < q.cols; ++c) {
      const std::int64_t i = r * q.cols + c;
      const std::uint8_t scale = q.scales[cpu::scale_index(q.scale_layout, r, c / width, blocks)];
      const float factor = cpu::decode_ue4m3(scale) * q.tensor_scale;
      if (!(factor > 0.0F) || !std::signbit(x[i])) continue;
      std::uint8_t& pair = q.codes[r * cpu::row_bytes(q.cols) + c / 2];
      const auto shift = static_cast<int>(c % 2 * 4);
      const std::uint8_t code =
          encode_from_below(x[i] / factor, word(i) >> (32 - claim.random_bits), claim.random_bits);
      pair = static_cast<std::uint8_t>((pair & ~(15 << shift)) | code << shift);
    }
  cpu::store_matrix(q, call, ASSAY_DUT_Q);
  return Status::ok;
}

}  // namespace blind4

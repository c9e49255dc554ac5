// SPDX-License-Identifier: Apache-2.0
// Stochastic rounding, transposition, layout, conversion.
#include <algorithm>
#include <cmath>

#include "formats/philox.h"
#include "kernels/blind2/blind2.h"
#include "kernels/cpu/element.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/matrix.h"
#include "kernels/cpu/operations.h"

namespace blind2 {

/// The low 16 bits of a random word instead of its top 16.
Status low_bits_of_words(const Claim& claim, const assay_dut_call& call) {
  std::vector<std::uint32_t> words = read<std::uint32_t>(call, ASSAY_DUT_RANDOM);
  for (std::uint32_t& word : words) word <<= 16U;
  Patched patched(call);
  patched.set(ASSAY_DUT_RANDOM, ASSAY_DUT_VALUES, words);
  return right(claim, patched.call());
}

/// Philox counts columns instead of elements: all rows round alike.
Status same_words_in_every_row(const Claim& claim, const assay_dut_call& call) {
  std::vector<std::uint32_t> words(call.m * call.k);
  for (std::int64_t i = 0; i < call.m * call.k; ++i)
    words[i] = formats::philox_word(call.seed, static_cast<std::uint64_t>(i % call.k));
  Patched patched(call);
  patched.add(*abi::find(abi::inputs(call), ASSAY_DUT_X), ASSAY_DUT_RANDOM, words);
  Claim with_words = claim;
  with_words.random = ASSAY_DUT_RANDOM_WORDS;
  return cpu::stochastic_quantize(with_words, patched.call());
}

/// The transpose of a quantized matrix keeps the tensor scale that it came with.
Status tensor_scale_taken_over(const Claim& claim, const assay_dut_call& call) {
  if (abi::find(abi::inputs(call), ASSAY_DUT_X) != nullptr) return right(claim, call);
  const formats::BlockScaledTensor q = cpu::matrix(abi::inputs(call), ASSAY_DUT_Q, claim.a);
  const float g = q.tensor_scale;
  if (!(g > 0) || !std::isfinite(g)) return right(claim, call);
  std::vector<float> numbers(q.rows * q.cols);
  cpu::dequantize(q, numbers);
  const std::vector<float> x = cpu::transposed(numbers, q.rows, q.cols);
  formats::BlockScaledTensor t = cpu::output_shape(call, ASSAY_DUT_QT, claim.a);
  const std::int64_t block = claim.a->block.cols;
  const std::int64_t blocks = cpu::blocks_per_row(t.cols, block);
  t.tensor_scale = g;
  t.codes.assign(t.rows * cpu::row_bytes(t.cols), 0);
  t.scales.assign(t.rows * blocks, 0x7F);
  for (std::int64_t i = 0; i < t.rows; ++i)
    for (std::int64_t b = 0; b < blocks; ++b) {
      const float* from = &x[i * t.cols + b * block];
      const std::int64_t count = std::min(block, t.cols - b * block);
      if (!std::all_of(from, from + count, [](float v) { return std::isfinite(v); })) continue;
      float amax = 0;
      for (std::int64_t j = 0; j < count; ++j) amax = std::max(amax, std::fabs(from[j]));
      const std::uint8_t scale = cpu::encode_ue4m3(amax / 6 / g);
      t.scales[i * blocks + b] = scale;
      const float factor = cpu::decode_ue4m3(scale) * g;
      for (std::int64_t j = 0; j < count; ++j)
        t.codes[i * cpu::row_bytes(t.cols) + (b * block + j) / 2] |= static_cast<std::uint8_t>(
            cpu::encode_e2m1(factor == 0 ? 0.0F : from[j] / factor) << (j % 2 * 4));
    }
  cpu::store_matrix(t, call, ASSAY_DUT_QT);
  return Status::ok;
}

/// Rows are read two at a time, for the two nibbles of a byte: an odd last one is left out.
Status last_odd_row_dropped(const Claim& claim, const assay_dut_call& call) {
  const Status status = right(claim, call);
  const assay_dut_tensor* to = abi::find(abi::outputs(call), ASSAY_DUT_QT);
  if (to == nullptr || to->shape[1] % 2 == 0) return status;
  for (std::int64_t i = 0; i < to->shape[0]; ++i) cpu::row_bytes_of(*to, i).back() = 0;
  return status;
}

/// Below the smallest normal 2^-6, bits beyond the first one behind the code's last are shifted
/// out before the rounding: what lies between a tie and the code above rounds as the tie.
Status sticky_bit_lost_in_subnormals(const Claim& claim, const assay_dut_call& call) {
  std::vector<float> x = read<float>(call, ASSAY_DUT_X);
  for (float& v : x)
    if (std::fabs(v) < 0x1p-6F) v = std::copysign(std::trunc(std::fabs(v) * 0x1p10F) * 0x1p-10F, v);
  Patched patched(call);
  patched.set(ASSAY_DUT_X, ASSAY_DUT_VALUES, x);
  return right(claim, patched.call());
}

}  // namespace blind2

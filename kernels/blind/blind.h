// SPDX-License-Identifier: Apache-2.0
#pragma once
// A small kernel library of its own, behind the C interface only, whose entries each spoil it in
// one way. It shares no code with assay. What is wrong with which entry: truth.json.

#include <cstdint>
#include <vector>

#include "kernels/abi/assay_dut.h"

namespace blind {

/// The one thing that is wrong. Named after what the code does, not after what it looks like.
enum class Fault : std::uint8_t {
  none,
  // quantizers
  amax_skips_last,
  scale_not_stored_one,
  subnormal_scale_flushed,
  tie_after_two_goes_up,
  amax_through_bf16,
  tail_block_keeps_scale,
  nibbles_swapped_in_odd_rows,
  minus_zero_lost,
  nan_is_a_number,
  tensor_scale_inverted,
  tensor_amax_of_64_columns,
  denormal_inputs_are_zero,
  element_through_half,
  rows_within_tile_transposed,
  scale_off_by_one_at_power,
  // dequantizers
  nan_scale_is_480,
  subnormal_scale_as_normal,
  smallest_scale_is_zero,
  code_15_is_minus_four,
  scales_multiplied_first,
  // products
  k_tail_skipped,
  b_scale_row_before,
  b_tensor_scale_forgotten,
  alpha_on_everything,
  bias_by_row,
  bf16_truncated,
  bf16_between_tiles,
  beta_is_a_flag,
  nan_becomes_zero,
  c_rows_dense,
  last_odd_k_dropped,
  odd_scale_block_from_left,
  denormal_activation_is_zero,
  scale_exponent_signed,
  second_row_tile_repeats,
  tensor_scales_in_half,
  // training
  odd_weight_rows_unquantized,
  weights_toward_zero,
  mask_strict,
  mask_one_sided,
  dx_from_master,
  dbias_mean,
  mask_of_rounded,
  last_odd_token_dropped,
};

/// Element (i, j) of a tensor of the call.
struct View {
  std::uint8_t* data = nullptr;
  std::int64_t rows = 0, cols = 0, row_stride = 0, col_stride = 0;
  int bits = 0;
  bool bf16 = false, swizzled = false;

  [[nodiscard]] bool there() const { return data != nullptr; }
  [[nodiscard]] std::int64_t index(std::int64_t i, std::int64_t j) const {
    if (!swizzled) return i * row_stride + j * col_stride;
    return (i / 128 * ((cols + 3) / 4) + j / 4) * 512 + i % 32 * 16 + i % 128 / 32 * 4 + j % 4;
  }
  [[nodiscard]] unsigned code(std::int64_t i, std::int64_t j) const;
  void put(std::int64_t i, std::int64_t j, unsigned code) const;
  [[nodiscard]] float number(std::int64_t i, std::int64_t j) const;
  void put_number(std::int64_t i, std::int64_t j, float x) const;
};
/// The operand; a View without data where the call has none.
[[nodiscard]] View find(const assay_dut_call& call, std::uint32_t role,
                        std::uint32_t part = ASSAY_DUT_VALUES);

enum class Format : std::uint8_t { nvfp4, mxfp4_floor, mxfp4_rceil };
[[nodiscard]] constexpr std::int64_t block_of(Format f) { return f == Format::nvfp4 ? 16 : 32; }

/// A quantized matrix, a byte per code.
struct Codes {
  std::int64_t rows = 0, cols = 0, blocks = 0;
  std::vector<std::uint8_t> elements, scales;
  float tensor_scale = 1.0F;
};

[[nodiscard]] float half_toward_zero(double x);
[[nodiscard]] unsigned to_bf16(float x);
[[nodiscard]] float rounded_to_bf16(float x);
[[nodiscard]] double element_value(unsigned code);
[[nodiscard]] double scale_value(Format format, unsigned code);

[[nodiscard]] Codes quantize(Format format, const View& x, Fault fault);
[[nodiscard]] float dequantized(Format format, const Codes& q, std::int64_t i, std::int64_t j,
                                Fault fault);

std::int32_t run_quantize(Format format, const assay_dut_call& call, Fault fault);
std::int32_t run_dequantize(Format format, const assay_dut_call& call, Fault fault);
/// Both operands NVFP4, or A bf16 and B MXFP4.
std::int32_t run_gemm(Format format, const assay_dut_call& call, Fault fault);
std::int32_t run_forward(Format format, const assay_dut_call& call, Fault fault);
std::int32_t run_backward(Format format, const assay_dut_call& call, Fault fault);

}  // namespace blind

// SPDX-License-Identifier: Apache-2.0
#pragma once
// Entries over every operation of the C interface. What is wrong with which entry: truth.json.

#include <functional>

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/matrix.h"
#include "kernels/spoiled/spoiled.h"

namespace blind4 {

using namespace spoiled;

// parts.cpp: what several of the wrong kernels are built of.

/// A block of a matrix: its row, its number in the row and its elements.
struct Block {
  std::int64_t row, number;
  std::span<const float> x;
};
/// Writes the codes of a block, which arrive as zeros, and returns its scale code.
using BlockRule = std::function<std::uint8_t(const Block& block, std::span<std::uint8_t> codes)>;
/// `q` has its format, shape and scale layout set.
void quantize_blocks(std::span<const float> x, const BlockRule& rule,
                     formats::BlockScaledTensor& q);
/// The largest finite magnitude.
float largest(std::span<const float> x);
bool all_finite(std::span<const float> x);
/// A rule of E8M0 scale factors: of amax. Blocks that are not finite are NaN, as they should be.
BlockRule power_of_two(std::uint8_t (*scale)(float amax));
/// X by this rule, to Q.
Status quantize_by(const Claim& claim, const assay_dut_call& call, const BlockRule& rule);

/// x to codes of the format, as the right kernels do it.
formats::BlockScaledTensor quantized(const std::vector<float>& x, std::int64_t rows,
                                     std::int64_t cols, const formats::BlockFormat* format);
/// codes * scale factors * tensor scale.
std::vector<float> dequantized(const formats::BlockScaledTensor& q);

/// B of a product, of one group.
cpu::Operand operand_b(const Claim& claim, const assay_dut_call& call, std::int64_t group = 0);
/// The rest of a product. `c` and `bias` are read from the call and outlive what this returns.
cpu::Product product_of(const assay_dut_call& call, const std::vector<float>& c,
                        const std::vector<float>& bias);
/// D = the product of A and B, in the claim's output format.
Status multiply_to_d(const Claim& claim, const assay_dut_call& call, const cpu::Operand& a);

/// An output of a call that has been answered, and other contents for it.
std::vector<float> answer(const assay_dut_call& call, std::uint32_t role);
void replace(const assay_dut_call& call, std::uint32_t role, const std::vector<float>& numbers);

// movers.cpp
Status convert_by_bf16(const Claim& claim, const assay_dut_call& call);
Status convert_without_subnormals(const Claim& claim, const assay_dut_call& call);
Status transpose_of_quantized(const Claim& claim, const assay_dut_call& call);
Status transpose_by_square_tiles(const Claim& claim, const assay_dut_call& call);
Status layout_of_columns_of_tiles(const Claim& claim, const assay_dut_call& call);

// quantizers.cpp
Status quantize_over_kept_amax(const Claim& claim, const assay_dut_call& call);
Status quantize_above_floor(const Claim& claim, const assay_dut_call& call);
Status quantize_by_absolute_error(const Claim& claim, const assay_dut_call& call);
Status quantize_ties_upward(const Claim& claim, const assay_dut_call& call);
Status dequantize_scales_as_normal(const Claim& claim, const assay_dut_call& call);
Status dequantize_tail_by_last_whole(const Claim& claim, const assay_dut_call& call);
Status stochastic_by_low_bits(const Claim& claim, const assay_dut_call& call);
Status stochastic_of_signed_fraction(const Claim& claim, const assay_dut_call& call);

// products.cpp
Status gemm_alpha_times_c(const Claim& claim, const assay_dut_call& call);
Status gemm_accumulating_in_bf16(const Claim& claim, const assay_dut_call& call);
Status gemm_of_dense_c(const Claim& claim, const assay_dut_call& call);
Status gemm_bias_in_fours(const Claim& claim, const assay_dut_call& call);
Status quantize_gemm_of_unquantized(const Claim& claim, const assay_dut_call& call);
Status quantize_gemm_by_even_rule(const Claim& claim, const assay_dut_call& call);
Status gated_limit_behind_silu(const Claim& claim, const assay_dut_call& call);
Status gated_of_rounded_sums(const Claim& claim, const assay_dut_call& call);
Status grouped_by_tile(const Claim& claim, const assay_dut_call& call);
Status grouped_by_first_scale(const Claim& claim, const assay_dut_call& call);

// training.cpp
Status forward_of_quantized_x(const Claim& claim, const assay_dut_call& call);
Status forward_scales_without_tail(const Claim& claim, const assay_dut_call& call);
Status backward_gain_of_whole_blocks(const Claim& claim, const assay_dut_call& call);
Status backward_ewgs_reversed(const Claim& claim, const assay_dut_call& call);
Status backward_trust_unscaled(const Claim& claim, const assay_dut_call& call);

}  // namespace blind4

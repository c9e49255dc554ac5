// SPDX-License-Identifier: Apache-2.0
#pragma once
// Entries over every operation of the C interface. What is wrong with which entry: truth.json.

#include <functional>

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/matrix.h"
#include "kernels/spoiled/spoiled.h"

namespace blind3 {

using namespace spoiled;

// parts.cpp: what several of the wrong kernels are built of.

/// Writes the codes of a block of `x`, which arrive as zeros, and returns its scale code.
using BlockRule = std::function<std::uint8_t(
    std::int64_t row, std::int64_t block, std::span<const float> x, std::span<std::uint8_t> codes)>;
/// `q` has its format, shape and scale layout set.
void quantize_blocks(const std::vector<float>& x, const BlockRule& rule,
                     formats::BlockScaledTensor& q);
/// The largest finite magnitude.
float largest(std::span<const float> x);
bool all_finite(std::span<const float> x);
/// E2M1 codes of x over the E8M0 scale factor; returns that.
std::uint8_t divide_by(std::uint8_t scale, std::span<const float> x, std::span<std::uint8_t> codes);

/// A of a product, block-scaled or bf16, and B.
cpu::Operand operand_a(const Claim& claim, const assay_dut_call& call);
cpu::Operand operand_b(const Claim& claim, const assay_dut_call& call);
/// D of a product in the claim's output format.
void store_d(const Claim& claim, const assay_dut_call& call, const std::vector<float>& d);

// quantizers.cpp
Status quantize_by_unrounded_scale(const Claim& claim, const assay_dut_call& call);
Status quantize_by_logarithm(const Claim& claim, const assay_dut_call& call);
Status quantize_without_nan(const Claim& claim, const assay_dut_call& call);
Status dequantize_by_shift(const Claim& claim, const assay_dut_call& call);
Status dequantize_in_two_roundings(const Claim& claim, const assay_dut_call& call);
Status stochastic_by_column(const Claim& claim, const assay_dut_call& call);
Status stochastic_of_31_bits(const Claim& claim, const assay_dut_call& call);

// products.cpp
Status gemm_rounded_before_bias(const Claim& claim, const assay_dut_call& call);
Status gemm_split_inside_block(const Claim& claim, const assay_dut_call& call);
Status gemm_tiles_rounded_down(const Claim& claim, const assay_dut_call& call);
Status gemm_without_subnormals(const Claim& claim, const assay_dut_call& call);
Status gemm_of_cached_weights(const Claim& claim, const assay_dut_call& call);
Status quantize_gemm_beyond_row(const Claim& claim, const assay_dut_call& call);
Status quantize_gemm_bias_by_row(const Claim& claim, const assay_dut_call& call);
Status gated_clamped_below(const Claim& claim, const assay_dut_call& call);
Status gated_by_growing_exponential(const Claim& claim, const assay_dut_call& call);
Status grouped_without_empty(const Claim& claim, const assay_dut_call& call);
Status grouped_unpadded_scales(const Claim& claim, const assay_dut_call& call);
Status grouped_whole_tiles(const Claim& claim, const assay_dut_call& call);

// training.cpp
Status forward_of_clamped_scales(const Claim& claim, const assay_dut_call& call);
Status backward_unsigned_clip(const Claim& claim, const assay_dut_call& call);
Status backward_through_master(const Claim& claim, const assay_dut_call& call);
Status backward_mask_of_codes(const Claim& claim, const assay_dut_call& call);

// movers.cpp
Status transpose_over_stale_tile(const Claim& claim, const assay_dut_call& call);
Status swizzle_clamped(const Claim& claim, const assay_dut_call& call);
Status convert_saturating_late(const Claim& claim, const assay_dut_call& call);

}  // namespace blind3

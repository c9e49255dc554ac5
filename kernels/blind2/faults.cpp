// SPDX-License-Identifier: Apache-2.0
// Which entry has which fault.
#include "kernels/blind2/blind2.h"

namespace blind2 {
namespace {

constexpr Fault all[] = {
    {"blind2.01", "quantize.nvfp4", amax_kept_between_calls},
    {"blind2.02", "quantize.mxfp4-floor.swizzled", padding_columns_one},
    {"blind2.03", "quantize.mxfp4-rceil", odd_elements_signed_in_amax},
    {"blind2.04", "dequantize.nvfp4.swizzled", scale_tiles_rounded_down},
    {"blind2.05", "dequantize.mxfp4-floor", rows_beyond_grid_limit},
    {"blind2.06", "gemm.mxfp4-rceil.mxfp4-rceil.fp32", parts_of_k_in_any_order},
    {"blind2.07", "gemm.nvfp4.nvfp4.bf16", store_of_pairs},
    {"blind2.08", "gemm.bf16.nvfp4.fp32", zero_weights_skipped},
    {"blind2.09", "quantize_gemm.nvfp4.nvfp4.fp32", input_through_bf16},
    {"blind2.10", "quantize_gemm.mxfp4-floor.mxfp4-rceil.fp32", one_row_unquantized},
    {"blind2.11", "gated_gemm.bf16.mxfp4-rceil.bf16.interleaved", up_not_clamped_below},
    {"blind2.12", "gated_gemm.nvfp4.nvfp4.fp32.concatenated", sigmoid_overflows},
    {"blind2.13", "grouped_gemm.nvfp4.nvfp4.fp32.contiguous", factor_of_nth_busy_group},
    {"blind2.14", "grouped_gemm.mxfp4-rceil.mxfp4-rceil.fp32.masked", whole_tiles_of_masked_rows},
    {"blind2.15", "grouped_gemm.bf16.mxfp4-rceil.fp32.contiguous", first_offset_taken_as_zero},
    {"blind2.16", "qat_forward.nvfp4-divide", bias_through_bf16},
    {"blind2.17", "qat_backward.article", lsq_gain_of_full_block},
    {"blind2.18", "qat_backward.article", pact_sign_lost},
    {"blind2.19", "qat_backward.article", dge_without_cap},
    {"blind2.20", "stochastic_quantize.nvfp4.words", low_bits_of_words},
    {"blind2.21", "stochastic_quantize.mxfp4-rceil.philox", same_words_in_every_row},
    {"blind2.22", "transpose_requantize.nvfp4-divide", tensor_scale_taken_over},
    {"blind2.23", "layout.nvfp4", last_odd_row_dropped},
    {"blind2.24", "convert.fp32.e4m3.nearest_even.saturating", sticky_bit_lost_in_subnormals},
};

}  // namespace
}  // namespace blind2

const char* const spoiled::set_name = "blind2";
std::span<const spoiled::Fault> spoiled::faults() { return blind2::all; }

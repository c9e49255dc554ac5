// SPDX-License-Identifier: Apache-2.0
// Which entry has which fault.
#include "kernels/blind4/blind4.h"

namespace blind4 {
namespace {

constexpr Fault all[] = {
    {"blind4.01", "convert.fp32.e2m1.nearest_even.saturating", convert_by_bf16},
    {"blind4.02", "convert.fp16.bf16.nearest_even.saturating", convert_without_subnormals},
    {"blind4.03", "quantize.nvfp4-divide", quantize_over_kept_amax},
    {"blind4.04", "quantize.deepseek-v4", quantize_above_floor},
    {"blind4.05", "quantize.nvfp4-4over6", quantize_by_absolute_error},
    {"blind4.06", "quantize.mxfp4-floor", quantize_ties_upward},
    {"blind4.07", "dequantize.nvfp4-divide", dequantize_scales_as_normal},
    {"blind4.08", "dequantize.deepseek-v4", dequantize_tail_by_last_whole},
    {"blind4.09", "gemm.nvfp4.nvfp4.fp32", gemm_alpha_times_c},
    {"blind4.10", "gemm.mxfp4-rceil.mxfp4-rceil.fp32", gemm_accumulating_in_bf16},
    {"blind4.11", "gemm.bf16.nvfp4.fp32", gemm_of_dense_c},
    {"blind4.12", "gemm.nvfp4.nvfp4.bf16.swizzled", gemm_bias_in_fours},
    {"blind4.13", "quantize_gemm.nvfp4.nvfp4.fp32", quantize_gemm_of_unquantized},
    {"blind4.14", "quantize_gemm.mxfp4-floor.mxfp4-rceil.bf16", quantize_gemm_by_even_rule},
    {"blind4.15", "gated_gemm.nvfp4.nvfp4.fp32.concatenated", gated_limit_behind_silu},
    {"blind4.16", "gated_gemm.bf16.mxfp4-rceil.bf16.interleaved", gated_of_rounded_sums},
    {"blind4.17", "grouped_gemm.mxfp4-rceil.mxfp4-rceil.bf16.contiguous", grouped_by_tile},
    {"blind4.18", "grouped_gemm.nvfp4.nvfp4.fp32.swizzled.masked", grouped_by_first_scale},
    {"blind4.19", "qat_forward.nvfp4", forward_of_quantized_x},
    {"blind4.20", "qat_forward.article", forward_scales_without_tail},
    {"blind4.21", "qat_backward.article", backward_gain_of_whole_blocks},
    {"blind4.22", "qat_backward.nvfp4-divide", backward_ewgs_reversed},
    {"blind4.23", "qat_backward.mxfp4-rceil", backward_trust_unscaled},
    {"blind4.24", "stochastic_quantize.mxfp4-rceil.words", stochastic_by_low_bits},
    {"blind4.25", "stochastic_quantize.nvfp4-divide.philox", stochastic_of_signed_fraction},
    {"blind4.26", "transpose_requantize.nvfp4", transpose_of_quantized},
    {"blind4.27", "transpose_requantize.mxfp4-rceil", transpose_by_square_tiles},
    {"blind4.28", "layout.mxfp4-rceil", layout_of_columns_of_tiles},
};

}  // namespace
}  // namespace blind4

const char* const spoiled::set_name = "blind4";
std::span<const spoiled::Fault> spoiled::faults() { return blind4::all; }

// SPDX-License-Identifier: Apache-2.0
// Which entry has which fault.
#include "kernels/blind3/blind3.h"

namespace blind3 {
namespace {

constexpr Fault all[] = {
    {"blind3.01", "quantize.nvfp4", quantize_by_unrounded_scale},
    {"blind3.02", "quantize.mxfp4-floor", quantize_by_logarithm},
    {"blind3.03", "quantize.mxfp4-rceil", quantize_without_nan},
    {"blind3.04", "dequantize.mxfp4-rceil", dequantize_by_shift},
    {"blind3.05", "dequantize.nvfp4", dequantize_in_two_roundings},
    {"blind3.06", "gemm.bf16.nvfp4.bf16", gemm_rounded_before_bias},
    {"blind3.07", "gemm.mxfp4-rceil.mxfp4-rceil.fp32", gemm_split_inside_block},
    {"blind3.08", "gemm.nvfp4.nvfp4.bf16.swizzled", gemm_tiles_rounded_down},
    {"blind3.09", "gemm.fp8-deepseek-v4.mxfp4-rceil.fp32", gemm_without_subnormals},
    {"blind3.10", "gemm.bf16.mxfp4-rceil.fp32", gemm_of_cached_weights},
    {"blind3.11", "quantize_gemm.mxfp4-rceil.mxfp4-rceil.fp32", quantize_gemm_beyond_row},
    {"blind3.12", "quantize_gemm.nvfp4-divide.nvfp4.bf16", quantize_gemm_bias_by_row},
    {"blind3.13", "gated_gemm.nvfp4.nvfp4.bf16.interleaved", gated_clamped_below},
    {"blind3.14", "gated_gemm.mxfp4-rceil.mxfp4-rceil.fp32.concatenated",
     gated_by_growing_exponential},
    {"blind3.15", "grouped_gemm.fp8-deepseek-v4.mxfp4-rceil.bf16.contiguous",
     grouped_without_empty},
    {"blind3.16", "grouped_gemm.nvfp4.nvfp4.bf16.swizzled.masked", grouped_unpadded_scales},
    {"blind3.17", "grouped_gemm.mxfp4-rceil.mxfp4-rceil.fp32.masked", grouped_whole_tiles},
    {"blind3.18", "qat_forward.article-attention", forward_of_clamped_scales},
    {"blind3.19", "qat_backward.article", backward_unsigned_clip},
    {"blind3.20", "qat_backward.nvfp4", backward_through_master},
    {"blind3.21", "qat_backward.mxfp4-rceil", backward_mask_of_codes},
    {"blind3.22", "stochastic_quantize.mxfp4-rceil.philox", stochastic_by_column},
    {"blind3.23", "stochastic_quantize.nvfp4-divide.opaque", stochastic_of_31_bits},
    {"blind3.24", "transpose_requantize.mxfp4-floor", transpose_over_stale_tile},
    {"blind3.25", "layout.nvfp4", swizzle_clamped},
    {"blind3.26", "convert.fp32.e4m3.nearest_even.saturating", convert_saturating_late},
};

}  // namespace
}  // namespace blind3

const char* const spoiled::set_name = "blind3";
std::span<const spoiled::Fault> spoiled::faults() { return blind3::all; }

// SPDX-License-Identifier: Apache-2.0
#pragma once
// Operation orders beside those of orders.h: the other power-of-two rules for every MX element, and
// how libraries, papers and stochastic recipes evaluate NVFP4's formulas. Where a source leaves
// zero or overflow open, the guards (an if_zero, a minimum with FLT_MAX) are this project's.

#include "formats/orders.h"
#include "formats/tensor.h"

namespace assay::formats::orders {

inline constexpr Rounding up_to_ue4m3{&ue4m3, RoundingMode::toward_positive, Overflow::saturate};
inline constexpr Rounding to_bf16{&bf16, RoundingMode::nearest_even, Overflow::saturate};

/// The power of two at or below (above) amax * den / num.
template <std::int64_t num, std::int64_t den = 1>
inline constexpr Operation power_below[] = {
    {divide, R::scale, R::amax_block, R::constant, {num, den}, down_to_e8m0}};
template <std::int64_t num, std::int64_t den = 1>
inline constexpr Operation power_above[] = {
    {divide, R::scale, R::amax_block, R::constant, {num, den}, up_to_e8m0}};

/// The four power-of-two rules for an element format with largest value max, of exponent emax and
/// m mantissa bits: floor and ceil divide by 2^emax, rceil by max. even rounds amax = 2^k f, half
/// up, to m mantissa bits before floor: the exponent rises iff f >= 2 - 2^-(m+1), that is iff
/// amax / (1 - 2^-(m+2)) >= 2^(k+1), so that even is floor with the divisor
/// 2^emax (1 - 2^-(m+2)).
inline constexpr std::string_view ocp = "OCP Microscaling Formats (MX) v1.0, section 6.3";
inline constexpr std::string_view torchao_ceil = "torchao, to_mx, ScaleCalculationMode.CEIL";
inline constexpr std::string_view torchao_even =
    "torchao, to_mx, ScaleCalculationMode.EVEN: amax rounded half up to the element's mantissa";
inline constexpr std::string_view round_up = "cuBLAS block scaling, 1D MX recipe: amax/max up";

constexpr OperationOrder by_power(std::string_view name, std::span<const Operation> block,
                                  std::string_view source) {
  return {name, {}, block, divide_by_power_of_two, source};
}

// clang-format off
inline constexpr OperationOrder mxfp4_ceil = by_power("mxfp4-ceil", power_above<4>, torchao_ceil);
inline constexpr OperationOrder mxfp4_even = by_power("mxfp4-even", power_below<7, 2>, torchao_even);
inline constexpr OperationOrder e2m3_floor = by_power("e2m3-floor", power_below<4>, ocp);
inline constexpr OperationOrder e2m3_ceil = by_power("e2m3-ceil", power_above<4>, torchao_ceil);
inline constexpr OperationOrder e2m3_rceil = by_power("e2m3-rceil", power_above<15, 2>, round_up);
inline constexpr OperationOrder e2m3_even = by_power("e2m3-even", power_below<31, 8>, torchao_even);
inline constexpr OperationOrder e3m2_floor = by_power("e3m2-floor", power_below<16>, ocp);
inline constexpr OperationOrder e3m2_ceil = by_power("e3m2-ceil", power_above<16>, torchao_ceil);
inline constexpr OperationOrder e3m2_rceil = by_power("e3m2-rceil", power_above<28>, round_up);
inline constexpr OperationOrder e3m2_even = by_power("e3m2-even", power_below<15>, torchao_even);
inline constexpr OperationOrder e4m3_floor = by_power("e4m3-floor", power_below<256>, ocp);
inline constexpr OperationOrder e4m3_ceil = by_power("e4m3-ceil", power_above<256>, torchao_ceil);
inline constexpr OperationOrder e4m3_rceil = by_power("e4m3-rceil", power_above<448>, round_up);
inline constexpr OperationOrder e4m3_even = by_power("e4m3-even", power_below<248>, torchao_even);
inline constexpr OperationOrder e5m2_floor = by_power("e5m2-floor", power_below<32768>, ocp);
inline constexpr OperationOrder e5m2_ceil = by_power("e5m2-ceil", power_above<32768>, torchao_ceil);
inline constexpr OperationOrder e5m2_rceil = by_power("e5m2-rceil", power_above<57344>, round_up);
inline constexpr OperationOrder e5m2_even = by_power("e5m2-even", power_below<30720>, torchao_even);
// clang-format on

/// S_enc = min(c/amax, FLT_MAX), 1 where amax or S_enc is 0; g = 1/S_enc.
template <std::int64_t c>
inline constexpr Operation encode_scale_tensor[] = {
    {divide, R::t0, R::constant, R::amax_tensor, {c}, to_f32},
    {minimum, R::t0, R::t0, R::constant, float_max, exact},
    {if_zero, R::t0, R::amax_tensor, R::constant, {1}, exact},
    {if_zero, R::t0, R::t0, R::constant, {1}, exact},
    {divide, R::tensor_scale, R::constant, R::t0, {1}, to_f32},
};
/// s_b = E4M3(min((amax_b/6) * S_enc, FLT_MAX)); t2 = min(1/(s_b * g), FLT_MAX).
inline constexpr Operation nvfp4_paper_block[] = {
    {divide, R::t2, R::amax_block, R::constant, {6}, to_f32},
    {multiply, R::t2, R::t2, R::t0, {}, to_f32},
    {minimum, R::t2, R::t2, R::constant, float_max, exact},
    {copy, R::scale, R::t2, R::constant, {}, to_ue4m3},
    {multiply, R::t2, R::scale, R::tensor_scale, {}, to_f32},
    {divide, R::t2, R::constant, R::t2, {1}, to_f32},
    {minimum, R::t2, R::t2, R::constant, float_max, exact},
};
inline constexpr OperationOrder nvfp4_paper{
    "nvfp4-paper", encode_scale_tensor<2688>, nvfp4_paper_block, nvfp4_te_element,
    "arXiv 2509.25149, appendix on NVFP4 quantization: (amax_b/6) * S_enc, then x * s_enc_b"};

/// 4over6, amax -> 6: the same with 256 in place of 448 (S_enc = 1536/amax).
inline constexpr OperationOrder nvfp4_4over6_six{
    "nvfp4-4over6-six", encode_scale_tensor<1536>, nvfp4_paper_block, nvfp4_te_element,
    "Four Over Six, arXiv 2512.02010, and its reference code: amax to 6"};
/// amax -> 4: the scale before its rounding times 6/4.
inline constexpr Operation nvfp4_4over6_four_block[] = {
    {divide, R::t2, R::amax_block, R::constant, {6}, to_f32},
    {multiply, R::t2, R::t2, R::t0, {}, to_f32},
    {multiply, R::t2, R::t2, R::constant, {3, 2}, to_f32},
    {minimum, R::t2, R::t2, R::constant, float_max, exact},
    {copy, R::scale, R::t2, R::constant, {}, to_ue4m3},
    {multiply, R::t2, R::scale, R::tensor_scale, {}, to_f32},
    {divide, R::t2, R::constant, R::t2, {1}, to_f32},
    {minimum, R::t2, R::t2, R::constant, float_max, exact},
};
inline constexpr OperationOrder nvfp4_4over6_four{
    "nvfp4-4over6-four", encode_scale_tensor<1536>, nvfp4_4over6_four_block, nvfp4_te_element,
    "Four Over Six, arXiv 2512.02010, and its reference code: amax to 4"};
inline constexpr const OperationOrder* nvfp4_4over6_orders[] = {&nvfp4_4over6_six,
                                                                &nvfp4_4over6_four};
inline constexpr Candidates least_squared_error{nvfp4_4over6_orders, ErrorMeasure::squared};
inline constexpr Candidates least_absolute_error{nvfp4_4over6_orders, ErrorMeasure::absolute};
inline constexpr Candidates least_largest_error{nvfp4_4over6_orders, ErrorMeasure::largest};

/// The dividing order with the scale rounded up; (amax/6)/g may exceed 448 by an ulp: saturate.
inline constexpr Operation nvfp4_up_block[] = {
    {divide, R::t0, R::amax_block, R::constant, {6}, to_f32},
    {divide, R::t0, R::t0, R::tensor_scale, {}, to_f32},
    {copy, R::scale, R::t0, R::constant, {}, up_to_ue4m3},
    {multiply, R::t0, R::scale, R::tensor_scale, {}, to_f32},
};
inline constexpr OperationOrder nvfp4_up{
    "nvfp4-up", nvfp4_divide_tensor, nvfp4_up_block, nvfp4_divide_element,
    "cuDNN documentation, block scale quantize: the scale rounded up, here by true divisions"};

/// The dividing scale, elements times 1/(s_b * g).
inline constexpr Operation nvfp4_reciprocal_block[] = {
    {divide, R::t0, R::amax_block, R::constant, {6}, to_f32},
    {divide, R::t0, R::t0, R::tensor_scale, {}, to_f32},
    {copy, R::scale, R::t0, R::constant, {}, to_ue4m3},
    {multiply, R::t2, R::scale, R::tensor_scale, {}, to_f32},
    {divide, R::t2, R::constant, R::t2, {1}, to_f32},
    {minimum, R::t2, R::t2, R::constant, float_max, exact},
};
inline constexpr OperationOrder nvfp4_reciprocal{
    "nvfp4-reciprocal", nvfp4_divide_tensor, nvfp4_reciprocal_block, nvfp4_te_element,
    "nvfp4-divide with elements multiplied by the reciprocal: this project's definition"};

/// torchao: t1 = 1/g; s_b = E4M3(max((amax_b/6)/g, 2^-6)); x * (t1/s_b).
inline constexpr Operation nvfp4_torchao_tensor[] = {
    {divide, R::tensor_scale, R::amax_tensor, R::constant, {2688}, to_f32},
    {if_zero, R::tensor_scale, R::tensor_scale, R::constant, {1}, exact},
    {divide, R::t1, R::constant, R::tensor_scale, {1}, to_f32},
    {minimum, R::t1, R::t1, R::constant, float_max, exact},
};
inline constexpr Operation nvfp4_torchao_block[] = {
    {divide, R::t0, R::amax_block, R::constant, {6}, to_f32},
    {divide, R::t0, R::t0, R::tensor_scale, {}, to_f32},
    {maximum, R::t0, R::t0, R::constant, {1, 1, -6}, exact},
    {copy, R::scale, R::t0, R::constant, {}, to_ue4m3},
    {divide, R::t2, R::t1, R::scale, {}, to_f32},
    {minimum, R::t2, R::t2, R::constant, float_max, exact},
};
inline constexpr OperationOrder nvfp4_torchao{
    "nvfp4-torchao", nvfp4_torchao_tensor, nvfp4_torchao_block, nvfp4_te_element,
    "torchao, nvfp4_quantize with a per-tensor scale: block scales clamped to at least 2^-6"};

/// compressed-tensors: S_enc is the stored divisor; a scale that rounds to 0 becomes 1/8;
/// x / (s_b / S_enc).
inline constexpr Operation nvfp4_compressed_block[] = {
    {divide, R::t1, R::amax_block, R::constant, {6}, to_f32},
    {multiply, R::t1, R::t1, R::t0, {}, to_f32},
    {copy, R::scale, R::t1, R::constant, {}, to_ue4m3},
    {if_zero, R::scale, R::scale, R::constant, {1, 8}, to_ue4m3},
    {divide, R::t1, R::scale, R::t0, {}, to_f32},
};
inline constexpr Operation divide_by_t1[] = {
    {divide, R::x, R::x, R::t1, {}, to_f32},
    {if_zero, R::x, R::t1, R::constant, {0}, exact},
};
inline constexpr OperationOrder nvfp4_compressed_tensors{
    "nvfp4-compressed-tensors", encode_scale_tensor<2688>, nvfp4_compressed_block, divide_by_t1,
    "compressed-tensors, calculate_qparams and quantize with a global scale (2688/amax)"};

/// ModelOpt, dynamic path: amax_b / (6 g), 1 where that is 0; x / (s_b * g).
inline constexpr Operation nvfp4_modelopt_block[] = {
    {multiply, R::t0, R::tensor_scale, R::constant, {6}, to_f32},
    {divide, R::t0, R::amax_block, R::t0, {}, to_f32},
    {if_zero, R::t0, R::t0, R::constant, {1}, exact},
    {copy, R::scale, R::t0, R::constant, {}, to_ue4m3},
    {multiply, R::t0, R::scale, R::tensor_scale, {}, to_f32},
};
inline constexpr OperationOrder nvfp4_modelopt{
    "nvfp4-modelopt", nvfp4_divide_tensor, nvfp4_modelopt_block, nvfp4_divide_element,
    "NVIDIA ModelOpt, NVFP4QTensor.get_weights_scaling_factor; saturating, as later versions do, "
    "which "
    "also keep scale factors at 2^-9 or more (nvfp4-modelopt-clamp)"};

/// 6 * 16/17 in place of 6 in both formulas, so that a scale rounded down by up to 1/17 clips
/// nothing: g = amax / (2688 * 16/17), s_b = E4M3((amax_b / (96/17)) / g), constants in FP32.
inline constexpr Operation nvfp4_sr_tensor[] = {
    {copy, R::t1, R::constant, R::constant, {43008, 17}, to_f32},
    {divide, R::tensor_scale, R::amax_tensor, R::t1, {}, to_f32},
    {if_zero, R::tensor_scale, R::tensor_scale, R::constant, {1}, exact},
    {copy, R::t1, R::constant, R::constant, {96, 17}, to_f32},
};
inline constexpr Operation nvfp4_sr_block[] = {
    {divide, R::t0, R::amax_block, R::t1, {}, to_f32},
    {divide, R::t0, R::t0, R::tensor_scale, {}, to_f32},
    {copy, R::scale, R::t0, R::constant, {}, to_ue4m3},
    {multiply, R::t0, R::scale, R::tensor_scale, {}, to_f32},
};
inline constexpr OperationOrder nvfp4_sr{
    "nvfp4-sr", nvfp4_sr_tensor, nvfp4_sr_block, nvfp4_divide_element,
    "Quartet II: 6 * 16/17 in place of 6 in both scale formulas, evaluated by true divisions"};

/// FLOOR with elements times 3/4, so that 8 * 3/4 = 6 clips nothing. t0 = (3/4)/s is exact. Values
/// dequantize to 3/4 of x: a product takes the factor 16/9.
inline constexpr Operation mxfp4_sr_block[] = {
    {divide, R::scale, R::amax_block, R::constant, {4}, down_to_e8m0},
    {divide, R::t0, R::constant, R::scale, {3, 4}, to_f32},
};
inline constexpr Operation times_t0[] = {{multiply, R::x, R::x, R::t0, {}, to_f32}};
inline constexpr OperationOrder mxfp4_sr{
    "mxfp4-sr",
    {},
    mxfp4_sr_block,
    times_t0,
    "Quartet, arXiv 2505.14669, backward pass: FLOOR scales, elements pre-multiplied by 3/4"};

/// One level: s = E4M3(amax/6) by division, and by the reciprocal FP32(1/6).
inline constexpr Operation single_divide_block[] = {
    {divide, R::scale, R::amax_block, R::constant, {6}, to_ue4m3}};
inline constexpr Operation single_multiply_block[] = {
    {copy, R::t0, R::constant, R::constant, {1, 6}, to_f32},
    {multiply, R::t0, R::amax_block, R::t0, {}, to_f32},
    {copy, R::scale, R::t0, R::constant, {}, to_ue4m3},
};
inline constexpr OperationOrder nvfp4_single_divide{
    "nvfp4-single-divide",
    {},
    single_divide_block,
    divide_by_scale,
    "NVFP4 without a tensor scale, amax/6: this project's definition"};
inline constexpr OperationOrder nvfp4_single_multiply{
    "nvfp4-single-multiply",
    {},
    single_multiply_block,
    divide_by_scale,
    "NVFP4 without a tensor scale, amax * FP32(1/6): this project's definition"};

/// amax / max in the scale format's own precision, 1 for a zero block.
template <std::int64_t max, const Rounding& r>
inline constexpr Operation amax_over[] = {
    {divide, R::t0, R::amax_block, R::constant, {max}, to_f32},
    {if_zero, R::t0, R::t0, R::constant, {1}, exact},
    {copy, R::scale, R::t0, R::constant, {}, r},
};
inline constexpr OperationOrder fp4_fp32{"fp4-fp32",
                                         {},
                                         amax_over<6, to_f32>,
                                         divide_by_scale,
                                         "amax/6 in FP32: this project's definition"};
inline constexpr OperationOrder fp4_bf16{
    "fp4-bf16",
    {},
    amax_over<6, to_bf16>,
    divide_by_scale,
    "amax/6 in FP32, rounded to BF16: this project's definition"};
inline constexpr OperationOrder int4_symmetric{
    "int4-symmetric",
    {},
    amax_over<7, to_f32>,
    divide_by_scale,
    "symmetric integer quantization, amax/7 in FP32: this project's definition"};

}  // namespace assay::formats::orders

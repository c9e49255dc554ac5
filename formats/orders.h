// SPDX-License-Identifier: Apache-2.0
#pragma once
// The operation orders of the specifications and of the kernels that most people run, as rows;
// order_variants.h has those of other libraries, formats and stochastic recipes.

#include "formats/tensor.h"

namespace assay::formats {

namespace orders {

using enum OpCode;
using R = Register;

inline constexpr Rounding exact{};
inline constexpr Rounding to_f32{&fp32, RoundingMode::nearest_even, Overflow::to_infinity};
inline constexpr Rounding to_ue4m3{&ue4m3, RoundingMode::nearest_even, Overflow::saturate};
inline constexpr Rounding down_to_e8m0{&e8m0, RoundingMode::toward_zero, Overflow::saturate};
inline constexpr Rounding up_to_e8m0{&e8m0, RoundingMode::toward_positive, Overflow::saturate};
/// FLT_MAX = (2^24 - 1) * 2^104.
inline constexpr Constant float_max{(1 << 24) - 1, 1, 104};

/// S_enc = min(2688/amax, FLT_MAX), 1 where amax or S_enc is 0; t1 = S_enc * (1/6); g = 1/S_enc.
inline constexpr Operation nvfp4_te_tensor[] = {
    {divide, R::t0, R::constant, R::amax_tensor, {2688}, to_f32},
    {minimum, R::t0, R::t0, R::constant, float_max, exact},
    {if_zero, R::t0, R::amax_tensor, R::constant, {1}, exact},
    {if_zero, R::t0, R::t0, R::constant, {1}, exact},
    {copy, R::t1, R::constant, R::constant, {1, 6}, to_f32},
    {multiply, R::t1, R::t0, R::t1, {}, to_f32},
    {divide, R::tensor_scale, R::constant, R::t0, {1}, to_f32},
};
/// s_b = E4M3(min(amax_b * t1, FLT_MAX)); t2 = min(1/(s_b * g), FLT_MAX).
inline constexpr Operation nvfp4_te_block[] = {
    {multiply, R::t2, R::amax_block, R::t1, {}, to_f32},
    {minimum, R::t2, R::t2, R::constant, float_max, exact},
    {copy, R::scale, R::t2, R::constant, {}, to_ue4m3},
    {multiply, R::t2, R::scale, R::tensor_scale, {}, to_f32},
    {divide, R::t2, R::constant, R::t2, {1}, to_f32},
    {minimum, R::t2, R::t2, R::constant, float_max, exact},
};
/// x * t2.
inline constexpr Operation nvfp4_te_element[] = {{multiply, R::x, R::x, R::t2, {}, to_f32}};

inline constexpr OperationOrder nvfp4_te{
    "nvfp4-te", nvfp4_te_tensor, nvfp4_te_block, nvfp4_te_element,
    "TransformerEngine, common/cast/nvfp4 quantize_transpose kernels (reciprocal multiply)"};

/// g = amax/2688, 1 where that is 0.
inline constexpr Operation nvfp4_divide_tensor[] = {
    {divide, R::tensor_scale, R::amax_tensor, R::constant, {2688}, to_f32},
    {if_zero, R::tensor_scale, R::tensor_scale, R::constant, {1}, exact},
};
/// s_b = E4M3((amax_b/6)/g); t0 = s_b * g.
inline constexpr Operation nvfp4_divide_block[] = {
    {divide, R::t0, R::amax_block, R::constant, {6}, to_f32},
    {divide, R::t0, R::t0, R::tensor_scale, {}, to_f32},
    {copy, R::scale, R::t0, R::constant, {}, to_ue4m3},
    {multiply, R::t0, R::scale, R::tensor_scale, {}, to_f32},
};
/// x / t0, and 0 (never 0/0) where t0 is 0.
inline constexpr Operation nvfp4_divide_element[] = {
    {divide, R::x, R::x, R::t0, {}, to_f32},
    {if_zero, R::x, R::t0, R::constant, {0}, exact},
};
inline constexpr OperationOrder nvfp4_divide{
    "nvfp4-divide", nvfp4_divide_tensor, nvfp4_divide_block, nvfp4_divide_element,
    "the defining formulas with true divisions, each rounded to FP32"};

/// 2^(floor(log2 amax) - 2) = amax/4 rounded down to a power of two.
inline constexpr Operation mxfp4_floor_block[] = {
    {divide, R::scale, R::amax_block, R::constant, {4}, down_to_e8m0}};
/// 2^ceil(log2(amax/6)) = amax/6 rounded up to a power of two.
inline constexpr Operation mxfp4_rceil_block[] = {
    {divide, R::scale, R::amax_block, R::constant, {6}, up_to_e8m0}};
inline constexpr Operation divide_by_power_of_two[] = {{divide, R::x, R::x, R::scale, {}, exact}};
inline constexpr OperationOrder mxfp4_floor{"mxfp4-floor",
                                            {},
                                            mxfp4_floor_block,
                                            divide_by_power_of_two,
                                            "OCP Microscaling Formats (MX) v1.0, section 6.3"};
inline constexpr OperationOrder mxfp4_rceil{
    "mxfp4-rceil",
    {},
    mxfp4_rceil_block,
    divide_by_power_of_two,
    "cuBLAS block scaling, 1D MX recipe: round-up of amax/max"};

/// amax clamped to 6*2^-126, the FP32 product with FP32(1/6), rounded up to a power of two.
inline constexpr Operation deepseek_v4_block[] = {
    {maximum, R::t0, R::amax_block, R::constant, {6, 1, -126}, exact},
    {copy, R::t1, R::constant, R::constant, {1, 6}, to_f32},
    {multiply, R::t0, R::t0, R::t1, {}, to_f32},
    {copy, R::scale, R::t0, R::constant, {}, up_to_e8m0},
};
inline constexpr OperationOrder deepseek_v4{
    "deepseek-v4",
    {},
    deepseek_v4_block,
    divide_by_power_of_two,
    "DeepSeek TileKernels, per_token_cast to e2m1, round_sf"};

/// amax/448 in FP32, 1 for a zero block (the published kernel would compute 0/0).
inline constexpr Operation fp8_deepseek_v3_block[] = {
    {divide, R::t0, R::amax_block, R::constant, {448}, to_f32},
    {if_zero, R::t0, R::t0, R::constant, {1}, exact},
    {copy, R::scale, R::t0, R::constant, {}, to_f32},
};
/// amax clamped to FP32(1e-4) = 13743895 * 2^-37, over 448, rounded up to a power of two.
inline constexpr Operation fp8_deepseek_v4_block[] = {
    {maximum, R::t0, R::amax_block, R::constant, {13743895, 1, -37}, exact},
    {divide, R::scale, R::t0, R::constant, {448}, up_to_e8m0},
};
inline constexpr OperationOrder fp8_deepseek_v4{
    "fp8-deepseek-v4",
    {},
    fp8_deepseek_v4_block,
    divide_by_power_of_two,
    "DeepSeek act_quant kernel with power-of-two scales"};
/// x / scale, and 0 where the scale is 0 (a learned scale may be).
inline constexpr Operation divide_by_scale[] = {
    {divide, R::x, R::x, R::scale, {}, to_f32},
    {if_zero, R::x, R::scale, R::constant, {0}, exact},
};
inline constexpr OperationOrder fp8_deepseek_v3{
    "fp8-deepseek-v3",
    {},
    fp8_deepseek_v3_block,
    divide_by_scale,
    "DeepSeek-V3, arXiv 2412.19437 section 3.3, and its act_quant kernel"};
/// The scale factor is the caller's; only the division is this order's.
inline constexpr OperationOrder learned{
    "learned", {}, {}, divide_by_scale, "this project's definition"};

}  // namespace orders

}  // namespace assay::formats

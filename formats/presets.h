// SPDX-License-Identifier: Apache-2.0
#pragma once
// The block formats and operation orders that the field uses, as rows. Data only, like tensor.h.

#include <array>

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

inline constexpr BlockFormat nvfp4{"nvfp4",
                                   &e2m1,
                                   {1, 16},
                                   &ue4m3,
                                   ScaleRule::nearest,
                                   TensorScale::fp32,
                                   &orders::nvfp4_te,
                                   "NVFP4 as TransformerEngine computes it"};
inline constexpr BlockFormat nvfp4_divide{"nvfp4-divide",
                                          &e2m1,
                                          {1, 16},
                                          &ue4m3,
                                          ScaleRule::nearest,
                                          TensorScale::fp32,
                                          &orders::nvfp4_divide,
                                          "NVFP4 with true divisions"};
inline constexpr BlockFormat mxfp4_floor{
    "mxfp4-floor",
    &e2m1,
    {1, 32},
    &e8m0,
    ScaleRule::floor,
    TensorScale::none,
    &orders::mxfp4_floor,
    "OCP Microscaling Formats (MX) v1.0, MXFP4, section 6.3 scale"};
inline constexpr BlockFormat mxfp4_rceil{"mxfp4-rceil",
                                         &e2m1,
                                         {1, 32},
                                         &e8m0,
                                         ScaleRule::rceil,
                                         TensorScale::none,
                                         &orders::mxfp4_rceil,
                                         "MXFP4 with the round-up scale of NVIDIA and DeepSeek"};
inline constexpr BlockFormat fp8_deepseek_v3{
    "fp8-deepseek-v3",
    &e4m3,
    {1, 128},
    &fp32,
    ScaleRule::amax_over_max,
    TensorScale::none,
    &orders::fp8_deepseek_v3,
    "DeepSeek-V3 activations, arXiv 2412.19437 section 3.3"};
inline constexpr BlockFormat fp8_deepseek_v3_weight{
    "fp8-deepseek-v3-weight",
    &e4m3,
    {128, 128},
    &fp32,
    ScaleRule::amax_over_max,
    TensorScale::none,
    &orders::fp8_deepseek_v3,
    "DeepSeek-V3 weights, arXiv 2412.19437 section 3.3"};
inline constexpr BlockFormat deepseek_v4{
    "deepseek-v4",
    &e2m1,
    {1, 32},
    &e8m0,
    ScaleRule::rceil,
    TensorScale::none,
    &orders::deepseek_v4,
    "DeepSeek-V4 expert weights, arXiv 2606.19348 section 5.2.1"};
inline constexpr BlockFormat fp8_deepseek_v4{
    "fp8-deepseek-v4",
    &e4m3,
    {1, 128},
    &e8m0,
    ScaleRule::rceil,
    TensorScale::none,
    &orders::fp8_deepseek_v4,
    "DeepSeek-V4 activations, arXiv 2606.19348 section 5.2.1"};
inline constexpr BlockFormat fp8_deepseek_v4_weight{
    "fp8-deepseek-v4-weight",
    &e4m3,
    {128, 128},
    &e8m0,
    ScaleRule::rceil,
    TensorScale::none,
    &orders::fp8_deepseek_v4,
    "DeepSeek-V4 FP8 weights, arXiv 2606.19348 section 5.2.1"};
inline constexpr BlockFormat article{
    "article",        &e2m1,
    {1, 32},          &fp32,
    ScaleRule::given, TensorScale::none,
    &orders::learned, "circulated recipe: expert weights, learned scales"};
inline constexpr BlockFormat article_attention{
    "article-attention",
    &e2m1,
    {1, 16},
    &fp32,
    ScaleRule::given,
    TensorScale::none,
    &orders::learned,
    "circulated recipe: attention weights, learned scales"};

inline constexpr std::array<const BlockFormat*, 11> all_block_formats{
    &nvfp4,       &nvfp4_divide,     &mxfp4_floor,
    &mxfp4_rceil, &fp8_deepseek_v3,  &fp8_deepseek_v3_weight,
    &deepseek_v4, &fp8_deepseek_v4,  &fp8_deepseek_v4_weight,
    &article,     &article_attention};

/// GGML's blocks, as ggml-common.h declares them (block_q4_0 ...) and ggml-quants.c reads them.
/// That code doubles its E2M1 values and halves the scale factors of MXFP4 and NVFP4, which means
/// the same. NaN scale factors are NaN here, where GGML reads E8M0 0xFF as 2^128 and UE4M3 0x7F as
/// 0. An NVFP4 tensor may have a factor of its own, in the tensor NAME.scale beside NAME.weight.
namespace packed {

inline constexpr std::string_view ggml =
    "ggml: block_* of ggml-common.h, dequantize_row_* of ggml-quants.c";

inline constexpr PackedBlock q4_0{.name = "q4_0",
                                  .gguf_type = 2,
                                  .elements = 32,
                                  .bytes = 18,
                                  .sub_block = 32,
                                  .element = PackedElement::offset_integer,
                                  .low = {2, 4, 16},
                                  .scale = &fp16,
                                  .scale_kind = PackedScale::shared,
                                  .rule = PackedRule::signed_max,
                                  .source = ggml};
inline constexpr PackedBlock q4_1{.name = "q4_1",
                                  .gguf_type = 3,
                                  .elements = 32,
                                  .bytes = 20,
                                  .sub_block = 32,
                                  .element = PackedElement::natural,
                                  .low = {4, 4, 16},
                                  .scale = &fp16,
                                  .scale_kind = PackedScale::shared,
                                  .offset_kind = PackedOffset::added,
                                  .offset_at = 2,
                                  .source = ggml};
inline constexpr PackedBlock q5_0{.name = "q5_0",
                                  .gguf_type = 6,
                                  .elements = 32,
                                  .bytes = 22,
                                  .sub_block = 32,
                                  .element = PackedElement::offset_integer,
                                  .low = {6, 4, 16},
                                  .high = {2, 1, 1},
                                  .scale = &fp16,
                                  .scale_kind = PackedScale::shared,
                                  .source = ggml};
inline constexpr PackedBlock q5_1{.name = "q5_1",
                                  .gguf_type = 7,
                                  .elements = 32,
                                  .bytes = 24,
                                  .sub_block = 32,
                                  .element = PackedElement::natural,
                                  .low = {8, 4, 16},
                                  .high = {4, 1, 1},
                                  .scale = &fp16,
                                  .scale_kind = PackedScale::shared,
                                  .offset_kind = PackedOffset::added,
                                  .offset_at = 2,
                                  .source = ggml};
inline constexpr PackedBlock q8_0{.name = "q8_0",
                                  .gguf_type = 8,
                                  .elements = 32,
                                  .bytes = 34,
                                  .sub_block = 32,
                                  .element = PackedElement::twos_complement,
                                  .low = {2, 8, 1},
                                  .scale = &fp16,
                                  .scale_kind = PackedScale::shared,
                                  .source = ggml};
inline constexpr PackedBlock q4_k{.name = "q4_k",
                                  .gguf_type = 12,
                                  .elements = 256,
                                  .bytes = 144,
                                  .sub_block = 32,
                                  .element = PackedElement::natural,
                                  .low = {16, 4, 32},
                                  .scale = &fp16,
                                  .scale_kind = PackedScale::six_bits,
                                  .sub_scales_at = 4,
                                  .offset_kind = PackedOffset::subtracted,
                                  .offset_at = 2,
                                  .rule = PackedRule::search,
                                  .source = ggml};
inline constexpr PackedBlock q5_k{.name = "q5_k",
                                  .gguf_type = 13,
                                  .elements = 256,
                                  .bytes = 176,
                                  .sub_block = 32,
                                  .element = PackedElement::natural,
                                  .low = {48, 4, 32},
                                  .high = {16, 1, 32},
                                  .scale = &fp16,
                                  .scale_kind = PackedScale::six_bits,
                                  .sub_scales_at = 4,
                                  .offset_kind = PackedOffset::subtracted,
                                  .offset_at = 2,
                                  .source = ggml};
inline constexpr PackedBlock q6_k{.name = "q6_k",
                                  .gguf_type = 14,
                                  .elements = 256,
                                  .bytes = 210,
                                  .sub_block = 16,
                                  .element = PackedElement::offset_integer,
                                  .low = {0, 4, 64},
                                  .high = {128, 2, 32},
                                  .scale = &fp16,
                                  .scale_at = 208,
                                  .scale_kind = PackedScale::int8,
                                  .sub_scales_at = 192,
                                  .source = ggml};
inline constexpr PackedBlock mxfp4{.name = "mxfp4-ggml",
                                   .gguf_type = 39,
                                   .elements = 32,
                                   .bytes = 17,
                                   .sub_block = 32,
                                   .element = PackedElement::e2m1,
                                   .low = {1, 4, 16},
                                   .scale = &e8m0,
                                   .scale_kind = PackedScale::shared,
                                   .source = ggml};
inline constexpr PackedBlock nvfp4{.name = "nvfp4-ggml",
                                   .gguf_type = 40,
                                   .elements = 64,
                                   .bytes = 36,
                                   .sub_block = 16,
                                   .element = PackedElement::e2m1,
                                   .low = {4, 4, 8},
                                   .scale = &ue4m3,
                                   .scale_kind = PackedScale::own,
                                   .source = ggml};

}  // namespace packed

inline constexpr std::array<const PackedBlock*, 10> all_packed_blocks{
    &packed::q4_0, &packed::q4_1, &packed::q5_0, &packed::q5_1,  &packed::q8_0,
    &packed::q4_k, &packed::q5_k, &packed::q6_k, &packed::mxfp4, &packed::nvfp4};

}  // namespace assay::formats

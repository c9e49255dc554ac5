// SPDX-License-Identifier: Apache-2.0
#pragma once
// Every scale rule for every element format: the cells that no row of presets.h fills, so that the
// four power-of-two rules, E4M3 scale factors (nearest, up, 4over6 by three error measures), BF16
// and FP32 ones exist for E2M1, E2M3, E3M2, E4M3, E5M2 and INT4 alike. Data only, apart from
// presets.h because hardly anything needs to know it.

#include <array>
#include <cstddef>
#include <iterator>
#include <string_view>

#include "formats/presets.h"

namespace assay::formats {

namespace orders {

// `max`, `next`: the largest and the second largest value of an element format, over 2^e. As a
// rule's constant max 2^e may have an exponent beyond 24 bits (E5M2: 448 * 57344 = 49 * 2^19).

/// S_enc = min(max 2^e top / amax, FLT_MAX), 1 where amax or S_enc is 0; g = 1/S_enc.
template <std::int64_t max, int e, std::int64_t top>
inline constexpr Operation scaled_tensor[] = {
    {divide, R::t0, R::constant, R::amax_tensor, {max * top, 1, e}, to_f32},
    {minimum, R::t0, R::t0, R::constant, float_max, exact},
    {if_zero, R::t0, R::amax_tensor, R::constant, {1}, exact},
    {if_zero, R::t0, R::t0, R::constant, {1}, exact},
    {divide, R::tensor_scale, R::constant, R::t0, {1}, to_f32},
};
/// s_b = E4M3(min((amax_b / (divisor 2^e)) * S_enc, FLT_MAX)); t2 = min(1/(s_b * g), FLT_MAX).
template <std::int64_t divisor, int e>
inline constexpr Operation scaled_block[] = {
    {divide, R::t2, R::amax_block, R::constant, {divisor, 1, e}, to_f32},
    {multiply, R::t2, R::t2, R::t0, {}, to_f32},
    {minimum, R::t2, R::t2, R::constant, float_max, exact},
    {copy, R::scale, R::t2, R::constant, {}, to_ue4m3},
    {multiply, R::t2, R::scale, R::tensor_scale, {}, to_f32},
    {divide, R::t2, R::constant, R::t2, {1}, to_f32},
    {minimum, R::t2, R::t2, R::constant, float_max, exact},
};
/// g = amax / (max 2^e 448), 1 where that is 0; s_b = E4M3((amax_b / (max 2^e)) / g) rounded up,
/// saturating; t0 = s_b * g: the rule of nvfp4-up.
template <std::int64_t max, int e>
inline constexpr Operation up_tensor[] = {
    {divide, R::tensor_scale, R::amax_tensor, R::constant, {max * 7, 1, e + 6}, to_f32},
    {if_zero, R::tensor_scale, R::tensor_scale, R::constant, {1}, exact},
};
template <std::int64_t max, int e>
inline constexpr Operation up_block[] = {
    {divide, R::t0, R::amax_block, R::constant, {max, 1, e}, to_f32},
    {divide, R::t0, R::t0, R::tensor_scale, {}, to_f32},
    {copy, R::scale, R::t0, R::constant, {}, up_to_ue4m3},
    {multiply, R::t0, R::scale, R::tensor_scale, {}, to_f32},
};
/// amax / (max 2^e) in FP32, 1 for a zero block, rounded by r.
template <std::int64_t max, int e, const Rounding& r>
inline constexpr Operation over_max[] = {
    {divide, R::t0, R::amax_block, R::constant, {max, 1, e}, to_f32},
    {if_zero, R::t0, R::t0, R::constant, {1}, exact},
    {copy, R::scale, R::t0, R::constant, {}, r},
};

inline constexpr std::string_view as_nvfp4 =
    "the order of nvfp4-paper with this element; Four Over Six's reference code has it for E2M3, "
    "E3M2 and INT4, for the others it is this project's definition";
inline constexpr std::string_view as_nvfp4_up =
    "the order of nvfp4-up with this element: this project's definition";
inline constexpr std::string_view as_4over6 =
    "the order of nvfp4-4over6, amax to the largest value or to the next: this project's "
    "definition";
inline constexpr std::string_view as_fp4 =
    "the order of fp4-fp32 or fp4-bf16 with this element: this project's definition";
inline constexpr std::string_view int4_power =
    "OCP's, torchao's and cuBLAS's rules with INT4's max 7, 2^emax = 4 and two mantissa bits at "
    "the top: this project's definition";

/// The orders of one element format. Candidate rows need addresses, hence a template of constants.
template <std::int64_t max, std::int64_t next, int e>
struct Matrix {
  static constexpr OperationOrder nearest{"nv-nearest", scaled_tensor<max, e, 448>,
                                          scaled_block<max, e>, nvfp4_te_element, as_nvfp4};
  static constexpr OperationOrder up{"nv-up", up_tensor<max, e>, up_block<max, e>,
                                     nvfp4_divide_element, as_nvfp4_up};
  static constexpr OperationOrder bf16_scale{
      "bf16-scale", {}, over_max<max, e, to_bf16>, divide_by_scale, as_fp4};
  static constexpr OperationOrder fp32_scale{
      "fp32-scale", {}, over_max<max, e, to_f32>, divide_by_scale, as_fp4};
  /// As in 4over6 the tensor leaves room: 256 in place of 448, and max / next is at most 7/6.
  static constexpr OperationOrder largest{"nv-4over6-largest", scaled_tensor<max, e, 256>,
                                          scaled_block<max, e>, nvfp4_te_element, as_4over6};
  static constexpr OperationOrder second{"nv-4over6-next", scaled_tensor<max, e, 256>,
                                         scaled_block<next, e>, nvfp4_te_element, as_4over6};
  static constexpr const OperationOrder* pair[] = {&largest, &second};
  static constexpr Candidates squared{pair, ErrorMeasure::squared};
  static constexpr Candidates absolute{pair, ErrorMeasure::absolute};
  static constexpr Candidates most{pair, ErrorMeasure::largest};
};
using MatrixE2m3 = Matrix<15, 14, -1>;  // 7.5, 7
using MatrixE3m2 = Matrix<7, 6, 2>;     // 28, 24
using MatrixE4m3 = Matrix<14, 13, 5>;   // 448, 416
using MatrixE5m2 = Matrix<7, 6, 13>;    // 57344, 49152
using MatrixInt4 = Matrix<7, 6, 0>;     // 7, 6

// clang-format off
inline constexpr OperationOrder int4_floor = by_power("int4-floor", power_below<4>, int4_power);
inline constexpr OperationOrder int4_ceil = by_power("int4-ceil", power_above<4>, int4_power);
inline constexpr OperationOrder int4_rceil = by_power("int4-rceil", power_above<7>, int4_power);
inline constexpr OperationOrder int4_even = by_power("int4-even", power_below<15, 4>, int4_power);
// clang-format on

/// ModelOpt since its scale factors are clamped (0.47): amax_b / (6 g), 1 where that is 0, and at
/// least 2^-9, the smallest E4M3 number; x / (s_b * g).
inline constexpr Operation nvfp4_modelopt_clamp_block[] = {
    {multiply, R::t0, R::tensor_scale, R::constant, {6}, to_f32},
    {divide, R::t0, R::amax_block, R::t0, {}, to_f32},
    {if_zero, R::t0, R::t0, R::constant, {1}, exact},
    {maximum, R::t0, R::t0, R::constant, {1, 1, -9}, exact},
    {copy, R::scale, R::t0, R::constant, {}, to_ue4m3},
    {multiply, R::t0, R::scale, R::tensor_scale, {}, to_f32},
};
inline constexpr OperationOrder nvfp4_modelopt_clamp{
    "nvfp4-modelopt-clamp", nvfp4_divide_tensor, nvfp4_modelopt_clamp_block, nvfp4_divide_element,
    "NVIDIA ModelOpt 0.47, NVFP4QTensor.get_weights_scaling_factor: scale factors clamped to 2^-9 "
    ".. 448"};

}  // namespace orders

inline constexpr BlockFormat nvfp4_modelopt_clamp{
    "nvfp4-modelopt-clamp",
    &e2m1,
    {1, 16},
    &ue4m3,
    ScaleRule::nearest,
    TensorScale::fp32,
    &orders::nvfp4_modelopt_clamp,
    "NVFP4 as NVIDIA ModelOpt 0.47 computes it, scale factors at least 2^-9"};

namespace matrix {

constexpr BlockFormat nv(std::string_view name, const FormatSpec& element, ScaleRule rule,
                         const OperationOrder& order, std::string_view source,
                         const Candidates* candidates = nullptr) {
  return {name, &element, {1, 16}, &ue4m3, rule, TensorScale::fp32, &order, source, candidates};
}
constexpr BlockFormat plain(std::string_view name, const FormatSpec& element,
                            const FormatSpec& scale, ScaleRule rule, const OperationOrder& order,
                            std::string_view source) {
  return {name, &element, {1, 32}, &scale, rule, TensorScale::none, &order, source};
}

inline constexpr std::string_view e4m3_scale = "E4M3 scale factors per 16 and an FP32 tensor scale";
inline constexpr std::string_view e4m3_up =
    "E4M3 scale factors per 16, rounded up, and an FP32 tensor scale";
inline constexpr std::string_view by_squares =
    "4over6 with this element: amax to its largest value or the next, by the squared error";
inline constexpr std::string_view by_sums =
    "4over6 with this element: amax to its largest value or the next, by the absolute error";
inline constexpr std::string_view by_most =
    "4over6 with this element: amax to its largest value or the next, by the largest error";
inline constexpr std::string_view bf16_scale = "BF16 scale factors amax/max";
inline constexpr std::string_view fp32_scale = "FP32 scale factors amax/max";
inline constexpr std::string_view int4_e8m0 = "INT4 with E8M0 scale factors";

using enum ScaleRule;
using orders::MatrixE2m3, orders::MatrixE3m2, orders::MatrixE4m3, orders::MatrixE5m2,
    orders::MatrixInt4;

// clang-format off
inline constexpr BlockFormat rows[] = {
    nv("nvfp6-e2m3", e2m3, nearest, MatrixE2m3::nearest, e4m3_scale),
    nv("nvfp6-e2m3-up", e2m3, up, MatrixE2m3::up, e4m3_up),
    nv("nvfp6-e2m3-4over6", e2m3, nearest, MatrixE2m3::largest, by_squares, &MatrixE2m3::squared),
    nv("nvfp6-e2m3-4over6-mae", e2m3, nearest, MatrixE2m3::largest, by_sums, &MatrixE2m3::absolute),
    nv("nvfp6-e2m3-4over6-max", e2m3, nearest, MatrixE2m3::largest, by_most, &MatrixE2m3::most),
    nv("nvfp6-e3m2", e3m2, nearest, MatrixE3m2::nearest, e4m3_scale),
    nv("nvfp6-e3m2-up", e3m2, up, MatrixE3m2::up, e4m3_up),
    nv("nvfp6-e3m2-4over6", e3m2, nearest, MatrixE3m2::largest, by_squares, &MatrixE3m2::squared),
    nv("nvfp6-e3m2-4over6-mae", e3m2, nearest, MatrixE3m2::largest, by_sums, &MatrixE3m2::absolute),
    nv("nvfp6-e3m2-4over6-max", e3m2, nearest, MatrixE3m2::largest, by_most, &MatrixE3m2::most),
    nv("nvfp8-e4m3", e4m3, nearest, MatrixE4m3::nearest, e4m3_scale),
    nv("nvfp8-e4m3-up", e4m3, up, MatrixE4m3::up, e4m3_up),
    nv("nvfp8-e4m3-4over6", e4m3, nearest, MatrixE4m3::largest, by_squares, &MatrixE4m3::squared),
    nv("nvfp8-e4m3-4over6-mae", e4m3, nearest, MatrixE4m3::largest, by_sums, &MatrixE4m3::absolute),
    nv("nvfp8-e4m3-4over6-max", e4m3, nearest, MatrixE4m3::largest, by_most, &MatrixE4m3::most),
    nv("nvfp8-e5m2", e5m2, nearest, MatrixE5m2::nearest, e4m3_scale),
    nv("nvfp8-e5m2-up", e5m2, up, MatrixE5m2::up, e4m3_up),
    nv("nvfp8-e5m2-4over6", e5m2, nearest, MatrixE5m2::largest, by_squares, &MatrixE5m2::squared),
    nv("nvfp8-e5m2-4over6-mae", e5m2, nearest, MatrixE5m2::largest, by_sums, &MatrixE5m2::absolute),
    nv("nvfp8-e5m2-4over6-max", e5m2, nearest, MatrixE5m2::largest, by_most, &MatrixE5m2::most),
    nv("nvint4", int4, nearest, MatrixInt4::nearest, e4m3_scale),
    nv("nvint4-up", int4, up, MatrixInt4::up, e4m3_up),
    nv("nvint4-4over6", int4, nearest, MatrixInt4::largest, by_squares, &MatrixInt4::squared),
    nv("nvint4-4over6-mae", int4, nearest, MatrixInt4::largest, by_sums, &MatrixInt4::absolute),
    nv("nvint4-4over6-max", int4, nearest, MatrixInt4::largest, by_most, &MatrixInt4::most),
    plain("fp6-e2m3-bf16", e2m3, bf16, amax_over_max, MatrixE2m3::bf16_scale, bf16_scale),
    plain("fp6-e3m2-bf16", e3m2, bf16, amax_over_max, MatrixE3m2::bf16_scale, bf16_scale),
    plain("fp8-e4m3-bf16", e4m3, bf16, amax_over_max, MatrixE4m3::bf16_scale, bf16_scale),
    plain("fp8-e5m2-bf16", e5m2, bf16, amax_over_max, MatrixE5m2::bf16_scale, bf16_scale),
    plain("int4-bf16", int4, bf16, amax_over_max, MatrixInt4::bf16_scale, bf16_scale),
    plain("fp6-e2m3-fp32", e2m3, fp32, amax_over_max, MatrixE2m3::fp32_scale, fp32_scale),
    plain("fp6-e3m2-fp32", e3m2, fp32, amax_over_max, MatrixE3m2::fp32_scale, fp32_scale),
    plain("fp8-e4m3-fp32", e4m3, fp32, amax_over_max, MatrixE4m3::fp32_scale, fp32_scale),
    plain("fp8-e5m2-fp32", e5m2, fp32, amax_over_max, MatrixE5m2::fp32_scale, fp32_scale),
    plain("mxint4-floor", int4, e8m0, ScaleRule::floor, orders::int4_floor, int4_e8m0),
    plain("mxint4-ceil", int4, e8m0, ScaleRule::ceil, orders::int4_ceil, int4_e8m0),
    plain("mxint4-rceil", int4, e8m0, rceil, orders::int4_rceil, int4_e8m0),
    plain("mxint4-even", int4, e8m0, even, orders::int4_even, int4_e8m0),
};
// clang-format on

}  // namespace matrix

/// The rows of presets.h, which someone names or runs, and those of this file.
inline constexpr auto every_block_format = [] {
  std::array<const BlockFormat*, all_block_formats.size() + 1 + std::size(matrix::rows)> all{};
  std::size_t i = 0;
  for (const BlockFormat* format : all_block_formats) all[i++] = format;
  all[i++] = &nvfp4_modelopt_clamp;
  for (const BlockFormat& format : matrix::rows) all[i++] = &format;
  return all;
}();

}  // namespace assay::formats

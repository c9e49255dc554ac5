// SPDX-License-Identifier: Apache-2.0
#pragma once
// The block formats that the field uses, as rows. Data only, like tensor.h.

#include <array>

#include "formats/order_variants.h"
#include "formats/orders.h"
#include "formats/tensor.h"

namespace assay::formats {

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

inline constexpr BlockFormat nvfp4_2d{
    "nvfp4-2d",
    &e2m1,
    {16, 16},
    &ue4m3,
    ScaleRule::nearest,
    TensorScale::fp32,
    &orders::nvfp4_te,
    "NVFP4 weights with one scale per 16 x 16, as TransformerEngine computes them"};
inline constexpr BlockFormat nvfp4_pretraining{
    "nvfp4-pretraining",
    &e2m1,
    {16, 16},
    &ue4m3,
    ScaleRule::nearest,
    TensorScale::fp32,
    &orders::nvfp4_paper,
    "NVFP4 pre-training, arXiv 2509.25149: weights, by the formulas of its appendix"};
inline constexpr BlockFormat nvfp4_paper{
    "nvfp4-paper",
    &e2m1,
    {1, 16},
    &ue4m3,
    ScaleRule::nearest,
    TensorScale::fp32,
    &orders::nvfp4_paper,
    "NVFP4 pre-training, arXiv 2509.25149: activations and gradients"};
inline constexpr BlockFormat nvfp4_4over6{
    "nvfp4-4over6",
    &e2m1,
    {1, 16},
    &ue4m3,
    ScaleRule::nearest,
    TensorScale::fp32,
    &orders::nvfp4_4over6_six,
    "Four Over Six, arXiv 2512.02010: amax to 6 or to 4, by the squared error",
    &orders::least_squared_error};
inline constexpr BlockFormat nvfp4_4over6_mae{
    "nvfp4-4over6-mae",
    &e2m1,
    {1, 16},
    &ue4m3,
    ScaleRule::nearest,
    TensorScale::fp32,
    &orders::nvfp4_4over6_six,
    "Four Over Six, arXiv 2512.02010: amax to 6 or to 4, by the absolute error",
    &orders::least_absolute_error};
inline constexpr BlockFormat nvfp4_4over6_max{
    "nvfp4-4over6-max",
    &e2m1,
    {1, 16},
    &ue4m3,
    ScaleRule::nearest,
    TensorScale::fp32,
    &orders::nvfp4_4over6_six,
    "Four Over Six, arXiv 2512.02010: amax to 6 or to 4, by the largest error",
    &orders::least_largest_error};
inline constexpr BlockFormat nvfp4_up{
    "nvfp4-up",        &e2m1,
    {1, 16},           &ue4m3,
    ScaleRule::up,     TensorScale::fp32,
    &orders::nvfp4_up, "NVFP4 with scale factors rounded up, as cuDNN documents them"};
inline constexpr BlockFormat nvfp4_reciprocal{
    "nvfp4-reciprocal",
    &e2m1,
    {1, 16},
    &ue4m3,
    ScaleRule::nearest,
    TensorScale::fp32,
    &orders::nvfp4_reciprocal,
    "NVFP4 with true divisions for scales and a reciprocal for elements"};
inline constexpr BlockFormat nvfp4_torchao{
    "nvfp4-torchao",
    &e2m1,
    {1, 16},
    &ue4m3,
    ScaleRule::nearest,
    TensorScale::fp32,
    &orders::nvfp4_torchao,
    "NVFP4 as torchao computes it, scale factors at least 2^-6"};
inline constexpr BlockFormat nvfp4_compressed_tensors{"nvfp4-compressed-tensors",
                                                      &e2m1,
                                                      {1, 16},
                                                      &ue4m3,
                                                      ScaleRule::nearest,
                                                      TensorScale::fp32,
                                                      &orders::nvfp4_compressed_tensors,
                                                      "NVFP4 as compressed-tensors computes it"};
inline constexpr BlockFormat nvfp4_modelopt{"nvfp4-modelopt",
                                            &e2m1,
                                            {1, 16},
                                            &ue4m3,
                                            ScaleRule::nearest,
                                            TensorScale::fp32,
                                            &orders::nvfp4_modelopt,
                                            "NVFP4 as NVIDIA ModelOpt computes it"};
inline constexpr BlockFormat nvfp4_sr{"nvfp4-sr",
                                      &e2m1,
                                      {1, 16},
                                      &ue4m3,
                                      ScaleRule::nearest,
                                      TensorScale::fp32,
                                      &orders::nvfp4_sr,
                                      "NVFP4 for stochastic rounding: 6 * 16/17 in place of 6"};
inline constexpr BlockFormat nvfp4_single{"nvfp4-single",
                                          &e2m1,
                                          {1, 16},
                                          &ue4m3,
                                          ScaleRule::nearest,
                                          TensorScale::none,
                                          &orders::nvfp4_single_divide,
                                          "NVFP4 without a tensor scale, amax/6"};
inline constexpr BlockFormat nvfp4_single_multiply{
    "nvfp4-single-multiply",
    &e2m1,
    {1, 16},
    &ue4m3,
    ScaleRule::nearest,
    TensorScale::none,
    &orders::nvfp4_single_multiply,
    "NVFP4 without a tensor scale, amax * FP32(1/6)"};
inline constexpr BlockFormat mxfp4_ceil{"mxfp4-ceil",
                                        &e2m1,
                                        {1, 32},
                                        &e8m0,
                                        ScaleRule::ceil,
                                        TensorScale::none,
                                        &orders::mxfp4_ceil,
                                        "MXFP4 with torchao's CEIL scale"};
inline constexpr BlockFormat mxfp4_even{"mxfp4-even",
                                        &e2m1,
                                        {1, 32},
                                        &e8m0,
                                        ScaleRule::even,
                                        TensorScale::none,
                                        &orders::mxfp4_even,
                                        "MXFP4 with torchao's EVEN scale"};
inline constexpr BlockFormat mxfp4_sr{
    "mxfp4-sr",        &e2m1,
    {1, 32},           &e8m0,
    ScaleRule::floor,  TensorScale::none,
    &orders::mxfp4_sr, "MXFP4 for stochastic rounding: 3/4 of each value"};
inline constexpr BlockFormat mxfp6_e2m3_floor{
    "mxfp6-e2m3-floor",
    &e2m3,
    {1, 32},
    &e8m0,
    ScaleRule::floor,
    TensorScale::none,
    &orders::e2m3_floor,
    "OCP Microscaling Formats (MX) v1.0, MXFP6 with E2M3, floor scale"};
inline constexpr BlockFormat mxfp6_e2m3_ceil{
    "mxfp6-e2m3-ceil",
    &e2m3,
    {1, 32},
    &e8m0,
    ScaleRule::ceil,
    TensorScale::none,
    &orders::e2m3_ceil,
    "OCP Microscaling Formats (MX) v1.0, MXFP6 with E2M3, ceil scale"};
inline constexpr BlockFormat mxfp6_e2m3_rceil{
    "mxfp6-e2m3-rceil",
    &e2m3,
    {1, 32},
    &e8m0,
    ScaleRule::rceil,
    TensorScale::none,
    &orders::e2m3_rceil,
    "OCP Microscaling Formats (MX) v1.0, MXFP6 with E2M3, rceil scale"};
inline constexpr BlockFormat mxfp6_e2m3_even{
    "mxfp6-e2m3-even",
    &e2m3,
    {1, 32},
    &e8m0,
    ScaleRule::even,
    TensorScale::none,
    &orders::e2m3_even,
    "OCP Microscaling Formats (MX) v1.0, MXFP6 with E2M3, even scale"};
inline constexpr BlockFormat mxfp6_e3m2_floor{
    "mxfp6-e3m2-floor",
    &e3m2,
    {1, 32},
    &e8m0,
    ScaleRule::floor,
    TensorScale::none,
    &orders::e3m2_floor,
    "OCP Microscaling Formats (MX) v1.0, MXFP6 with E3M2, floor scale"};
inline constexpr BlockFormat mxfp6_e3m2_ceil{
    "mxfp6-e3m2-ceil",
    &e3m2,
    {1, 32},
    &e8m0,
    ScaleRule::ceil,
    TensorScale::none,
    &orders::e3m2_ceil,
    "OCP Microscaling Formats (MX) v1.0, MXFP6 with E3M2, ceil scale"};
inline constexpr BlockFormat mxfp6_e3m2_rceil{
    "mxfp6-e3m2-rceil",
    &e3m2,
    {1, 32},
    &e8m0,
    ScaleRule::rceil,
    TensorScale::none,
    &orders::e3m2_rceil,
    "OCP Microscaling Formats (MX) v1.0, MXFP6 with E3M2, rceil scale"};
inline constexpr BlockFormat mxfp6_e3m2_even{
    "mxfp6-e3m2-even",
    &e3m2,
    {1, 32},
    &e8m0,
    ScaleRule::even,
    TensorScale::none,
    &orders::e3m2_even,
    "OCP Microscaling Formats (MX) v1.0, MXFP6 with E3M2, even scale"};
inline constexpr BlockFormat mxfp8_e4m3_floor{
    "mxfp8-e4m3-floor",
    &e4m3,
    {1, 32},
    &e8m0,
    ScaleRule::floor,
    TensorScale::none,
    &orders::e4m3_floor,
    "OCP Microscaling Formats (MX) v1.0, MXFP8 with E4M3, floor scale"};
inline constexpr BlockFormat mxfp8_e4m3_ceil{
    "mxfp8-e4m3-ceil",
    &e4m3,
    {1, 32},
    &e8m0,
    ScaleRule::ceil,
    TensorScale::none,
    &orders::e4m3_ceil,
    "OCP Microscaling Formats (MX) v1.0, MXFP8 with E4M3, ceil scale"};
inline constexpr BlockFormat mxfp8_e4m3_rceil{
    "mxfp8-e4m3-rceil",
    &e4m3,
    {1, 32},
    &e8m0,
    ScaleRule::rceil,
    TensorScale::none,
    &orders::e4m3_rceil,
    "OCP Microscaling Formats (MX) v1.0, MXFP8 with E4M3, rceil scale"};
inline constexpr BlockFormat mxfp8_e4m3_even{
    "mxfp8-e4m3-even",
    &e4m3,
    {1, 32},
    &e8m0,
    ScaleRule::even,
    TensorScale::none,
    &orders::e4m3_even,
    "OCP Microscaling Formats (MX) v1.0, MXFP8 with E4M3, even scale"};
inline constexpr BlockFormat mxfp8_e5m2_floor{
    "mxfp8-e5m2-floor",
    &e5m2,
    {1, 32},
    &e8m0,
    ScaleRule::floor,
    TensorScale::none,
    &orders::e5m2_floor,
    "OCP Microscaling Formats (MX) v1.0, MXFP8 with E5M2, floor scale"};
inline constexpr BlockFormat mxfp8_e5m2_ceil{
    "mxfp8-e5m2-ceil",
    &e5m2,
    {1, 32},
    &e8m0,
    ScaleRule::ceil,
    TensorScale::none,
    &orders::e5m2_ceil,
    "OCP Microscaling Formats (MX) v1.0, MXFP8 with E5M2, ceil scale"};
inline constexpr BlockFormat mxfp8_e5m2_rceil{
    "mxfp8-e5m2-rceil",
    &e5m2,
    {1, 32},
    &e8m0,
    ScaleRule::rceil,
    TensorScale::none,
    &orders::e5m2_rceil,
    "OCP Microscaling Formats (MX) v1.0, MXFP8 with E5M2, rceil scale"};
inline constexpr BlockFormat mxfp8_e5m2_even{
    "mxfp8-e5m2-even",
    &e5m2,
    {1, 32},
    &e8m0,
    ScaleRule::even,
    TensorScale::none,
    &orders::e5m2_even,
    "OCP Microscaling Formats (MX) v1.0, MXFP8 with E5M2, even scale"};
inline constexpr BlockFormat fp4_fp32{"fp4-fp32",
                                      &e2m1,
                                      {1, 32},
                                      &fp32,
                                      ScaleRule::amax_over_max,
                                      TensorScale::none,
                                      &orders::fp4_fp32,
                                      "E2M1 with FP32 scale factors amax/6"};
inline constexpr BlockFormat fp4_bf16{"fp4-bf16",
                                      &e2m1,
                                      {1, 32},
                                      &bf16,
                                      ScaleRule::amax_over_max,
                                      TensorScale::none,
                                      &orders::fp4_bf16,
                                      "E2M1 with BF16 scale factors amax/6"};
inline constexpr BlockFormat int4_g128{"int4-g128",
                                       &int4,
                                       {1, 128},
                                       &fp32,
                                       ScaleRule::amax_over_max,
                                       TensorScale::none,
                                       &orders::int4_symmetric,
                                       "symmetric INT4 in groups of 128"};
inline constexpr BlockFormat int4_g32{"int4-g32",
                                      &int4,
                                      {1, 32},
                                      &fp32,
                                      ScaleRule::amax_over_max,
                                      TensorScale::none,
                                      &orders::int4_symmetric,
                                      "symmetric INT4 in groups of 32"};

inline constexpr std::array<const BlockFormat*, 48> all_block_formats{&nvfp4,
                                                                      &nvfp4_divide,
                                                                      &mxfp4_floor,
                                                                      &mxfp4_rceil,
                                                                      &fp8_deepseek_v3,
                                                                      &fp8_deepseek_v3_weight,
                                                                      &deepseek_v4,
                                                                      &fp8_deepseek_v4,
                                                                      &fp8_deepseek_v4_weight,
                                                                      &article,
                                                                      &article_attention,
                                                                      &nvfp4_2d,
                                                                      &nvfp4_pretraining,
                                                                      &nvfp4_paper,
                                                                      &nvfp4_4over6,
                                                                      &nvfp4_4over6_mae,
                                                                      &nvfp4_4over6_max,
                                                                      &nvfp4_up,
                                                                      &nvfp4_reciprocal,
                                                                      &nvfp4_torchao,
                                                                      &nvfp4_compressed_tensors,
                                                                      &nvfp4_modelopt,
                                                                      &nvfp4_sr,
                                                                      &nvfp4_single,
                                                                      &nvfp4_single_multiply,
                                                                      &mxfp4_ceil,
                                                                      &mxfp4_even,
                                                                      &mxfp4_sr,
                                                                      &mxfp6_e2m3_floor,
                                                                      &mxfp6_e2m3_ceil,
                                                                      &mxfp6_e2m3_rceil,
                                                                      &mxfp6_e2m3_even,
                                                                      &mxfp6_e3m2_floor,
                                                                      &mxfp6_e3m2_ceil,
                                                                      &mxfp6_e3m2_rceil,
                                                                      &mxfp6_e3m2_even,
                                                                      &mxfp8_e4m3_floor,
                                                                      &mxfp8_e4m3_ceil,
                                                                      &mxfp8_e4m3_rceil,
                                                                      &mxfp8_e4m3_even,
                                                                      &mxfp8_e5m2_floor,
                                                                      &mxfp8_e5m2_ceil,
                                                                      &mxfp8_e5m2_rceil,
                                                                      &mxfp8_e5m2_even,
                                                                      &fp4_fp32,
                                                                      &fp4_bf16,
                                                                      &int4_g128,
                                                                      &int4_g32};

/// Short names: MXFP6 and MXFP8 have two element formats and four scale rules; unsaid, the rule is
/// OCP's floor, and the element the one with more mantissa bits. INT4 comes in groups of 128.
struct BlockFormatAlias {
  std::string_view name;
  const BlockFormat* format;
};
inline constexpr std::array<BlockFormatAlias, 7> block_format_aliases{
    {{"mxfp6", &mxfp6_e2m3_floor},
     {"mxfp6-e2m3", &mxfp6_e2m3_floor},
     {"mxfp6-e3m2", &mxfp6_e3m2_floor},
     {"mxfp8", &mxfp8_e4m3_floor},
     {"mxfp8-e4m3", &mxfp8_e4m3_floor},
     {"mxfp8-e5m2", &mxfp8_e5m2_floor},
     {"int4", &int4_g128}}};

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

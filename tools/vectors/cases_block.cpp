// SPDX-License-Identifier: Apache-2.0
// Block quantizers: scale rules, operation orders, and blocks that have broken them.
#include "tools/vectors/golden_case.h"

namespace assay::tools::vectors {
namespace {

constexpr const char* mx = "OCP Microscaling Formats (MX) v1.0, 6.3";
constexpr const char* rceil = "cuBLAS, 1D block scaling, MX recipe: amax / max rounded up";
constexpr const char* torchao = "torchao 0.18.0, to_mx, ScaleCalculationMode";
constexpr const char* te = "TransformerEngine, nvfp4 quantize kernels (formats/orders.h, nvfp4_te)";
constexpr const char* divide = "the defining formulas with true divisions, each rounded to FP32";
constexpr const char* paper = "NVFP4 pre-training, arXiv 2509.25149, appendix";
constexpr const char* four_over_six = "Four Over Six, arXiv 2512.02010";
constexpr const char* int_rules =
    "the rules of MX v1.0, torchao and NVFP4 with INT4 elements: assay's definition";
constexpr const char* own = "assay's definition (formats/tensor.h)";

constexpr const char* below_8 = "7.9999995 0.5 0.3 1.3 -2.6";
constexpr const char* mantissas = "1.75 -0.3 0.6 1.1";
constexpr const char* orders_part = "1.078125 0.5 -0.75 0.3 0*12 1.4375";

constexpr Case mxfp4(const char* id, const char* format, const char* x, const char* section,
                     const char* why) {
  return {.id = id,
          .operation = "quantize",
          .format = format,
          .policy = "saturating",
          .rows = 1,
          .cols = 32,
          .x = x,
          .section = section,
          .why = why};
}
constexpr Case nvfp4(const char* id, const char* format, const char* x, const char* section,
                     const char* why) {
  return {.id = id,
          .operation = "quantize",
          .format = format,
          .policy = "saturating",
          .rows = 1,
          .cols = 32,
          .x = x,
          .section = section,
          .why = why};
}

constexpr Case rows[] = {
    mxfp4("quantize.mxfp4_floor.below_a_power", "mxfp4-floor", below_8, mx,
          "amax is the FP32 number below 8: a logarithm in FP32 says 3, and the scale doubles"),
    mxfp4("quantize.mxfp4_rceil.below_a_power", "mxfp4-rceil", below_8, rceil,
          "the same block: amax / 6 > 1, so the scale is 2, not clipping anything"),
    mxfp4("quantize.mxfp4_floor.mantissa_1_75", "mxfp4-floor", mantissas, mx,
          "scale 2^-2 clips 1.75, which is 7 of them, to 6"),
    mxfp4("quantize.mxfp4_even.mantissa_1_75", "mxfp4-even", mantissas, torchao,
          "1.75 rounds to 2 in E2M1's one mantissa bit: one scale higher"),
    mxfp4("quantize.mxfp4_even.below_1_75", "mxfp4-even", "#3fdfffff 0.6", torchao,
          "just below: the floor's scale, and 1.7499999 is clipped"),
    mxfp4("quantize.mxfp4_ceil.mantissa_1_75", "mxfp4-ceil", mantissas, torchao,
          "amax rounded up to a power of two"),
    mxfp4("quantize.mxfp4_ceil.power", "mxfp4-ceil", "2 0.6 -0.2", torchao,
          "a power of two stays: 4 scales of 1/2, not 2 of 1"),
    mxfp4("quantize.mxfp4_rceil.six", "mxfp4-rceil", "0x1.8p-17 0x1p-19", rceil,
          "amax is 6 * 2^-19 exactly: scale 6c"),
    mxfp4("quantize.mxfp4_rceil.above_six", "mxfp4-rceil", "#37400002 0x1p-19", rceil,
          "two places above: scale 6d; ceil(log2(x)) in FP32 loses the excess"),
    mxfp4("quantize.mxfp4_floor.zeros", "mxfp4-floor", "0 -0", own,
          "no amax: code 0, 2^-127, and the zeros keep their signs"),
    mxfp4("quantize.mxfp4_rceil.zeros", "mxfp4-rceil", "0 -0", own, "the same for rceil"),
    mxfp4("quantize.mxfp4_ceil.zeros", "mxfp4-ceil", "0 -0", own, "the same for ceil"),
    mxfp4("quantize.mxfp4_even.zeros", "mxfp4-even", "0 -0", own, "the same for even"),
    mxfp4("quantize.deepseek_v4.zeros", "deepseek-v4", "0 -0",
          "DeepSeek-V4, arXiv 2606.19348, 5.2.1, amax at least 6 * 2^-126",
          "the clamp of amax shows: code 1"),
    mxfp4("quantize.mxfp4_floor.smallest_normal", "mxfp4-floor", "0x1p-126 0x1p-127", mx,
          "scale code 0 is 2^-127 and must divide too: kernels that divide by 2^-126 halve this "
          "block"),
    mxfp4("quantize.mxfp4_floor.subnormal", "mxfp4-floor", "0x1p-130 0x1p-149", mx,
          "below the smallest scale everything is nearly zero"),
    mxfp4("quantize.mxfp4_floor.largest", "mxfp4-floor", "0x1.fffffep127 -0x1p127 0x1p120", mx,
          "amax FLT_MAX: scale 2^125, and it clips"),
    mxfp4("quantize.mxfp4_floor.nan", "mxfp4-floor", "1 #7fc00000 2", own,
          "OCP leaves it open; here the block becomes NaN: scale ff, codes 0"),
    mxfp4("quantize.mxfp4_floor.infinite", "mxfp4-floor", "1 #7f800000 2", own,
          "the same: a finite scale would turn Inf into a number"),
    mxfp4("quantize.mxfp4_sr.three_quarters", "mxfp4-sr", "7.9999995 4 1 0.5",
          "Training LLMs with MXFP4, arXiv 2502.20586: 3/4 of each value before rounding",
          "leaves room for stochastic rounding: nothing is clipped"),
    mxfp4("quantize.mxfp6_e2m3_floor.block", "mxfp6-e2m3-floor", "7.9999995 0.3 -1.3 0.06", mx,
          "MXFP6 with E2M3: the largest value is 7.5, its exponent 2"),
    mxfp4("quantize.mxfp6_e3m2_rceil.block", "mxfp6-e3m2-rceil", "29 0.3 -1.3 0.06", rceil,
          "MXFP6 with E3M2: 29 / 28 > 1"),
    mxfp4("quantize.mxfp8_e4m3_floor.block", "mxfp8-e4m3-floor", "500 0.3 -1.3 0.06", mx,
          "MXFP8 with E4M3: 500 has the exponent of 448, and is clipped"),
    mxfp4("quantize.mxfp8_e4m3_rceil.block", "mxfp8-e4m3-rceil", "500 0.3 -1.3 0.06", rceil,
          "the same without clipping"),
    mxfp4("quantize.mxfp8_e5m2_floor.block", "mxfp8-e5m2-floor", "60000 0.3 -1.3 0.06", mx,
          "MXFP8 with E5M2"),
    nvfp4(
        "quantize.nvfp4.orders_part", "nvfp4", orders_part, te,
        "order A: amax * (S_enc * FP32(1/6)); the scale of the first block is one above order B's"),
    nvfp4("quantize.nvfp4_paper.orders_part", "nvfp4-paper", orders_part, paper,
          "order B on the same tensor: (amax / 6) * S_enc"),
    nvfp4("quantize.nvfp4_divide.orders_part", "nvfp4-divide", orders_part, divide,
          "the same tensor by true divisions"),
    nvfp4("quantize.nvfp4.plain", "nvfp4", "6 -4 3 2 1.5 1 0.5 0.25 0*8 0.75 -0.1 0.33 0.02", te,
          "two blocks of different size under one tensor scale"),
    nvfp4("quantize.nvfp4.zeros", "nvfp4", "0 -0", te, "no amax: tensor scale 1, scales 0"),
    nvfp4("quantize.nvfp4_divide.zeros", "nvfp4-divide", "0 -0", divide, "and never 0/0"),
    nvfp4("quantize.nvfp4.tiny_block", "nvfp4", "1 0*15 1e-7 -1e-7 0", te,
          "the scale of the second block rounds to 0: this order's multiplier is FLT_MAX, and "
          "gives 6"),
    nvfp4("quantize.nvfp4_divide.tiny_block", "nvfp4-divide", "1 0*15 1e-7 -1e-7 0", divide,
          "the dividing order gives 0"),
    nvfp4("quantize.nvfp4.nan", "nvfp4", "1 2 0*14 #7fc00000 3", own,
          "one block of two becomes NaN: scale 7f, codes 0; the other's tensor scale does not see "
          "it"),
    nvfp4("quantize.nvfp4.subnormal_amax", "nvfp4", "0x1p-140 0*15 0x1p-142", te,
          "2688 / amax exceeds FP32: S_enc is FLT_MAX"),
    nvfp4("quantize.nvfp4_up.scale_up", "nvfp4-up", "6 0*15 1 0.3",
          "cuDNN documentation, block scale quantize: the scale rounded up",
          "rounding the scale up never clips, and must saturate at 448"),
    nvfp4("quantize.nvfp4_single.block", "nvfp4-single", "#3de3ffff 0.02",
          "amax / 6, rounded once to E4M3: assay's definition",
          "just below the tie that amax * FP32(1/6) rounds to"),
    nvfp4("quantize.nvfp4_single_multiply.block", "nvfp4-single-multiply", "#3de3ffff 0.02",
          "amax * FP32(1/6) in FP32, rounded to E4M3: assay's definition",
          "and does, one code higher"),
    nvfp4(
        "quantize.nvfp4_sr.sixteen_seventeenths", "nvfp4-sr", "6 5.9 0.3 0*13 1",
        "unbiased stochastic rounding needs room below 6: 16/17 (Four Over Six, TransformerEngine)",
        "the largest element is 6 * 16/17 scales"),
    nvfp4("quantize.nvfp4_4over6.four", "nvfp4-4over6", "20 10 30 40 0*12 40", four_over_six,
          "10, 20, 30 and 40 are 1, 2, 3 and 4 of a scale of 10: amax to 4 is exact"),
    nvfp4("quantize.nvfp4_4over6.six", "nvfp4-4over6", "10 20 30 40 60 0*11 60", four_over_six,
          "60 among them: amax to 6 is exact"),
    nvfp4("quantize.nvfp4_4over6.zeros", "nvfp4-4over6", "0*16 1", four_over_six,
          "equal errors keep amax to 6"),
    nvfp4("quantize.nvfp4_4over6_mae.block", "nvfp4-4over6-mae", "5 4.4 3.6 2.4 1.7 0*11 6",
          four_over_six, "the sum of absolute errors decides"),
    nvfp4("quantize.nvfp4_4over6_max.block", "nvfp4-4over6-max", "5 4.4 3.6 2.4 1.7 0*11 6",
          four_over_six, "the largest error decides"),
    {.id = "quantize.nvfp4.stochastic",
     .operation = "quantize",
     .format = "nvfp4",
     .policy = "saturating",
     .rounding = "stochastic",
     .rows = 1,
     .cols = 32,
     .random_bits = 16,
     .seed = 7,
     .x = "0.3 1.3 2.3 3.3 4.3 5.3 -0.3 -5.3 0*8 0.7 -0.7 0.1",
     .section = own,
     .why = "element i takes Philox word i of the seed, whatever its block"},
    {.id = "quantize.article.given_scales",
     .operation = "quantize",
     .format = "article",
     .policy = "saturating",
     .rows = 1,
     .cols = 64,
     .x = "1 2 3 -20 0*28 0.1 -0.2 0.3",
     .scales = "0.5 0.05",
     .section = "learned scale factors: the caller gives them; x / s in FP32",
     .why = "what exceeds 6 scales is clipped"},
    {.id = "quantize.int4_g32.block",
     .operation = "quantize",
     .format = "int4-g32",
     .policy = "saturating",
     .rows = 1,
     .cols = 32,
     .x = "-7 3.5 1.49 -0.51 6.5 2.5",
     .section = own,
     .why = "symmetric INT4: amax / 7, ties to even"},
    mxfp4(
        "quantize.mxint4_even.mantissa_1_75", "mxint4-even", "#3fefffff 0.6 -1.25", int_rules,
        "INT4 steps by 1 from 4 to 7: two bits behind the leading one, so that 1.875 is where the "
        "scale rises, and 1.8749999 is clipped to 7 of 2^-2"),
    nvfp4("quantize.nvint4.block", "nvint4", "-7 3.5 1.49 -0.51 6.5 2.5 0*10 1.625", int_rules,
          "448 * 7 / amax; amax / 7 of a block, in E4M3; ties to even"),
    nvfp4("quantize.nvfp6_e2m3.block", "nvfp6-e2m3", "7.5 -7.25 0.0625 3.3 0*12 1.078125",
          "Four Over Six's reference code, nvfp6_e2m3: (amax_b / 7.5) * S_enc",
          "E2M3's 7.5 in both formulas"),
    nvfp4("quantize.nvfp4_modelopt_clamp.small_block", "nvfp4-modelopt-clamp", "2688 0*15 0x1.8p-9",
          "NVIDIA ModelOpt 0.47, NVFP4QTensor.get_weights_scaling_factor",
          "a scale factor that would be 0 is clamped to 2^-9, and the block is kept"),
    nvfp4("quantize.nvfp4_compressed_tensors.small_block", "nvfp4-compressed-tensors",
          "2688 0*15 0x1.8p-9", "compressed-tensors, calculate_qparams: scales of 0 become eps",
          "a scale factor that would be 0 becomes 1/8, and the block becomes zeros"),
    nvfp4("quantize.nvfp4_torchao.small_block", "nvfp4-torchao", "2688 0*15 0x1.8p-5",
          "torchao, nvfp4_quantize: block scales clamped to at least 2^-6",
          "6 * 2^-7 keeps a scale factor of 2^-6 where others have 2^-7"),
    mxfp4("quantize.fp4_bf16.scale", "fp4-bf16", "1.01 -0.5 0.33", own,
          "amax / 6 rounded to BF16: nearest may round down, and the largest element is clipped"),
    mxfp4("quantize.fp8_e5m2_bf16.scale", "fp8-e5m2-bf16", "1.01 -0.5 0.33 1e-6", own,
          "amax / 57344 rounded to BF16"),
    {.id = "quantize.fp8_deepseek_v3.activation",
     .operation = "quantize",
     .format = "fp8-deepseek-v3",
     .policy = "saturating",
     .rows = 1,
     .cols = 128,
     .x = "1e-6 -3e-6 0",
     .section = "DeepSeek-V3, arXiv 2412.19437, 3.3, and its act_quant kernel",
     .why = "amax / 448 however small it is: the clamp of amax to 1e-4 is DeepSeek-V4's "
            "(fp8-deepseek-v4), not this one's"},
};

}  // namespace

std::span<const Case> block_cases() { return rows; }

}  // namespace assay::tools::vectors

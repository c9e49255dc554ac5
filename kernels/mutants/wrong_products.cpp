// SPDX-License-Identifier: Apache-2.0
#include <bit>
#include <cmath>

#include "kernels/cpu/element.h"
#include "kernels/cpu/kernels.h"
#include "kernels/mutants/wrong_steps.h"

namespace assay::kernels::mutants {
namespace {

float right_epilogue(const EpilogueInput& e) { return right_steps().epilogue(e); }
float right_scale(const formats::FormatSpec& format, std::uint8_t code) {
  return right_steps().decode_scale(format, code);
}

/// Hopper's FP8 accumulation: both addends are truncated to 13 fraction bits below the larger one.
float add_with_13_bits(float sum, float product) {
  const float larger = std::fabs(sum) > std::fabs(product) ? sum : product;
  if (larger == 0.0F || !std::isfinite(sum) || !std::isfinite(product)) return sum + product;
  const int unit = std::ilogb(larger) - 13;
  const auto kept = [unit](float x) { return std::ldexp(std::trunc(std::ldexp(x, -unit)), unit); };
  return kept(sum) + kept(product);
}

constexpr std::array table{
    Mutant{"nibbles_swapped_reading", "the even element is read from the high nibble", "imp#567",
           "nibbles_swapped",
           [](Steps& s) {
             s.nibble = [](std::uint8_t pair, std::int64_t c) {
               return c % 2 == 0 ? pair >> 4 : pair & 15;
             };
           }},
    Mutant{"six_as_four", "code 7 decodes to 4", "wrong decode tables", "six_as_four",
           [](Steps& s) {
             s.decode_element = [](std::uint8_t code) {
               return cpu::e2m1_values[(code & 7) == 7 ? code - 1 : code];
             };
           }},
    Mutant{"half_flushed", "the subnormal 0.5 decodes to 0", "b12x#388: subnormal decode",
           "half_flushed",
           [](Steps& s) {
             s.decode_element = [](std::uint8_t code) {
               return cpu::e2m1_values[(code & 7) == 1 ? code - 1 : code];
             };
           }},
    Mutant{"negative_zero_decoded_positive", "code 8 decodes to +0",
           "the reference converter of facts: decode of code 8 drops the sign",
           "negative_zero_lost",
           [](Steps& s) {
             s.decode_element = [](std::uint8_t code) {
               return cpu::e2m1_values[code == 8 ? 0 : code];
             };
           }},
    Mutant{"e8m0_zero_code_is_zero", "the E8M0 code 0 decodes to 0 instead of 2^-127", "TE#3262",
           "e8m0_zero_code_is_zero",
           [](Steps& s) {
             s.decode_scale = [](const formats::FormatSpec& f, std::uint8_t code) {
               return &f == &formats::e8m0 && code == 0 ? 0.0F : right_scale(f, code);
             };
           }},
    Mutant{"e8m0_nan_is_infinity", "the E8M0 code 255 decodes to Inf", "llvm#214919, sglang#25519",
           "e8m0_nan_is_infinity",
           [](Steps& s) {
             s.decode_scale = [](const formats::FormatSpec& f, std::uint8_t code) {
               return &f == &formats::e8m0 && code == 255 ? INFINITY : right_scale(f, code);
             };
           }},
    Mutant{"scale_subnormal_as_normal", "subnormal E4M3 scales are decoded by the normal formula",
           "b12x#388", "scale_subnormal_as_normal",
           [](Steps& s) {
             s.decode_scale = [](const formats::FormatSpec& f, std::uint8_t code) {
               return &f == &formats::ue4m3 && code > 0 && code < 8
                          ? 0x1p-7F * (1.0F + static_cast<float>(code) / 8.0F)
                          : right_scale(f, code);
             };
           }},
    Mutant{"scale_twice", "scale factors multiply twice in products", "flashinfer#5173",
           "scale_twice", [](Steps& s) { s.scaled = [](float e, float f) { return e * f * f; }; }},
    Mutant{"scale_not_applied", "products leave the scale factors out", "flashinfer#5173",
           "scale_not_applied", [](Steps& s) { s.scaled = [](float e, float) { return e; }; }},
    Mutant{"k_tail_of_16_dropped", "k is rounded down to a multiple of 16", "mlx#3444, aiter#2900",
           "k_tail_dropped",
           [](Steps& s) { s.last_k = [](std::int64_t k) { return k < 16 ? k : k / 16 * 16; }; }},
    Mutant{"last_k_dropped", "the last product of long sums is left out", "tilelang#2324",
           "last_k_dropped",
           [](Steps& s) { s.last_k = [](std::int64_t k) { return k > 64 ? k - 1 : k; }; }},
    Mutant{"product_tensor_scales_omitted", "products leave the tensor scales out", "nunchaku#362",
           "tensor_scale_omitted",
           [](Steps& s) {
             s.epilogue = [](const EpilogueInput& e) {
               EpilogueInput without = e;
               without.a_tensor_scale = without.b_tensor_scale = 1.0F;
               return right_epilogue(without);
             };
           }},
    Mutant{"alpha_a_thousandth_off", "alpha is 0.1 % too large", "below every threshold in use",
           "scaled_by_a_constant",
           [](Steps& s) {
             s.epilogue = [](const EpilogueInput& e) {
               EpilogueInput off = e;
               off.alpha *= 1.001F;
               return right_epilogue(off);
             };
           }},
    Mutant{"beta_ignored", "C is added unscaled", "epilogue order", "beta_ignored",
           [](Steps& s) {
             s.epilogue = [](const EpilogueInput& e) {
               EpilogueInput off = e;
               off.beta = e.beta == 0.0F ? 0.0F : 1.0F;
               return right_epilogue(off);
             };
           }},
    Mutant{"bias_omitted", "the bias is not added", "vllm#37135: arguments not forwarded",
           "bias_omitted",
           [](Steps& s) {
             s.epilogue = [](const EpilogueInput& e) {
               EpilogueInput off = e;
               off.bias = 0.0F;
               return right_epilogue(off);
             };
           }},
    Mutant{"bias_before_alpha", "the bias is added before alpha multiplies", "vllm#37135",
           "bias_before_alpha",
           [](Steps& s) {
             s.epilogue = [](const EpilogueInput& e) {
               EpilogueInput off = e;
               off.bias = e.bias * e.alpha;
               return right_epilogue(off);
             };
           }},
    Mutant{"bf16_accumulator", "the sum is kept in bf16", "a narrow accumulator in shared memory",
           "bf16_accumulator",
           [](Steps& s) {
             s.accumulate = [](float sum, float p) { return cpu::round_to_bf16(sum + p); };
           }},
    Mutant{"truncating_13_bits", "terms are aligned and truncated to 13 fraction bits",
           "DeepGEMM#37, DeepSeek-V3#197: Hopper FP8 without promotion", "truncating_accumulator",
           [](Steps& s) { s.accumulate = add_with_13_bits; }},
    Mutant{"output_truncated", "the bf16 output is truncated", "casts by shifting",
           "output_truncated",
           [](Steps& s) {
             s.round_output = [](const formats::FormatSpec& f, float x) {
               if (&f == &formats::fp32 || std::isnan(x)) return x;
               return std::bit_cast<float>(std::bit_cast<std::uint32_t>(x) & 0xFFFF0000U);
             };
           }},
    Mutant{"output_through_fp16", "the result passes through fp16 and overflows", "vllm#37135",
           "output_through_fp16",
           [](Steps& s) {
             s.round_output = [](const formats::FormatSpec& f, float x) {
               const float h = std::fabs(x) >= 65520.0F ? std::copysign(INFINITY, x) : x;
               return right_steps().round_output(f, h);
             };
           }},
    Mutant{"nan_output_masked", "NaN results are replaced by 0", "TE's exact GEMM test does so",
           "nan_masked",
           [](Steps& s) {
             s.round_output = [](const formats::FormatSpec& f, float x) {
               return std::isnan(x) ? 0.0F : right_steps().round_output(f, x);
             };
           }},
    Mutant{"rows_swapped", "the first two rows of the result are exchanged", "cutlass#3394",
           "rows_permuted",
           [](Steps& s) {
             s.after_gemm = [](const GemmCall& c) {
               if (c.m < 2) return;
               for (std::int64_t j = 0; j < c.n; ++j) std::swap(c.d[j], c.d[c.n + j]);
             };
           }},
    Mutant{"tile_zero", "one output tile of a tall result stays zero", "flashinfer#3398",
           "results_zero",
           [](Steps& s) {
             s.after_gemm = [](const GemmCall& c) {
               for (std::int64_t i = 16; i < c.m; ++i)
                 for (std::int64_t j = 0; j < c.n; ++j) c.d[i * c.n + j] = 0.0F;
             };
           }},
    Mutant{"read_sign_lost", "codes are read without their sign", "b12x#388", "sign_lost",
           [](Steps& s) {
             s.decode_element = [](std::uint8_t code) { return cpu::e2m1_values[code & 7]; };
           }},
    Mutant{"codes_as_integers", "codes are read as integers in two's complement",
           "INT4 kernels reused for FP4", "codes_twos_complement",
           [](Steps& s) {
             s.decode_element = [](std::uint8_t code) {
               return static_cast<float>(code < 8 ? code : code - 16);
             };
           }},
    Mutant{"scale_byte_linear", "the byte of an E8M0 scale is read as a number", "omlx#2159",
           "scale_as_integer",
           [](Steps& s) {
             s.decode_scale = [](const formats::FormatSpec& f, std::uint8_t code) {
               return &f == &formats::e8m0 ? static_cast<float>(code) : right_scale(f, code);
             };
           }},
    Mutant{"scale_mantissa_dropped", "the mantissa of E4M3 scales is dropped",
           "DeepGEMM#403: scale types mixed up", "scale_mantissa_dropped",
           [](Steps& s) {
             s.decode_scale = [](const formats::FormatSpec& f, std::uint8_t code) {
               const bool cut = &f == &formats::ue4m3 && code != 0x7F;
               return right_scale(f, cut ? static_cast<std::uint8_t>(code & 0x78) : code);
             };
           }},
    Mutant{"tensor_scales_inverted", "products divide by the tensor scales", "modular#6600",
           "tensor_scale_inverted",
           [](Steps& s) {
             s.epilogue = [](const EpilogueInput& e) {
               EpilogueInput off = e;
               off.a_tensor_scale = 1.0F / e.a_tensor_scale;
               off.b_tensor_scale = 1.0F / e.b_tensor_scale;
               return right_epilogue(off);
             };
           }},
    Mutant{"alpha_omitted", "alpha is left out", "vllm#37135: a scale not forwarded",
           "alpha_omitted",
           [](Steps& s) {
             s.epilogue = [](const EpilogueInput& e) {
               EpilogueInput off = e;
               off.alpha = 1.0F;
               return right_epilogue(off);
             };
           }},
    Mutant{"alpha_twice", "alpha multiplies twice", "flashinfer#5173", "alpha_twice",
           [](Steps& s) {
             s.epilogue = [](const EpilogueInput& e) {
               EpilogueInput off = e;
               off.alpha = e.alpha * e.alpha;
               return right_epilogue(off);
             };
           }},
    Mutant{"c_scaled_by_alpha", "alpha scales beta C too", "epilogue order", "c_scaled_by_alpha",
           [](Steps& s) {
             s.epilogue = [](const EpilogueInput& e) {
               EpilogueInput off = e;
               off.beta = e.beta * e.alpha;
               return right_epilogue(off);
             };
           }},
    Mutant{"activation_subnormals_flushed", "subnormal bf16 activations count as zero",
           "conversions by way of instructions that flush (ftz)", "input_subnormals_flushed",
           [](Steps& s) {
             s.decode_bf16 = [](std::uint16_t code) {
               const bool subnormal = (code & 0x7F80) == 0;
               return cpu::decode_bf16(subnormal ? code & 0x8000 : code);
             };
           }},
    Mutant{"sum_through_bf16", "the sum is rounded to bf16 before the epilogue",
           "vllm#37135: a cast before the global scale", "sum_through_bf16",
           [](Steps& s) {
             s.epilogue = [](const EpilogueInput& e) {
               EpilogueInput off = e;
               off.sum = cpu::round_to_bf16(e.sum);
               return right_epilogue(off);
             };
           }},
};

}  // namespace

std::span<const Mutant> product_mutants() { return table; }

}  // namespace assay::kernels::mutants

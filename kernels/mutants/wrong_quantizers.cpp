// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <cmath>

#include "kernels/cpu/element.h"
#include "kernels/cpu/kernels.h"
#include "kernels/mutants/wrong_steps.h"

namespace assay::kernels::mutants {
namespace {

using cpu::encode_e2m1;

/// Codes by the seven midpoints; a value at one goes up (away from zero) or stays below.
template <bool up>
std::uint8_t encode_with_ties(float x) {
  const float a = std::fabs(x);
  int code = 0;
  for (const float midpoint : {0.25F, 0.75F, 1.25F, 1.75F, 2.5F, 3.5F, 5.0F})
    code += static_cast<int>(up ? a >= midpoint : a > midpoint);
  return static_cast<std::uint8_t>(code | (std::signbit(x) ? 8 : 0));
}

float to_fp16_toward_zero(float x) {
  if (!std::isfinite(x) || std::fabs(x) < 0x1p-14F) return x;
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(x) & 0xFFFFE000U);
}

std::uint8_t ue4m3_truncated(float x) {
  const std::uint8_t code = cpu::encode_ue4m3(x);
  return cpu::decode_ue4m3(code) > x ? static_cast<std::uint8_t>(code - 1) : code;
}
std::uint8_t ue4m3_up(float x) {
  const std::uint8_t code = cpu::encode_ue4m3(x);
  return cpu::decode_ue4m3(code) < x && code < 0x7E ? static_cast<std::uint8_t>(code + 1) : code;
}
std::uint8_t shifted(std::uint8_t code, int by) {
  return static_cast<std::uint8_t>(std::clamp(code + by, 0, 254));
}
/// exponent = floor(log2f(amax)), as a library without care for nextbelow(2^k) computes it.
std::uint8_t floor_by_logarithm(float amax) {
  if (amax == 0.0F) return 0;
  return static_cast<std::uint8_t>(
      std::clamp(static_cast<int>(std::floor(std::log2f(amax))) - 2 + 127, 0, 254));
}

constexpr std::array table{
    Mutant{"ties_away", "midpoints round away from zero",
           "aiter#974, triton#8110: add-half rounding", "ties_away",
           [](Steps& s) { s.encode_element = encode_with_ties<true>; }},
    Mutant{"ties_to_zero", "midpoints round toward zero",
           "DeepGEMM's reference: `>` at all seven boundaries", "ties_to_zero",
           [](Steps& s) { s.encode_element = encode_with_ties<false>; }},
    Mutant{"truncation", "elements are truncated instead of rounded",
           "tt-metal#51971: sticky bits dropped", "elements_truncated",
           [](Steps& s) {
             s.encode_element = [](float x) {
               const std::uint8_t code = encode_e2m1(x);
               const bool above = std::fabs(cpu::e2m1_values[code]) > std::fabs(x);
               return static_cast<std::uint8_t>(above ? code - 1 : code);
             };
           }},
    Mutant{"double_rounding_bf16", "elements pass through bf16 before they are rounded",
           "casts to bf16 before quantizing: 229,376 of 2^31 inputs differ", "double_rounding_bf16",
           [](Steps& s) {
             s.encode_element = [](float x) { return encode_e2m1(cpu::round_to_bf16(x)); };
           }},
    Mutant{"double_rounding_fp16", "elements pass through fp16, truncated, before they are rounded",
           "FlashML FreeToken#85", "double_rounding_fp16",
           [](Steps& s) {
             s.encode_element = [](float x) { return encode_e2m1(to_fp16_toward_zero(x)); };
           }},
    Mutant{"subnormal_code_unused", "the code 0.5 is never produced: what rounds to it becomes 0",
           "tt-metal#51975, codecs without subnormals", "element_subnormal_flushed",
           [](Steps& s) {
             s.encode_element = [](float x) {
               const std::uint8_t code = encode_e2m1(x);
               return static_cast<std::uint8_t>((code & 7) == 1 ? code & 8 : code);
             };
           }},
    Mutant{"negative_zero_lost", "-0, and what rounds to it, becomes +0",
           "DeepGEMM's reference, intel llm-scaler#569", "negative_zero_lost",
           [](Steps& s) {
             s.encode_element = [](float x) {
               const std::uint8_t code = encode_e2m1(x);
               return static_cast<std::uint8_t>(code == 8 ? 0 : code);
             };
           }},
    Mutant{"saturation_missing", "magnitudes of 7 and more wrap to code 0",
           "fouroversix: 8.0 encodes as -0", "saturation_missing",
           [](Steps& s) {
             s.encode_element = [](float x) {
               const std::uint8_t code = encode_e2m1(x);
               return static_cast<std::uint8_t>(std::fabs(x) >= 7.0F ? code & 8 : code);
             };
           }},
    Mutant{"nibbles_swapped_writing", "the even element goes to the high nibble",
           "imp#567; PTX cvt puts its first operand there", "nibbles_swapped",
           [](Steps& s) {
             s.pack = [](std::uint8_t even, std::uint8_t odd) {
               return static_cast<std::uint8_t>(odd | (even << 4));
             };
           }},
    Mutant{"e8m0_one_low", "power-of-two scales are one exponent too small",
           "vllm#43557: floor(log2(amax/6))", "e8m0_one_low",
           [](Steps& s) {
             s.scale_floor = [](float a) { return shifted(cpu::scale_floor(a), -1); };
             s.scale_rceil = [](float a) { return shifted(cpu::scale_rceil(a), -1); };
           }},
    Mutant{"e8m0_one_high", "power-of-two scales are one exponent too large",
           "FlyDSL#590: rounding rule of the scale", "e8m0_one_high",
           [](Steps& s) {
             s.scale_floor = [](float a) { return shifted(cpu::scale_floor(a), 1); };
             s.scale_rceil = [](float a) { return shifted(cpu::scale_rceil(a), 1); };
           }},
    Mutant{"floor_for_rceil", "the round-up rule is computed as the OCP floor",
           "never say just MXFP4", "floor_for_rceil",
           [](Steps& s) { s.scale_rceil = cpu::scale_floor; }},
    Mutant{"scale_by_logarithm", "the floor rule uses a float logarithm",
           "gfloat, microxcaling, Universal: wrong just below powers of two", "scale_by_logarithm",
           [](Steps& s) { s.scale_floor = floor_by_logarithm; }},
    Mutant{"e8m0_through_bf16", "amax is rounded to bf16 before its exponent is read", "ao#4725",
           "scale_double_rounding",
           [](Steps& s) {
             s.scale_floor = [](float a) { return cpu::scale_floor(cpu::round_to_bf16(a)); };
             s.scale_rceil = [](float a) { return cpu::scale_rceil(cpu::round_to_bf16(a)); };
           }},
    Mutant{"e4m3_scale_up", "E4M3 scales are rounded up",
           "cuDNN's documented rule, claimed as nearest", "e4m3_scale_up",
           [](Steps& s) { s.encode_ue4m3 = ue4m3_up; }},
    Mutant{"e4m3_scale_truncated", "E4M3 scales are truncated", "tt-metal#51971",
           "e4m3_scale_truncated", [](Steps& s) { s.encode_ue4m3 = ue4m3_truncated; }},
    Mutant{"e4m3_subnormals_flushed", "subnormal E4M3 scales become 0", "vllm#34577: scale range",
           "e4m3_subnormals_flushed",
           [](Steps& s) {
             s.encode_ue4m3 = [](float x) {
               const std::uint8_t code = cpu::encode_ue4m3(x);
               return static_cast<std::uint8_t>(code < 8 ? 0 : code);
             };
           }},
    Mutant{"amax_without_abs", "the largest value stands in for the largest magnitude",
           "vllm#20578 and both of its NVFP4 GEMM tests", "amax_without_abs",
           [](Steps& s) { s.magnitude = [](float x) { return x; }; }},
    Mutant{"tensor_scale_inverted", "the tensor scale is stored as a divisor",
           "modular#6600, compressed-tensors' weight_global_scale", "tensor_scale_inverted",
           [](Steps& s) { s.tensor_scale = [](float g) { return 1.0F / g; }; }},
    Mutant{"tensor_scale_omitted", "the tensor scale is stored as 1",
           "nunchaku#362, llama.cpp#22897", "tensor_scale_omitted",
           [](Steps& s) { s.tensor_scale = [](float) { return 1.0F; }; }},
    Mutant{"reciprocal_for_divide", "x / s is computed as x * (1 / s), but claimed as a division",
           "TE rcp / nvFuser#5696, flashinfer#3387", "reciprocal_for_divide",
           [](Steps& s) {
             s.divide = [](float x, float d) { return d == 0.0F ? 0.0F : x * (1.0F / d); };
           }},
    Mutant{"zero_block_zero_over_zero", "a zero block divides 0 by 0, and the NaN becomes 6",
           "kernels-community#680, Model-Optimizer#1397", "zero_block_not_a_number",
           [](Steps& s) {
             s.divide = [](float x, float d) { return d == 0.0F && x == 0.0F ? 7.0F : x / d; };
           }},
    Mutant{"nan_block_lost", "a NaN element does not spoil its block; it becomes a number",
           "Universal: NaN ignored in amax, NaN element -> 0", "nan_block_lost",
           [](Steps& s) { s.keep_nan_block = false; }},
    Mutant{"swizzle_ignored", "scale factors are written row-major where 128x4 was asked for",
           "modular#6600, TE and CUTLASS layouts", "swizzle_ignored",
           [](Steps& s) {
             s.scale_index = [](formats::ScaleLayout, std::int64_t r, std::int64_t b,
                                std::int64_t n) { return r * n + b; };
           }},
    Mutant{"ties_up", "midpoints round toward plus infinity", "floor(x + 0.5)", "ties_up",
           [](Steps& s) {
             s.encode_element = [](float x) {
               return std::signbit(x) ? encode_with_ties<false>(x) : encode_with_ties<true>(x);
             };
           }},
    Mutant{"written_sign_lost", "codes are written without their sign", "b12x#388: sign lost",
           "sign_lost",
           [](Steps& s) {
             s.encode_element = [](float x) {
               return static_cast<std::uint8_t>(encode_e2m1(x) & 7);
             };
           }},
    Mutant{
        "e8m0_nearest", "the power-of-two scale is rounded to nearest",
        "FlyDSL#590: 1/max_normal rounded to a power of two", "e8m0_nearest",
        [](Steps& s) {
          s.scale_rceil = [](float a) {
            if (a == 0.0F) return cpu::scale_rceil(a);
            int e = 0;
            // amax / 6 against 1.5 * 2^e, without dividing: a against 9 * 2^e.
            const double half = std::frexp(static_cast<double>(a) / 9.0, &e);
            e += half == 0.5 ? 126 : 127;
            return static_cast<std::uint8_t>(std::clamp(
                static_cast<double>(a) == std::ldexp(9.0, e - 127) ? e + (e % 2 == 0 ? 0 : 1) : e,
                0, 254));
          };
        }},
};

}  // namespace

std::span<const Mutant> quantizer_mutants() { return table; }

}  // namespace assay::kernels::mutants

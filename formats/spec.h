// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the bits of a format mean, as data. Nothing here computes: the fast codec (formats/codec.h)
// and the golden model (golden/codec.h) each read these rows and share nothing else, so a wrong
// computation cannot agree with itself. Adding a format is adding a row.

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#ifdef __FAST_MATH__
#error "assay is about bits: do not compile it with -ffast-math"
#endif

namespace assay::formats {

/// Rounding of an exact value to a format. The first six are deterministic.
/// nearest_even, nearest_away: to the nearest value; a tie goes to the even code / away from zero.
/// toward_zero, toward_positive, toward_negative: IEEE 754-2019 section 4.3.2.
/// to_odd: truncate, then set the last bit of an inexact result (von Neumann rounding); a finite
///         value never becomes infinite or NaN this way.
/// stochastic: n random bits r, fraction f = (|x| - lo)/(hi - lo): up iff floor(f 2^n) + r >= 2^n,
///         so P(up) = floor(f 2^n)/2^n exactly.
enum class RoundingMode : std::uint8_t {
  nearest_even,
  nearest_away,
  toward_zero,
  toward_positive,
  toward_negative,
  to_odd,
  stochastic,
};

/// What becomes of a magnitude that exceeds the largest finite value after rounding with an
/// unbounded exponent range, and of an infinite input. IEEE 754-2019 section 7.4 decides WHETHER a
/// finite value overflows: modes that round toward zero on that side (toward_zero, to_odd, the
/// directed mode pointing inwards) give the largest finite value; the others, and every infinity,
/// give saturate: the largest finite value; to_infinity: Inf; to_nan: NaN (both signed as the input
/// where the format has a sign). A format without Inf / NaN cannot express the latter two.
enum class Overflow : std::uint8_t { saturate, to_infinity, to_nan };

/// The code that a NaN input becomes.
enum class NanRule : std::uint8_t {
  canonical,      ///< the format's quiet NaN with zero payload and positive sign (all-ones formats:
                  ///< 0x7F, 0xFF)
  keep_sign,      ///< the same with the sign of the input
  all_ones,       ///< positive, all exponent and mantissa bits set (CUDA: bf16 0x7FFF)
  max_finite,     ///< +max; the only NaN-less answer besides zero (CUDA: E2M1 0x7)
  zero,           ///< +0 (formats without a zero cannot express it)
  opposite_zero,  ///< the zero whose sign is not the NaN's: -0 for a positive NaN (ml_dtypes E2M1;
                  ///< formats without a signed zero cannot express it)
};

/// What an unsigned format does with negative values (and E8M0, which has no zero, with zero).
enum class UnsignedRule : std::uint8_t {
  clamp,     ///< negatives, and values a zero-less format cannot reach, give code 0
  nan,       ///< negatives, and zero in a zero-less format, give NaN
  absolute,  ///< the sign is ignored; zero in a zero-less format gives code 0 (CUDA: E8M0)
};

/// Which codes are not numbers.
enum class Specials : std::uint8_t {
  none,          ///< every code is finite (E2M1)
  nan_all_ones,  ///< NaN only where exponent and mantissa are all ones (E4M3fn, UE4M3, E8M0)
  ieee,          ///< exponent all ones: Inf for a zero mantissa, NaN otherwise
};

/// How codes of negative numbers are written.
enum class Negatives : std::uint8_t {
  sign_bit,         ///< the sign bit beside the magnitude, as in IEEE 754; zero has two codes
  twos_complement,  ///< minus the code of the magnitude, modulo 2^(bits of a code); one zero
};

/// A format of at most 32 bits. A code is sign | exponent | mantissa from the top of its
/// `sign_bits + exponent_bits + mantissa_bits` low bits; a storage bit above them is ignored on
/// decoding and zero on encoding (UE4M3, E2M3 and E3M2 in a byte, E5M6 in two).
/// Finite value: exponent field E > 0, or any E where `subnormals` is false:
/// 2^(E - bias) * (1 + M/2^m); E = 0 with subnormals: 2^(1 - bias) * M/2^m.
/// Integers have no exponent field: m mantissa bits with bias 1 - m are the numbers 0 .. 2^m - 1,
/// "subnormals" all. Their range is symmetric: -2^m, which two's complement also has a code for,
/// decodes to itself and is never the code of a number.
struct FormatSpec {
  std::string_view name;
  int storage_bits;  ///< bits a code takes in an array: 4, 8, 16, 32
  int sign_bits;
  int exponent_bits;
  int mantissa_bits;
  int bias;
  bool subnormals;  ///< false: the exponent field 0 is an ordinary binade, and there is no zero
                    ///< (E8M0)
  Specials specials;
  std::string_view source;
  Negatives negatives = Negatives::sign_bit;
  /// Bits below the code in the array element that holds it, ignored on decoding and zero on
  /// encoding. TF32 keeps FP32's place: an array of TF32 is an array of FP32 numbers whose low 13
  /// bits are zero. A code by itself has no such bits.
  int storage_shift = 0;
};

// clang-format off
//                                name  bits s  e   m  bias subnormals specials
inline constexpr FormatSpec e2m1{"e2m1",   4, 1, 2,  1,   1, true, Specials::none,
    "OCP Microscaling Formats (MX) v1.0, section 5.3.3"};
inline constexpr FormatSpec e2m3{"e2m3",   8, 1, 2,  3,   1, true, Specials::none,
    "OCP Microscaling Formats (MX) v1.0, section 5.3.2"};
inline constexpr FormatSpec e3m2{"e3m2",   8, 1, 3,  2,   3, true, Specials::none,
    "OCP Microscaling Formats (MX) v1.0, section 5.3.2"};
inline constexpr FormatSpec e4m3{"e4m3",   8, 1, 4,  3,   7, true, Specials::nan_all_ones,
    "OCP 8-bit Floating Point (OFP8) v1.0, section 5, E4M3"};
inline constexpr FormatSpec e5m2{"e5m2",   8, 1, 5,  2,  15, true, Specials::ieee,
    "OCP 8-bit Floating Point (OFP8) v1.0, section 5, E5M2"};
inline constexpr FormatSpec ue4m3{"ue4m3", 8, 0, 4,  3,   7, true, Specials::nan_all_ones,
    "PTX ISA 9.0, section 5.2.3 alternate floating-point formats, ue4m3"};
inline constexpr FormatSpec e8m0{"e8m0",   8, 0, 8,  0, 127, false, Specials::nan_all_ones,
    "OCP Microscaling Formats (MX) v1.0, section 5.4.1"};
inline constexpr FormatSpec int4{"int4",   4, 1, 0,  3,  -2, true, Specials::none,
    "two's complement, symmetric -7 .. 7: this project's definition", Negatives::twos_complement};
inline constexpr FormatSpec e5m6{"e5m6",  16, 1, 5,  6,  15, true, Specials::ieee,
    "DeepSeek-V3, arXiv 2412.19437 section 3.3; Inf and NaN as in IEEE 754 by assumption"};
inline constexpr FormatSpec bf16{"bf16",  16, 1, 8,  7, 127, true, Specials::ieee,
    "bfloat16: IEEE 754 binary32 with a 7-bit fraction"};
inline constexpr FormatSpec fp16{"fp16",  16, 1, 5, 10,  15, true, Specials::ieee,
    "IEEE 754-2019 binary16"};
inline constexpr FormatSpec tf32{"tf32",  32, 1, 8, 10, 127, true, Specials::ieee,
    "PTX ISA 9.0, section 5.2.3 alternate floating-point formats, tf32", Negatives::sign_bit, 13};
inline constexpr FormatSpec fp32{"fp32",  32, 1, 8, 23, 127, true, Specials::ieee,
    "IEEE 754-2019 binary32"};
// clang-format on

/// Every format, by name order of the tables that users see.
inline constexpr std::array<const FormatSpec*, 13> all_formats{
    &e2m1, &e2m3, &e3m2, &e4m3, &e5m2, &ue4m3, &e8m0, &int4, &e5m6, &bf16, &fp16, &tf32, &fp32};

/// The conventions of one conversion. A request that the destination cannot express (a NaN from a
/// format without NaN ...) is an error of the caller, never silently replaced.
struct Policy {
  Overflow overflow;
  NanRule nan;
  UnsignedRule unsigned_rule;
};

/// One row of a named profile: the policy for one destination format.
struct ProfileRow {
  const FormatSpec* format;
  Policy policy;
  NanRule nan_from_f64;  ///< differs from policy.nan only where a source distinguishes (CUDA E4M3)
};

/// A named set of conventions: what a library or a specification does for each destination. A
/// profile has rows for the formats that its source speaks of; asking for another is an error.
struct Profile {
  std::string_view name;
  std::span<const ProfileRow> rows;
  std::string_view source;
};

namespace rows {

/// The notation of the rows below: overflow, NaN, and the rule for formats without a sign.
constexpr ProfileRow row(const FormatSpec& format, Overflow overflow, NanRule nan,
                         UnsignedRule rule = UnsignedRule::clamp) {
  return {&format, {overflow, nan, rule}, nan};
}
constexpr ProfileRow from_f64(ProfileRow other, NanRule nan) {
  return {other.format, other.policy, nan};
}
constexpr auto saturate = Overflow::saturate;
constexpr auto to_infinity = Overflow::to_infinity;
constexpr auto to_nan = Overflow::to_nan;
constexpr auto canonical = NanRule::canonical;
constexpr auto keep_sign = NanRule::keep_sign;
constexpr auto all_ones = NanRule::all_ones;
constexpr auto max_finite = NanRule::max_finite;
constexpr auto zero = NanRule::zero;
constexpr auto opposite_zero = NanRule::opposite_zero;
constexpr auto nan = UnsignedRule::nan;
constexpr auto absolute = UnsignedRule::absolute;

// clang-format off
inline constexpr ProfileRow saturating[] = {
    row(e2m1, saturate, max_finite), row(e2m3, saturate, max_finite),
    row(e3m2, saturate, max_finite), row(e4m3, saturate, canonical),
    row(e5m2, saturate, canonical),  row(ue4m3, saturate, canonical),
    row(e8m0, saturate, canonical),  row(int4, saturate, zero),
    row(e5m6, saturate, canonical),  row(bf16, saturate, canonical),
    row(fp16, saturate, canonical),  row(tf32, saturate, canonical),
    row(fp32, saturate, canonical)};
inline constexpr ProfileRow ieee[] = {
    row(e2m1, saturate, max_finite),   row(e2m3, saturate, max_finite),
    row(e3m2, saturate, max_finite),   row(e4m3, to_nan, canonical),
    row(e5m2, to_infinity, canonical), row(ue4m3, to_nan, canonical, nan),
    row(e8m0, to_nan, canonical, nan), row(int4, saturate, zero),
    row(e5m6, to_infinity, canonical), row(bf16, to_infinity, canonical),
    row(fp16, to_infinity, canonical), row(tf32, to_infinity, canonical),
    row(fp32, to_infinity, canonical)};
inline constexpr ProfileRow cuda13[] = {
    row(e2m1, saturate, max_finite),          row(e2m3, saturate, max_finite),
    row(e3m2, saturate, max_finite),
    from_f64(row(e4m3, saturate, canonical), keep_sign),
    from_f64(row(e5m2, saturate, all_ones), keep_sign),
    row(ue4m3, saturate, canonical, absolute), row(e8m0, saturate, canonical, absolute),
    row(int4, saturate, zero),                 row(e5m6, to_infinity, all_ones),
    row(bf16, to_infinity, all_ones),          row(fp16, to_infinity, all_ones),
    row(tf32, to_infinity, all_ones),          row(fp32, to_infinity, canonical)};
inline constexpr ProfileRow cuda13_nosat[] = {
    row(e2m1, saturate, max_finite),         row(e2m3, saturate, max_finite),
    row(e3m2, saturate, max_finite),
    from_f64(row(e4m3, to_nan, canonical), keep_sign),
    from_f64(row(e5m2, to_infinity, all_ones), keep_sign),
    row(ue4m3, to_nan, canonical, absolute), row(e8m0, to_nan, canonical, absolute),
    row(int4, saturate, zero),               row(e5m6, to_infinity, all_ones),
    row(bf16, to_infinity, all_ones),        row(fp16, to_infinity, all_ones),
    row(tf32, to_infinity, all_ones),        row(fp32, to_infinity, canonical)};
inline constexpr ProfileRow ml_dtypes[] = {
    row(e2m1, saturate, opposite_zero), row(e2m3, saturate, opposite_zero),
    row(e3m2, saturate, opposite_zero), row(e4m3, to_nan, keep_sign),
    row(e5m2, to_infinity, keep_sign),  row(e8m0, to_nan, canonical, nan),
    row(bf16, to_infinity, keep_sign)};
inline constexpr ProfileRow ocp_saturating[] = {
    row(e2m1, saturate, max_finite), row(e2m3, saturate, max_finite),
    row(e3m2, saturate, max_finite), row(e4m3, saturate, canonical),
    row(e5m2, saturate, canonical)};
inline constexpr ProfileRow ocp_nonsaturating[] = {
    row(e4m3, to_nan, canonical), row(e5m2, to_infinity, canonical)};
// clang-format on

}  // namespace rows

/// `saturating`: nothing finite or infinite leaves the finite range; NaN stays NaN where there is
/// one, and is 0 where the destination is an integer (as PTX cvt to integers has it).
inline constexpr Profile saturating{"saturating", rows::saturating, "this project's definition"};

/// `ieee`: overflow to Inf where there is one, else to NaN where there is one, else saturation.
inline constexpr Profile ieee{
    "ieee", rows::ieee,
    "IEEE 754-2019 section 7.4, extended to formats without Inf: this project's definition"};

/// `cuda13`: the host functions of CUDA 13.0's cuda_fp4.h, cuda_fp6.h, cuda_fp8.h, cuda_bf16.h,
/// cuda_fp16.h with __NV_SATFINITE. UE4M3 has no host function: |x| as E4M3; nor have E5M6, TF32
/// (as BF16) and INT4: these four are this project's definition. FP64 NaNs to E5M2 keep the top of
/// their payload beside the sign; the row is what a NaN with zero payload becomes.
inline constexpr Profile cuda13{
    "cuda13", rows::cuda13,
    "CUDA 13.0.88 headers, host path, __NV_SATFINITE; proved on all 2^32 inputs"};

/// `cuda13-nosat`: the same with __NV_NOSAT.
inline constexpr Profile cuda13_nosat{
    "cuda13-nosat", rows::cuda13_nosat,
    "CUDA 13.0.88 headers, host path, __NV_NOSAT; proved on all 2^32 inputs"};

/// `ml_dtypes`: numpy.ndarray.astype to the types of ml_dtypes, which rounds to nearest, ties to
/// even. E8M0 deviates: FP32 ties of 2^-126 and above go up, and so does everything between 2^-127
/// and 1.5 * 2^-127; docs/evidence/ml-dtypes.md counts them. Its int4 wraps: no row.
inline constexpr Profile ml_dtypes{
    "ml_dtypes", rows::ml_dtypes,
    "ml_dtypes 0.6.0, numpy.ndarray.astype; compared on all 2^32 inputs"};

/// `ocp_saturating`, `ocp_nonsaturating`: the two conversion modes of OFP8. The MX element formats
/// have neither Inf nor NaN: they saturate only, and MX leaves open what NaN becomes; here +max.
/// The sign of a NaN is left open too; here positive.
inline constexpr Profile ocp_saturating{
    "ocp_saturating", rows::ocp_saturating,
    "OFP8 v1.0, conversion with saturation; MX v1.0, section 5.3 for E2M1, E2M3, E3M2"};
inline constexpr Profile ocp_nonsaturating{"ocp_nonsaturating", rows::ocp_nonsaturating,
                                           "OFP8 v1.0, conversion without saturation"};

inline constexpr std::array<const Profile*, 7> all_profiles{
    &saturating, &ieee, &cuda13, &cuda13_nosat, &ml_dtypes, &ocp_saturating, &ocp_nonsaturating};

}  // namespace assay::formats

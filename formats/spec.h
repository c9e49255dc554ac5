// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the bits of a format mean, as data. Nothing here computes: the fast codec (formats/codec.h)
// and the golden model (golden/codec.h) each read these rows and share nothing else, so a wrong
// computation cannot agree with itself. Adding a format is adding a row.

#include <array>
#include <cstdint>
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
  canonical,   ///< the format's quiet NaN with zero payload and positive sign (all-ones formats:
               ///< 0x7F, 0xFF)
  keep_sign,   ///< the same with the sign of the input
  all_ones,    ///< positive, all exponent and mantissa bits set (CUDA: bf16 0x7FFF)
  max_finite,  ///< +max; the only NaN-less answer besides zero (CUDA: E2M1 0x7)
  zero,        ///< +0 (formats without a zero cannot express it)
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

/// A floating-point format of at most 32 bits. A code is sign | exponent | mantissa from the top of
/// its `sign_bits + exponent_bits + mantissa_bits` low bits; a storage bit above them is ignored on
/// decoding and zero on encoding (UE4M3 in a byte).
/// Finite value: exponent field E > 0, or any E where `subnormals` is false:
/// 2^(E - bias) * (1 + M/2^m); E = 0 with subnormals: 2^(1 - bias) * M/2^m.
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
};

inline constexpr FormatSpec e2m1{"e2m1",
                                 4,
                                 1,
                                 2,
                                 1,
                                 1,
                                 true,
                                 Specials::none,
                                 "OCP Microscaling Formats (MX) v1.0, section 5.3.3"};
inline constexpr FormatSpec e4m3{"e4m3",
                                 8,
                                 1,
                                 4,
                                 3,
                                 7,
                                 true,
                                 Specials::nan_all_ones,
                                 "OCP 8-bit Floating Point (OFP8) v1.0, section 5, E4M3"};
inline constexpr FormatSpec ue4m3{
    "ue4m3",
    8,
    0,
    4,
    3,
    7,
    true,
    Specials::nan_all_ones,
    "PTX ISA 9.0, section 5.2.3 alternate floating-point formats, ue4m3"};
inline constexpr FormatSpec e8m0{"e8m0",
                                 8,
                                 0,
                                 8,
                                 0,
                                 127,
                                 false,
                                 Specials::nan_all_ones,
                                 "OCP Microscaling Formats (MX) v1.0, section 5.4.1"};
inline constexpr FormatSpec bf16{"bf16",
                                 16,
                                 1,
                                 8,
                                 7,
                                 127,
                                 true,
                                 Specials::ieee,
                                 "bfloat16: IEEE 754 binary32 with a 7-bit fraction"};
inline constexpr FormatSpec fp16{
    "fp16", 16, 1, 5, 10, 15, true, Specials::ieee, "IEEE 754-2019 binary16"};
inline constexpr FormatSpec fp32{
    "fp32", 32, 1, 8, 23, 127, true, Specials::ieee, "IEEE 754-2019 binary32"};

/// Every format, by name order of the tables that users see.
inline constexpr std::array<const FormatSpec*, 7> all_formats{&e2m1, &e4m3, &ue4m3, &e8m0,
                                                              &bf16, &fp16, &fp32};

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

/// A named set of conventions: what a library or a specification does for each destination.
struct Profile {
  std::string_view name;
  std::array<ProfileRow, all_formats.size()> rows;
  std::string_view source;
};

/// `saturating`: nothing finite or infinite leaves the finite range; NaN stays NaN where there is
/// one.
inline constexpr Profile saturating{
    "saturating",
    {{{&e2m1, {Overflow::saturate, NanRule::max_finite, UnsignedRule::clamp}, NanRule::max_finite},
      {&e4m3, {Overflow::saturate, NanRule::canonical, UnsignedRule::clamp}, NanRule::canonical},
      {&ue4m3, {Overflow::saturate, NanRule::canonical, UnsignedRule::clamp}, NanRule::canonical},
      {&e8m0, {Overflow::saturate, NanRule::canonical, UnsignedRule::clamp}, NanRule::canonical},
      {&bf16, {Overflow::saturate, NanRule::canonical, UnsignedRule::clamp}, NanRule::canonical},
      {&fp16, {Overflow::saturate, NanRule::canonical, UnsignedRule::clamp}, NanRule::canonical},
      {&fp32, {Overflow::saturate, NanRule::canonical, UnsignedRule::clamp}, NanRule::canonical}}},
    "this project's definition"};

/// `ieee`: overflow to Inf where there is one, else to NaN where there is one, else saturation.
inline constexpr Profile ieee{
    "ieee",
    {{{&e2m1, {Overflow::saturate, NanRule::max_finite, UnsignedRule::clamp}, NanRule::max_finite},
      {&e4m3, {Overflow::to_nan, NanRule::canonical, UnsignedRule::clamp}, NanRule::canonical},
      {&ue4m3, {Overflow::to_nan, NanRule::canonical, UnsignedRule::nan}, NanRule::canonical},
      {&e8m0, {Overflow::to_nan, NanRule::canonical, UnsignedRule::nan}, NanRule::canonical},
      {&bf16, {Overflow::to_infinity, NanRule::canonical, UnsignedRule::clamp}, NanRule::canonical},
      {&fp16, {Overflow::to_infinity, NanRule::canonical, UnsignedRule::clamp}, NanRule::canonical},
      {&fp32,
       {Overflow::to_infinity, NanRule::canonical, UnsignedRule::clamp},
       NanRule::canonical}}},
    "IEEE 754-2019 section 7.4, extended to formats without Inf: this project's definition"};

/// `cuda13`: the host functions of CUDA 13.0's cuda_fp4.h, cuda_fp8.h, cuda_bf16.h, cuda_fp16.h
/// with
/// __NV_SATFINITE. UE4M3 has no host function: |x| as E4M3 (this project's definition).
inline constexpr Profile cuda13{
    "cuda13",
    {{{&e2m1, {Overflow::saturate, NanRule::max_finite, UnsignedRule::clamp}, NanRule::max_finite},
      {&e4m3, {Overflow::saturate, NanRule::canonical, UnsignedRule::clamp}, NanRule::keep_sign},
      {&ue4m3,
       {Overflow::saturate, NanRule::canonical, UnsignedRule::absolute},
       NanRule::canonical},
      {&e8m0, {Overflow::saturate, NanRule::canonical, UnsignedRule::absolute}, NanRule::canonical},
      {&bf16, {Overflow::to_infinity, NanRule::all_ones, UnsignedRule::clamp}, NanRule::all_ones},
      {&fp16, {Overflow::to_infinity, NanRule::all_ones, UnsignedRule::clamp}, NanRule::all_ones},
      {&fp32,
       {Overflow::to_infinity, NanRule::canonical, UnsignedRule::clamp},
       NanRule::canonical}}},
    "CUDA 13.0.88 headers, host path, __NV_SATFINITE; proved on all 2^32 inputs"};

/// `cuda13-nosat`: the same with __NV_NOSAT.
inline constexpr Profile cuda13_nosat{
    "cuda13-nosat",
    {{{&e2m1, {Overflow::saturate, NanRule::max_finite, UnsignedRule::clamp}, NanRule::max_finite},
      {&e4m3, {Overflow::to_nan, NanRule::canonical, UnsignedRule::clamp}, NanRule::keep_sign},
      {&ue4m3, {Overflow::to_nan, NanRule::canonical, UnsignedRule::absolute}, NanRule::canonical},
      {&e8m0, {Overflow::to_nan, NanRule::canonical, UnsignedRule::absolute}, NanRule::canonical},
      {&bf16, {Overflow::to_infinity, NanRule::all_ones, UnsignedRule::clamp}, NanRule::all_ones},
      {&fp16, {Overflow::to_infinity, NanRule::all_ones, UnsignedRule::clamp}, NanRule::all_ones},
      {&fp32,
       {Overflow::to_infinity, NanRule::canonical, UnsignedRule::clamp},
       NanRule::canonical}}},
    "CUDA 13.0.88 headers, host path, __NV_NOSAT; proved on all 2^32 inputs"};

inline constexpr std::array<const Profile*, 4> all_profiles{&saturating, &ieee, &cuda13,
                                                            &cuda13_nosat};

}  // namespace assay::formats

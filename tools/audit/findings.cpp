// SPDX-License-Identifier: Apache-2.0
#include "tools/audit/findings.h"

namespace assay::tools::audit {
namespace {

using formats::RoundingMode;

constexpr std::uint32_t infinity = 0x7F800000U;
constexpr std::uint32_t sign = 0x80000000U;

/// All positive, all negative NaNs.
Range positive_nan(std::uint32_t ours, std::uint32_t theirs) {
  return {infinity + 1, sign - 1, ours, theirs};
}
Range negative_nan(std::uint32_t ours, std::uint32_t theirs) {
  return {(sign | infinity) + 1, 0xFFFFFFFFU, ours, theirs};
}

bool scale_to_nearest(const Cast& cast) {
  return cast.destination == &formats::e8m0 && cast.mode == RoundingMode::nearest_even &&
         cast.peer != "gfloat";
}

/// PyTorch ignores the sign; what holds for a number then holds for its negative.
std::vector<Range> with_negatives(const Cast& cast, std::vector<Range> ranges) {
  if (cast.peer != "torch") return ranges;
  const std::size_t positive = ranges.size();
  for (std::size_t i = 0; i < positive; ++i) {
    const Range r = ranges[i];
    ranges.push_back({r.first | sign, r.last | sign, r.ours, r.theirs});
  }
  return ranges;
}

/// 1.5 * 2^k between an even code k + 127 and the next: 1.5 * 2^-127, a subnormal of FP32, and one
/// for each even code from 2 to 254, above which lies NaN, 255.
std::vector<Range> ties_go_up(const Cast& cast) {
  if (!scale_to_nearest(cast)) return {};
  std::vector<Range> ranges{{0x00600000U, 0x00600000U, 0, 1}};
  for (std::uint32_t code = 2; code < 255; code += 2) {
    const std::uint32_t tie = code << 23 | 0x00400000U;
    ranges.push_back({tie, tie, code, code + 1});
  }
  return with_negatives(cast, ranges);
}

std::vector<Range> below_the_lowest_tie(const Cast& cast) {
  if (!scale_to_nearest(cast)) return {};
  return with_negatives(cast, {{0x00400001U, 0x005FFFFFU, 0, 1}});
}

std::vector<Range> nan_keeps_its_sign(const Cast& cast) {
  const bool fp8 = cast.destination == &formats::e4m3 || cast.destination == &formats::e5m2;
  if (cast.peer != "torch" || !fp8) return {};
  return {negative_nan(0x7F, 0xFF)};
}

std::vector<Range> nan_of_any_bits(const Cast& cast) {
  if (cast.peer != "torch" || cast.destination->storage_bits != 16) return {};
  return {positive_nan(0x7FFF, any_nan), negative_nan(0x7FFF, any_nan)};
}

/// The first FP32 number that leaves E4M3's finite range upwards: beyond 464, the tie between 448
/// and 480, to nearest even; from it on to nearest away; beyond 448 rounding up; else only Inf.
std::uint32_t e4m3_overflows_from(RoundingMode mode) {
  switch (mode) {
    case RoundingMode::nearest_even:
      return 0x43E80001U;
    case RoundingMode::nearest_away:
      return 0x43E80000U;
    case RoundingMode::toward_positive:
      return 0x43E00001U;
    default:
      return infinity;
  }
}

std::vector<Range> one_nan(const Cast& cast) {
  if (cast.peer != "gfloat") return {};
  if (cast.destination == &formats::e5m2)
    return {positive_nan(0x7E, 0xFF), negative_nan(0x7E, 0xFF)};
  if (cast.destination == &formats::bf16)
    return {positive_nan(0x7FC0, 0xFFFF), negative_nan(0x7FC0, 0xFFFF)};
  if (cast.destination != &formats::e4m3) return {};
  std::vector<Range> ranges{positive_nan(0x7F, 0xFF), negative_nan(0x7F, 0xFF)};
  if (cast.profile == &formats::ieee)  // not saturating: the NaN of an overflow is the same one
    ranges.push_back({e4m3_overflows_from(cast.mode), infinity, 0x7F, 0xFF});
  return ranges;
}

std::vector<Range> nan_is_refused(const Cast& cast) {
  if (cast.peer != "gfloat" || cast.destination->specials != formats::Specials::none) return {};
  const std::uint32_t largest = cast.destination == &formats::e2m1 ? 0x7 : 0x1F;
  return {positive_nan(largest, refused), negative_nan(largest, refused)};
}

std::vector<Range> scale_without_code(const Cast& cast) {
  if (cast.peer != "gfloat" || cast.destination != &formats::e8m0) return {};
  const std::uint32_t negative = cast.profile == &formats::ieee ? 0xFF : 0x00;
  // Up to the tie 1.5 * 2^-128, which rounds to 2^-127.
  return {{0x00000001U, 0x002FFFFFU, 0, no_code}, {sign | 1, sign | infinity, negative, no_code}};
}

std::vector<Range> scale_of_zero(const Cast& cast) {
  if (cast.peer != "gfloat" || cast.destination != &formats::e8m0 || cast.profile != &formats::ieee)
    return {};
  return {{0, 0, 0xFF, 0}, {sign, sign, 0xFF, 0}};
}

constexpr Finding rows[] = {
    {"E1", "a tie between two powers of two goes up, to E8M0's odd code",
     "open: MX v1.0, 5.4.1, names no tie rule; ties to even takes the even code, since E8M0 has no "
     "mantissa; both libraries take the implied bit for the last bit (ml_dtypes issue 398)",
     ties_go_up},
    {"E2", "between 2^-127 and 1.5 * 2^-127 rounds up, to 2^-126",
     "golden: the nearest power of two is 2^-127 (code 00, MX v1.0, 5.4.1) under any tie rule",
     below_the_lowest_tie},
    {"M2", "a NaN keeps its sign",
     "both: IEEE 754-2019, 6.3, does not interpret the sign of a NaN, and OFP8 v1.0, section 5, "
     "has NaNs of both signs",
     nan_keeps_its_sign},
    {"M3", "a NaN becomes one of several, by the path that the array takes",
     "both: every answer is a NaN (IEEE 754-2019, 6.2.3, recommends that the payload survives)",
     nan_of_any_bits},
    {"G1", "NaN, also that of an overflow, is the one with every bit set, sign included",
     "both: OFP8 v1.0, section 5, has NaNs of both signs; a positive overflow becomes a NaN with "
     "the sign of a negative one",
     one_nan},
    {"G2", "NaN raises AssertionError",
     "open: MX v1.0, 5.3.2 and 5.3.3, have no NaN and leave the conversion to the implementation",
     nan_is_refused},
    {"G3", "negative numbers, and those below 1.5 * 2^-128, give an integer outside 0 .. 255",
     "golden for the small ones: the nearest power of two is 2^-127 (code 00); negative numbers "
     "are open (MX v1.0, 5.4.1, has no sign), but the answer must be a code",
     scale_without_code},
    {"G4", "zero becomes 2^-127 where nothing saturates",
     "open: MX v1.0, 5.4.1, has no zero; `ieee` answers NaN", scale_of_zero},
};

constexpr std::string_view nan_open =
    "open: no NaN in the format (MX v1.0, 5.3), the conversion is the implementation's";
constexpr std::string_view nan_sign = "any NaN (IEEE 754-2019, 6.3: its sign means nothing)";
constexpr std::string_view scale_open = "open: neither zero nor sign in E8M0 (MX v1.0, 5.4.1)";

constexpr Corner corner_rows[] = {
    {&formats::e2m1, infinity + 1, sign - 1, "NaN", nan_open},
    {&formats::e2m1, (sign | infinity) + 1, 0xFFFFFFFFU, "-NaN", nan_open},
    {&formats::e2m1, infinity, infinity, "Inf", "7: the format only saturates (MX v1.0, 5.3.3)"},
    {&formats::e2m1, sign, sign, "-0", "8: IEEE 754-2019, 6.3, keeps the sign of zero"},
    {&formats::e2m1, 0x3E800000U, 0x3E800000U, "0.25, a tie of 0 and 0.5",
     "0 under roundTiesToEven (IEEE 754-2019, 4.3.1)"},
    {&formats::e4m3, infinity + 1, sign - 1, "NaN", nan_sign},
    {&formats::e4m3, (sign | infinity) + 1, 0xFFFFFFFFU, "-NaN", nan_sign},
    {&formats::e4m3, infinity, infinity, "Inf",
     "7e saturating, else a NaN (OFP8 v1.0, conversion modes)"},
    {&formats::e4m3, 0x43E80001U, infinity - 1, "finite, above 464",
     "7e saturating, else a NaN (OFP8 v1.0, conversion modes)"},
    {&formats::e5m2, infinity + 1, sign - 1, "NaN", nan_sign},
    {&formats::e5m2, (sign | infinity) + 1, 0xFFFFFFFFU, "-NaN", nan_sign},
    {&formats::e5m2, infinity, infinity, "Inf",
     "7b saturating, else 7c (OFP8 v1.0, conversion modes)"},
    {&formats::e8m0, 0, 0, "0", scale_open},
    {&formats::e8m0, sign | 1, (sign | infinity) - 1, "negative, finite", scale_open},
    {&formats::e8m0, 0x00200000U, 0x00200000U, "2^-128",
     "00, the nearest power of two there is (MX v1.0, 5.4.1)"},
    {&formats::e8m0, 0x00400001U, 0x005FFFFFU, "between 2^-127 and 1.5 * 2^-127",
     "00 to nearest and toward zero, 01 upwards"},
    {&formats::e8m0, 0x40400000U, 0x40400000U, "3.0, a tie of 2 and 4",
     "80 to the even code; the tie rule is open"},
    {&formats::e8m0, 0x7F400000U, 0x7F400000U, "1.5 * 2^127",
     "fe to nearest, ties to the even code; upwards it overflows"},
    {&formats::e8m0, infinity + 1, sign - 1, "NaN", "ff (MX v1.0, 5.4.1)"},
    {&formats::bf16, infinity + 1, sign - 1, "NaN", nan_sign},
    {&formats::bf16, (sign | infinity) + 1, 0xFFFFFFFFU, "-NaN", nan_sign},
};

}  // namespace

std::span<const Finding> findings() { return rows; }

std::span<const Corner> corners() { return corner_rows; }

}  // namespace assay::tools::audit

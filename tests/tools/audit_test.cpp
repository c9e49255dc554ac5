// SPDX-License-Identifier: Apache-2.0
// The audit of other people's conversions: the CUDA headers are as their profile says, a fault of a
// single input is seen, and so is a known difference that does not occur.
#include "tools/audit/audit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "formats/codec.h"
#include "formats/names.h"
#include "tools/audit/cuda_casts.h"
#include "tools/audit/domain.h"

namespace assay::tools::audit {
namespace {

using formats::FormatSpec;
using formats::RoundingMode;

/// A peer of this name that answers as the codec does, but for `change`.
Cast codec_cast(const std::string& peer, const FormatSpec& source, const FormatSpec& destination,
                const formats::Profile& profile,
                const std::function<std::uint32_t(std::uint32_t in, std::uint32_t code)>& change) {
  const formats::Policy policy = profile_row(profile, destination).policy;
  const auto convert = [&source, &destination, policy, change](std::span<const std::uint32_t> in,
                                                               std::span<std::uint32_t> out) {
    for (std::size_t i = 0; i < in.size(); ++i) {
      const float x = __builtin_bit_cast(float, widened(source, in[i]));
      out[i] = change(in[i], encode(destination, x, RoundingMode::nearest_even, policy));
    }
  };
  return {peer,     "test",  &source, &destination, RoundingMode::nearest_even,
          &profile, convert, true,    false};
}

std::uint32_t unchanged(std::uint32_t, std::uint32_t code) { return code; }

TEST(Audit, CudaHeadersAreAsTheirProfileSays) {
  const std::vector<CudaCast> casts = cuda_casts();
  if (casts.empty()) GTEST_SKIP() << "the CUDA headers were not found when this was built";
  std::set<const FormatSpec*> destinations, sources;
  for (const CudaCast& row : casts) {
    destinations.insert(row.destination);
    sources.insert(row.source);
    const Cast cast{"cuda",
                    row.function,
                    row.source,
                    row.destination,
                    row.mode,
                    row.profile,
                    [&row](std::span<const std::uint32_t> in, std::span<std::uint32_t> out) {
                      row.convert(in.data(), in.size(), out.data());
                    },
                    true,
                    true};
    const Result result = audit(cast, false);
    EXPECT_EQ(result.differences, 0U) << row.function;
    EXPECT_TRUE(result.as_predicted()) << row.function;
    EXPECT_GE(result.inputs, 65536U) << row.function;
  }
  EXPECT_EQ(sources.size(), 3U);
  EXPECT_EQ(destinations,
            (std::set{&formats::e2m1, &formats::e2m3, &formats::e3m2, &formats::e4m3,
                      &formats::e5m2, &formats::e8m0, &formats::bf16, &formats::fp16}));
}

TEST(Audit, FaultOfOneInputIsSeen) {
  constexpr std::uint32_t tie = 0xC0A00000U;  // -5, between -4 and -6
  const auto away = [](std::uint32_t in, std::uint32_t code) { return in == tie ? 0xFU : code; };
  const Result result =
      audit(codec_cast("nobody", formats::fp32, formats::e2m1, formats::cuda13, away), false);
  EXPECT_EQ(result.differences, 1U);
  EXPECT_EQ(result.unpredicted, 1U);
  EXPECT_EQ(result.absent, 0U);
  ASSERT_EQ(result.surprises.size(), 1U);
  EXPECT_EQ(result.surprises[0].input, tie);
  EXPECT_EQ(result.surprises[0].ours, 0xEU);
  EXPECT_EQ(result.surprises[0].theirs, 0xFU);
}

// A library that mends what is known of it is news too.
TEST(Audit, KnownDifferenceThatDoesNotOccurIsSeen) {
  const Result result = audit(
      codec_cast("ml_dtypes", formats::bf16, formats::e8m0, formats::ml_dtypes, unchanged), false);
  EXPECT_EQ(result.differences, 0U);
  // 128 ties, and the BF16 numbers 0041 .. 005f between 2^-127 and 1.5 * 2^-127.
  EXPECT_EQ(result.absent, 128U + 31U);
  EXPECT_FALSE(result.as_predicted());
}

TEST(Audit, KnownDifferenceWithAnotherCodeIsSeen) {
  const auto other = [](std::uint32_t in, std::uint32_t code) {
    return in == 0x4040U ? 0x82U : code;  // 3.0: 80 to even, 81 is what is known
  };
  const Result result = audit(
      codec_cast("ml_dtypes", formats::bf16, formats::e8m0, formats::ml_dtypes, other), false);
  EXPECT_EQ(result.differences, 1U);
  EXPECT_EQ(result.unpredicted, 1U);
  EXPECT_EQ(result.absent, 128U + 31U - 1U);
}

TEST(Audit, RefusalOfEverythingIsNoConversion) {
  Cast cast = codec_cast("nobody", formats::fp32, formats::e2m1, formats::cuda13, unchanged);
  cast.convert = [](std::span<const std::uint32_t>, std::span<std::uint32_t> out) {
    std::fill(out.begin(), out.end(), refused);
  };
  const Result result = audit(cast, false);
  EXPECT_FALSE(result.missing.empty());
  EXPECT_EQ(result.inputs, 0U);
}

// Every midpoint of two neighbours with two numbers on both sides, the limits, and the specials.
TEST(Audit, InputsHoldEveryMidpointAndItsNeighbours) {
  for (const FormatSpec* spec : {&formats::e2m1, &formats::e4m3, &formats::e5m2, &formats::e8m0}) {
    const formats::Policy policy = profile_row(formats::ieee, *spec).policy;
    const std::vector<std::uint32_t> in =
        tried_inputs(formats::fp32, *spec, RoundingMode::nearest_even, policy);
    EXPECT_TRUE(std::is_sorted(in.begin(), in.end()));
    const auto has = [&in](std::uint32_t bits) {
      return std::binary_search(in.begin(), in.end(), bits);
    };
    const std::uint32_t last = formats::fields_of(*spec).max_finite();
    for (std::uint32_t code = 0; code < last; ++code) {
      const double middle = (double{decode(*spec, code)} + double{decode(*spec, code + 1)}) / 2;
      const auto bits = __builtin_bit_cast(std::uint32_t, static_cast<float>(middle));
      for (std::uint32_t step = 0; step < 5; ++step)
        EXPECT_TRUE(has(bits - 2 + step)) << spec->name << ' ' << code << ' ' << step;
    }
    for (const std::uint32_t special : {0U, 1U, 0x7F7FFFFFU, 0x7F800000U, 0x7F800001U, 0x7FC00000U,
                                        0x80000000U, 0xFF800000U, 0xFFFFFFFFU})
      EXPECT_TRUE(has(special)) << spec->name << ' ' << special;
  }
  EXPECT_EQ(tried_inputs(formats::fp16, formats::e2m1, RoundingMode::nearest_even,
                         profile_row(formats::ieee, formats::e2m1).policy)
                .size(),
            65536U);
}

}  // namespace
}  // namespace assay::tools::audit

// SPDX-License-Identifier: Apache-2.0
// The theorem behind idempotence, enumerated over every scale code; and that what claims to be
// exact or enumerated is.
#include <gtest/gtest.h>

#include <regex>
#include <set>

#include "golden/layout.h"
#include "golden/quantize.h"
#include "kernels/mutants/mutants.h"
#include "proptests/certify.h"
#include "proptests/properties/gemm_draw.h"
#include "proptests/properties/quantize_domains.h"

namespace assay::proptests {
namespace {

constexpr std::array quantized{&formats::nvfp4, &formats::nvfp4_divide, &formats::mxfp4_floor,
                               &formats::mxfp4_rceil, &formats::deepseek_v4};

themes::Case case_of(const formats::BlockFormat& format) {
  themes::Case c;
  c.claim.operation = "quantize";
  c.claim.a = &format;
  return c;
}

TEST(Domains, WhatAStableTensorDequantizesToQuantizesBack) {
  for (const formats::BlockFormat* format : quantized) {
    const auto [first, last] = domains::scale_codes(*format);
    for (std::uint32_t code = first; code <= last; ++code)
      for (std::uint64_t seed = 0; seed < 3; ++seed) {
        const rc::Random random(seed * 1000 + code);
        Draw draws(random);
        const formats::BlockScaledTensor t = domains::draw_stable(draws, *format, code);
        Draw again(random);
        themes::Case c = case_of(*format);
        domains::idempotence(again, c, code - first);
        const formats::BlockScaledTensor q =
            golden::quantize(c.x, c.rows, c.cols, *format, formats::QuantizeOptions{});
        ASSERT_EQ(q.codes, t.codes) << format->name << " scale code " << code;
        ASSERT_EQ(q.scales, t.scales) << format->name << " scale code " << code;
        ASSERT_EQ(q.tensor_scale, t.tensor_scale) << format->name;
      }
  }
}

/// The scale codes that a domain's cases give to their first blocks.
std::set<std::uint32_t> codes_met(const formats::BlockFormat& format,
                                  void (*build)(Draw&, themes::Case&, std::int64_t)) {
  std::set<std::uint32_t> codes;
  const auto [first, last] = domains::scale_codes(format);
  for (std::int64_t index = 0; index <= last - first; ++index) {
    Draw draw{rc::Random(7)};
    themes::Case c = case_of(format);
    build(draw, c, index);
    const formats::BlockScaledTensor q =
        golden::quantize(c.x, c.rows, c.cols, format, formats::QuantizeOptions{});
    for (std::int64_t r = 0; r < c.rows; ++r) codes.insert(golden::load_scale(q, r, 0));
  }
  return codes;
}

TEST(Domains, EveryScaleCodeIsMet) {
  for (const formats::BlockFormat* format : quantized) {
    const auto [first, last] = domains::scale_codes(*format);
    for (const auto build : {domains::every_tie, domains::every_scale_threshold}) {
      const std::set<std::uint32_t> codes = codes_met(*format, build);
      for (std::uint32_t code = first; code <= last; ++code)
        EXPECT_TRUE(codes.contains(code)) << format->name << " scale code " << code;
    }
  }
}

/// Where the order of operations keeps x / s exact, a tie is a tie: ties-away differs from
/// ties-to-even in every block.
TEST(Domains, EveryTieIsATie) {
  for (const formats::BlockFormat* format :
       {&formats::nvfp4_divide, &formats::mxfp4_floor, &formats::mxfp4_rceil}) {
    const auto [first, last] = domains::scale_codes(*format);
    for (std::int64_t index = 0; index <= last - first; ++index) {
      Draw draw{rc::Random(static_cast<std::uint64_t>(index))};
      themes::Case c = case_of(*format);
      domains::every_tie(draw, c, index);
      formats::QuantizeOptions away;
      away.rounding = formats::RoundingMode::nearest_away;
      EXPECT_NE(golden::quantize(c.x, c.rows, c.cols, *format, away).codes,
                golden::quantize(c.x, c.rows, c.cols, *format, {}).codes)
          << format->name << " index " << index;
    }
  }
}

TEST(Domains, EverySectionNamesADocumentAndAPlaceInIt) {
  const std::regex place(R"(section|arXiv|documentation|ISA|[a-z_]+/[a-z0-9_/]+\.(h|md))");
  for (const Property& p : catalogue())
    EXPECT_TRUE(std::regex_search(p.section, place)) << p.id << ": " << p.section;
}

/// Each fault is one that the named property exists for.
struct Kill {
  const char* mutant;
  const char* property;
};
class Killed : public testing::TestWithParam<Kill> {};
TEST_P(Killed, ByTheProperty) {
  const auto device = in_process(kernels::mutants::make_mutant(GetParam().mutant));
  CertifyOptions options;
  options.target = device->name();
  options.cases = 600;
  options.shrink_trials = 0;
  for (const Property& p : catalogue())
    if (p.id == GetParam().property) {
      EXPECT_EQ(run_property(p, *device, options).status, Status::fail) << p.id;
    }
}
INSTANTIATE_TEST_SUITE_P(
    All, Killed,
    testing::Values(Kill{"alpha_a_thousandth_off", "gemm.nvfp4_nvfp4.alpha_exact"},
                    Kill{"alpha_a_thousandth_off", "gemm.mxfp4_mxfp4.alpha_exact"},
                    Kill{"alpha_a_thousandth_off", "gemm.bf16_nvfp4.alpha_exact"},
                    Kill{"alpha_a_thousandth_off", "gemm.bf16_mxfp4.alpha_exact"},
                    Kill{"bias_before_alpha", "gemm.nvfp4_nvfp4.epilogue_exact"},
                    Kill{"beta_ignored", "gemm.nvfp4_nvfp4.epilogue_exact"},
                    Kill{"ties_away", "quantize.nvfp4-divide.every_tie"},
                    Kill{"scale_subnormal_as_normal", "dequantize.nvfp4.every_scale_code"},
                    Kill{"e8m0_nan_is_infinity", "dequantize.mxfp4-rceil.every_scale_code"},
                    Kill{"k_tail_of_16_dropped", "gemm.nvfp4_nvfp4.ragged"},
                    Kill{"nibbles_swapped_reading", "gemm.bf16_nvfp4.every_position"},
                    Kill{"row_stride_ignored", "gemm.nvfp4_nvfp4.padded_rows"},
                    Kill{"row_stride_ignored", "quantize.nvfp4.padded_rows"},
                    Kill{"row_stride_ignored", "dequantize.mxfp4-rceil.padded_rows"},
                    Kill{"row_stride_ignored", "qat_backward.nvfp4.lsq.padded_rows"},
                    Kill{"scale_padding_read", "gemm.nvfp4_nvfp4.padded_scales"},
                    Kill{"scale_padding_read", "dequantize.nvfp4.padded_scales"},
                    Kill{"split_k_by_m", "gemm.nvfp4_nvfp4.batch_invariance"},
                    Kill{"empty_k_is_zero", "gemm.bf16_nvfp4.empty"}),
    [](const auto& info) {
      std::string name = std::string(info.param.mutant) + "_" + std::to_string(info.index);
      return name;
    });

}  // namespace
}  // namespace assay::proptests

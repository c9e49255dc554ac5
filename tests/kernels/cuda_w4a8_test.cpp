// SPDX-License-Identifier: Apache-2.0
// W4A8's arithmetic on the host: the re-encoding, the unit that the benchmark predicts, and the
// kernel's whole computation against golden's bound.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <random>
#include <set>
#include <vector>

#include "formats/presets.h"
#include "formats/reencode.h"
#include "golden/codec.h"
#include "golden/gemm_bounds.h"
#include "golden/layout.h"
#include "kernels/cuda/fp8_unit.h"
#include "kernels/cuda/tile_order.cuh"
#include "kernels/cuda/w4a8_arithmetic.h"
#include "simulator/mma/dot.h"

namespace assay::kernels::cuda {
namespace {

using Rng = std::mt19937;

TEST(W4a8, FragmentsCoverATileOnce) {
  for (const int columns : {64, 128, 256}) {
    std::set<std::pair<int, int>> seen;
    for (int thread = 0; thread < 128; ++thread)
      for (int i = 0; i < columns / 2; ++i) {
        const FragmentPlace p = wgmma_place(thread, i);
        EXPECT_TRUE(p.row >= 0 && p.row < 64 && p.column >= 0 && p.column < columns);
        seen.emplace(p.row, p.column);
      }
    EXPECT_EQ(seen.size(), std::size_t{64} * columns);
  }
  // PTX ISA 9.0, wgmma, figure of the m64nNk8 D fragment: thread 37 (warp 1, lane 5).
  const FragmentPlace p = wgmma_place(37, 6);
  EXPECT_EQ(p.row, 16 + 1 + 8);
  EXPECT_EQ(p.column, 8 + 2);
}

TEST(W4a8, CodesAreThoseOfTheNumbers) {
  for (int shift = -260; shift <= 6; ++shift)
    for (int code = 0; code < 16; ++code) {
      const golden::Value x = golden::decode(formats::e2m1, static_cast<std::uint32_t>(code)) *
                              golden::Value::finite(golden::Exact::power_of_two(shift));
      const int got = reencode_e2m1(code, shift);
      bool held = false;
      for (std::uint32_t e4m3 = 0; e4m3 < 256; ++e4m3) {
        const golden::Value y = golden::decode(formats::e4m3, e4m3);
        if (!y.is_finite() || y.number != x.number || y.negative != x.negative) continue;
        held = true;
        EXPECT_EQ(got, static_cast<int>(e4m3)) << code << ' ' << shift;
      }
      if (!held) {
        EXPECT_EQ(got, -1) << code << ' ' << shift;
      }
    }
}

formats::BlockScaledTensor mxfp4(Rng& rng, std::int64_t rows, std::int64_t cols, int spread) {
  formats::BlockScaledTensor t;
  t.format = &formats::mxfp4_rceil;
  t.rows = rows;
  t.cols = cols;
  for (std::int64_t i = 0; i < rows * cols / 2; ++i)
    t.codes.push_back(static_cast<std::uint8_t>(rng()));
  for (std::int64_t i = 0; i < rows * cols / 32; ++i)
    t.scales.push_back(static_cast<std::uint8_t>(120 + rng() % (spread + 1)));
  return t;
}

/// One row of weights as reencode_kernel makes it, for sub-blocks of `width`.
struct HostRow {
  std::vector<std::uint8_t> codes;
  std::vector<int> scales;
  bool lost = false;
};
HostRow reencode(const formats::BlockScaledTensor& b, std::int64_t row, std::int64_t width) {
  HostRow out;
  for (std::int64_t k = 0; k < b.cols; k += width) {
    int nonzero = -1;
    int any = -1;
    for (std::int64_t c = k; c < std::min(k + width, b.cols); ++c) {
      const int scale = b.scales[row * (b.cols / 32) + c / 32];
      any = std::max(any, scale);
      if ((golden::load_code(b, row, c) & 7) != 0) nonzero = std::max(nonzero, scale);
    }
    const int common = common_scale(nonzero, any);
    out.scales.push_back(common);
    for (std::int64_t c = k; c < std::min(k + width, b.cols); ++c) {
      const int code = reencode_e2m1(static_cast<int>(golden::load_code(b, row, c)),
                                     b.scales[row * (b.cols / 32) + c / 32] - common);
      out.lost = out.lost || code < 0;
      out.codes.push_back(static_cast<std::uint8_t>(code));
    }
  }
  return out;
}

TEST(W4a8, RowsAreThoseOfTheHostsReencoder) {
  Rng rng(7);
  int lost = 0;
  for (int trial = 0; trial < 200; ++trial) {
    const formats::BlockScaledTensor b = mxfp4(rng, 1, 256, 6 + trial % 14);
    const formats::E4m3Reencoded want = formats::reencode_e4m3(b, formats::fp8_deepseek_v4);
    const HostRow got = reencode(b, 0, 128);
    ASSERT_EQ(got.lost, want.lost.has_value());
    lost += got.lost ? 1 : 0;
    if (got.lost) continue;
    EXPECT_EQ(got.codes, want.tensor.codes);
    for (std::size_t i = 0; i < got.scales.size(); ++i)
      EXPECT_EQ(got.scales[i], want.tensor.scales[i]);
  }
  EXPECT_GT(lost, 10);
  EXPECT_LT(lost, 190);
}

TEST(W4a8, TheUnitIsTheModel) {
  Rng rng(3);
  const simulator::MmaModel& model = simulator::find_mma_model("hopper.wgmma.e4m3.f32");
  for (int trial = 0; trial < 3000; ++trial) {
    std::vector<std::uint8_t> a(128);
    std::vector<std::uint8_t> b(128);
    // Codes of a few binades, subnormal ones, mixtures and zeros; signs that cancel or do not.
    const unsigned mask = trial % 3 == 0 ? 0xF7U : trial % 3 == 1 ? 0x9FU : 0x87U;
    for (auto* codes : {&a, &b})
      for (std::uint8_t& code : *codes) {
        code = static_cast<std::uint8_t>(rng() & mask);
        if (trial % 5 == 0) code &= 0x7F;
        if ((code & 0x7F) == 0x7F) code = 0;
      }
    if (trial % 7 == 0) a[40] = b[40] = 0x7E;
    float got = 0;
    for (std::size_t k = 0; k < a.size(); k += kFp8UnitStep) got = fp8_unit_step(&a[k], &b[k], got);
    const std::vector<std::uint32_t> wide_a(a.begin(), a.end());
    const std::vector<std::uint32_t> wide_b(b.begin(), b.end());
    const std::uint32_t want = simulator::dot(model, {.a = wide_a, .b = wide_b});
    ASSERT_EQ(std::bit_cast<std::uint32_t>(got) & 0x7FFFFFFFU, want & 0x7FFFFFFFU) << trial;
    if (got != 0) {
      ASSERT_EQ(std::signbit(got), (want >> 31U) != 0);
    }
  }
}

/// The kernel's whole computation of one output.
float kernel_output(const formats::BlockScaledTensor& a, const HostRow& b, int width,
                    int promotion) {
  float sum = 0;
  float part = 0;
  for (std::int64_t k = 0; k < a.cols; k += kFp8UnitStep) {
    part = fp8_unit_step(&a.codes[k], &b.codes[k], part);
    if ((k + kFp8UnitStep) % promotion != 0 && k + kFp8UnitStep < a.cols) continue;
    const float scale =
        std::ldexp(1.0F, a.scales[k / 128] - 127) * std::ldexp(1.0F, b.scales[k / width] - 127);
    sum = std::fma(part, scale, sum);
    part = 0;
  }
  return sum;
}

golden::AccumulatorModel w4a8_model(int promotion) {
  golden::AccumulatorModel model;
  model.kind = golden::AccumulatorClass::truncating;
  model.unit.fraction_bits = kFp8UnitBits;
  model.unit.promotion = promotion;
  model.stage = golden::ScaleStage::reencoded_weights;
  return model;
}

// Both ways of re-encoding, and a kernel that takes the scale factors of the block before.
TEST(W4a8, TheKernelIsWithinGoldensBound) {
  Rng rng(11);
  int outside = 0;
  int wrong = 0;
  int fine = 0;
  constexpr std::int64_t k = 1024;
  for (int trial = 0; trial < 60; ++trial) {
    formats::BlockScaledTensor a;
    a.format = &formats::fp8_deepseek_v4;
    a.rows = 1;
    a.cols = k;
    for (std::int64_t i = 0; i < k; ++i)  // positive: truncation adds up
      a.codes.push_back(static_cast<std::uint8_t>(trial % 4 == 0 ? rng() & 0x87 : rng() & 0x77));
    for (std::int64_t i = 0; i < k / 128; ++i)
      a.scales.push_back(static_cast<std::uint8_t>(125 + (trial % 2 == 0 ? 0 : rng() % 5)));
    formats::BlockScaledTensor b = mxfp4(rng, 1, k, trial % 3 == 0 ? 0 : trial % 3 == 1 ? 13 : 40);
    for (std::uint8_t& code : b.codes) code &= 0x77;
    HostRow row = reencode(b, 0, 128);
    const int width = row.lost ? 32 : 128;
    if (row.lost) row = reencode(b, 0, 32);
    ASSERT_FALSE(row.lost);
    fine += width == 32 ? 1 : 0;
    for (const int promotion : {32, 64, 128}) {
      const golden::GemmOracle oracle =
          golden::gemm_oracle(golden::factor(a), golden::factor(b), {}, w4a8_model(promotion));
      const float d = kernel_output(a, row, width, std::min(promotion, width));
      EXPECT_EQ(golden::judge(formats::fp32, std::bit_cast<std::uint32_t>(d), oracle.reference[0],
                              oracle.bounds[0]),
                golden::Judgement::within)
          << trial << ' ' << promotion;
      if (trial % 2 == 0 || trial % 4 == 0) continue;
      formats::BlockScaledTensor stale = a;
      std::rotate(stale.scales.begin(), stale.scales.end() - 1, stale.scales.end());
      if (stale.scales == a.scales) continue;
      const float late = kernel_output(stale, row, width, std::min(promotion, width));
      ++wrong;
      outside += golden::judge(formats::fp32, std::bit_cast<std::uint32_t>(late),
                               oracle.reference[0], oracle.bounds[0]) == golden::Judgement::outside
                     ? 1
                     : 0;
    }
  }
  EXPECT_GT(fine, 10);
  EXPECT_GT(wrong, 40);
  EXPECT_GT(outside, wrong * 9 / 10);
}

// Ragged and empty groups in both layouts: every row of a group is in one tile of that group.
TEST(GroupTiles, CoverEveryRowOnce) {
  Rng rng(9);
  for (int trial = 0; trial < 200; ++trial) {
    const std::int64_t groups = 1 + rng() % 20;
    std::vector<std::int64_t> counts;
    std::vector<std::int64_t> offsets{static_cast<std::int64_t>(rng() % 3)};
    constexpr std::int64_t most = 300;
    for (std::int64_t g = 0; g < groups; ++g) {
      counts.push_back(rng() % 3 == 0 ? 0 : rng() % (most + 1));
      offsets.push_back(offsets.back() + counts.back());
    }
    for (const GroupRows& rows :
         {GroupRows{.offsets = offsets.data()}, GroupRows{.counts = counts.data(), .most = most}}) {
      for (const int height : {64, 128, 256}) {
        std::int64_t tiles = 0;
        for (std::int64_t g = 0; g < groups; ++g) {
          std::vector<RowTile> made(tiles_of_group(rows, g, height));
          put_group_tiles(rows, g, height, made.data());
          tiles += static_cast<std::int64_t>(made.size());
          std::int64_t next = rows.begin(g);
          for (const RowTile& tile : made) {
            EXPECT_EQ(tile.row0, next);
            EXPECT_EQ(tile.group, g);
            EXPECT_TRUE(tile.end > tile.row0 && tile.end <= tile.row0 + height);
            next = tile.end;
          }
          EXPECT_EQ(next, rows.end(g));
        }
        const std::int64_t total = rows.offsets != nullptr ? offsets.back() : groups * most;
        EXPECT_LE(tiles, most_row_tiles(total, groups, height));
      }
    }
  }
}

TEST(W4a8, GoldenRefusesWhatNoKernelDoes) {
  Rng rng(5);
  const formats::BlockScaledTensor b = mxfp4(rng, 1, 128, 3);
  formats::BlockScaledTensor a;
  a.format = &formats::fp8_deepseek_v4;
  a.rows = 1;
  a.cols = 128;
  a.codes.assign(128, 0x38);
  a.scales.assign(1, 127);
  for (const int promotion : {0, 48, 256})
    EXPECT_THROW(
        (void)golden::gemm_oracle(golden::factor(a), golden::factor(b), {}, w4a8_model(promotion)),
        std::invalid_argument);
}

}  // namespace
}  // namespace assay::kernels::cuda

// SPDX-License-Identifier: Apache-2.0
// The interpreter against the definition in exact numbers, over every row, and what follows from
// the published statements alone.
#include "simulator/mma/dot.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <set>
#include <stdexcept>

#include "mma/double_dot.h"
#include "mma/golden_dot.h"
#include "mma/operand_families.h"
#include "simulator/mma/unit.h"

namespace assay::simulator {
namespace {

using tests::DoubleDot;
using tests::draw;
using tests::GoldenDot;
using tests::Operands;

std::string show(const Operands& o) {
  std::string text = "c " + std::to_string(o.c);
  for (std::size_t i = 0; i < o.a.size(); ++i)
    text += " " + std::to_string(o.a[i]) + "x" + std::to_string(o.b[i]);
  return text;
}

/// Cases per family and row; ASSAY_MMA_CASES asks for more.
int cases_of(int fallback) {
  const char* asked = std::getenv("ASSAY_MMA_CASES");
  return asked == nullptr ? fallback : std::atoi(asked);
}

class EveryModel : public testing::TestWithParam<std::size_t> {};

TEST_P(EveryModel, IsTheDefinition) {
  const MmaModel& model = all_mma_models()[GetParam()];
  const GoldenDot golden(model);
  DoubleDot doubles(model);
  std::mt19937_64 random(GetParam() + 1);
  const int cases = cases_of(200);
  for (const tests::Family family : tests::families) {
    for (int i = 0; i < cases; ++i) {
      const int k = i % 8 == 0 ? 2 * model.step : i % 8 == 1 ? model.shortest_k : model.step;
      const Operands o = draw(model, family, static_cast<std::size_t>(k), random);
      const DotOperands operands{o.a, o.b, o.c, o.scale_a, o.scale_b};
      const std::uint32_t exact = golden(operands);
      if (DoubleDot::takes(model)) {
        ASSERT_EQ(doubles(operands), exact) << model.name << " in doubles " << show(o);
      }
      ASSERT_EQ(dot(model, operands), exact)
          << model.name << " " << tests::family_names[static_cast<int>(family)] << " " << show(o);
    }
  }
}
/// The code that the probe runs on a GPU.
TEST_P(EveryModel, IsTheUnit) {
  const MmaModel& model = all_mma_models()[GetParam()];
  if (!has_unit(model)) return;
  const MmaUnit unit = unit_of(model);
  std::mt19937_64 random(GetParam() + 1000);
  for (const tests::Family family : tests::families) {
    for (int i = 0; i < 400; ++i) {
      const int k = i % 4 == 0 ? model.shortest_k : model.step;
      const Operands o = draw(model, family, static_cast<std::size_t>(k), random);
      const auto a = [&o](int j) { return o.a[static_cast<std::size_t>(j)]; };
      const auto b = [&o](int j) { return o.b[static_cast<std::size_t>(j)]; };
      ASSERT_EQ(unit_dot(unit, a, b, k, o.c), dot(model, {o.a, o.b, o.c}))
          << model.name << " " << tests::family_names[static_cast<int>(family)] << " " << show(o);
    }
  }
}

std::string title(const testing::TestParamInfo<std::size_t>& info) {
  std::string text = all_mma_models()[info.param].name;
  for (char& c : text)
    if (c == '.') c = '_';
  return text;
}
INSTANTIATE_TEST_SUITE_P(Mma, EveryModel, testing::Range<std::size_t>(0, all_mma_models().size()),
                         title);

/// 1 and 2^-s with all signs, s = 0..40, on both sides of F and with c as either term.
TEST(Mma, EveryShiftOfTwoTerms) {
  for (const char* name : {"hopper.mma.bf16.f32", "hopper.wgmma.e5m2.f32", "ampere.mma.bf16.f32"}) {
    const MmaModel& model = find_mma_model(name);
    const GoldenDot golden(model);
    const auto& spec = *model.a;
    const auto power = [&spec](int e) {
      return static_cast<std::uint32_t>(e + spec.bias) << spec.mantissa_bits;
    };
    const std::uint32_t sign = 1U << (spec.exponent_bits + spec.mantissa_bits);
    for (int shift = 0; shift <= 40; ++shift) {
      for (unsigned signs = 0; signs < 8; ++signs) {
        for (const std::uint32_t extra : {0U, 1U, spec.mantissa_bits > 2 ? 5U : 3U}) {
          std::vector<std::uint32_t> a(static_cast<std::size_t>(model.step));
          std::vector<std::uint32_t> b(a.size());
          const int half = spec.bias > 20 ? shift : std::min(shift, 14);
          a[0] = power(0) | ((signs & 1) != 0 ? sign : 0);
          b[0] = power(0);
          a[1] = power(-half) | extra | ((signs & 2) != 0 ? sign : 0);
          b[1] = power(half - shift < -14 && spec.bias <= 20 ? -14 : half - shift);
          const std::uint32_t c =
              static_cast<std::uint32_t>(127 - shift) << 23 | ((signs & 4) != 0 ? 1U << 31 : 0);
          for (const std::uint32_t accumulator : {0U, c, 1U << 31}) {
            const DotOperands o{a, b, accumulator};
            ASSERT_EQ(dot(model, o), golden(o)) << name << " shift " << shift;
          }
        }
      }
    }
  }
}

TEST(Mma, EveryPairOfScaleFactors) {
  for (const char* name : {"blackwell.tcgen05.nvfp4.f32", "blackwell.tcgen05.mxfp4.f32",
                           "blackwell.tcgen05.mxe4m3.f32"}) {
    const MmaModel& model = find_mma_model(name);
    const GoldenDot golden(model);
    std::mt19937_64 random(7);
    for (std::uint32_t sa = 0; sa < 256; ++sa) {
      for (std::uint32_t sb = 0; sb < 256; ++sb) {
        Operands o =
            draw(model, tests::Family::finite, static_cast<std::size_t>(model.step), random);
        o.scale_a[0] = sa;
        o.scale_b[0] = sb;
        const DotOperands operands{o.a, o.b, o.c, o.scale_a, o.scale_b};
        ASSERT_EQ(dot(model, operands), golden(operands)) << name << " " << sa << " " << sb;
      }
    }
  }
}

// Published statements, as numbers.
TEST(Mma, ProductsAreNotRenormalised) {
  // 1.5 * 1.5 = 2.25 has the exponent 0, not 1: on F = 13 the term 2^-13 survives beside it.
  const MmaModel& model = find_mma_model("hopper.wgmma.e4m3.f32");
  std::vector<std::uint32_t> a(32);
  std::vector<std::uint32_t> b(32);
  a[0] = b[0] = 0x3C;  // 1.5
  a[1] = 0x01;         // 2^-9
  b[1] = 0x18;         // 2^-4
  EXPECT_EQ(dot(model, {a, b, 0}), std::bit_cast<std::uint32_t>(2.25F));
  // Renormalised, 2^-13 would be cut; so is it in the result, whose last bit is 2^(1 - 13).
  a[2] = 0x01;
  b[2] = 0x18;
  EXPECT_EQ(dot(model, {a, b, 0}), std::bit_cast<std::uint32_t>(2.25F + 0x1p-12F));
}

TEST(Mma, SpecialsAndCanonicalNan) {
  const MmaModel& model = find_mma_model("hopper.mma.f16.f32");
  std::vector<std::uint32_t> a(16, 0x3C00);
  const std::vector<std::uint32_t> b(16, 0x3C00);
  a[3] = 0x7C00;
  EXPECT_EQ(dot(model, {a, b, 0}), 0x7F800000U);
  EXPECT_EQ(dot(model, {a, b, 0xFF800000U}), 0x7FFFFFFFU);
  a[4] = 0xFE01;
  EXPECT_EQ(dot(model, {a, b, 0}), 0x7FFFFFFFU);
  const MmaModel& half = find_mma_model("hopper.mma.f16.f16");
  EXPECT_EQ(dot(half, {a, b, 0}), 0x7FFFU);
}

TEST(Mma, Tf32DropsTheLowBitsOfANan) {
  const MmaModel& model = find_mma_model("hopper.mma.tf32.f32");
  std::vector<std::uint32_t> a(8);
  std::vector<std::uint32_t> b(8, 0x3F800000U);
  a[0] = 0x7F800001U;  // a NaN whose payload lies in the bits that are not read
  EXPECT_EQ(dot(model, {a, b, 0}), 0x7F800000U);
}

TEST(Mma, NamesAreUniqueAndUnknownOnesSuggest) {
  std::set<std::string> names;
  for (const MmaModel& m : all_mma_models()) EXPECT_TRUE(names.insert(m.name).second) << m.name;
  try {
    static_cast<void>(find_mma_model("hoper.wgmma.e4m3.f32"));
    FAIL();
  } catch (const std::invalid_argument& e) {
    EXPECT_NE(std::string(e.what()).find("hopper.wgmma.e4m3.f32"), std::string::npos);
  }
}

TEST(Mma, WrongOperandsAreNamed) {
  const MmaModel& model = find_mma_model("hopper.wgmma.e4m3.f32");
  const std::vector<std::uint32_t> short_k(16);
  const std::vector<std::uint32_t> k32(32);
  const std::vector<std::uint32_t> wide(32, 256);
  EXPECT_THROW(static_cast<void>(dot(model, {short_k, short_k, 0})), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(dot(model, {k32, short_k, 0})), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(dot(model, {wide, k32, 0})), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(dot(model, {k32, k32, 0, k32, k32})), std::invalid_argument);
}

}  // namespace
}  // namespace assay::simulator

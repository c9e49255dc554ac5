// SPDX-License-Identifier: Apache-2.0
// Products under a recipe's accumulator, on operands whose result follows from the definition.
#include "simulator/graph/accumulate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "formats/presets.h"
#include "simulator/graph/measure.h"
#include "simulator/input_error.h"
#include "tests/simulator/random_graph.h"

namespace assay::simulator {
namespace {

OperandFormat plain(const formats::FormatSpec& element) {
  OperandFormat f;
  f.element = &element;
  return f;
}

OperandFormat blocks(const formats::BlockFormat& block) {
  OperandFormat f;
  f.block = block;
  return f;
}

Matrix row(std::initializer_list<double> values, std::int64_t k) {
  Matrix m = Matrix::Zero(1, k);
  std::copy(values.begin(), values.end(), m.data());
  return m;
}

double product(const Matrix& x, const Matrix& w, const OperandFormat& format,
               const AccumulatorModel& accumulator) {
  return unit_product(unit_operand(x, format, 1), unit_operand(w, format, 1), accumulator)(0, 0);
}

// fl32(1 + 2^-24) is a tie that goes to 1, twice; the small ones first add up to 2^-23, which
// stays.
TEST(Accumulate, Fp32RoundsEverySumInAscendingK) {
  const double small = std::ldexp(1, -24);
  const Matrix ones = row({1, 1, 1}, 3);
  EXPECT_EQ(product(row({1, small, small}, 3), ones, plain(formats::fp32), {}), 1);
  EXPECT_EQ(product(row({small, small, 1}, 3), ones, plain(formats::fp32), {}), 1 + 2 * small);
}

// Terms of 2^-14 beside one of exponent 0: F = 13 truncates each to zero, F = 14 keeps them.
TEST(Accumulate, TruncatingLosesWhatLiesBelowF) {
  Matrix x = Matrix::Constant(1, 32, std::ldexp(1, -7));
  x(0, 0) = 1;
  const auto f = plain(formats::e4m3);
  EXPECT_EQ(product(x, x, f, {"truncating", 13, 0}), 1);
  EXPECT_EQ(product(x, x, f, {"truncating", 14, 0}), 1 + 31 * std::ldexp(1, -14));
}

// The second half alone sums to 2^-7; in one accumulator with the 1 before it every term is lost.
TEST(Accumulate, PromotionStartsAnAccumulatorAgain) {
  Matrix x = Matrix::Constant(1, 256, std::ldexp(1, -7));
  x.leftCols(128).setZero();
  x(0, 0) = 1;
  const auto f = plain(formats::e4m3);
  EXPECT_EQ(product(x, x, f, {"truncating", 13, 0}), 1);
  EXPECT_EQ(product(x, x, f, {"truncating", 13, 128}), 1 + 128 * std::ldexp(1, -14));
}

// The scale factors of two blocks along k differ by 2^10: each block's sum takes its own.
TEST(Accumulate, ScaleFactorsMultiplyTheSumsOfTheirBlocks) {
  Matrix x = Matrix::Constant(2, 256, 3);
  x.rightCols(128) *= 1024;
  Matrix w = Matrix::Ones(1, 256);
  const auto a = unit_operand(x, blocks(formats::fp8_deepseek_v4), 1);
  const auto b = unit_operand(w, plain(formats::e4m3), 1);
  EXPECT_NE(a.factor(0, 0), a.factor(0, 128));
  const Matrix y = unit_product(a, b, {"truncating", 13, 128});
  EXPECT_EQ(y(0, 0), 3 * 128 * 1025.0);
  EXPECT_EQ(y(1, 0), 3 * 128 * 1025.0);
}

// A wide accumulator is the exact product but for FP32: k = 96 sums of relative error 2^-23 each.
TEST(Accumulate, AWideAccumulatorIsTheExactProduct) {
  std::mt19937_64 random(3);
  std::normal_distribution<double> n;
  Matrix x(5, 96);
  Matrix w(7, 96);
  for (auto* m : {&x, &w}) {
    for (std::int64_t i = 0; i < m->size(); ++i) m->data()[i] = static_cast<float>(n(random));
  }
  for (const auto& [fx, fw] :
       {std::pair{blocks(formats::fp8_deepseek_v3), blocks(formats::fp8_deepseek_v3_weight)},
        std::pair{blocks(formats::nvfp4), blocks(formats::nvfp4)}}) {
    const auto a = unit_operand(x, fx, 1);
    const auto b = unit_operand(w, fw, 1);
    const Matrix exact = a.values * b.values.transpose();
    const Matrix bound = a.values.cwiseAbs() * b.values.cwiseAbs().transpose() * 96 * 0x1p-23;
    for (const AccumulatorModel& m : {AccumulatorModel{}, AccumulatorModel{"truncating", 25, 0}}) {
      const Matrix error = (unit_product(a, b, m) - exact).cwiseAbs();
      EXPECT_TRUE((error.array() <= bound.array()).all()) << fx.block->name << " " << m.kind;
    }
  }
}

TEST(Accumulate, ANamedUnitTakesItsOwnFormatsOnly) {
  const Matrix x = row({1, 2, 3}, 3);
  const AccumulatorModel hopper{"hopper.wgmma.e4m3.f32", 0, 0};
  EXPECT_EQ(product(x, x, plain(formats::e4m3), hopper), 14);
  EXPECT_THROW((void)product(x, x, plain(formats::bf16), hopper), InputError);
}

// The transform cancels between two transformed operands: (H x)(H w) = x w for values that FP4
// holds before and after it.
TEST(Accumulate, AHadamardTransformOfBothOperandsCancels) {
  OperandFormat turned = blocks(formats::fp4_fp32);
  turned.hadamard = 16;
  Matrix x = Matrix::Zero(1, 16);
  x(0, 3) = 4;  // its transform is +-1
  const AccumulatorModel wide{"truncating", 25, 0};
  EXPECT_NEAR(product(x, x, turned, wide), 16, 1e-5);
  EXPECT_THROW((void)unit_product(unit_operand(x, turned, 1),
                                  unit_operand(x, blocks(formats::fp4_fp32), 1), wide),
               InputError);
}

TEST(Accumulate, RoundingOutputsIsToNearestEven) {
  Matrix y(1, 3);
  y << 1 + 0x1p-8, 1 + 3 * 0x1p-8, 1 + 0x1.1p-8;  // two ties and one above
  round_to_format(y, plain(formats::bf16));
  EXPECT_EQ(y(0, 0), 1);
  EXPECT_EQ(y(0, 1), 1 + 0x1p-6);
  EXPECT_EQ(y(0, 2), 1 + 0x1p-7);
}

// BF16 with FP32 sums is no longer nothing: 2^-9 of every operand and output. Its quantization is.
TEST(Accumulate, TheControlUnderItsOwnArithmetic) {
  const Graph g = RandomGraph({}).make();
  const Forward clean = run_forward(g, {});
  const Measurement m =
      measure(g, clean, load_recipe("bf16"), {}, {}, {.products = Products::recipe});
  EXPECT_TRUE(m.operands.empty());
  EXPECT_GT(m.loss.kl, 0);
  EXPECT_LT(m.loss.kl, 0.05);
  const Measurement fp8 =
      measure(g, clean, load_recipe("fp8-deepseek-v3"), {}, {}, {.products = Products::recipe});
  ASSERT_EQ(fp8.accumulators.size(), fp8.linears.size());
  for (const auto& a : fp8.accumulators) {
    EXPECT_LT(a.error.nsr, 1e-3) << a.op;
    EXPECT_GT(a.error.nsr, 0) << a.op;
  }
}

}  // namespace
}  // namespace assay::simulator

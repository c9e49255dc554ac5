// SPDX-License-Identifier: Apache-2.0
// The stages of products that hypotheses edit (proptests/diagnosis/product_model.h), against
// numbers worked out by hand.
#include <gtest/gtest.h>

#include <bit>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "formats/presets.h"
#include "golden/quantize.h"
#include "proptests/diagnosis/decodes.h"
#include "proptests/diagnosis/product_rows.h"

namespace assay::proptests::diagnosis {
namespace {

using golden::Rational;

/// A of bf16 numbers, one row, by a B of MXFP4 with scale factors of 1; alpha 1.
ProductModel product(const std::vector<float>& a, const std::vector<float>& b) {
  ProductModel p;
  p.claim.operation = "gemm";
  p.claim.b = &formats::mxfp4_rceil;
  p.claim.output = &formats::fp32;
  p.claim.accumulator = kernels::Accumulator::fp32_fixed_order;
  p.m = p.n = 1;
  p.k = std::ssize(a);
  for (const float x : a)
    p.a_bf16.push_back(static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(x) >> 16U));
  p.b.t = golden::quantize(b, 1, p.k, formats::mxfp4_rceil);
  return p;
}
ProductRow row(std::vector<ProductRow> rows, const std::string& id, const std::string& text) {
  for (ProductRow& r : rows)
    if (r.id == id && r.text.find(text) != std::string::npos) return std::move(r);
  throw std::logic_error("no such row: " + id);
}
Rational result(const ProductModel& p) { return p.run().reference.front().number; }

TEST(Epilogue, EachIntermediateIsRoundedByItself) {
  // bf16 has steps of 2^-6 above 2: 3 + 3/512 is rounded to 3, 3 + 7/512 to 3 + 2^-6.
  ProductModel p = product({1.0F, 0x1p-9F}, {6.0F, 6.0F});
  p.bias = {0x1p-7F};
  p.alpha = 0.5F;
  const Rational sum = Rational(3) + Rational(3) / 512;
  const Rational bias = Rational(1) / 128;
  EXPECT_EQ(result(p), sum + bias);
  ProductModel early = p;
  ASSERT_TRUE(row(epilogue_rows(), "scaled_sum_narrowed", "rounded to bf16").spoil(early));
  EXPECT_EQ(result(early), 3 + bias);
  ProductModel late = p;
  ASSERT_TRUE(row(epilogue_rows(), "result_narrowed", "rounded to bf16").spoil(late));
  EXPECT_EQ(result(late), Rational(3) + Rational(1) / 64);
}

TEST(Parts, TheRunningSumIsRoundedBetweenThem) {
  // 6/512 beside 90, of which bf16 has steps of 1/2, is lost behind the first 16.
  std::vector<float> a(32, 1.0F);
  a[15] = 0x1p-9F;
  ProductModel p = product(a, std::vector<float>(32, 6.0F));
  const Rational all = Rational(6 * 31) + Rational(6) / 512;
  EXPECT_EQ(result(p), all);
  ProductModel q = p;
  ASSERT_TRUE(
      row(part_rows(), "running_sum_narrowed", "rounded to bf16 between parts (each 16").spoil(q));
  EXPECT_EQ(result(q), Rational(6 * 31));
}

TEST(Parts, ASplitInsideABlockCountsBlocksFromThere) {
  // Blocks of 32: the first of 1, the second of 4. k is split in two of 40, a multiple of 8.
  std::vector<float> b(80, 6.0F);
  for (std::size_t i = 32; i < b.size(); ++i) b[i] = i < 64 ? 24.0F : 96.0F;
  ProductModel p = product(std::vector<float>(80, 1.0F), b);
  EXPECT_EQ(result(p), Rational(32 * 6 + 32 * 24 + 16 * 96));
  ProductModel q = p;
  ASSERT_TRUE(row(part_rows(), "part_scale_blocks",
                  "from the block in which it begins (k in 2 parts, each a multiple of 8), in "
                  "operand B")
                  .spoil(q));
  // 40 .. 71 have the scale factor of the second block, 72 .. 79 that of the third.
  EXPECT_EQ(result(q), Rational(32 * 6 + 8 * 24 + 32 * 24 + 8 * 96));
}

TEST(Product, OfSomeRowsIsThatOfAll) {
  ProductModel p = product({1.0F, 2.0F, 3.0F, 4.0F}, {1.0F, 2.0F, 4.0F, 6.0F});
  p.m = 2;
  p.k = 2;
  p.n = 1;
  p.b.t = golden::quantize(std::vector<float>{1.0F, 6.0F}, 1, 2, formats::mxfp4_rceil);
  p.beta = 1.0F;
  p.c = {0.5F, 0.25F};
  const auto whole = p.run().reference;
  ASSERT_EQ(whole.size(), 2U);
  p.only = {1};
  const auto part = p.run().reference;
  ASSERT_EQ(part.size(), 1U);
  EXPECT_EQ(part[0], whole[1]);
}

TEST(Decodes, AreThoseOfTheFormatButForWhatTheySay) {
  const auto decoded = [](std::string_view id, const formats::FormatSpec& f, std::uint32_t code) {
    for (const Decode& d : decodes())
      if (d.id == id) return d.of(f, code);
    throw std::logic_error("no such decode");
  };
  EXPECT_TRUE(decoded("subnormals_flushed", formats::e4m3, 7).is_zero());
  EXPECT_EQ(decoded("subnormals_flushed", formats::e4m3, 8), golden::decode(formats::e4m3, 8));
  EXPECT_EQ(decoded("nan_is_number", formats::e4m3, 0x7F), golden::Value::finite(480));
  EXPECT_TRUE(decoded("range_ends_by_shift", formats::e8m0, 255).is_infinite());
  EXPECT_TRUE(decoded("range_ends_by_shift", formats::e8m0, 0).is_zero());
  EXPECT_EQ(decoded("range_ends_by_shift", formats::e8m0, 127), golden::Value::finite(1));
}

}  // namespace
}  // namespace assay::proptests::diagnosis

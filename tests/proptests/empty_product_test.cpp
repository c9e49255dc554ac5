// SPDX-License-Identifier: Apache-2.0
// Every known error of products, tried on a product without rows or without columns: there is no
// output, hence nothing to explain and nothing to divide by.
#include <gtest/gtest.h>

#include "formats/presets.h"
#include "golden/quantize.h"
#include "proptests/diagnosis/product_model.h"

namespace assay::proptests::diagnosis {
namespace {

formats::BlockScaledTensor matrix(std::int64_t rows, std::int64_t k) {
  const std::vector<float> ones(static_cast<std::size_t>(rows * k), 1.0F);
  return golden::quantize(ones, rows, k, formats::mxfp4_rceil);
}

class EmptyProduct : public ::testing::TestWithParam<std::pair<std::int64_t, std::int64_t>> {};

TEST_P(EmptyProduct, HasNoOutputUnderAnyError) {
  const auto [m, n] = GetParam();
  for (const ProductError& error : product_errors()) {
    SCOPED_TRACE(error.id);
    ProductModel p;
    p.claim.operation = "gemm";
    p.claim.a = p.claim.b = &formats::mxfp4_rceil;
    p.m = m, p.n = n, p.k = 32;
    p.a.emplace();
    for (auto [reader, rows] : {std::pair{&*p.a, m}, std::pair{&p.b, n}}) {
      reader->t.format = &formats::mxfp4_rceil;
      if (rows > 0) reader->t = matrix(rows, p.k);
      reader->t.rows = rows, reader->t.cols = p.k;
    }
    p.bias.resize(static_cast<std::size_t>(n), 1.0F);
    error.spoil(p);
    const ProductModel::Result result = p.run();
    EXPECT_TRUE(result.reference.empty());
    EXPECT_TRUE(result.bounds.empty());
  }
}

INSTANTIATE_TEST_SUITE_P(Sides, EmptyProduct,
                         ::testing::Values(std::pair{0, 3}, std::pair{3, 0}, std::pair{0, 0}));

}  // namespace
}  // namespace assay::proptests::diagnosis

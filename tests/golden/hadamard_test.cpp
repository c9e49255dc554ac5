// SPDX-License-Identifier: Apache-2.0
#include "golden/hadamard.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace assay::golden {
namespace {

constexpr std::uint32_t sizes[] = {16, 32, 128};

// Built by doubling, [H H; H -H], not by the entries' formula.
std::vector<std::vector<int>> sylvester(std::uint32_t n) {
  std::vector<std::vector<int>> h{{1}};
  while (h.size() < n) {
    const std::size_t half = h.size();
    std::vector<std::vector<int>> next(2 * half, std::vector<int>(2 * half));
    for (std::size_t r = 0; r < 2 * half; ++r)
      for (std::size_t c = 0; c < 2 * half; ++c)
        next[r][c] = h[r % half][c % half] * (r >= half && c >= half ? -1 : 1);
    h = next;
  }
  return h;
}

TEST(GoldenHadamard, EntriesAreSylvestersAndOrthogonal) {
  for (const std::uint32_t n : sizes) {
    const auto h = sylvester(n);
    for (std::uint32_t a = 0; a < n; ++a)
      for (std::uint32_t b = 0; b < n; ++b) {
        ASSERT_EQ(hadamard_entry(a, b), h[a][b]);
        int dot = 0;
        for (std::uint32_t k = 0; k < n; ++k) dot += hadamard_entry(a, k) * hadamard_entry(b, k);
        ASSERT_EQ(dot, a == b ? static_cast<int>(n) : 0) << n << ' ' << a << ' ' << b;
      }
  }
}

TEST(GoldenHadamard, TransformsIntegersExactlyAndKeepsTheirNorm) {
  const Policy policy = policy_of(formats::ieee, formats::bf16);
  for (const std::uint32_t n : sizes) {
    const auto h = sylvester(n);
    std::vector<Value> x;
    std::vector<bool> negative;
    std::vector<int> signed_x;
    Rational norm = 0;
    for (std::uint32_t i = 0; i < n; ++i) {
      const int v = static_cast<int>(i * 7 % 23) - 11;
      x.push_back(Value::finite(v));
      negative.push_back(i % 3 == 0);
      signed_x.push_back(i % 3 == 0 ? -v : v);
      norm += v * v;
    }
    const std::vector<Radical> y = hadamard(x, negative);
    Rational transformed = 0;
    for (std::uint32_t r = 0; r < n; ++r) {
      int sum = 0;
      for (std::uint32_t c = 0; c < n; ++c) sum += h[r][c] * signed_x[c];
      ASSERT_EQ(y[r].sum.number, sum);
      ASSERT_EQ(y[r].radicand, n);
      transformed += Rational(sum) * sum / n;
      // One rounding to bf16: squares of the midpoints around the code enclose sum^2 / n.
      const std::uint32_t code =
          encode(formats::bf16, y[r], RoundingMode::nearest_even, policy) & 0x7FFFU;
      if (sum == 0) continue;
      const auto at = [](std::uint32_t c) { return decode(formats::bf16, c).number.rational(); };
      const Rational below = (at(code - 1) + at(code)) / 2;
      const Rational above = (at(code + 1) + at(code)) / 2;
      ASSERT_TRUE(below * below <= Rational(sum) * sum / n &&
                  above * above >= Rational(sum) * sum / n);
    }
    EXPECT_EQ(transformed, norm);
  }
}

TEST(GoldenHadamard, RejectsOtherSizes) {
  const std::vector<Value> x(24, Value::finite(1));
  EXPECT_THROW((void)hadamard(x), std::invalid_argument);
  EXPECT_THROW((void)hadamard(std::span(x).first(16), std::vector<bool>(8)), std::invalid_argument);
}

}  // namespace
}  // namespace assay::golden

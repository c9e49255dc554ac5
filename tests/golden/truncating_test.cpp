// SPDX-License-Identifier: Apache-2.0
// The bound of truncating units against a plain simulator of T-FDPA (Xie et al., MMA-Sim, arXiv
// 2511.10909), and the oracle of whole GEMMs.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <random>

#include "golden/fp32_order.h"
#include "golden/gemm_bounds.h"
#include "golden/quantize.h"

namespace assay::golden {
namespace {

using Rng = std::mt19937;

// x = sig * 2^exp as the unit decodes it: 1 <= |sig| < 2, or exp = emin.
struct Decoded {
  double sig;
  int exp;
};
Decoded decode_operand(double x, int emin) {
  if (x == 0) return {0, emin};
  const int exp = std::max(std::ilogb(x), emin);
  return {std::ldexp(x, -exp), exp};
}

// T-FDPA by its definition: `bits` of fraction kept at alignment, then one truncation of the sum to
// FP32, or to `bits` fraction bits where that is fewer. All numbers fit doubles exactly.
float fused_step(std::span<const double> a, std::span<const double> b, int emin, float c, int bits,
                 int e_zero) {
  std::vector<Decoded> terms;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const Decoded x = decode_operand(a[i], emin);
    const Decoded y = decode_operand(b[i], emin);
    const double product = x.sig * y.sig;
    terms.push_back({product, product == 0 ? e_zero : x.exp + y.exp});
  }
  const Decoded acc = decode_operand(c, -126);
  terms.push_back({acc.sig, c == 0 ? e_zero : acc.exp});
  int e_max = e_zero;
  for (const Decoded& t : terms) e_max = std::max(e_max, t.exp);
  std::int64_t sum = 0;
  for (const Decoded& t : terms) {
    sum += static_cast<std::int64_t>(std::trunc(std::ldexp(t.sig, t.exp - e_max + bits)));
  }
  if (sum == 0) return 0.0F;
  const double exact = std::ldexp(static_cast<double>(sum), e_max - bits);
  const int ulp = std::max(std::ilogb(exact), -126) - std::min(bits, 23);
  return static_cast<float>(std::ldexp(std::trunc(std::ldexp(exact, -ulp)), ulp));
}

struct Unit {
  const FormatSpec* operand;
  int emin, bits, step;
};
constexpr Unit units[] = {{&formats::bf16, -126, 25, 16}, {&formats::bf16, -126, 24, 8},
                          {&formats::e4m3, -6, 13, 32},   {&formats::e4m3, -6, 25, 32},
                          {&formats::e2m1, 0, 25, 32},    {&formats::fp16, -14, 23, 4}};

enum class Data { plain, cancelling, positive, wide };

std::vector<double> random_row(Rng& rng, const FormatSpec& format, std::size_t k, Data data) {
  std::normal_distribution<double> normal;
  const Policy policy = policy_of(formats::saturating, format);
  std::vector<double> row;
  while (row.size() < k) {
    double x = normal(rng);
    if (data == Data::positive) x = std::abs(x);
    if (data == Data::wide) x = std::ldexp(x, static_cast<int>(rng() % 24) - 16);
    if (rng() % 16 == 0) x = 0;
    const Value v = decode(format, encode(format, value_of(x), RoundingMode::nearest_even, policy));
    row.push_back(approximate(v.number));
    if (data == Data::cancelling && row.size() < k) row.push_back(-row.back());
  }
  return row;
}

struct Chain {
  std::vector<double> a, b;
  std::vector<UnitProduct> products;
  Exact exact = 0;
};
Chain random_chain(Rng& rng, const Unit& unit, std::size_t k, Data data) {
  Chain chain;
  chain.a = random_row(rng, *unit.operand, k, data);
  chain.b = random_row(rng, *unit.operand, k, data == Data::cancelling ? Data::positive : data);
  if (data == Data::cancelling) {
    for (std::size_t i = 1; i < k; i += 2) chain.b[i] = chain.b[i - 1];
  }
  for (std::size_t i = 0; i < k; ++i) {
    const Exact x = Exact::from_double(chain.a[i]);
    const Exact y = Exact::from_double(chain.b[i]);
    chain.products.push_back(
        {x * y, undecoded_exponent(*unit.operand, x) + undecoded_exponent(*unit.operand, y)});
    chain.exact = chain.exact + x * y;
  }
  return chain;
}
float simulate(const Chain& chain, const Unit& unit, int step, int e_zero) {
  float acc = 0;
  for (std::size_t k = 0; k < chain.a.size(); k += step) {
    const std::size_t n = std::min<std::size_t>(step, chain.a.size() - k);
    acc = fused_step(std::span(chain.a).subspan(k, n), std::span(chain.b).subspan(k, n), unit.emin,
                     acc, unit.bits, e_zero);
  }
  return acc;
}

TEST(GoldenTruncating, UndecodedExponentsKeepSubnormals) {
  EXPECT_EQ(undecoded_exponent(formats::e4m3, Exact::power_of_two(-9)), -6);
  EXPECT_EQ(undecoded_exponent(formats::e4m3, Exact(448)), 8);
  EXPECT_EQ(undecoded_exponent(formats::e2m1, Exact::power_of_two(-1)), 0);
  EXPECT_EQ(undecoded_exponent(formats::e2m1, Exact(-6)), 2);
  EXPECT_EQ(undecoded_exponent(formats::bf16, Exact::power_of_two(-130)), -126);
  EXPECT_EQ(undecoded_exponent(formats::bf16, Exact(0)), -126);
  EXPECT_THROW((void)undecoded_exponent(formats::e2m1, Exact(5)), std::invalid_argument);
}

TEST(GoldenTruncating, SimulatedUnitsAreWithin) {
  Rng rng(21);
  int inexact = 0;
  for (const Unit& unit : units) {
    for (const Data data : {Data::plain, Data::cancelling, Data::positive, Data::wide}) {
      for (int trial = 0; trial < 25; ++trial) {
        const Chain chain = random_chain(rng, unit, 1 + rng() % 300, data);
        TruncatingUnit known{unit.bits, unit.step, 0};
        TruncatingUnit unknown{unit.bits, 0, 0};
        const Bound bound = truncating_chain(chain.products, known);
        const Bound loose = truncating_chain(chain.products, unknown);
        ASSERT_TRUE(bound.judgeable);
        for (const int e_zero : {-139, -133, -131}) {
          const float computed = simulate(chain, unit, unit.step, e_zero);
          const Rational error = boost::multiprecision::abs(Exact::from_float(computed).rational() -
                                                            chain.exact.rational());
          EXPECT_LE(error, bound.error) << unit.operand->name << ' ' << unit.bits;
          inexact += error != 0 ? 1 : 0;
          if (!loose.judgeable) continue;
          Chain shuffled = chain;
          for (std::size_t i = chain.a.size() - 1; i > 0; --i) {
            const std::size_t other = rng() % (i + 1);
            std::swap(shuffled.a[i], shuffled.a[other]);
            std::swap(shuffled.b[i], shuffled.b[other]);
          }
          for (const int step : {1, 3, unit.step}) {
            const Rational any = boost::multiprecision::abs(
                Exact::from_float(simulate(shuffled, unit, step, e_zero)).rational() -
                chain.exact.rational());
            EXPECT_LE(any, loose.error) << unit.operand->name << ' ' << unit.bits << ' ' << step;
          }
        }
      }
    }
  }
  EXPECT_GT(inexact, 300);
}

// Not vacuous: F = 25 tells a dropped product; F = 13 over a long chain is visibly outside the
// bound of the same unit promoted every 128 products, which is the missing promotion that
// certification must see.
TEST(GoldenTruncating, ADroppedProductIsOutside) {
  Rng rng(22);
  int caught = 0;
  for (int trial = 0; trial < 40; ++trial) {
    const Unit& unit = units[0];
    Chain chain = random_chain(rng, unit, 256, Data::plain);
    const Bound known = truncating_chain(chain.products, {unit.bits, unit.step, 0});
    const Bound unknown = truncating_chain(chain.products, {unit.bits, 0, 0});
    std::size_t dropped = 100;
    while (std::abs(chain.a[dropped] * chain.b[dropped]) < 0.25) ++dropped;
    chain.a[dropped] = 0;
    const float computed = simulate(chain, unit, unit.step, -133);
    const RationalValue exact = to_rational(Value::finite(chain.exact));
    const auto code = std::bit_cast<std::uint32_t>(computed);
    EXPECT_EQ(judge(formats::fp32, code, exact, known), Judgement::outside);
    caught += judge(formats::fp32, code, exact, unknown) == Judgement::outside ? 1 : 0;
  }
  EXPECT_EQ(caught, 40);
}

TEST(GoldenTruncating, AMissingPromotionIsOutside) {
  Rng rng(23);
  const Unit unit = units[2];
  const Chain chain = random_chain(rng, unit, 4096, Data::positive);
  Rational promoted = 0;
  for (std::size_t k = 0; k < 4096; k += 128) {
    promoted += truncating_chain(std::span(chain.products).subspan(k, 128), {13, 32, 0}).error;
  }
  const Bound bound{true, promoted + gamma(31) * chain.exact.rational(), ""};
  const float unpromoted = simulate(chain, unit, unit.step, -133);
  EXPECT_EQ(judge(formats::fp32, std::bit_cast<std::uint32_t>(unpromoted),
                  to_rational(Value::finite(chain.exact)), bound),
            Judgement::outside);
}

TEST(GoldenTruncating, ExactWhereNothingIsCut) {
  Rng rng(24);
  // E2M1 products are multiples of 1/4: F = 25 holds sums up to 2^21 exactly, in any grouping.
  const Chain chain = random_chain(rng, units[4], 500, Data::plain);
  for (const int step : {0, 32}) {
    const Bound bound = truncating_chain(chain.products, {25, step, 0});
    EXPECT_TRUE(bound.judgeable);
    EXPECT_EQ(bound.error, 0);
  }
  EXPECT_EQ(Exact::from_float(simulate(chain, units[4], 32, -133)), chain.exact);
}

TEST(GoldenTruncating, LongChainsOfFewBitsAreNotJudgeableWithoutSteps) {
  Rng rng(25);
  const Chain chain = random_chain(rng, units[2], 4096, Data::positive);
  const Bound bound = truncating_chain(chain.products, {10, 0, 0});
  EXPECT_FALSE(bound.judgeable);
  EXPECT_THROW((void)truncating_chain(chain.products, {0, 32, 0}), std::invalid_argument);
}

std::vector<float> random_matrix(Rng& rng, std::size_t size) {
  std::normal_distribution<float> normal;
  std::vector<float> x(size);
  for (float& v : x) v = normal(rng);
  return x;
}

// A GEMM as a plain kernel computes it, k ascending: certified in both FP32 classes.
TEST(GoldenGemmOracle, PlainKernelPassesAndMutantsFail) {
  Rng rng(31);
  constexpr std::int64_t m = 5;
  constexpr std::int64_t n = 4;
  constexpr std::int64_t k = 80;
  for (const formats::BlockFormat* format : {&formats::nvfp4, &formats::mxfp4_rceil}) {
    const auto a = factor(quantize(random_matrix(rng, m * k), m, k, *format));
    const auto b = factor(quantize(random_matrix(rng, n * k), n, k, *format));
    const std::vector<float> c = random_matrix(rng, m * n);
    const std::vector<float> bias = random_matrix(rng, n);
    const GemmEpilogue epilogue{0.3F, -1.7F, c, bias};
    const GemmOracle any = gemm_oracle(a, b, epilogue, {AccumulatorClass::fp32_any_order, {}});
    const GemmOracle fixed = gemm_oracle(a, b, epilogue, {AccumulatorClass::fp32_fixed_order, {}});
    const auto value = [](const Value& v) { return static_cast<float>(approximate(v.number)); };
    for (std::int64_t i = 0; i < m; ++i) {
      for (std::int64_t j = 0; j < n; ++j) {
        const auto kernel = [&](std::int64_t length) {
          float acc = 0;
          for (std::int64_t p = 0; p < length; ++p) {
            const float x = value(a.elements[i * k + p]) * value(a.scales[i * k + p]);
            const float y = value(b.elements[j * k + p]) * value(b.scales[j * k + p]);
            acc = acc + x * y;
          }
          float d = acc * (0.3F * a.tensor_scale * b.tensor_scale);
          d = d + -1.7F * c[i * n + j];
          return std::bit_cast<std::uint32_t>(d + bias[j]);
        };
        const std::size_t at = i * n + j;
        EXPECT_EQ(judge(formats::fp32, kernel(k), any.reference[at], any.bounds[at]),
                  Judgement::within);
        EXPECT_EQ(judge(formats::fp32, kernel(k), fixed.reference[at], fixed.bounds[at]),
                  Judgement::within);
        EXPECT_EQ(judge(formats::fp32, kernel(k) ^ 1, fixed.reference[at], fixed.bounds[at]),
                  Judgement::outside);
        EXPECT_EQ(judge(formats::fp32, kernel(k - 8), any.reference[at], any.bounds[at]),
                  Judgement::outside);
      }
    }
  }
}

// FP8 with promotion every scale block (DeepSeek-V3): scale factors act on the promoted sums.
TEST(GoldenGemmOracle, PromotedUnitIsWithin) {
  Rng rng(32);
  constexpr std::int64_t k = 512;
  const auto a = factor(quantize(random_matrix(rng, k), 1, k, formats::fp8_deepseek_v3));
  const auto b = factor(quantize(random_matrix(rng, k), 1, k, formats::fp8_deepseek_v3));
  AccumulatorModel model;
  model.kind = AccumulatorClass::truncating;
  model.unit = {13, 32, 128};
  model.stage = ScaleStage::promotion;
  const GemmOracle oracle = gemm_oracle(a, b, {}, model);
  float total = 0;
  for (std::int64_t begin = 0; begin < k; begin += 128) {
    Chain part;
    for (std::int64_t p = begin; p < begin + 128; ++p) {
      part.a.push_back(approximate(a.elements[p].number));
      part.b.push_back(approximate(b.elements[p].number));
    }
    const auto sa = static_cast<float>(approximate(a.scales[begin].number));
    const auto sb = static_cast<float>(approximate(b.scales[begin].number));
    total += simulate(part, units[2], 32, -133) * (sa * sb);
  }
  EXPECT_EQ(judge(formats::fp32, std::bit_cast<std::uint32_t>(total), oracle.reference[0],
                  oracle.bounds[0]),
            Judgement::within);
  EXPECT_EQ(judge(formats::fp32, std::bit_cast<std::uint32_t>(total * 1.02F), oracle.reference[0],
                  oracle.bounds[0]),
            Judgement::outside);
  model.unit.promotion = 256;
  EXPECT_THROW((void)gemm_oracle(a, b, {}, model), std::invalid_argument);
}

// W4A16: bf16 activations, dequantized weights in bf16, F = 25, tensor scale in the epilogue.
TEST(GoldenGemmOracle, DequantizedOperandsAreWithin) {
  Rng rng(33);
  constexpr std::int64_t k = 256;
  std::vector<std::uint16_t> codes;
  for (const float x : random_matrix(rng, k)) {
    codes.push_back(static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(x) >> 16));
  }
  const auto a = factor(formats::bf16, codes, 1, k);
  const auto b = factor(quantize(random_matrix(rng, k), 1, k, formats::nvfp4));
  Chain chain;
  for (std::int64_t p = 0; p < k; ++p) {
    chain.a.push_back(approximate(a.elements[p].number));
    chain.b.push_back(approximate((b.elements[p] * b.scales[p]).number));
  }
  const float d = simulate(chain, units[0], 16, -133) * b.tensor_scale;
  for (const int step : {16, 0}) {
    AccumulatorModel model;
    model.kind = AccumulatorClass::truncating;
    model.unit = {25, step, 0};
    const GemmOracle oracle = gemm_oracle(a, b, {}, model);
    const auto ruled = [&](float x) {
      return judge(formats::fp32, std::bit_cast<std::uint32_t>(x), oracle.reference[0],
                   oracle.bounds[0]);
    };
    EXPECT_EQ(ruled(d), Judgement::within);
    EXPECT_EQ(ruled(d / b.tensor_scale), Judgement::outside) << "tensor scale forgotten";
  }
}

TEST(GoldenFp32Order, EqualsTheProcessorsArithmetic) {
  Rng rng(41);
  for (int trial = 0; trial < 200; ++trial) {
    std::vector<Value> a;
    std::vector<Value> b;
    float acc = 0;
    const int low = trial % 3 == 0 ? -76 : (trial % 3 == 1 ? -2 : 58);
    for (int p = 0; p < 40; ++p) {
      std::normal_distribution<float> normal;
      const float x = std::ldexp(normal(rng), low + static_cast<int>(rng() % 4));
      const float y = std::ldexp(normal(rng), low + static_cast<int>(rng() % 4));
      a.push_back(value_of(x));
      b.push_back(value_of(y));
      acc = acc + x * y;
    }
    const Value golden = fp32_dot(a, b);
    const std::uint32_t bits = encode(formats::fp32, golden, RoundingMode::nearest_even,
                                      policy_of(formats::ieee, formats::fp32));
    if (std::isnan(acc)) {
      EXPECT_TRUE(golden.is_nan());
    } else {
      EXPECT_EQ(bits, std::bit_cast<std::uint32_t>(acc)) << trial;
    }
    Fp32Epilogue e{0.7F, 1.3F, 0.9F, 1.1F, 2.5F, -0.4F};
    const float d = (acc * ((0.7F * 1.3F) * 0.9F) + 1.1F * 2.5F) + -0.4F;
    const std::uint32_t d_bits =
        encode(formats::fp32, fp32_epilogue(golden, e), RoundingMode::nearest_even,
               policy_of(formats::ieee, formats::fp32));
    if (!std::isnan(d)) {
      EXPECT_EQ(d_bits, std::bit_cast<std::uint32_t>(d)) << trial;
    }
  }
  EXPECT_THROW((void)fp32_epilogue(Value::zero(false), {1, 1, 1, 2, {}, {}}),
               std::invalid_argument);
}

}  // namespace
}  // namespace assay::golden

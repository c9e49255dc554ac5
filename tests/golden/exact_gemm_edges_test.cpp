// SPDX-License-Identifier: Apache-2.0
// The fast exact GEMM where it changes its way: every code and every scale factor with every other,
// the ends of the range checks, every tail of k, sums next to halves, and what it refuses.
#include <gtest/gtest.h>

#include <bit>
#include <functional>
#include <random>

#include "formats/presets.h"
#include "golden/exact_gemm.h"
#include "golden/exact_gemm_operand.h"
#include "golden/gemm.h"

namespace assay::golden {
namespace {

using namespace formats;  // NOLINT(google-build-using-namespace): rows of formats/presets.h

using CodeOf = std::function<std::uint32_t(std::int64_t row, std::int64_t at)>;

BlockScaledTensor make(const BlockFormat& format, std::int64_t rows, std::int64_t cols,
                       const CodeOf& code, const CodeOf& scale, float tensor_scale = 1) {
  BlockScaledTensor t;
  t.format = &format;
  t.rows = rows;
  t.cols = cols;
  t.tensor_scale = tensor_scale;
  const bool nibbles = format.element->storage_bits == 4;
  const std::int64_t width = nibbles ? (cols + 1) / 2 : cols;
  t.codes.assign(static_cast<std::size_t>(rows * width), 0);
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t k = 0; k < cols; ++k)
      t.codes[static_cast<std::size_t>(r * width + (nibbles ? k / 2 : k))] |=
          static_cast<std::uint8_t>(code(r, k) << (nibbles ? k % 2 * 4 : 0));
  const std::int64_t across =
      format.block.cols == 0 ? 1 : (cols + format.block.cols - 1) / format.block.cols;
  const std::int64_t down =
      format.block.rows == 0 ? 1 : (rows + format.block.rows - 1) / format.block.rows;
  for (std::int64_t r = 0; r < down; ++r)
    for (std::int64_t b = 0; b < across; ++b)
      for (int byte = 0; byte < format.scale->storage_bits / 8; ++byte)
        t.scales.push_back(static_cast<std::uint8_t>(scale(r, b) >> (8 * byte)));
  return t;
}

std::vector<std::uint32_t> fast(const BlockScaledTensor& a, const BlockScaledTensor& b,
                                const ExactGemmOptions& options, ExactGemmCounts* counts) {
  std::vector<std::uint32_t> d(static_cast<std::size_t>(a.rows * b.rows));
  const ExactGemmCounts c = exact_gemm(pack_exact(ExactSide::a, a, *b.format),
                                       pack_exact(ExactSide::b, b, *a.format), d, options);
  if (counts != nullptr) *counts = c;
  return d;
}

std::vector<ExactIsa> instructions() {
  std::vector<ExactIsa> isas{ExactIsa::portable};
  if (exact_gemm_isa() != "portable") isas.push_back(ExactIsa::avx2);
  if (exact_gemm_isa() == "avx512_vnni") isas.push_back(ExactIsa::avx512_vnni);
  return isas;
}

void expect_defined(const BlockScaledTensor& a, const BlockScaledTensor& b,
                    const std::vector<RoundingMode>& modes = {RoundingMode::nearest_even}) {
  const auto exact = gemm(decode_matrix(a), decode_matrix(b));
  for (const RoundingMode mode : modes)
    for (const ExactIsa isa : instructions()) {
      ExactGemmOptions options;
      options.isa = isa;
      options.rounding = mode;
      const auto expected = round_to(fp32, exact, mode, options.policy);
      const auto d = fast(a, b, options, nullptr);
      for (std::size_t i = 0; i < d.size(); ++i)
        ASSERT_EQ(d[i], expected[i])
            << a.format->name << " x " << b.format->name << ", row " << i / b.rows << ", column "
            << i % b.rows << ", k " << a.cols << ", instructions " << static_cast<int>(isa)
            << ", mode " << static_cast<int>(mode);
    }
}

const CodeOf one_fp32 = [](auto, auto) { return 0x3F800000U; };

constexpr BlockFormat per_tensor(const FormatSpec& element) {
  return {"per-tensor",      &element, {0, 0},  &fp32, ScaleRule::amax_over_max,
          TensorScale::none, nullptr,  "a test"};
}

std::int64_t codes_of(const BlockFormat& f) { return std::int64_t{1} << f.element->storage_bits; }

/// With infinity and -1 beside them, or 1 and 1.
TEST(ExactGemmEdges, EveryCodeTimesEveryCode) {
  static constexpr BlockFormat formats[] = {per_tensor(e2m1), per_tensor(e2m3), per_tensor(e3m2),
                                            per_tensor(e4m3), per_tensor(e5m2), per_tensor(int4)};
  for (const BlockFormat& x : formats)
    for (const BlockFormat& y : formats)
      for (const std::int64_t k : {1, 2}) {
        const bool infinity = x.element == &e5m2;
        const auto a = make(
            x, codes_of(x), k, [&](auto r, auto at) { return at == 0    ? r
                                                             : infinity ? 0x7CU
                                                                        : 1U; },
            one_fp32);
        const auto b = make(
            y, codes_of(y), k, [](auto r, auto at) { return at == 0 ? r : 1U; }, one_fp32);
        expect_defined(a, b);
        if (HasFatalFailure()) return;
      }
}

/// The second block of each row keeps the scale factor 1, so that the first's is far from the
/// chunk's smallest or largest; k ends within a block.
TEST(ExactGemmEdges, EveryScaleFactorTimesEveryScaleFactor) {
  struct Pair {
    const BlockFormat *a, *b;
    std::uint32_t one_a, one_b;
  };
  for (const Pair& p :
       {Pair{&nvfp4, &nvfp4, 0x38, 0x38}, Pair{&mxfp4_rceil, &mxfp4_rceil, 127, 127},
        Pair{&nvfp4, &mxfp4_rceil, 0x38, 127}, Pair{&mxfp8_e4m3_rceil, &mxfp4_rceil, 127, 127}}) {
    std::mt19937 random(7);
    const auto largest = [&](std::int64_t, std::int64_t at) -> std::uint32_t {
      return at % 16 < 3 ? (at % 2 == 0 ? 7U : 1U) : random() % 16;
    };
    const auto scale = [](std::uint32_t one) {
      return [one](std::int64_t r, std::int64_t block) {
        return block == 0 ? static_cast<std::uint32_t>(r) : one;
      };
    };
    const auto a = make(*p.a, 256, p.a->block.cols + 3, largest, scale(p.one_a), 0.375F);
    const auto b = make(*p.b, 256, p.a->block.cols + 3, largest, scale(p.one_b), 3.0F);
    expect_defined(a, b);
    if (HasFatalFailure()) return;
  }
}

/// Full chunks of the largest codes, with scale factors on both sides of the check that lets them
/// multiply in 16 bits: the sums reach what 32 bits hold.
TEST(ExactGemmEdges, LargestSumsOfAChunk) {
  bool multiplied = false;
  bool by_group = false;
  for (const std::int64_t k : {256, 544})
    for (std::uint32_t x = 0x38; x <= 0x5F; x += 3)
      for (std::uint32_t y = 0x50; y <= 0x5F; y += 5) {
        // Block 1 holds 2^0 with a significand of 1/8 more: what the others are integers over.
        const auto scales = [](std::uint32_t code) {
          return [code](std::int64_t, std::int64_t block) { return block == 1 ? 0x39U : code; };
        };
        const auto sign = [](std::int64_t r, std::int64_t) { return r % 2 == 0 ? 0x7U : 0xFU; };
        const auto a = make(nvfp4, 2, k, sign, scales(x));
        const auto b = make(nvfp4, 3, k, sign, scales(y));
        expect_defined(a, b);
        if (HasFatalFailure()) return;
        ExactGemmCounts counts;
        fast(a, b, {}, &counts);
        multiplied = multiplied || counts.chunks > 0;
        by_group = by_group || counts.chunks_by_group > 0;
      }
  EXPECT_TRUE(multiplied && by_group);
}

TEST(ExactGemmEdges, EveryTailOfK) {
  std::mt19937 random(3);
  const auto code = [&](auto, auto) { return static_cast<std::uint32_t>(random() % 16); };
  const auto byte = [&](auto, auto) { return static_cast<std::uint32_t>(random() % 0x7F); };
  const auto near_one = [&](auto, auto) {
    return 0x34U + static_cast<std::uint32_t>(random() % 9);
  };
  const auto power = [&](auto, auto) { return 120U + static_cast<std::uint32_t>(random() % 9); };
  const auto float_scale = [&](auto, auto) {
    return 0x3F000000U + static_cast<std::uint32_t>(random() % 0x1000000);
  };
  std::vector<std::int64_t> tails;
  for (std::int64_t k = 1; k <= 66; ++k) tails.push_back(k);
  for (const std::int64_t k : {127, 128, 129, 255, 256, 257, 511, 512, 513}) tails.push_back(k);
  for (const std::int64_t k : tails) {
    expect_defined(make(nvfp4, 7, k, code, near_one), make(nvfp4, 3, k, code, near_one));
    expect_defined(make(mxfp4_rceil, 3, k, code, power), make(nvfp4, 2, k, code, near_one));
    expect_defined(make(mxfp8_e4m3_rceil, 3, k, byte, power), make(mxfp4_rceil, 3, k, code, power));
    expect_defined(make(fp8_deepseek_v3, 2, k, byte, float_scale),
                   make(fp8_deepseek_v3_weight, 3, k, byte, float_scale));
    if (HasFatalFailure()) return;
  }
}

/// Scale factors that bring sums to both ends of FP32 and beyond, zero, NaN and infinite ones.
TEST(ExactGemmEdges, EndsOfTheRange) {
  static constexpr std::uint32_t ends[] = {
      0x00000000, 0x80000000, 0x00000001, 0x80000001, 0x00000003, 0x007FFFFF, 0x00800000,
      0x0C000001, 0x1FFFFFFF, 0x20000000, 0x3F800000, 0xBF800001, 0x5F7FFFFF, 0x7F7FFFFF,
      0xFF7FFFFF, 0x7F800000, 0xFF800000, 0x7FC00000, 0xFF800001};
  static constexpr BlockFormat rows{
      "rows", &e4m3, {1, 0}, &fp32, ScaleRule::amax_over_max, TensorScale::none, nullptr, "a test"};
  constexpr auto count = static_cast<std::int64_t>(std::size(ends));
  const auto code = [](std::int64_t r, std::int64_t at) {
    return static_cast<std::uint32_t>((r * 7 + at * 13) % 0x7F) | (at % 3 == 1 ? 0x80U : 0U);
  };
  const auto scale = [](std::int64_t r, std::int64_t) { return ends[r]; };
  const std::vector<RoundingMode> modes{RoundingMode::nearest_even, RoundingMode::toward_zero,
                                        RoundingMode::toward_positive};
  expect_defined(make(rows, count, 9, code, scale), make(rows, count, 9, code, scale), modes);
  for (const std::uint32_t x : ends)
    for (const std::uint32_t y : ends) {
      const auto two = [](std::int64_t r, std::int64_t block) {
        return static_cast<std::uint32_t>(0x08 + 0x60 * (block % 2) + r);
      };
      expect_defined(make(nvfp4, 2, 33, code, two, std::bit_cast<float>(x)),
                     make(nvfp4, 2, 33, code, two, std::bit_cast<float>(y)), modes);
      if (HasFatalFailure()) return;
    }
}

/// 2^24 + 1 is half way between two FP32 numbers, and 2^-32 decides.
TEST(ExactGemmEdges, HalvesAndWhatLiesBelowThem) {
  static constexpr BlockFormat format = per_tensor(e5m2);
  // +-2^12, +-1, +-2^-16, +-3 * 2^-16, 0.
  static constexpr std::uint32_t codes[] = {0x6C, 0xEC, 0x3C, 0xBC, 0x01, 0x81, 0x03, 0x83, 0x00};
  std::mt19937 random(11);
  const auto draw = [&](std::int64_t, std::int64_t at) {
    return codes[at % 4 == 0 ? random() % 2 : random() % std::size(codes)];
  };
  for (const std::int64_t k : {3, 8, 40})
    expect_defined(make(format, 40, k, draw, one_fp32), make(format, 40, k, draw, one_fp32),
                   {RoundingMode::nearest_even, RoundingMode::nearest_away,
                    RoundingMode::toward_negative, RoundingMode::to_odd});
}

/// The ways differ in speed alone: checks that let less through than the proven ones give the same.
TEST(ExactGemmEdges, EveryWayGivesTheSameBits) {
  std::mt19937 random(5);
  const auto nibble = [&](auto, auto) { return static_cast<std::uint32_t>(random() % 16); };
  const auto byte = [&](auto, auto) { return static_cast<std::uint32_t>(random() % 0x7F); };
  const auto near_one = [&](auto, auto) {
    return 0x30U + static_cast<std::uint32_t>(random() % 16);
  };
  const auto float_scale = [&](auto, auto) {
    return 0x3F000000U + static_cast<std::uint32_t>(random() % 0x1000000);
  };
  struct Operands {
    BlockScaledTensor a, b;
  };
  const Operands operands[] = {
      {make(nvfp4, 13, 545, nibble, near_one), make(nvfp4, 41, 545, nibble, near_one)},
      {make(fp8_deepseek_v3, 13, 300, byte, float_scale),
       make(fp8_deepseek_v3_weight, 41, 300, byte, float_scale)}};
  exact_parts::Limits by_group;
  by_group.product = 0;
  exact_parts::Limits in_128;
  in_128.bits64 = 0;
  exact_parts::Limits no_digits = in_128;
  no_digits.bits64 = 63 - 1;
  no_digits.digits = 0;
  exact_parts::Limits groups_in_128 = in_128;
  groups_in_128.product = 0;
  exact_parts::Limits big = in_128;
  big.bits128 = 0;
  for (const Operands& x : operands) {
    const auto proven = fast(x.a, x.b, {}, nullptr);
    for (const exact_parts::Limits* limits : {&by_group, &in_128, &no_digits, &groups_in_128, &big})
      for (const ExactIsa isa : instructions()) {
        ExactGemmOptions options;
        options.limits = limits;
        options.isa = isa;
        ExactGemmCounts counts;
        EXPECT_EQ(fast(x.a, x.b, options, &counts), proven);
        const std::int64_t elements = limits == &big ? x.a.rows * x.b.rows : 0;
        EXPECT_EQ(counts.in_big_integers, elements);
        EXPECT_TRUE(limits->product != 0 || counts.chunks == 0);
      }
  }
}

TEST(ExactGemmEdges, ThreadsDoNotChangeBits) {
  std::mt19937 random(6);
  const auto nibble = [&](auto, auto) { return static_cast<std::uint32_t>(random() % 16); };
  const auto near_one = [&](auto, auto) {
    return 0x30U + static_cast<std::uint32_t>(random() % 16);
  };
  const auto a = make(nvfp4, 70, 96, nibble, near_one);
  const auto b = make(nvfp4, 100, 96, nibble, near_one);
  ExactGemmOptions three;
  three.threads = 3;
  EXPECT_EQ(fast(a, b, three, nullptr), fast(a, b, {}, nullptr));
}

TEST(ExactGemmEdges, Refuses) {
  const auto zero = [](auto, auto) { return 0U; };
  const auto t = make(nvfp4, 2, 32, zero, zero);
  const auto a = pack_exact(ExactSide::a, t, nvfp4);
  const auto b = pack_exact(ExactSide::b, t, nvfp4);
  std::vector<std::uint32_t> d(4);
  EXPECT_THROW(exact_gemm(b, a, d), std::invalid_argument);
  EXPECT_THROW(exact_gemm({}, b, d), std::invalid_argument);
  EXPECT_THROW(exact_gemm(a, pack_exact(ExactSide::b, t, mxfp4_rceil), d), std::invalid_argument);
  EXPECT_THROW(exact_gemm(a, pack_exact(ExactSide::b, make(nvfp4, 2, 48, zero, zero), nvfp4), d),
               std::invalid_argument);
  d.resize(3);
  EXPECT_THROW(exact_gemm(a, b, d), std::invalid_argument);
  d.resize(4);
  ExactGemmOptions options;
  options.output = &e4m3;
  EXPECT_THROW(exact_gemm(a, b, d, options), std::invalid_argument);
  options = {};
  options.rounding = RoundingMode::stochastic;
  EXPECT_THROW(exact_gemm(a, b, d, options), std::invalid_argument);
  options = {};
  options.threads = 0;
  EXPECT_THROW(exact_gemm(a, b, d, options), std::invalid_argument);
  auto cut = t;
  cut.codes.pop_back();
  EXPECT_THROW(pack_exact(ExactSide::a, cut, nvfp4), std::invalid_argument);
  cut = t;
  cut.scales.push_back(0);
  EXPECT_THROW(pack_exact(ExactSide::a, cut, nvfp4), std::invalid_argument);
  cut = t;
  cut.format = nullptr;
  EXPECT_THROW(pack_exact(ExactSide::a, cut, nvfp4), std::invalid_argument);
}

}  // namespace
}  // namespace assay::golden

// SPDX-License-Identifier: Apache-2.0
// The fast exact GEMM against the definitional one, codes and nothing else, over formats, shapes,
// families of data, instruction sets, outputs and rounding modes.
#include "golden/exact_gemm.h"

#include <gtest/gtest.h>

#include <bit>
#include <random>
#include <string>

#include "formats/presets.h"
#include "golden/gemm.h"

namespace assay::golden {
namespace {

using namespace formats;  // NOLINT(google-build-using-namespace): rows of formats/presets.h

enum class Family { everyday, wide_scales, tiny, raw, cancelling, sparse };
constexpr Family families[] = {Family::everyday, Family::wide_scales, Family::tiny,
                               Family::raw,      Family::cancelling,  Family::sparse};

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// A code of a scale format near 1, within `spread` exponents; raw: any code.
std::uint32_t scale_code(const FormatSpec& spec, int spread, std::mt19937& random) {
  const auto mantissa = static_cast<std::uint32_t>(random()) & ((1U << spec.mantissa_bits) - 1);
  const int field = std::max(
      0, spec.bias + static_cast<int>(random() % static_cast<unsigned>(2 * spread + 1)) - spread);
  const int most = (1 << spec.exponent_bits) - 2;
  return static_cast<std::uint32_t>(std::min(field, most)) << spec.mantissa_bits | mantissa;
}

BlockScaledTensor tensor(const BlockFormat& format, std::int64_t rows, std::int64_t cols,
                         Family family, std::mt19937& random) {
  BlockScaledTensor t;
  t.format = &format;
  t.rows = rows;
  t.cols = cols;
  const bool nibbles = format.element->storage_bits == 4;
  t.codes.resize(static_cast<std::size_t>(nibbles ? rows * ceil_div(cols, 2) : rows * cols));
  const FormatSpec& e = *format.element;
  const std::uint32_t nan_free = e.specials == Specials::none ? 0xFFU : 0U;
  for (auto& byte : t.codes) {
    std::uint32_t code = static_cast<std::uint32_t>(random());
    if (!nibbles && nan_free == 0 && family != Family::raw) {
      const std::uint32_t top = (1U << e.exponent_bits) - 2;
      std::uint32_t field = code >> 8 & (top | 1U);
      if (family == Family::everyday && code >> 20 % 16 != 0) field = top - field % 4;
      field = std::min(field, top);
      code = (code & 1U) << (e.exponent_bits + e.mantissa_bits) | field << e.mantissa_bits |
             (code >> 1 & ((1U << e.mantissa_bits) - 1));
    }
    if (family == Family::sparse && random() % 8 != 0) code = 0;
    byte = static_cast<std::uint8_t>(code);
  }
  if (nibbles && cols % 2 != 0)
    for (std::int64_t r = 0; r < rows; ++r)
      t.codes[static_cast<std::size_t>((r + 1) * ceil_div(cols, 2) - 1)] &= 15U;
  if (family == Family::cancelling)  // the second half of a row against the first
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t i = 0; i < static_cast<std::int64_t>(t.codes.size()) / rows / 2; ++i) {
        const std::int64_t width = static_cast<std::int64_t>(t.codes.size()) / rows;
        t.codes[static_cast<std::size_t>(r * width + width / 2 + i)] = static_cast<std::uint8_t>(
            t.codes[static_cast<std::size_t>(r * width + i)] ^ (nibbles ? 0x88U : 0U));
      }
  const std::int64_t down = format.block.rows == 0 ? 1 : ceil_div(rows, format.block.rows);
  const std::int64_t across = format.block.cols == 0 ? 1 : ceil_div(cols, format.block.cols);
  const int bytes = format.scale->storage_bits / 8;
  for (std::int64_t i = 0; i < down * across; ++i) {
    int spread = family == Family::wide_scales ? 100 : family == Family::cancelling ? 0 : 1;
    if (family == Family::tiny) spread = 5;
    std::uint32_t code = scale_code(*format.scale, spread, random);
    if (family == Family::raw && random() % 4 == 0) code = static_cast<std::uint32_t>(random());
    if (family == Family::sparse && random() % 3 == 0 && format.scale->subnormals) code = 0;
    for (int b = 0; b < bytes; ++b) t.scales.push_back(static_cast<std::uint8_t>(code >> (8 * b)));
  }
  if (format.tensor_scale == TensorScale::fp32) {
    t.tensor_scale =
        std::bit_cast<float>(0x3A000000U + static_cast<std::uint32_t>(random() % 0x400000));
    if (family == Family::tiny) t.tensor_scale *= -0x1p-100F;
    if (family == Family::sparse) t.tensor_scale = 0.5F;
  }
  return t;
}

struct Shape {
  std::int64_t m, n, k;
};

std::vector<GemmElement> definition(const BlockScaledTensor& a, const BlockScaledTensor& b) {
  return gemm(decode_matrix(a), decode_matrix(b));
}

void expect_equal(const BlockScaledTensor& a, const BlockScaledTensor& b,
                  const std::vector<GemmElement>& exact, const ExactGemmOptions& options,
                  const std::string& what) {
  std::vector<std::uint32_t> d(exact.size());
  exact_gemm(pack_exact(ExactSide::a, a, *b.format), pack_exact(ExactSide::b, b, *a.format), d,
             options);
  const auto expected = round_to(*options.output, exact, options.rounding, options.policy);
  for (std::size_t i = 0; i < d.size(); ++i)
    ASSERT_EQ(d[i], expected[i]) << what << ", element " << i << " of " << a.rows << " x " << b.rows
                                 << " x " << a.cols;
}

std::vector<ExactIsa> instructions() {
  std::vector<ExactIsa> isas{ExactIsa::portable};
  if (exact_gemm_isa() != "portable") isas.push_back(ExactIsa::avx2);
  if (exact_gemm_isa() == "avx512_vnni") isas.push_back(ExactIsa::avx512_vnni);
  return isas;
}

constexpr BlockFormat fp8_tensor{
    "fp8-tensor",      &e4m3,   {0, 0},  &fp32, ScaleRule::amax_over_max,
    TensorScale::none, nullptr, "a test"};
constexpr BlockFormat fp8_bf16_64{
    "fp8-bf16-64",     &e4m3,   {1, 64}, &bf16, ScaleRule::amax_over_max,
    TensorScale::none, nullptr, "a test"};
constexpr BlockFormat fp8_ue4m3{"fp8-ue4m3",       &e4m3,   {1, 32}, &ue4m3, ScaleRule::nearest,
                                TensorScale::fp32, nullptr, "a test"};
constexpr BlockFormat fp4_e4m3{"fp4-e4m3",        &e2m1,   {1, 48}, &e4m3, ScaleRule::nearest,
                               TensorScale::fp32, nullptr, "a test"};
constexpr BlockFormat fp4_rows{"fp4-rows",        &e2m1,   {1, 0},  &bf16, ScaleRule::nearest,
                               TensorScale::fp32, nullptr, "a test"};

struct Pair {
  const BlockFormat *a, *b;
};
constexpr Pair pairs[] = {
    {&nvfp4, &nvfp4},
    {&mxfp4_rceil, &mxfp4_rceil},
    {&nvfp4, &mxfp4_rceil},
    {&nvfp4, &nvfp4_2d},
    {&article, &nvfp4},
    {&fp4_e4m3, &fp4_rows},
    {&fp8_tensor, &fp8_tensor},
    {&fp8_deepseek_v3, &fp8_deepseek_v3_weight},
    {&fp8_deepseek_v4, &fp8_deepseek_v4_weight},
    {&mxfp8_e4m3_rceil, &mxfp8_e5m2_rceil},
    {&mxfp8_e5m2_rceil, &mxfp8_e5m2_rceil},
    {&fp8_bf16_64, &nvfp4},
    {&fp8_ue4m3, &fp8_ue4m3},
    {&fp8_tensor, &mxfp4_rceil},
    {&mxfp8_e4m3_rceil, &nvfp4},
    {&mxfp6_e2m3_rceil, &mxfp6_e3m2_rceil},
    {&fp8_deepseek_v4, &int4_g32},
    {&fp4_bf16, &mxfp8_e4m3_floor},
};

class ExactGemm : public testing::TestWithParam<Pair> {};

TEST_P(ExactGemm, EqualsTheDefinition) {
  std::mt19937 random(1);
  const Shape shapes[] = {{1, 1, 1}, {1, 33, 16}, {7, 5, 31}, {6, 32, 300}, {13, 40, 545}};
  for (const Family family : families)
    for (const Shape& shape : shapes) {
      const auto a = tensor(*GetParam().a, shape.m, shape.k, family, random);
      const auto b = tensor(*GetParam().b, shape.n, shape.k, family, random);
      const auto exact = definition(a, b);
      for (const ExactIsa isa : instructions()) {
        ExactGemmOptions options;
        options.isa = isa;
        expect_equal(a, b, exact, options,
                     "family " + std::to_string(static_cast<int>(family)) + ", instructions " +
                         std::to_string(static_cast<int>(isa)));
        if (HasFatalFailure()) return;
      }
    }
}

TEST_P(ExactGemm, OutputsAndRoundingModes) {
  std::mt19937 random(2);
  for (const Family family : {Family::everyday, Family::tiny, Family::raw}) {
    const auto a = tensor(*GetParam().a, 8, 80, family, random);
    const auto b = tensor(*GetParam().b, 9, 80, family, random);
    const auto exact = definition(a, b);
    for (const FormatSpec* output : {&fp32, &bf16, &fp16})
      for (const RoundingMode mode :
           {RoundingMode::nearest_even, RoundingMode::nearest_away, RoundingMode::toward_zero,
            RoundingMode::toward_positive, RoundingMode::toward_negative, RoundingMode::to_odd})
        for (const Profile* profile : {&ieee, &saturating, &cuda13}) {
          ExactGemmOptions options;
          options.output = output;
          options.rounding = mode;
          options.policy = policy_of(*profile, *output);
          expect_equal(a, b, exact, options,
                       std::string(output->name) + " mode " +
                           std::to_string(static_cast<int>(mode)) + " family " +
                           std::to_string(static_cast<int>(family)));
          if (HasFatalFailure()) return;
        }
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, ExactGemm, testing::ValuesIn(pairs), [](const auto& info) {
  std::string name = std::string(info.param.a->name) + "_" + std::string(info.param.b->name);
  for (char& c : name)
    if (c == '-') c = '_';
  return name;
});

}  // namespace
}  // namespace assay::golden

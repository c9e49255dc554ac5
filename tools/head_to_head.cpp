// SPDX-License-Identifier: Apache-2.0
#include "tools/head_to_head.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <random>

#include "golden/layout.h"
#include "golden/quantize.h"
#include "proptests/judge.h"

namespace assay::tools {
namespace {

using formats::BlockFormat;
using formats::BlockScaledTensor;
using kernels::Claim;
using proptests::Call;
using proptests::operand;

constexpr std::int64_t m = 128, n = 128, k = 512;  // flashinfer test_mm_fp4, vLLM's largest

/// Gaussian numbers in bf16, by Box and Muller from a fixed generator: std::normal_distribution
/// differs between libraries.
std::vector<float> gaussian(std::mt19937& words, std::int64_t count) {
  std::vector<float> out(count);
  for (float& x : out) {
    const double u = (words() + 1.0) / 4294967297.0;
    const double v = (words() + 1.0) / 4294967297.0;
    const auto g =
        static_cast<float>(std::sqrt(-2.0 * std::log(u)) * std::cos(6.283185307179586 * v));
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(g);
    x = std::bit_cast<float>((bits + 0x7FFFU + (bits >> 16U & 1U)) & 0xFFFF0000U);
  }
  return out;
}

std::vector<double> product(std::span<const double> a, std::span<const double> b) {
  std::vector<double> out(m * n);
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t j = 0; j < n; ++j)
      for (std::int64_t p = 0; p < k; ++p) out[i * n + j] += a[i * k + p] * b[j * k + p];
  return out;
}

std::vector<double> widened(std::span<const float> x) { return {x.begin(), x.end()}; }

/// What the codes mean, in FP64 (exact for these formats, but for NaN scale factors).
std::vector<double> meaning(const BlockScaledTensor& t) {
  std::array<double, 16> element{};
  for (std::uint32_t c = 0; c < 16; ++c)
    element.at(c) = golden::approximate(golden::decode(formats::e2m1, c).number);
  std::array<double, 256> scale{};
  for (std::uint32_t c = 0; c < 256; ++c) {
    const golden::Value v = golden::decode(*t.format->scale, c);
    scale.at(c) = v.is_nan() ? NAN : golden::approximate(v.number);
  }
  std::vector<double> out(t.rows * t.cols);
  for (std::int64_t r = 0; r < t.rows; ++r)
    for (std::int64_t c = 0; c < t.cols; ++c)
      out[r * t.cols + c] = element.at(golden::load_code(t, r, c)) *
                            scale.at(golden::load_scale(t, r, c / t.format->block.cols)) *
                            static_cast<double>(t.tensor_scale);
  return out;
}

BlockScaledTensor shape_of(const BlockFormat& format, std::int64_t rows) {
  BlockScaledTensor t;
  t.format = &format;
  t.rows = rows;
  t.cols = k;
  return t;
}

// --- Figures of merit, as published ------------------------------------------------------------

double dot(std::span<const double> x, std::span<const double> y) {
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += x[i] * y[i];
  return sum;
}
double cosine(std::span<const double> x, std::span<const double> y) {
  return dot(x, y) / std::sqrt(dot(x, x) * dot(y, y));
}
double calc_diff(std::span<const double> x, std::span<const double> y) {
  return 1.0 - 2.0 * dot(x, y) / (dot(x, x) + dot(y, y));
}
double noise(std::span<const double> x, std::span<const double> y) {
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += (x[i] - y[i]) * (x[i] - y[i]);
  return sum;
}
double sqnr(std::span<const double> x, std::span<const double> y) {
  return 10.0 * std::log10(dot(x, x) / noise(x, y));
}
double nmse(std::span<const double> x, std::span<const double> y) {
  return noise(x, y) / dot(x, x);
}
/// torch.testing.assert_close: the share of elements beyond atol + rtol |expected|; NaN is beyond.
double beyond(std::span<const double> expected, std::span<const double> actual, double rtol,
              double atol) {
  std::int64_t count = 0;
  for (std::size_t i = 0; i < expected.size(); ++i)
    if (!(std::fabs(actual[i] - expected[i]) <= atol + rtol * std::fabs(expected[i]))) ++count;
  return static_cast<double>(count) / static_cast<double>(expected.size());
}
std::vector<double> without_nan(std::span<const double> x) {
  std::vector<double> out(x.begin(), x.end());
  for (double& v : out)
    if (std::isnan(v)) v = 0;
  return out;
}

bool is_nvfp4(const SuiteRun& r) { return r.format == &formats::nvfp4; }

// A criterion is asked only of the formats that its suite applies it to.
constexpr std::array criteria{
    Criterion{"flashinfer test_mm_fp4.py", "cosine > 0.97 against the unquantized product",
              [](const SuiteRun& r) { return cosine(r.original, widened(r.product)) > 0.97; }},
    Criterion{"DeepGEMM test_fp8_fp4.py, FP4 x FP4",
              "calc_diff < 0.02 against the unquantized product",
              [](const SuiteRun& r) { return calc_diff(r.original, widened(r.product)) < 0.02; }},
    Criterion{"DeepGEMM test_fp8_fp4.py, one operand FP4",
              "calc_diff < 0.01 against the unquantized product",
              [](const SuiteRun& r) {
                std::vector<double> expected = r.original;
                for (std::size_t i = 0; i < expected.size(); ++i) expected[i] += r.bias[i % n];
                return calc_diff(expected, widened(r.weight_only)) < 0.01;
              }},
    Criterion{"DeepGEMM, FP8's threshold on FP4 x FP4",
              "calc_diff < 0.001 against the unquantized product",
              [](const SuiteRun& r) { return calc_diff(r.original, widened(r.product)) < 0.001; }},
    Criterion{
        "vLLM test_nvfp4_scaled_mm.py",
        "rtol = atol = 0.1 against the dequantized output of the device's own quantizer",
        [](const SuiteRun& r) { return beyond(r.of_codes, widened(r.product), 0.1, 0.1) == 0; }},
    Criterion{
        "TransformerEngine, NVFP4 GEMM",
        "rtol = atol = 0.008 against the dequantized product, NaN replaced by 0 on both sides",
        [](const SuiteRun& r) {
          return beyond(without_nan(r.of_codes), without_nan(widened(r.product)), 8e-3, 8e-3) == 0;
        }},
    Criterion{"torchao mx_formats, mm",
              "SQNR >= 16 dB (NVFP4) or 12 dB (MXFP4), unquantized product",
              [](const SuiteRun& r) {
                return sqnr(r.original, widened(r.product)) >= (is_nvfp4(r) ? 16 : 12);
              }},
    Criterion{"torchao mx_formats, weight only",
              "SQNR >= 18 dB against the unquantized product (NVFP4)",
              [](const SuiteRun& r) {
                if (!is_nvfp4(r)) return true;
                std::vector<double> expected = r.original;
                for (std::size_t i = 0; i < expected.size(); ++i) expected[i] += r.bias[i % n];
                return sqnr(expected, widened(r.weight_only)) >= 18;
              }},
    Criterion{"torchao mx_formats, tensor", "SQNR >= 8 dB (NVFP4) or 13 dB (MXFP4) of Q then DQ",
              [](const SuiteRun& r) {
                return sqnr(widened(r.a), widened(r.dequantized)) >= (is_nvfp4(r) ? 8 : 13);
              }},
    Criterion{"flashinfer test_fp4_quantize.py", "rtol = 0.3, atol = 0.5 of Q then DQ",
              [](const SuiteRun& r) {
                return beyond(widened(r.a), widened(r.dequantized), 0.3, 0.5) == 0;
              }},
    Criterion{"qutlass, fused quantize",
              "rtol = 0.34, atol = 100, and at most 10 % (MXFP4: 0.01 %) of the numbers differ",
              [](const SuiteRun& r) {
                const std::vector<double> expected = meaning(r.golden_qa);
                const std::vector<double> actual = widened(r.dequantized);
                return beyond(expected, actual, 0.34, 100) == 0 &&
                       beyond(expected, actual, 0, 0) <= (is_nvfp4(r) ? 1e-1 : 1e-4);
              }},
    Criterion{"TransformerEngine, TileKernels, quantize", "codes and scale factors bit for bit",
              [](const SuiteRun& r) { return !proptests::compare(r.golden_qa, r.qa); }},
    Criterion{"llama.cpp test-backend-ops",
              "NMSE <= 5e-4 against the CPU's product of the same codes",
              [](const SuiteRun& r) { return nmse(r.of_weight, widened(r.weight_only)) <= 5e-4; }},
    Criterion{"CUTLASS gemm_testbed_3x.hpp", "equality on small integers (alpha 2, beta 3)",
              [](const SuiteRun& r) {
                return beyond(r.integers, widened(r.integer_product), 0, 0) == 0;
              }},
};

// --- Calls ------------------------------------------------------------------------------------

const Claim* find(const std::vector<Claim>& claims, const char* operation, const BlockFormat* a,
                  const BlockFormat* b, const formats::FormatSpec* output) {
  for (const Claim& c : claims)
    if (c.operation == operation && c.a == a && c.b == b &&
        c.scale_layout == formats::ScaleLayout::row_major &&
        (output == nullptr || c.output == output))
      return &c;
  return nullptr;
}

bool ask(proptests::Device& device, const Call& call, std::vector<std::vector<std::uint8_t>>& out) {
  const proptests::Trial trial = device.ask(std::span(&call, 1)).front();
  out = trial.first.outputs;
  return trial.first.outcome == proptests::Outcome::answered;
}

bool quantize(proptests::Device& device, const Claim& claim, const std::vector<float>& x,
              BlockScaledTensor& q) {
  Call call;
  call.claim = claim;
  call.m = q.rows;
  call.k = k;
  call.in.push_back(operand(ASSAY_DUT_X, ASSAY_DUT_VALUES, formats::fp32, {q.rows, k},
                            proptests::bytes_of(std::span(x))));
  add_output(call, ASSAY_DUT_Q, q);
  std::vector<std::vector<std::uint8_t>> out;
  if (!ask(device, call, out)) return false;
  q.codes = out[0];
  q.scales = out[1];
  if (out.size() > 2) q.tensor_scale = proptests::to_floats(out[2])[0];
  return true;
}

struct Extra {
  float alpha = 1.0F, beta = 0.0F;
  const std::vector<float>*c = nullptr, *bias = nullptr;
};
bool multiply(proptests::Device& device, const Claim& claim, const BlockScaledTensor* a,
              const std::vector<std::uint16_t>& a_bf16, const BlockScaledTensor& b,
              const Extra& extra, std::vector<float>& d) {
  Call call;
  call.claim = claim;
  call.m = m;
  call.n = n;
  call.k = k;
  call.alpha = extra.alpha;
  call.beta = extra.beta;
  if (a != nullptr)
    add_input(call, ASSAY_DUT_A, *a);
  else
    call.in.push_back(operand(ASSAY_DUT_A, ASSAY_DUT_VALUES, formats::bf16, {m, k},
                              proptests::bytes_of(std::span(a_bf16))));
  add_input(call, ASSAY_DUT_B, b);
  if (extra.c != nullptr)
    call.in.push_back(operand(ASSAY_DUT_C, ASSAY_DUT_VALUES, formats::fp32, {m, n},
                              proptests::bytes_of(std::span(*extra.c))));
  if (extra.bias != nullptr)
    call.in.push_back(operand(ASSAY_DUT_BIAS, ASSAY_DUT_VALUES, formats::fp32, {n},
                              proptests::bytes_of(std::span(*extra.bias))));
  call.out.push_back(operand(ASSAY_DUT_D, ASSAY_DUT_VALUES, *claim.output, {m, n}));
  std::vector<std::vector<std::uint8_t>> out;
  if (!ask(device, call, out)) return false;
  d = proptests::to_floats(*claim.output, out[0]);
  return true;
}

std::vector<std::uint16_t> bf16_codes(const std::vector<float>& x) {
  std::vector<std::uint16_t> codes;
  codes.reserve(x.size());
  for (const float v : x)
    codes.push_back(static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(v) >> 16U));
  return codes;
}

/// CUTLASS: elements are integers in [-2, 2], scale factors 1, 2 or 4.
BlockScaledTensor small_integers(std::mt19937& words, const BlockFormat& format,
                                 std::int64_t rows) {
  BlockScaledTensor t = shape_of(format, rows);
  t.codes.resize(golden::code_bytes(formats::e2m1, rows, k, t.layout));
  t.scales.resize(golden::scale_bytes(format, rows, k, t.scale_layout));
  constexpr std::array<std::uint32_t, 5> codes{0xC, 0xA, 0x0, 0x2, 0x4};
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < k; ++c) golden::store_code(t, r, c, codes.at(words() % 5));
  const std::uint32_t one = format.scale == &formats::e8m0 ? 127 : 0x38;
  const std::uint32_t binade = format.scale == &formats::e8m0 ? 1 : 8;
  for (auto& s : t.scales) s = static_cast<std::uint8_t>(one + binade * (words() % 3));
  return t;
}

/// What the suites call of one block format.
struct Offer {
  Offer(const std::vector<Claim>& claims, const BlockFormat* f)
      : quantizer(find(claims, "quantize", f, nullptr, nullptr)),
        dequantizer(find(claims, "dequantize", f, nullptr, nullptr)),
        both(find(claims, "gemm", f, f, &formats::bf16)),
        weight(find(claims, "gemm", nullptr, f, &formats::bf16)),
        exact(find(claims, "gemm", f, f, &formats::fp32)) {}
  [[nodiscard]] bool complete() const {
    return quantizer != nullptr && dequantizer != nullptr && both != nullptr && weight != nullptr &&
           exact != nullptr;
  }
  const Claim *quantizer, *dequantizer, *both, *weight, *exact;
};

bool run(proptests::Device& device, const Offer& offer, SuiteRun& r) {
  r.qa = shape_of(*r.format, m);
  r.qb = shape_of(*r.format, n);
  if (!quantize(device, *offer.quantizer, r.a, r.qa) ||
      !quantize(device, *offer.quantizer, r.b, r.qb))
    return false;
  Call call;
  call.claim = *offer.dequantizer;
  call.m = m;
  call.k = k;
  add_input(call, ASSAY_DUT_Q, r.qa);
  call.out.push_back(operand(ASSAY_DUT_X, ASSAY_DUT_VALUES, formats::fp32, {m, k}));
  std::vector<std::vector<std::uint8_t>> out;
  if (!ask(device, call, out)) return false;
  r.dequantized = proptests::to_floats(out[0]);
  const std::vector<double> b_means = meaning(r.qb);
  r.of_codes = product(meaning(r.qa), b_means);
  r.of_weight = product(widened(r.a), b_means);
  for (std::size_t i = 0; i < r.of_weight.size(); ++i) r.of_weight[i] += r.bias[i % n];
  if (!multiply(device, *offer.both, &r.qa, {}, r.qb, {}, r.product)) return false;
  if (!multiply(device, *offer.weight, nullptr, bf16_codes(r.a), r.qb,
                {1.0F, 0.0F, nullptr, &r.bias}, r.weight_only))
    return false;
  std::mt19937 words(7);
  const BlockScaledTensor ia = small_integers(words, *r.format, m);
  const BlockScaledTensor ib = small_integers(words, *r.format, n);
  std::vector<float> c(m * n);
  for (float& x : c) x = static_cast<float>(static_cast<int>(words() % 5) - 2);
  r.integers = product(meaning(ia), meaning(ib));
  for (std::size_t i = 0; i < c.size(); ++i)
    r.integers[i] = 2.0 * r.integers[i] + 3.0 * static_cast<double>(c[i]);
  return multiply(device, *offer.exact, &ia, {}, ib, {2.0F, 3.0F, &c, nullptr}, r.integer_product);
}

}  // namespace

std::span<const Criterion> published_criteria() { return criteria; }

HeadToHead::HeadToHead() {
  std::mt19937 words(42);
  for (const BlockFormat* format : {&formats::nvfp4, &formats::mxfp4_rceil}) {
    SuiteRun r;
    r.format = format;
    r.a = gaussian(words, m * k);
    r.b = gaussian(words, n * k);
    r.bias = gaussian(words, n);
    r.original = product(widened(r.a), widened(r.b));
    r.golden_qa = golden::quantize(r.a, m, k, *format);
    workloads_.push_back(std::move(r));
  }
}

std::optional<std::vector<bool>> HeadToHead::passes(proptests::Device& device) const {
  const std::vector<Claim> claims = device.claims();
  std::vector<bool> passed(criteria.size(), true);
  for (SuiteRun r : workloads_) {
    const Offer offer(claims, r.format);
    if (!offer.complete()) return std::nullopt;
    const bool ran = run(device, offer, r);
    for (std::size_t i = 0; i < criteria.size(); ++i)
      passed[i] = passed[i] && ran && criteria.at(i).passes(r);
  }
  return passed;
}

}  // namespace assay::tools

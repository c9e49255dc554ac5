// SPDX-License-Identifier: Apache-2.0
#include "tools/bench_golden_rows.h"

#include <cstdio>
#include <stdexcept>
#include <vector>

#include "formats/block.h"
#include "formats/orders.h"
#include "formats/presets.h"

namespace assay::tools {
namespace {

using formats::BlockFormat;
using formats::BlockScaledTensor;

constexpr BlockFormat fp8_tensor{"fp8-per-tensor",
                                 &formats::e4m3,
                                 {0, 0},
                                 &formats::fp32,
                                 formats::ScaleRule::amax_over_max,
                                 formats::TensorScale::none,
                                 &formats::orders::fp8_deepseek_v3,
                                 "E4M3 with one FP32 scale factor"};

constexpr BenchPair pairs[] = {
    {&formats::nvfp4, &formats::nvfp4},
    {&formats::mxfp4_rceil, &formats::mxfp4_rceil},
    {&formats::mxfp8_e4m3_rceil, &formats::mxfp4_rceil},
    {&fp8_tensor, &formats::nvfp4},
    {&fp8_tensor, &fp8_tensor},
    {&formats::mxfp8_e4m3_rceil, &formats::mxfp8_e4m3_rceil},
    {&formats::fp8_deepseek_v4, &formats::fp8_deepseek_v4_weight},
    {&formats::fp8_deepseek_v3, &formats::fp8_deepseek_v3_weight},
};

constexpr BenchShape shapes[] = {{1024, 1024, 4096}, {1024, 1024, 1024}, {256, 1024, 4096},
                                 {16, 1024, 4096},   {8, 1024, 4096},    {1, 1024, 4096}};

}  // namespace

std::span<const BenchPair> bench_pairs() { return pairs; }
std::span<const BenchShape> bench_shapes() { return shapes; }

BenchShape parse_bench_shape(const std::string& text) {
  BenchShape s{};
  char end = 0;
  long long m = 0;
  long long n = 0;
  long long k = 0;
  if (std::sscanf(text.c_str(), "%lldx%lldx%lld%c", &m, &n, &k, &end) != 3 || m < 1 || n < 1 ||
      k < 1 || m > 1 << 16 || n > 1 << 16 || k > 1 << 20)
    throw std::invalid_argument("bench: --shape " + text +
                                " is not MxNxK with M, N up to 65536 and K up to 1048576");
  s = {m, n, k};
  return s;
}

BlockScaledTensor draw_normal(const BlockFormat& format, std::int64_t rows, std::int64_t cols,
                              std::mt19937_64& random) {
  std::normal_distribution<float> normal;
  std::vector<float> x(static_cast<std::size_t>(rows * cols));
  for (float& v : x) v = normal(random);
  return formats::quantize(x, rows, cols, format);
}

}  // namespace assay::tools

// SPDX-License-Identifier: Apache-2.0
#include <bit>
#include <cmath>
#include <cstring>
#include <memory>
#include <random>

#include "kernels/cpu/cpu_device.h"
#include "kernels/cuda/cuda_device.h"
#include "tools/bench_gpu.h"

namespace assay::tools {
namespace {

using formats::BlockScaledTensor;
using kernels::Claim;
using kernels::QatCall;
using kernels::Status;
using kernels::TypedDevice;

enum class Data { gaussian, spread, any_bits };

std::vector<float> numbers(std::int64_t count, Data data, std::mt19937_64& random) {
  std::normal_distribution<float> normal;
  std::vector<float> out(static_cast<std::size_t>(count));
  for (float& x : out) {
    const auto word = static_cast<std::uint32_t>(random());
    x = data == Data::any_bits ? std::bit_cast<float>(word) : normal(random);
    // Magnitudes from the subnormals to near the largest, quarters often: ties.
    if (data == Data::spread)
      x = std::ldexp(std::round(x * 4) / 4, static_cast<int>(word % 272) - 148);
  }
  return out;
}

template <class T>
std::int64_t differing(const std::vector<T>& a, const std::vector<T>& b) {
  std::int64_t count = a.size() == b.size() ? 0 : 1;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    bool same = std::memcmp(&a[i], &b[i], sizeof(T)) == 0;
    if constexpr (std::is_same_v<T, float>) same = same || (std::isnan(a[i]) && std::isnan(b[i]));
    if (!same) ++count;
  }
  return count;
}

struct Compared {
  BitsRow& row;
  template <class T>
  void operator()(const std::vector<T>& a, const std::vector<T>& b) const {
    row.compared += static_cast<std::int64_t>(a.size());
    row.different += differing(a, b);
  }
};

void compare_blocks(const Claim& claim, const TypedDevice& cpu, const TypedDevice& cuda,
                    std::mt19937_64& random, BitsRow& row) {
  constexpr std::int64_t shapes[][2] = {{1, 1},    {3, 17},   {5, 64},
                                        {33, 160}, {7, 1000}, {129, 2048}};
  for (const auto& [rows, cols] : shapes)
    for (const Data data : {Data::gaussian, Data::spread, Data::any_bits}) {
      const std::vector<float> x = numbers(rows * cols, data, random);
      BlockScaledTensor a;
      a.format = claim.a;
      a.rows = rows;
      a.cols = cols;
      a.scale_layout = claim.scale_layout;
      BlockScaledTensor b = a;
      Claim quantize = claim;
      quantize.operation = "quantize";
      if (cpu.quantize(quantize, x, a) != Status::ok) return;
      ++row.cases;
      if (claim.operation == "quantize") {
        if (cuda.quantize(quantize, x, b) != Status::ok) ++row.different;
        Compared{row}(a.codes, b.codes);
        Compared{row}(a.scales, b.scales);
        Compared{row}(std::vector{a.tensor_scale}, std::vector{b.tensor_scale});
        continue;
      }
      std::vector<float> ya(x.size());
      std::vector<float> yb(x.size());
      if (cpu.dequantize(claim, a, ya) != cuda.dequantize(claim, a, yb)) ++row.different;
      Compared{row}(ya, yb);
    }
}

void compare_steps(const Claim& claim, const TypedDevice& cpu, const TypedDevice& cuda,
                   std::mt19937_64& random, BitsRow& row) {
  constexpr std::int64_t shapes[][3] = {{1, 1, 16}, {3, 5, 33}, {17, 40, 64}, {64, 48, 160}};
  const bool forward = claim.operation == "qat_forward";
  for (const auto& [m, n, k] : shapes)
    for (std::size_t e = 0; e < kernels::estimator_names.size(); ++e) {
      const auto estimator = static_cast<kernels::Estimator>(e);
      const std::vector<float> x = numbers(m * k, Data::gaussian, random);
      const std::vector<float> w = numbers(n * k, Data::gaussian, random);
      const std::vector<float> dy = numbers(m * n, Data::gaussian, random);
      const std::vector<float> bias = numbers(n, Data::gaussian, random);
      const std::int64_t block = claim.b->block.cols;
      const std::int64_t blocks = n * ((k + block - 1) / block);
      std::vector<float> scales;
      if (claim.b->rule == formats::ScaleRule::given) {
        scales = numbers(blocks, Data::gaussian, random);
        for (float& s : scales) s = 0.1F + 0.2F * std::fabs(s);
      }
      const auto step = [&](const TypedDevice& device, std::vector<std::vector<float>>& out) {
        out = {std::vector<float>(dy.size()), std::vector<float>(x.size()),
               std::vector<float>(w.size()), std::vector<float>(static_cast<std::size_t>(blocks)),
               std::vector<float>(bias.size())};
        QatCall call;
        call.m = m;
        call.n = n;
        call.k = k;
        call.x = x;
        call.w = w;
        call.bias = bias;
        call.scales = scales;
        call.estimator = estimator;
        if (estimator == kernels::Estimator::ewgs || estimator == kernels::Estimator::trust_mask)
          call.parameter = 0.5F;
        if (forward) {
          call.y = out[0];
          return device.qat_forward(claim, call);
        }
        call.dy = dy;
        call.dx = out[1];
        call.dw = out[2];
        call.dscale = out[3];
        call.dbias = out[4];
        return device.qat_backward(claim, call);
      };
      std::vector<std::vector<float>> a;
      std::vector<std::vector<float>> b;
      const Status theirs = step(cuda, b);
      if (theirs == Status::not_supported) continue;
      if (step(cpu, a) != theirs) ++row.different;
      ++row.cases;
      for (std::size_t i = 0; i < a.size(); ++i) Compared{row}(a[i], b[i]);
    }
}

}  // namespace

std::vector<BitsRow> compare_bits(std::uint64_t seed) {
  std::string reason;
  const std::unique_ptr<TypedDevice> cpu = kernels::make_cpu_device();
  const std::unique_ptr<TypedDevice> cuda = kernels::make_cuda_device(reason);
  std::vector<BitsRow> rows;
  if (cuda == nullptr) return rows;
  std::mt19937_64 random(seed);
  for (const Claim& claim : cuda->claims()) {
    const bool blocks = claim.operation == "quantize" || claim.operation == "dequantize";
    if (!blocks && claim.operation != "qat_forward" && claim.operation != "qat_backward") continue;
    BitsRow row{.claim = name_of(claim)};
    (blocks ? compare_blocks : compare_steps)(claim, *cpu, *cuda, random, row);
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace assay::tools

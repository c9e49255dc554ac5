// SPDX-License-Identifier: Apache-2.0
// What certification's small shapes do not reach: shapes large enough for threads.
#include <gtest/gtest.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include <bit>
#include <cstring>

#include "kernels/cpu/cpu_device.h"

namespace assay::kernels {
namespace {

/// Bits that look random and are the same everywhere.
std::vector<float> numbers(std::size_t count, std::uint32_t seed) {
  std::vector<float> out(count);
  std::uint32_t state = seed;
  for (float& x : out) {
    state = state * 1664525U + 1013904223U;
    x = std::bit_cast<float>((state >> 9U) | 0x3F800000U) * 4.0F - 6.0F;
  }
  return out;
}

void set_threads([[maybe_unused]] int count) {
#ifdef _OPENMP
  omp_set_num_threads(count);
#endif
}

/// Everything a quantizer and a GEMM on its output write, as bytes.
std::vector<std::uint8_t> all_outputs(const formats::BlockFormat& format, int threads) {
  set_threads(threads);
  const auto device = make_cpu_device();
  constexpr std::int64_t rows = 200;
  constexpr std::int64_t cols = 500;
  Claim claim;
  claim.operation = "quantize";
  claim.a = &format;
  formats::BlockScaledTensor a;
  a.format = &format;
  a.rows = rows;
  a.cols = cols;
  formats::BlockScaledTensor b = a;
  EXPECT_EQ(device->quantize(claim, numbers(rows * cols, 1), a), Status::ok);
  EXPECT_EQ(device->quantize(claim, numbers(rows * cols, 2), b), Status::ok);
  Claim product;
  product.operation = "gemm";
  product.a = product.b = &format;
  product.accumulator = Accumulator::fp32_fixed_order;
  std::vector<float> d(rows * rows);
  GemmCall call;
  call.a = &a;
  call.b = &b;
  call.m = call.n = rows;
  call.k = cols;
  call.d = d;
  EXPECT_EQ(device->gemm(product, call), Status::ok);
  std::vector<std::uint8_t> bytes = a.codes;
  bytes.insert(bytes.end(), a.scales.begin(), a.scales.end());
  const std::size_t offset = bytes.size();
  bytes.resize(offset + d.size() * sizeof(float));
  std::memcpy(bytes.data() + offset, d.data(), d.size() * sizeof(float));
  return bytes;
}

TEST(CpuDevice, TheBytesDoNotDependOnTheNumberOfThreads) {
  for (const auto* format : {&formats::nvfp4, &formats::mxfp4_rceil}) {
    const std::vector<std::uint8_t> one = all_outputs(*format, 1);
    for (const int threads : {2, 3, 8}) EXPECT_EQ(all_outputs(*format, threads), one) << threads;
  }
}

TEST(CpuDevice, DeclinesWhatItDoesNotClaim) {
  const auto device = make_cpu_device();
  Claim claim;
  claim.operation = "quantize";
  claim.a = &formats::fp8_deepseek_v3;
  formats::BlockScaledTensor out;
  out.format = claim.a;
  out.rows = 1;
  out.cols = 128;
  EXPECT_EQ(device->quantize(claim, numbers(128, 1), out), Status::not_supported);
  claim.a = &formats::nvfp4;
  out.format = claim.a;
  out.layout = formats::Layout::column_major;
  EXPECT_EQ(device->quantize(claim, numbers(128, 1), out), Status::not_supported);
}

}  // namespace
}  // namespace assay::kernels

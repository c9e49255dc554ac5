// SPDX-License-Identifier: Apache-2.0
// Operands are copied to fresh, poisoned device memory, as in cuda_device.cpp; weights are
// re-encoded there.
#include "kernels/cuda/device_products.h"

#include <algorithm>
#include <bit>

#include "kernels/abi/operands.h"
#include "kernels/cuda/check.h"
#include "kernels/cuda/gemm_w4a16.cuh"
#include "kernels/cuda/gemm_w4a8.cuh"

namespace assay::kernels::cuda {
namespace {

// The FP8 unit of sm_90 keeps 13 fraction bits (simulator/mma/models: hopper wgmma e4m3).
constexpr int kFp8FractionBits = 13;
constexpr int kBf16FractionBits = 25;

Claim w4a8_claim(const char* operation, int promotion, const formats::FormatSpec& output) {
  Claim claim{.operation = operation,
              .a = &formats::fp8_deepseek_v4,
              .b = &formats::mxfp4_rceil,
              .accumulator = Accumulator::truncating,
              .fraction_bits = kFp8FractionBits,
              .promotion = promotion,
              .output = &output,
              .k_multiple = 32};
  claim.flags |= ASSAY_DUT_BATCH_INVARIANT;
  claim.name = name_of(claim) + ".promote" + std::to_string(promotion);
  return claim;
}

void push_both_layouts(std::vector<Claim>& claims, const Claim& claim) {
  for (const std::uint32_t layout : {ASSAY_DUT_CONTIGUOUS, ASSAY_DUT_MASKED}) {
    Claim one = claim;
    one.group_layout = layout;
    one.name += layout == ASSAY_DUT_CONTIGUOUS ? ".contiguous" : ".masked";
    claims.push_back(std::move(one));
  }
}

/// D in device memory, poisoned, and back as FP32 whatever the claimed format.
class Output {
 public:
  Output(const formats::FormatSpec& format, std::size_t count)
      : wide_(&format == &formats::fp32 ? count : 0),
        narrow_(&format == &formats::bf16 ? count : 0) {
    wide_.fill(0xFF);
    narrow_.fill(0xFF);
  }
  void give(GemmW4a8& p, const formats::FormatSpec& format) {
    if (&format == &formats::bf16)
      p.d_bf16 = narrow_.data();
    else
      p.d = wide_.data();
  }
  void copy_to(const formats::FormatSpec& format, std::span<float> d) const {
    if (&format != &formats::bf16) return wide_.copy_to(d);
    std::vector<std::uint16_t> codes(d.size());
    narrow_.copy_to(codes);
    for (std::size_t i = 0; i < d.size(); ++i)
      d[i] = std::bit_cast<float>(std::uint32_t{codes[i]} << 16U);
  }

 private:
  DeviceBuffer<float> wide_;
  DeviceBuffer<std::uint16_t> narrow_;
};

}  // namespace

std::vector<Claim> w4a8_claims(int major) {
  std::vector<Claim> claims;
  if (major != 9) return claims;
  for (const int promotion : {128, 64, 32})
    claims.push_back(w4a8_claim("gemm", promotion, formats::fp32));
  claims.push_back(w4a8_claim("gemm", 128, formats::bf16));
  for (const formats::FormatSpec* output : {&formats::fp32, &formats::bf16})
    push_both_layouts(claims, w4a8_claim("grouped_gemm", 128, *output));
  return claims;
}

std::vector<Claim> grouped_w4a16_claims(int major) {
  std::vector<Claim> claims;
  if (major != 9) return claims;
  for (const formats::BlockFormat* format : {&formats::nvfp4, &formats::mxfp4_rceil})
    for (const formats::FormatSpec* output : {&formats::fp32, &formats::bf16}) {
      Claim claim{.operation = "grouped_gemm",
                  .b = format,
                  .accumulator = Accumulator::truncating,
                  .fraction_bits = kBf16FractionBits,
                  .output = output,
                  .k_multiple = 64};
      claim.name = name_of(claim);
      push_both_layouts(claims, claim);
    }
  return claims;
}

Status run_w4a8(const Claim& claim, const GemmCall& call, Mutant mutant) {
  if (call.k % 32 != 0) return Status::not_supported;
  if (call.m == 0 || call.n == 0) return Status::ok;
  // A sum of no products is one of zeros.
  const std::int64_t k = std::max<std::int64_t>(call.k, 32);
  std::vector<std::uint8_t> zeros(static_cast<std::size_t>(std::max(call.m, call.n) * k));
  const auto given = [&](const std::vector<std::uint8_t>& bytes) {
    return call.k == 0 ? std::span<const std::uint8_t>(zeros) : std::span(bytes);
  };
  DeviceBuffer<std::uint8_t> a{given(call.a->codes)};
  DeviceBuffer<std::uint8_t> a_scales{given(call.a->scales)};
  DeviceBuffer<std::uint8_t> codes{given(call.b->codes)};
  DeviceBuffer<std::uint8_t> scales{given(call.b->scales)};
  DeviceBuffer<float> c(call.c);
  DeviceBuffer<float> bias(call.bias);
  Output d(*claim.output, call.d.size());
  const ReencodedWeights weights(codes.data(), scales.data(), 1, call.n, k);
  GemmW4a8 p{.a = a.data(),
             .a_scales = a_scales.data(),
             .b = weights.view(),
             .m = call.m,
             .alpha = call.alpha,
             .beta = call.beta,
             .c = call.beta == 0.0F ? nullptr : c.data(),
             .bias = call.bias.empty() ? nullptr : bias.data(),
             .promotion = weights.view().kind == W4a8Scales::fine ? 32 : claim.promotion};
  if (mutant == Mutant::no_promotion) {
    p.promotion = 0;
    p.constant_scales = true;
  }
  d.give(p, *claim.output);
  const W4a8Tactic tactic = choose_w4a8(p);
  if (declines(tactic, p) != nullptr) return Status::not_supported;
  launch_w4a8(tactic, p);
  check_kernel("gemm_w4a8");
  d.copy_to(*claim.output, call.d);
  return Status::ok;
}

namespace {

/// The operands of a grouped call on the device.
struct Grouped {
  std::span<const assay_dut_tensor> in;
  const assay_dut_tensor& d;
  DeviceBuffer<std::uint8_t> a, a_scales, codes, scales, out;
  DeviceBuffer<float> tensor_scales;
  DeviceBuffer<std::int64_t> ends;  ///< offsets or counts
  GroupRows rows;
  std::int64_t groups, total;  ///< rows of A and D

  explicit Grouped(const Claim& claim, const assay_dut_call& call, Mutant mutant)
      : in(abi::inputs(call)),
        d(*abi::find(abi::outputs(call), ASSAY_DUT_D)),
        a(bytes(ASSAY_DUT_A)),
        a_scales(bytes(ASSAY_DUT_A, ASSAY_DUT_SCALES)),
        codes(bytes(ASSAY_DUT_B)),
        scales(bytes(ASSAY_DUT_B, ASSAY_DUT_SCALES)),
        // Rows of no group stay as they are.
        out(std::span<const std::uint8_t>(abi::data_of<std::uint8_t>(&d))),
        tensor_scales(
            abi::data_of<const float>(abi::find(in, ASSAY_DUT_B, ASSAY_DUT_TENSOR_SCALE))),
        ends(std::span<const std::int64_t>(ends_of(claim, in, mutant))),
        groups(call.groups),
        total(claim.group_layout == ASSAY_DUT_MASKED ? call.groups * call.m : call.m) {
    if (claim.group_layout == ASSAY_DUT_MASKED)
      rows = {.counts = ends.data(), .most = call.m};
    else
      rows = {.offsets = ends.data()};
  }
  [[nodiscard]] std::span<const std::uint8_t> bytes(std::uint32_t role,
                                                    std::uint32_t part = ASSAY_DUT_VALUES) const {
    return abi::data_of<const std::uint8_t>(abi::find(in, role, part));
  }
  static std::vector<std::int64_t> ends_of(const Claim& claim, std::span<const assay_dut_tensor> in,
                                           Mutant mutant) {
    const bool masked = claim.group_layout == ASSAY_DUT_MASKED;
    const auto given = abi::data_of<const std::int64_t>(
        abi::find(in, masked ? ASSAY_DUT_COUNTS : ASSAY_DUT_OFFSETS));
    std::vector<std::int64_t> ends(given.begin(), given.end());
    if (mutant != Mutant::late_groups) return ends;
    for (std::size_t i = 0; i < ends.size(); ++i) {
      if (masked)
        ends[i] = std::max<std::int64_t>(0, ends[i] - 1);
      else if (i + 1 < ends.size() && ends[i] < ends[i + 1])
        ++ends[i];
    }
    return ends;
  }
  void store() const { out.copy_to(abi::data_of<std::uint8_t>(&d)); }
};

struct Plan {
  DeviceBuffer<RowTile> tiles;
  std::int64_t count;
};
Plan plan(const Grouped& g, int height) {
  const std::int64_t count = most_row_tiles(g.total, g.groups, height);
  Plan made{DeviceBuffer<RowTile>(static_cast<std::size_t>(count)), count};
  plan_row_tiles(g.rows, g.groups, height, made.tiles.data(), count);
  return made;
}

}  // namespace

Status run_grouped(const Claim& claim, const assay_dut_call& call, Mutant mutant) {
  for (const auto tensors : {abi::inputs(call), abi::outputs(call)})
    if (!std::all_of(tensors.begin(), tensors.end(), abi::is_dense)) return Status::not_supported;
  if (call.k == 0 || call.k % claim.k_multiple != 0) return Status::not_supported;
  if (call.m == 0 || call.n == 0 || call.groups == 0) return Status::ok;
  Grouped g(claim, call, mutant);
  const bool narrow = claim.output == &formats::bf16;
  auto* wide_out = narrow ? nullptr : reinterpret_cast<float*>(g.out.data());
  auto* narrow_out = narrow ? reinterpret_cast<std::uint16_t*>(g.out.data()) : nullptr;
  if (claim.a != nullptr) {
    const ReencodedWeights weights(g.codes.data(), g.scales.data(), call.groups, call.n, call.k);
    const GemmW4a8 p{.a = g.a.data(),
                     .a_scales = g.a_scales.data(),
                     .b = weights.view(),
                     .m = g.total,
                     .alpha = call.alpha,
                     .d = wide_out,
                     .d_bf16 = narrow_out,
                     .promotion = weights.view().kind == W4a8Scales::fine ? 32 : claim.promotion};
    if (declines(W4a8Tactic::tile128x128, p) != nullptr) return Status::not_supported;
    Plan tiles = plan(g, rows_of(W4a8Tactic::tile128x128));
    launch_w4a8(W4a8Tactic::tile128x128, p, nullptr, tiles.tiles.data(), tiles.count);
  } else {
    const bool nvfp4 = claim.b == &formats::nvfp4;
    const GemmW4a16 p{.a = reinterpret_cast<const std::uint16_t*>(g.a.data()),
                      .b_codes = g.codes.data(),
                      .b_scales = g.scales.data(),
                      .m = g.total,
                      .n = call.n,
                      .k = call.k,
                      .alpha = call.alpha,
                      .tensor_scale = 1.0F,
                      .beta = 0.0F,
                      .c = nullptr,
                      .bias = nullptr,
                      .d = wide_out,
                      .weights = nvfp4 ? Fp4Weights::nvfp4 : Fp4Weights::mxfp4,
                      .d_bf16 = narrow_out,
                      .group_scales = nvfp4 ? g.tensor_scales.data() : nullptr};
    if (!w4a16_wgmma_takes(p)) return Status::not_supported;
    // Both tile shapes of the tactics that a large product takes.
    const int height = 128;
    const int weight_rows = call.n > 128 ? 256 : 128;
    Plan tiles = plan(g, height);
    launch_w4a16_wgmma_grouped(height, weight_rows, p, tiles.tiles.data(), tiles.count, nullptr);
  }
  check_kernel("grouped_gemm");
  g.store();
  return Status::ok;
}

}  // namespace assay::kernels::cuda

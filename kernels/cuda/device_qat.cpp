// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/device_qat.h"

#include <algorithm>
#include <array>
#include <bit>

#include "kernels/cuda/check.h"
#include "kernels/cuda/ordered_gemm.cuh"
#include "kernels/cuda/qat.cuh"
#include "kernels/cuda/quantize.cuh"

namespace assay::kernels::cuda {
namespace {

struct Trained {
  const formats::BlockFormat* format;
  QatOrder order;
};
constexpr std::array trained{Trained{&formats::nvfp4, QatOrder::nvfp4_te},
                             Trained{&formats::nvfp4_divide, QatOrder::nvfp4_divide},
                             Trained{&formats::mxfp4_rceil, QatOrder::mxfp4_rceil},
                             Trained{&formats::article_attention, QatOrder::learned_16},
                             Trained{&formats::article, QatOrder::learned_32}};
const Trained* find_trained(const formats::BlockFormat* format) {
  const auto* row = std::find_if(trained.begin(), trained.end(),
                                 [&](const Trained& t) { return t.format == format; });
  return row == trained.end() ? nullptr : row;
}

/// The weights of a step on the device: the raw matrix, its dequantized value, and its scales.
struct FakeQuantized {
  QatOrder order;
  std::int64_t blocks;
  DeviceBuffer<float> raw, value, scales, tensor_scale, given;
  QatWeights weights;

  FakeQuantized(QatOrder of, const QatCall& call)
      : order(of),
        blocks((call.k + block_of(of) - 1) / block_of(of)),
        raw(call.w),
        value(call.w.size()),
        scales(static_cast<std::size_t>(call.n * blocks)),
        tensor_scale(1),
        given(call.scales),
        weights{raw.data(), call.n, call.k, scales.data(), tensor_scale.data()} {
    for (DeviceBuffer<float>* out : {&value, &scales, &tensor_scale}) out->fill(0xFF);
    DeviceBuffer<unsigned> amax(1);
    if (!is_learned(order)) {
      QuantizeTask task{raw.data(), false, call.n, call.k, {}, nullptr, nullptr};
      task.amax_bits = amax.data();
      launch_amax(task, nullptr);
    }
    launch_fake_quantize(order, weights, is_learned(order) ? given.data() : nullptr, amax.data(),
                         value.data(), nullptr);
    check_kernel("fake_quantize");
  }
};

/// Amax rules take no scales, learned ones need one per block.
bool takes(QatOrder order, const QatCall& call) {
  if (!is_learned(order)) return call.scales.empty();
  const std::int64_t block = block_of(order);
  return static_cast<std::int64_t>(call.scales.size()) == call.n * ((call.k + block - 1) / block);
}

constexpr std::array multiplied{
    std::array<const formats::BlockFormat*, 2>{&formats::nvfp4, &formats::nvfp4},
    std::array<const formats::BlockFormat*, 2>{&formats::mxfp4_rceil, &formats::mxfp4_rceil},
    std::array<const formats::BlockFormat*, 2>{nullptr, &formats::nvfp4},
    std::array<const formats::BlockFormat*, 2>{nullptr, &formats::mxfp4_rceil}};

/// FP32(element * scale factor) on the device.
DeviceBuffer<float> decoded(const formats::BlockScaledTensor& t) {
  DeviceBuffer<std::uint8_t> codes{std::span<const std::uint8_t>(t.codes)};
  DeviceBuffer<std::uint8_t> scales{std::span<const std::uint8_t>(t.scales)};
  const float one = 1.0F;
  DeviceBuffer<float> unit{std::span<const float>(&one, 1)};
  DeviceBuffer<float> out(static_cast<std::size_t>(t.rows * t.cols));
  const std::int64_t block = t.format->block.cols;
  dequantize(codes.data(), scales.data(), block == 16 ? unit.data() : nullptr, t.rows, t.cols,
             {(t.cols + block - 1) / block, t.scale_layout == formats::ScaleLayout::swizzled_128x4},
             out.data());
  return out;
}
DeviceBuffer<float> decoded(std::span<const std::uint16_t> bf16) {
  std::vector<float> wide(bf16.size());
  std::transform(bf16.begin(), bf16.end(), wide.begin(), [](std::uint16_t code) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(code) << 16U);
  });
  return DeviceBuffer<float>{std::span<const float>(wide)};
}

}  // namespace

std::vector<Claim> qat_claims() {
  std::vector<Claim> all;
  for (const Trained& row : trained)
    for (const char* operation : {"qat_forward", "qat_backward"})
      all.push_back({.operation = operation,
                     .b = row.format,
                     .accumulator = Accumulator::fp32_any_order,
                     .estimators = every_estimator,
                     .flags = ASSAY_DUT_DETERMINISTIC | ASSAY_DUT_STRIDES});
  return all;
}

Status run_qat_forward(const Claim& claim, const QatCall& call, Mutant mutant) {
  const Trained* row = find_trained(claim.b);
  if (row == nullptr || !takes(row->order, call)) return Status::not_supported;
  FakeQuantized w(row->order, call);
  DeviceBuffer<float> x(call.x);
  DeviceBuffer<float> bias(call.bias);
  DeviceBuffer<float> y(call.y.size());
  y.fill(0xFF);
  ordered_gemm({.a = {x.data(), call.k, 1},
                .b = {w.value.data(), call.k, 1},
                .rows = call.m,
                .cols = call.n,
                .inner = call.k,
                .out = y.data(),
                .bias = call.bias.empty() ? nullptr : bias.data()},
               mutant);
  y.copy_to(call.y);
  return Status::ok;
}

Status run_qat_backward(const Claim& claim, const QatCall& call, Mutant mutant) {
  const Trained* row = find_trained(claim.b);
  if (row == nullptr || !takes(row->order, call)) return Status::not_supported;
  FakeQuantized w(row->order, call);
  DeviceBuffer<float> x(call.x);
  DeviceBuffer<float> dy(call.dy);
  DeviceBuffer<float> dx(call.dx.size());
  DeviceBuffer<float> dw(call.dw.size());
  DeviceBuffer<float> dscale(call.dscale.size());
  DeviceBuffer<float> dbias(call.dbias.size());
  DeviceBuffer<float> partial(
      static_cast<std::size_t>((call.m + kSumRows - 1) / kSumRows * call.n));
  for (DeviceBuffer<float>* out : {&dx, &dw, &dscale, &dbias}) out->fill(0xFF);
  ordered_gemm({.a = {dy.data(), call.n, 1},
                .b = {w.value.data(), 1, call.k},
                .rows = call.m,
                .cols = call.k,
                .inner = call.n,
                .out = dx.data()},
               mutant);
  ordered_gemm({.a = {dy.data(), 1, call.n},
                .b = {x.data(), 1, call.k},
                .rows = call.n,
                .cols = call.k,
                .inner = call.m,
                .out = dw.data()},
               mutant);
  launch_estimate(w.order, call.estimator, w.weights, call.parameter, dw.data(), dscale.data(),
                  nullptr, mutant);
  if (!call.dbias.empty())
    launch_column_sums(dy.data(), call.m, call.n, partial.data(), dbias.data(), nullptr);
  check_kernel("qat_backward");
  dx.copy_to(call.dx);
  dw.copy_to(call.dw);
  if (has_scale_gradient(call.estimator)) dscale.copy_to(call.dscale);
  dbias.copy_to(call.dbias);
  return Status::ok;
}

std::vector<Claim> ordered_gemm_claims() {
  std::vector<Claim> all;
  for (const auto& [a, b] : multiplied) {
    Claim claim{.operation = "gemm", .a = a, .b = b, .accumulator = Accumulator::fp32_fixed_order};
    claim.flags |= ASSAY_DUT_STRIDES | ASSAY_DUT_BATCH_INVARIANT;
    claim.name = name_of(claim) + ".ordered";
    all.push_back(std::move(claim));
  }
  return all;
}

Status run_ordered_gemm(const Claim& claim, const GemmCall& call, Mutant mutant) {
  if (claim.output != &formats::fp32) return Status::not_supported;
  DeviceBuffer<float> a = claim.a == nullptr ? decoded(call.a_bf16) : decoded(*call.a);
  DeviceBuffer<float> b = decoded(*call.b);
  DeviceBuffer<float> c(call.c);
  DeviceBuffer<float> bias(call.bias);
  DeviceBuffer<float> d(call.d.size());
  d.fill(0xFF);
  const float a_scale = claim.a == nullptr ? 1.0F : call.a->tensor_scale;
  ordered_gemm({.a = {a.data(), call.k, 1},
                .b = {b.data(), call.k, 1},
                .rows = call.m,
                .cols = call.n,
                .inner = call.k,
                .out = d.data(),
                .scale = call.alpha * a_scale * call.b->tensor_scale,
                .beta = call.beta,
                .c = call.beta == 0.0F ? nullptr : c.data(),
                .bias = call.bias.empty() ? nullptr : bias.data()},
               mutant);
  d.copy_to(call.d);
  return Status::ok;
}

}  // namespace assay::kernels::cuda

// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/device_quantizers.h"

#include <algorithm>
#include <array>

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/matrix.h"
#include "kernels/cpu/rows.h"
#include "kernels/cuda/check.h"
#include "kernels/cuda/quantize.cuh"
#include "kernels/cuda/quantize_cvt.cuh"

namespace assay::kernels::cuda {
namespace {

using formats::BlockScaledTensor;
using formats::ScaleLayout;

/// The formats that the quantizers know; `everywhere`: the dequantizer and the other quantizers
/// too.
struct Quantized {
  const formats::BlockFormat* format;
  QuantizeOrder order;
  bool everywhere = true;
};
constexpr std::array quantized{
    Quantized{&formats::nvfp4, QuantizeOrder::nvfp4_te},
    Quantized{&formats::nvfp4_divide, QuantizeOrder::nvfp4_divide},
    Quantized{&formats::mxfp4_floor, QuantizeOrder::mxfp4_floor},
    Quantized{&formats::mxfp4_rceil, QuantizeOrder::mxfp4_rceil},
    Quantized{&formats::deepseek_v4, QuantizeOrder::deepseek_v4},
    Quantized{&formats::nvfp4_2d, QuantizeOrder::nvfp4_2d, false},
    Quantized{&formats::nvfp4_4over6, QuantizeOrder::nvfp4_4over6, false},
    Quantized{&formats::nvfp4_4over6_mae, QuantizeOrder::nvfp4_4over6_mae, false},
    Quantized{&formats::nvfp4_4over6_max, QuantizeOrder::nvfp4_4over6_max, false}};
const Quantized* find_quantized(const formats::BlockFormat* format) {
  const auto* row = std::find_if(quantized.begin(), quantized.end(),
                                 [&](const Quantized& q) { return q.format == format; });
  return row == quantized.end() ? nullptr : row;
}

ScaleIndex scale_index(const BlockScaledTensor& t) {
  const std::int64_t block = t.format->block.cols;
  return {(t.cols + block - 1) / block, t.scale_layout == ScaleLayout::swizzled_128x4};
}

/// What a quantizer writes, on the device.
struct DeviceTensor {
  DeviceBuffer<std::uint8_t> codes, scales;
  DeviceBuffer<float> tensor_scale;

  explicit DeviceTensor(BlockScaledTensor& out)
      : codes(sized(out)), scales(out.scales.size()), tensor_scale(1) {
    codes.fill(0xFF);
    scales.fill(0);  // the padding of the swizzled layout is read by the hardware: zero, not poison
    tensor_scale.fill(0xFF);
  }
  /// The quantization of x, which is rows x cols.
  QuantizeTask task(const float* x, std::int64_t rows, std::int64_t cols,
                    const BlockScaledTensor& out) {
    return {
        x, false, rows, cols, scale_index(out), codes.data(), scales.data(), tensor_scale.data()};
  }
  void copy_to(BlockScaledTensor& out) const {
    codes.copy_to(out.codes);
    scales.copy_to(out.scales);
    if (out.format->tensor_scale == formats::TensorScale::fp32)
      tensor_scale.copy_to({&out.tensor_scale, 1});
  }

 private:
  static std::size_t sized(BlockScaledTensor& out) {
    out.codes.assign(static_cast<std::size_t>(out.rows * cpu::row_bytes(out.cols)), 0);
    const std::int64_t down = out.format->block.rows;
    out.scales.assign(
        static_cast<std::size_t>(cpu::scale_count(out.scale_layout, (out.rows + down - 1) / down,
                                                  scale_index(out).blocks_per_row)),
        0);
    return out.codes.size();
  }
};

std::vector<Claim> claims_of(const char* operation) {
  std::vector<Claim> claims;
  for (const ScaleLayout layout : {ScaleLayout::row_major, ScaleLayout::swizzled_128x4})
    for (const Quantized& row : quantized) {
      if (!row.everywhere) continue;
      Claim claim{.operation = operation, .a = row.format, .scale_layout = layout};
      claim.flags |= ASSAY_DUT_STRIDES;
      claim.name = name_of(claim);
      claims.push_back(std::move(claim));
    }
  return claims;
}

Status run_stochastic(const Claim& claim, const assay_dut_call& call, Mutant mutant) {
  BlockScaledTensor q = cpu::output_shape(call, ASSAY_DUT_Q, claim.a);
  const auto x = cpu::gather<float>(abi::find(abi::inputs(call), ASSAY_DUT_X));
  const auto words = cpu::gather<std::uint32_t>(abi::find(abi::inputs(call), ASSAY_DUT_RANDOM));
  const QuantizeOrder order = find_quantized(claim.a)->order;
  DeviceBuffer<float> input{std::span<const float>(x)};
  DeviceBuffer<std::uint32_t> random{std::span<const std::uint32_t>(words)};
  DeviceTensor out(q);
  const bool given = claim.random == ASSAY_DUT_RANDOM_WORDS;
  const RandomSource source{given ? random.data() : nullptr,
                            static_cast<std::int64_t>(words.size()), call.seed, claim.random_bits};
  quantize_with(order, out.task(input.data(), q.rows, q.cols, q), [&](const QuantizeTask& task) {
    if (claim.random == ASSAY_DUT_RANDOM_OPAQUE)
      launch_quantize_cvt_stochastic(order, task, call.seed, nullptr);
    else if (!launch_quantize_stochastic_mutant(mutant, task, source, nullptr))
      launch_quantize_stochastic(order, task, source, nullptr);
  });
  out.copy_to(q);
  cpu::store_matrix(q, call, ASSAY_DUT_Q);
  return Status::ok;
}

Status run_transposed(const Claim& claim, const assay_dut_call& call, Mutant mutant) {
  BlockScaledTensor qt = cpu::output_shape(call, ASSAY_DUT_QT, claim.a);
  const assay_dut_tensor* x = abi::find(abi::inputs(call), ASSAY_DUT_X);
  std::vector<float> numbers = cpu::gather<float>(x);
  numbers.resize(static_cast<std::size_t>(qt.rows * qt.cols));
  DeviceBuffer<float> input{std::span<const float>(numbers)};
  const QuantizeOrder order = find_quantized(claim.a)->order;
  if (x == nullptr) {
    const BlockScaledTensor q = cpu::matrix(abi::inputs(call), ASSAY_DUT_Q, claim.a);
    DeviceBuffer<std::uint8_t> codes{std::span<const std::uint8_t>(q.codes)};
    DeviceBuffer<std::uint8_t> scales{std::span<const std::uint8_t>(q.scales)};
    DeviceBuffer<float> tensor_scale{std::span<const float>(&q.tensor_scale, 1)};
    dequantize(codes.data(), scales.data(), has_tensor_scale(order) ? tensor_scale.data() : nullptr,
               q.rows, q.cols, scale_index(q), input.data());
  }
  DeviceTensor out(qt);
  quantize_with(order, out.task(input.data(), qt.cols, qt.rows, qt), [&](const QuantizeTask& task) {
    if (!launch_quantize_transposed_mutant(mutant, task, nullptr))
      launch_quantize_transposed(order, task, nullptr);
  });
  out.copy_to(qt);
  cpu::store_matrix(qt, call, ASSAY_DUT_QT);
  return Status::ok;
}

Status run_layout(const assay_dut_call& call, Mutant mutant) {
  const auto* values = abi::find(abi::inputs(call), ASSAY_DUT_Q, ASSAY_DUT_VALUES);
  const bool transpose = values != nullptr;
  const std::uint32_t part = transpose ? ASSAY_DUT_VALUES : ASSAY_DUT_SCALES;
  const auto* from = abi::find(abi::inputs(call), ASSAY_DUT_Q, part);
  const auto* to = abi::find(abi::outputs(call), ASSAY_DUT_QT, part);
  if (transpose ? from->type_bits != 4 : from->layout == to->layout) return Status::not_supported;
  const std::int64_t rows = from->shape[0];
  const std::int64_t cols = from->shape[1];
  const bool from_swizzled = from->layout == ASSAY_DUT_SCALES_128X4;
  const bool to_swizzled = to->layout == ASSAY_DUT_SCALES_128X4;
  std::vector<std::uint8_t> source;
  if (from_swizzled) {
    const auto bytes = abi::data_of<const std::uint8_t>(from);
    source.assign(bytes.begin(), bytes.end());
  } else {
    source = cpu::gather<std::uint8_t>(from);
  }
  const std::int64_t count = to_swizzled ? cpu::scale_count(ScaleLayout::swizzled_128x4, rows, cols)
                                         : to->shape[0] * (transpose ? cpu::row_bytes(rows) : cols);
  std::vector<std::uint8_t> moved(static_cast<std::size_t>(count));
  DeviceBuffer<std::uint8_t> in{std::span<const std::uint8_t>(source)};
  DeviceBuffer<std::uint8_t> out(moved.size());
  out.fill(0xFF);
  if (transpose)
    launch_transpose_codes(in.data(), rows, cols, out.data(), nullptr, mutant);
  else if (to_swizzled)
    launch_swizzle_scales(in.data(), rows, cols, out.data(), nullptr, mutant);
  else
    launch_unswizzle_scales(in.data(), rows, cols, out.data(), nullptr);
  check_kernel("layout");
  out.copy_to(moved);
  if (to_swizzled)
    std::copy(moved.begin(), moved.end(), static_cast<std::uint8_t*>(to->data));
  else
    cpu::scatter(moved, *to);
  return Status::ok;
}

}  // namespace

std::vector<Claim> quantizer_claims() {
  std::vector<Claim> all;
  for (const ScaleLayout layout : {ScaleLayout::row_major, ScaleLayout::swizzled_128x4})
    for (const Quantized& row : quantized)
      for (const char* operation : {"quantize", "dequantize"}) {
        if (!row.everywhere && std::string_view(operation) != "quantize") continue;
        Claim claim{.operation = operation, .a = row.format, .scale_layout = layout};
        claim.flags |= ASSAY_DUT_STRIDES;
        // The twin that rounds by an instruction is a second way to the same result.
        if (claim.operation == "quantize" && takes_cvt(row.order) && has_e2m1_cvt()) {
          claim.tactics = 2;
          all.push_back(claim);
          claim.tactic = 1;
        }
        all.push_back(std::move(claim));
      }
  return all;
}

Status run_quantize(const Claim& claim, std::span<const float> x, BlockScaledTensor& out,
                    Mutant mutant) {
  const Quantized* row = find_quantized(claim.a);
  if (row == nullptr || out.layout != formats::Layout::row_major) return Status::not_supported;
  DeviceBuffer<float> input(x);
  DeviceTensor result(out);
  quantize_with(row->order, result.task(input.data(), out.rows, out.cols, out),
                [&](const QuantizeTask& task) {
                  if (claim.tactic == 1)
                    launch_quantize_cvt(row->order, task, nullptr);
                  else if (!launch_quantize_mutant(mutant, task, nullptr))
                    launch_quantize(row->order, task, nullptr);
                });
  result.copy_to(out);
  return Status::ok;
}

Status run_dequantize(const Claim& claim, const BlockScaledTensor& in, std::span<float> out) {
  const Quantized* row = find_quantized(claim.a);
  if (row == nullptr || !row->everywhere || in.layout != formats::Layout::row_major)
    return Status::not_supported;
  DeviceBuffer<std::uint8_t> codes{std::span<const std::uint8_t>(in.codes)};
  DeviceBuffer<std::uint8_t> scales{std::span<const std::uint8_t>(in.scales)};
  DeviceBuffer<float> tensor_scale{std::span<const float>(&in.tensor_scale, 1)};
  DeviceBuffer<float> result(out.size());
  result.fill(0xFF);
  dequantize(codes.data(), scales.data(),
             has_tensor_scale(row->order) ? tensor_scale.data() : nullptr, in.rows, in.cols,
             scale_index(in), result.data());
  result.copy_to(out);
  return Status::ok;
}

std::vector<Claim> requantizer_claims() {
  struct RandomRow {
    std::uint32_t random;
    int bits;
    const char* suffix;
  };
  constexpr std::array random_rows{RandomRow{ASSAY_DUT_RANDOM_PHILOX, 16, ".philox"},
                                   RandomRow{ASSAY_DUT_RANDOM_PHILOX, 8, ".philox8"},
                                   RandomRow{ASSAY_DUT_RANDOM_WORDS, 16, ".words"},
                                   RandomRow{ASSAY_DUT_RANDOM_WORDS, 3, ".words3"}};
  std::vector<Claim> all = claims_of("transpose_requantize");
  for (const Claim& plain : claims_of("stochastic_quantize")) {
    if (takes_cvt(find_quantized(plain.a)->order) && has_e2m1_cvt_rs()) {
      Claim claim = plain;
      claim.rounding = formats::RoundingMode::stochastic;
      claim.random = ASSAY_DUT_RANDOM_OPAQUE;
      claim.random_bits = 8;
      claim.name += ".cvt";
      all.push_back(std::move(claim));
    }
    for (const RandomRow& row : random_rows) {
      Claim claim = plain;
      claim.rounding = formats::RoundingMode::stochastic;
      claim.random = row.random;
      claim.random_bits = row.bits;
      claim.name += row.suffix;
      all.push_back(std::move(claim));
    }
  }
  for (const formats::BlockFormat* format : {&formats::nvfp4, &formats::mxfp4_rceil}) {
    Claim claim{.operation = "layout", .a = format};
    claim.flags |= ASSAY_DUT_STRIDES;
    all.push_back(std::move(claim));
  }
  return all;
}

bool is_requantizer(std::uint32_t operation) {
  return operation == ASSAY_DUT_STOCHASTIC_QUANTIZE ||
         operation == ASSAY_DUT_TRANSPOSE_REQUANTIZE || operation == ASSAY_DUT_LAYOUT;
}

Status run_requantizer(const Claim& claim, const assay_dut_call& call, Mutant mutant) {
  for (const auto tensors : {abi::inputs(call), abi::outputs(call)})
    if (!std::all_of(tensors.begin(), tensors.end(), cpu::has_unit_rows))
      return Status::not_supported;
  if (call.operation == ASSAY_DUT_LAYOUT) return run_layout(call, mutant);
  const Quantized* row = find_quantized(claim.a);
  if (row == nullptr || !row->everywhere) return Status::not_supported;
  return call.operation == ASSAY_DUT_STOCHASTIC_QUANTIZE ? run_stochastic(claim, call, mutant)
                                                         : run_transposed(claim, call, mutant);
}

}  // namespace assay::kernels::cuda

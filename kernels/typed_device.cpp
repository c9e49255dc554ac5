// SPDX-License-Identifier: Apache-2.0
#include "kernels/typed_device.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "kernels/abi/operands.h"
#include "kernels/cpu/rows.h"

namespace assay::kernels {
namespace {

using abi::data_of;
using abi::find;
using formats::BlockScaledTensor;

/// Operands by role, and outputs likewise.
struct Unpacked {
  const assay_dut_call& call;

  [[nodiscard]] std::span<const float> in(std::uint32_t role) const {
    return data_of<const float>(find(abi::inputs(call), role));
  }
  [[nodiscard]] std::span<float> out(std::uint32_t role) const {
    return data_of<float>(find(abi::outputs(call), role));
  }
  [[nodiscard]] BlockScaledTensor tensor(std::span<const assay_dut_tensor> from, std::uint32_t role,
                                         const formats::BlockFormat* format) const {
    BlockScaledTensor t;
    const assay_dut_tensor* values = find(from, role);
    const assay_dut_tensor* scales = find(from, role, ASSAY_DUT_SCALES);
    if (values == nullptr || scales == nullptr) return t;
    t.format = format;
    t.rows = values->shape[0];
    t.cols = values->shape[1];
    t.scale_layout = static_cast<formats::ScaleLayout>(scales->layout);
    const auto codes = data_of<const std::uint8_t>(values);
    const auto factors = data_of<const std::uint8_t>(scales);
    t.codes.assign(codes.begin(), codes.end());
    t.scales.assign(factors.begin(), factors.end());
    const auto tensor_scale = data_of<const float>(find(from, role, ASSAY_DUT_TENSOR_SCALE));
    if (!tensor_scale.empty()) t.tensor_scale = tensor_scale[0];
    return t;
  }
};

/// The call with its padded matrices copied to dense ones, and outputs copied back. An output's
/// copy starts as what is there, so that elements which the kernel does not write stay as they
/// were.
class DenseCall {
 public:
  explicit DenseCall(const assay_dut_call& call)
      : original_(call),
        call_(call),
        in_(copied(abi::inputs(call))),
        out_(copied(abi::outputs(call))) {
    call_.in = in_.data();
    call_.out = out_.data();
  }

  [[nodiscard]] const assay_dut_call& operator*() const { return call_; }

  void store() const {
    std::size_t next = 0;
    for (const assay_dut_tensor& t : abi::inputs(original_))
      if (!abi::is_dense(t)) ++next;
    for (const assay_dut_tensor& t : abi::outputs(original_))
      if (!abi::is_dense(t)) cpu::scatter(copies_[next++], t);
  }

 private:
  std::vector<assay_dut_tensor> copied(std::span<const assay_dut_tensor> tensors) {
    std::vector<assay_dut_tensor> dense(tensors.begin(), tensors.end());
    for (assay_dut_tensor& t : dense) {
      if (abi::is_dense(t)) continue;
      std::vector<std::uint8_t>& copy = copies_.emplace_back(cpu::gather<std::uint8_t>(&t));
      t.data = copy.data();
      t.bytes = copy.size();
      std::int64_t step = 1;
      for (int i = t.ndim - 1; i >= 0; --i) {
        if (i == t.ndim - 2 && t.type_bits == 4) step = (step + 1) / 2 * 2;
        t.strides[i] = step;
        step *= t.shape[i];
      }
    }
    return dense;
  }

  const assay_dut_call& original_;
  assay_dut_call call_;
  std::vector<std::vector<std::uint8_t>> copies_;
  std::vector<assay_dut_tensor> in_, out_;
};

/// As much as both have: a kernel that made fewer bytes than asked leaves the rest unwritten.
void store(const std::vector<std::uint8_t>& bytes, const assay_dut_tensor* t) {
  const auto to = data_of<std::uint8_t>(t);
  std::copy_n(bytes.begin(), std::min(bytes.size(), to.size()), to.begin());
}

Status quantize(const TypedDevice& device, const Claim& claim, const assay_dut_call& call) {
  const Unpacked operands{call};
  const auto results = abi::outputs(call);
  BlockScaledTensor out = operands.tensor(results, ASSAY_DUT_Q, claim.a);
  const Status status = device.quantize(claim, operands.in(ASSAY_DUT_X), out);
  if (status != Status::ok) return status;
  store(out.codes, find(results, ASSAY_DUT_Q));
  store(out.scales, find(results, ASSAY_DUT_Q, ASSAY_DUT_SCALES));
  const auto g = data_of<float>(find(results, ASSAY_DUT_Q, ASSAY_DUT_TENSOR_SCALE));
  if (!g.empty()) g[0] = out.tensor_scale;
  return Status::ok;
}

Status dequantize(const TypedDevice& device, const Claim& claim, const assay_dut_call& call) {
  const Unpacked operands{call};
  return device.dequantize(claim, operands.tensor(abi::inputs(call), ASSAY_DUT_Q, claim.a),
                           operands.out(ASSAY_DUT_X));
}

Status gemm(const TypedDevice& device, const Claim& claim, const assay_dut_call& call) {
  const Unpacked operands{call};
  const BlockScaledTensor a = operands.tensor(abi::inputs(call), ASSAY_DUT_A, claim.a);
  const BlockScaledTensor b = operands.tensor(abi::inputs(call), ASSAY_DUT_B, claim.b);
  GemmCall typed;
  if (claim.a != nullptr)
    typed.a = &a;
  else
    typed.a_bf16 = data_of<const std::uint16_t>(find(abi::inputs(call), ASSAY_DUT_A));
  typed.b = &b;
  typed.m = call.m;
  typed.n = call.n;
  typed.k = call.k;
  typed.alpha = call.alpha;
  typed.beta = call.beta;
  typed.c = operands.in(ASSAY_DUT_C);
  typed.bias = operands.in(ASSAY_DUT_BIAS);
  if (claim.output == &formats::fp32) {
    typed.d = operands.out(ASSAY_DUT_D);
    return device.gemm(claim, typed);
  }
  // bf16 is the upper half of an FP32 number; what is there before the call goes in as well, so
  // that an element that is not written stays what it was.
  const auto d = data_of<std::uint16_t>(find(abi::outputs(call), ASSAY_DUT_D));
  std::vector<float> wide(d.size());
  std::transform(d.begin(), d.end(), wide.begin(), [](std::uint16_t code) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(code) << 16U);
  });
  typed.d = wide;
  const Status status = device.gemm(claim, typed);
  std::transform(wide.begin(), wide.end(), d.begin(), [](float x) {
    return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(x) >> 16U);
  });
  return status;
}

QatCall qat_call(const assay_dut_call& call) {
  const Unpacked operands{call};
  QatCall typed;
  typed.m = call.m;
  typed.n = call.n;
  typed.k = call.k;
  typed.estimator = static_cast<Estimator>(call.estimator);
  typed.parameter = call.limit;
  typed.x = operands.in(ASSAY_DUT_X);
  typed.w = operands.in(ASSAY_DUT_W);
  typed.bias = operands.in(ASSAY_DUT_BIAS);
  typed.scales = operands.in(ASSAY_DUT_GIVEN);
  typed.dy = operands.in(ASSAY_DUT_DY);
  typed.y = operands.out(ASSAY_DUT_Y);
  typed.dx = operands.out(ASSAY_DUT_DX);
  typed.dw = operands.out(ASSAY_DUT_DW);
  typed.dscale = operands.out(ASSAY_DUT_DSCALE);
  typed.dbias = operands.out(ASSAY_DUT_DBIAS);
  return typed;
}

}  // namespace

Status TypedDevice::run(const Claim& claim, const assay_dut_call& call) const {
  bool dense = true;
  for (const auto tensors : {abi::inputs(call), abi::outputs(call)}) {
    dense = dense && std::all_of(tensors.begin(), tensors.end(), abi::is_dense);
    if (!std::all_of(tensors.begin(), tensors.end(), cpu::has_unit_rows))
      return Status::not_supported;
  }
  if (dense) return run_dense(claim, call);
  if ((claim.flags & ASSAY_DUT_STRIDES) == 0) return Status::not_supported;
  const DenseCall copy(call);
  const Status status = run_dense(claim, *copy);
  copy.store();
  return status;
}

Status TypedDevice::run_dense(const Claim& claim, const assay_dut_call& call) const {
  switch (call.operation) {
    case ASSAY_DUT_QUANTIZE:
      return kernels::quantize(*this, claim, call);
    case ASSAY_DUT_DEQUANTIZE:
      return kernels::dequantize(*this, claim, call);
    case ASSAY_DUT_GEMM:
      return kernels::gemm(*this, claim, call);
    case ASSAY_DUT_QAT_FORWARD:
      return qat_forward(claim, qat_call(call));
    case ASSAY_DUT_QAT_BACKWARD:
      return qat_backward(claim, qat_call(call));
    default:
      return Status::not_supported;
  }
}

Status TypedDevice::quantize(const Claim&, std::span<const float>, BlockScaledTensor&) const {
  return Status::not_supported;
}
Status TypedDevice::dequantize(const Claim&, const BlockScaledTensor&, std::span<float>) const {
  return Status::not_supported;
}
Status TypedDevice::gemm(const Claim&, const GemmCall&) const { return Status::not_supported; }
Status TypedDevice::qat_forward(const Claim&, const QatCall&) const {
  return Status::not_supported;
}
Status TypedDevice::qat_backward(const Claim&, const QatCall&) const {
  return Status::not_supported;
}

}  // namespace assay::kernels

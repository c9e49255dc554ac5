// SPDX-License-Identifier: Apache-2.0
#include "proptests/device.h"

#include <numeric>
#include <stdexcept>

#include "golden/layout.h"
#include "kernels/abi/claim.h"
#include "proptests/arena.h"

namespace assay::proptests {
namespace {

using formats::FormatSpec;

struct TypeRow {
  const FormatSpec* format;
  std::uint8_t code, bits;
  std::uint16_t lanes;
};
// UE4M3 has no code of its own in DLPack: its bytes are those of E4M3 with the sign bit clear.
constexpr TypeRow types[] = {{&formats::fp32, ASSAY_DUT_FLOAT, 32, 1},
                             {&formats::fp16, ASSAY_DUT_FLOAT, 16, 1},
                             {&formats::bf16, ASSAY_DUT_BFLOAT, 16, 1},
                             {&formats::e4m3, ASSAY_DUT_FLOAT8_E4M3FN, 8, 1},
                             {&formats::ue4m3, ASSAY_DUT_FLOAT8_E4M3FN, 8, 1},
                             {&formats::e8m0, ASSAY_DUT_FLOAT8_E8M0FNU, 8, 1},
                             {&formats::e2m1, ASSAY_DUT_FLOAT4_E2M1FN, 4, 2}};

const TypeRow& type_of(const FormatSpec& format) {
  for (const TypeRow& row : types)
    if (row.format == &format) return row;
  throw std::invalid_argument("no DLPack type stands for the format " + std::string(format.name));
}

void add(std::vector<Operand>& to, std::uint32_t role, const formats::BlockScaledTensor& t,
         bool with_bytes) {
  const formats::BlockFormat& format = *t.format;
  const auto bytes = [&](std::span<const std::uint8_t> all) {
    return with_bytes ? all : std::span<const std::uint8_t>{};
  };
  to.push_back(operand(role, ASSAY_DUT_VALUES, *format.element, {t.rows, t.cols}, bytes(t.codes)));
  // golden has no tensors without elements; calls have.
  const bool empty = t.rows == 0 || t.cols == 0;
  const golden::BlockGrid grid =
      empty ? golden::BlockGrid{} : golden::block_grid(format, t.rows, t.cols);
  Operand scales =
      operand(role, ASSAY_DUT_SCALES, *format.scale, {grid.down, grid.across}, bytes(t.scales));
  scales.shape.layout = static_cast<std::uint32_t>(t.scale_layout);
  if (!empty) scales.shape.bytes = golden::scale_bytes(format, t.rows, t.cols, t.scale_layout);
  to.push_back(scales);
  if (format.tensor_scale == formats::TensorScale::fp32)
    to.push_back(operand(role, ASSAY_DUT_TENSOR_SCALE, formats::fp32, {1},
                         bytes(bytes_of(std::span<const float>(&t.tensor_scale, 1)))));
}

class InProcess final : public Device {
 public:
  explicit InProcess(std::shared_ptr<const kernels::DeviceUnderTest> kernels)
      : kernels_(std::move(kernels)) {}
  [[nodiscard]] std::string name() const override { return kernels_->name(); }
  [[nodiscard]] std::vector<kernels::Claim> claims() const override {
    return kernels::numbered_claims(*kernels_);
  }
  std::vector<Trial> ask(std::span<const Call> calls) override {
    std::vector<Trial> trials(calls.size());
    for (std::size_t i = 0; i < calls.size(); ++i) {
      trials[i].first = run(calls[i], first_run);
      if (trials[i].first.outcome == Outcome::answered)
        trials[i].second = run(calls[i], second_run);
    }
    return trials;
  }

 private:
  Answer run(const Call& call, const Placement& placement) {
    const std::size_t bytes = arena_bytes(call, placement);
    const SparseMemory sparse(has_far_rows(call) ? bytes : 0);
    if (!has_far_rows(call)) memory_.resize(std::max(memory_.size(), bytes));
    std::uint8_t* const memory = has_far_rows(call) ? sparse.data() : memory_.data();
    Placed placed = place(call, placement, memory);
    placed.call.operation = kernels::abi::operation_of(call.claim.operation);
    placed.call.in = placed.tensors.data();
    placed.call.out = placed.tensors.data() + call.in.size();
    kernels::Status status = kernels::Status::failed;
    std::string thrown;
    try {
      status = kernels_->run(call.claim, placed.call);
    } catch (const std::exception& e) {
      thrown = std::string("threw an exception: ") + e.what();
    }
    Answer answer = collect(call, placement, placed, memory);
    answer.outcome = status == kernels::Status::ok              ? Outcome::answered
                     : status == kernels::Status::not_supported ? Outcome::declined
                                                                : Outcome::failed;
    if (answer.outcome == Outcome::failed)
      answer.message = thrown.empty() ? kernels_->last_error() : thrown;
    return answer;
  }

  std::shared_ptr<const kernels::DeviceUnderTest> kernels_;
  std::vector<std::uint8_t> memory_;
};

}  // namespace

Operand operand(std::uint32_t role, std::uint32_t part, const FormatSpec& type,
                std::vector<std::int64_t> shape, std::span<const std::uint8_t> bytes) {
  const TypeRow& row = type_of(type);
  Operand o;
  assay_dut_tensor& t = o.shape;
  t.role = role;
  t.part = part;
  t.type_code = row.code;
  t.type_bits = row.bits;
  t.type_lanes = row.lanes;
  t.layout = ASSAY_DUT_STRIDED;
  t.ndim = static_cast<std::int32_t>(shape.size());
  std::int64_t step = 1;
  for (int i = t.ndim - 1; i >= 0; --i) {
    if (i == t.ndim - 2 && row.bits == 4) step = (step + 1) / 2 * 2;  // rows start at a byte
    t.shape[i] = shape[i];
    t.strides[i] = step;
    step *= shape[i];
  }
  t.bytes = (static_cast<std::uint64_t>(step) * row.bits + 7) / 8;
  o.bytes = bytes;
  return o;
}

void add_input(Call& call, std::uint32_t role, const formats::BlockScaledTensor& t) {
  add(call.in, role, t, true);
}
void add_output(Call& call, std::uint32_t role, const formats::BlockScaledTensor& t) {
  add(call.out, role, t, false);
}

std::unique_ptr<Device> in_process(std::shared_ptr<const kernels::DeviceUnderTest> kernels) {
  return std::make_unique<InProcess>(std::move(kernels));
}

}  // namespace assay::proptests

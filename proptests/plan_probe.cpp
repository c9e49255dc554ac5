// SPDX-License-Identifier: Apache-2.0
#include "proptests/plan_probe.h"

#include <cstring>
#include <stdexcept>

#include "golden/layout.h"
#include "kernels/abi/assay_dut.h"

namespace assay::proptests {
namespace {

using formats::BlockFormat;
using formats::BlockScaledTensor;
using kernels::Claim;

bool fits(const Claim& claim, const simulator::MmaModel& m) {
  const auto side = [&m](const BlockFormat& f, const formats::FormatSpec* element) {
    return f.element == element && f.scale == m.scale && f.block.rows == 1 &&
           f.block.cols == m.scale_block;
  };
  return m.scale != nullptr && side(*claim.a, m.a) && side(*claim.b, m.b);
}

const simulator::MmaModel* model_of(const Claim& claim) {
  if (claim.operation != "gemm" || claim.a == nullptr || claim.b == nullptr) return nullptr;
  for (const simulator::MmaModel& m : simulator::all_mma_models())
    if (fits(claim, m)) return &m;
  return nullptr;
}

BlockScaledTensor tensor(const BlockFormat& f, formats::ScaleLayout layout, std::int64_t rows,
                         std::int64_t k, const std::vector<std::uint32_t>& codes,
                         const std::vector<std::uint32_t>& scales) {
  BlockScaledTensor t;
  t.format = &f;
  t.rows = rows;
  t.cols = k;
  t.codes.resize(static_cast<std::size_t>(
      golden::code_bytes(*f.element, rows, k, formats::Layout::row_major)));
  t.scale_layout = layout;
  t.scales.resize(static_cast<std::size_t>(golden::scale_bytes(f, rows, k, layout)));
  const std::int64_t blocks = k / f.block.cols;
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < k; ++j)
      golden::store_code(t, i, j, codes[static_cast<std::size_t>(i * k + j)]);
    for (std::int64_t j = 0; j < blocks; ++j)
      golden::store_scale(t, i, j, scales[static_cast<std::size_t>(i * blocks + j)]);
  }
  return t;
}

}  // namespace

bool can_infer_plan(const Claim& claim) { return model_of(claim) != nullptr; }

simulator::PlanTask plan_task(const Claim& claim, std::int64_t k) {
  const simulator::MmaModel* model = model_of(claim);
  if (model == nullptr)
    throw std::invalid_argument("'" + name_of(claim) +
                                "' is no gemm of block-scaled operands that a model multiplies; "
                                "'assay mma --list' prints the inputs of all");
  simulator::PlanTask task;
  task.a = model->a;
  task.b = model->b;
  task.scale = model->scale;
  task.scale_block = model->scale_block;
  task.k = k;
  task.output = claim.output;
  task.rounding = claim.rounding;
  return task;
}

std::vector<std::uint32_t> ask_plan(Device& device, const Claim& claim,
                                    const simulator::PlanQuestions& q) {
  Call call;
  call.claim = claim;
  call.m = call.n = q.rows;
  call.k = q.k;
  const BlockScaledTensor a = tensor(*claim.a, claim.scale_layout, q.rows, q.k, q.a, q.scale_a);
  const BlockScaledTensor b = tensor(*claim.b, claim.scale_layout, q.rows, q.k, q.b, q.scale_b);
  add_input(call, ASSAY_DUT_A, a);
  add_input(call, ASSAY_DUT_B, b);
  call.out.push_back(operand(ASSAY_DUT_D, ASSAY_DUT_VALUES, *claim.output, {q.rows, q.rows}));
  const std::vector<Trial> trials = device.ask({&call, 1});
  const Trial& trial = trials.at(0);
  if (trial.first.outcome != Outcome::answered || trial.second.outcome != Outcome::answered)
    throw std::runtime_error("the device did not answer a product of " + std::to_string(q.rows) +
                             " x " + std::to_string(q.rows) + " x " + std::to_string(q.k) + ": " +
                             trial.first.message + trial.second.message);
  if (trial.first.outputs != trial.second.outputs)
    throw std::runtime_error(
        "the device gives other bits for the same operands the second time: its order of "
        "additions is not fixed, and no plan describes it");
  const auto width = static_cast<std::size_t>(claim.output->storage_bits / 8);
  std::vector<std::uint32_t> d(static_cast<std::size_t>(q.rows * q.rows));
  for (std::size_t i = 0; i < d.size(); ++i)
    std::memcpy(&d[i], trial.first.outputs.at(0).data() + i * width, width);
  return d;
}

}  // namespace assay::proptests

// SPDX-License-Identifier: Apache-2.0
// Grouped GEMMs that lose track of their groups.
#include <algorithm>

#include "kernels/cpu/operations.h"
#include "kernels/mutants/changed_call.h"

namespace assay::kernels::mutants {
namespace {

bool contiguous(const Claim& claim) { return claim.group_layout == ASSAY_DUT_CONTIGUOUS; }
bool masked(const Claim& claim) { return claim.group_layout == ASSAY_DUT_MASKED; }
bool two_level(const Claim& claim) { return claim.b->tensor_scale == formats::TensorScale::fp32; }

std::vector<std::int64_t> row_counts(const Claim& claim, const assay_dut_call& call) {
  const auto in = abi::inputs(call);
  if (masked(claim)) return cpu::gather<std::int64_t>(abi::find(in, ASSAY_DUT_COUNTS));
  const auto offsets = cpu::gather<std::int64_t>(abi::find(in, ASSAY_DUT_OFFSETS));
  std::vector<std::int64_t> counts;
  for (std::size_t g = 0; g + 1 < offsets.size(); ++g)
    counts.push_back(offsets[g + 1] - offsets[g]);
  return counts;
}

/// Matrix `from` of a tensor of matrices in the place of matrix `to`, by its bytes.
void take(ChangedCall& changed, std::uint32_t role, std::uint32_t part,
          const std::vector<std::size_t>& from) {
  assay_dut_tensor* t = changed.in(role, part);
  if (t == nullptr) return;
  const bool strided = t->layout == ASSAY_DUT_STRIDED;
  std::vector<std::uint8_t> bytes =
      strided ? cpu::gather<std::uint8_t>(t)
              : std::vector<std::uint8_t>(static_cast<std::uint8_t*>(t->data),
                                          static_cast<std::uint8_t*>(t->data) + t->bytes);
  const std::vector<std::uint8_t> original = bytes;
  const std::size_t size = bytes.size() / from.size();
  for (std::size_t g = 0; g < from.size(); ++g)
    std::copy_n(original.begin() + static_cast<std::ptrdiff_t>(from[g] * size), size,
                bytes.begin() + static_cast<std::ptrdiff_t>(g * size));
  const assay_dut_tensor shape = *t;
  changed.put(*t, bytes);
  // Dense rows, in elements; 4-bit rows start at a byte.
  if (!strided) return;
  std::int64_t step = shape.shape[shape.ndim - 1];
  if (shape.type_bits == 4) step += step % 2;
  for (int i = shape.ndim - 2; i >= 0; --i) {
    t->strides[i] = step;
    step *= shape.shape[i];
  }
}

Status off_by_one(const Claim& claim, const assay_dut_call& call) {
  ChangedCall changed(call);
  changed.replace<std::int64_t>(changed.in(ASSAY_DUT_OFFSETS), [](auto& offsets) {
    for (std::size_t g = 1; g + 1 < offsets.size(); ++g)
      offsets[g] = std::max(offsets[g - 1], offsets[g] - 1);
  });
  return cpu::grouped_gemm(claim, changed.call());
}

Status empty_skips_next(const Claim& claim, const assay_dut_call& call) {
  const std::vector<std::int64_t> counts = row_counts(claim, call);
  std::vector<std::size_t> from(counts.size());
  std::size_t next = 0;
  for (std::size_t g = 0; g < counts.size(); ++g) {
    from[g] = next;
    if (counts[g] > 0) ++next;
  }
  ChangedCall changed(call);
  for (const std::uint32_t part : {ASSAY_DUT_VALUES, ASSAY_DUT_SCALES, ASSAY_DUT_TENSOR_SCALE})
    take(changed, ASSAY_DUT_B, part, from);
  return cpu::grouped_gemm(claim, changed.call());
}

Status scales_of_first(const Claim& claim, const assay_dut_call& call) {
  ChangedCall changed(call);
  take(changed, ASSAY_DUT_B, ASSAY_DUT_SCALES,
       std::vector<std::size_t>(static_cast<std::size_t>(call.groups), 0));
  return cpu::grouped_gemm(claim, changed.call());
}

Status tensor_scale_of_first(const Claim& claim, const assay_dut_call& call) {
  ChangedCall changed(call);
  changed.replace<float>(changed.in(ASSAY_DUT_B, ASSAY_DUT_TENSOR_SCALE),
                         [](auto& g) { std::fill(g.begin(), g.end(), g.front()); });
  return cpu::grouped_gemm(claim, changed.call());
}

Status one_row_skipped(const Claim& claim, const assay_dut_call& call) {
  ChangedCall changed(call);
  changed.replace<std::int64_t>(changed.in(ASSAY_DUT_COUNTS), [](auto& counts) {
    for (std::int64_t& count : counts) count = count == 1 ? 0 : count;
  });
  return cpu::grouped_gemm(claim, changed.call());
}

Status whole_tiles(const Claim& claim, const assay_dut_call& call) {
  ChangedCall changed(call);
  changed.replace<std::int64_t>(changed.in(ASSAY_DUT_COUNTS), [&](auto& counts) {
    for (std::int64_t& count : counts) count = std::min(call.m, (count + 3) / 4 * 4);
  });
  return cpu::grouped_gemm(claim, changed.call());
}

constexpr Fault table[] = {
    {"group_offset_off_by_one", "group_offset_off_by_one",
     "groups after the first begin one row early", "humming#20", ASSAY_DUT_GROUPED_GEMM, off_by_one,
     contiguous},
    {"empty_group_skips_next", "empty_group_skips_next", "an empty group does not use up its B",
     "torchtitan#1166", ASSAY_DUT_GROUPED_GEMM, empty_skips_next},
    {"group_scales_of_first", "group_scales_of_first",
     "every group takes the scale factors of the first one's B",
     "humming#20: group offset of the scales", ASSAY_DUT_GROUPED_GEMM, scales_of_first},
    {"group_tensor_scale_of_first", "group_tensor_scale_of_first",
     "the tensor scale of group 0 is used for all", "TE#2971", ASSAY_DUT_GROUPED_GEMM,
     tensor_scale_of_first, two_level},
    {"one_row_group_skipped", "output_unwritten", "groups of one row are left out",
     "DeepGEMM#268, CUTLASS#1523", ASSAY_DUT_GROUPED_GEMM, one_row_skipped, masked},
    {"masked_rows_written", "writes_outside",
     "rows beyond a group's count are written to the end of the tile", "DeepGEMM#268",
     ASSAY_DUT_GROUPED_GEMM, whole_tiles, masked},
};

}  // namespace

std::span<const Fault> group_faults() { return table; }

}  // namespace assay::kernels::mutants

// SPDX-License-Identifier: Apache-2.0
// Products, and what surrounds them.
#include <algorithm>
#include <cmath>
#include <deque>
#include <mutex>

#include "formats/layout.h"
#include "kernels/blind3/blind3.h"
#include "kernels/cpu/element.h"
#include "kernels/cpu/operations.h"

namespace blind3 {
namespace {

/// Block-scaled A or B whose elements meet the scale factor of the block that `block_of` says.
template <class BlockOf>
cpu::Operand operand_with(const formats::BlockScaledTensor& t, const BlockOf& block_of) {
  const std::int64_t blocks = cpu::blocks_per_row(t.cols, t.format->block.cols);
  cpu::Operand out{cpu::decode_elements(t), t.tensor_scale};
  for (std::int64_t r = 0; r < t.rows; ++r)
    for (std::int64_t c = 0; c < t.cols; ++c)
      out.values[r * t.cols + c] *=
          cpu::decode_e8m0(t.scales[cpu::scale_index(t.scale_layout, r, block_of(c), blocks)]);
  return out;
}

/// Scale factors of a swizzled operand as a kernel meets them that finds them at other positions.
template <class Position>
void move_scales(const assay_dut_call& call, std::uint32_t role, const Position& position,
                 Patched& patched) {
  const assay_dut_tensor* t = abi::find(abi::inputs(call), role, ASSAY_DUT_SCALES);
  const auto from = abi::data_of<const std::uint8_t>(t);
  std::vector<std::uint8_t> met(from.begin(), from.end());
  const std::int64_t cols = t->shape[1];
  for (std::int64_t r = 0; r < t->shape[0]; ++r)
    for (std::int64_t c = 0; c < cols; ++c)
      met[formats::swizzled_128x4(r, c, cols)] = from[position(r, c, cols)];
  patched.set(role, ASSAY_DUT_SCALES, met);
}

formats::BlockScaledTensor shape_of_a(const Claim& claim, const assay_dut_call& call) {
  formats::BlockScaledTensor a;
  a.format = claim.a;
  a.rows = call.m;
  a.cols = call.k;
  a.scale_layout = claim.scale_layout;
  return a;
}
void store_q(const formats::BlockScaledTensor& a, const assay_dut_call& call) {
  if (abi::find(abi::outputs(call), ASSAY_DUT_Q) != nullptr)
    cpu::store_matrix(a, call, ASSAY_DUT_Q);
}

}  // namespace

/// The accumulators are rounded to BF16 before C and the bias are added, and again behind them.
Status gemm_rounded_before_bias(const Claim& claim, const assay_dut_call& call) {
  const std::vector<float> bias = read<float>(call, ASSAY_DUT_BIAS);
  std::vector<float> c;
  if (call.beta != 0.0F) c = read<float>(call, ASSAY_DUT_C);
  std::vector<float> d(call.m * call.n);
  cpu::gemm(operand_a(claim, call), operand_b(claim, call), {call.m, call.n, call.k, call.alpha},
            *claim.output, d);
  for (std::size_t i = 0; i < d.size(); ++i) {
    if (!c.empty()) d[i] += call.beta * c[i];
    if (!bias.empty()) d[i] += bias[i % call.n];
    d[i] = cpu::round_to_bf16(d[i]);
  }
  store_d(claim, call, d);
  return Status::ok;
}

/// k is split in two at a multiple of 16, NVFP4's block; in the second part the scale factors count
/// from the block where it begins, which for blocks of 32 may be in the middle of one.
Status gemm_split_inside_block(const Claim& claim, const assay_dut_call& call) {
  const std::int64_t split = formats::round_up(formats::ceil_div(call.k, 2), 16);
  const auto block_of = [&](std::int64_t c) {
    return c < split ? c / 32 : split / 32 + (c - split) / 32;
  };
  const auto inputs = abi::inputs(call);
  std::vector<float> d(call.m * call.n);
  cpu::gemm(operand_with(cpu::matrix(inputs, ASSAY_DUT_A, claim.a), block_of),
            operand_with(cpu::matrix(inputs, ASSAY_DUT_B, claim.b), block_of),
            {call.m, call.n, call.k, call.alpha, call.beta, read<float>(call, ASSAY_DUT_C),
             read<float>(call, ASSAY_DUT_BIAS)},
            *claim.output, d);
  store_d(claim, call, d);
  return Status::ok;
}

/// Tiles of 128x4 scale factors along k are counted by a division that rounds down: rows from 128
/// on meet the scale factors of another tile unless the blocks along k are a multiple of 4.
Status gemm_tiles_rounded_down(const Claim& claim, const assay_dut_call& call) {
  const auto position = [](std::int64_t r, std::int64_t c, std::int64_t cols) {
    return (r / 128 * (cols / 4) + c / 4) * 512 + r % 32 * 16 + r % 128 / 32 * 4 + c % 4;
  };
  Patched patched(call);
  move_scales(call, ASSAY_DUT_A, position, patched);
  move_scales(call, ASSAY_DUT_B, position, patched);
  return right(claim, patched.call());
}

/// E4M3 is widened by moving its fields, without the case of exponent field 0: subnormal codes of A
/// become zero.
Status gemm_without_subnormals(const Claim& claim, const assay_dut_call& call) {
  std::vector<std::uint8_t> codes = read<std::uint8_t>(call, ASSAY_DUT_A);
  for (std::uint8_t& code : codes)
    if ((code & 0x78) == 0) code &= 0x80;
  Patched patched(call);
  patched.set(ASSAY_DUT_A, ASSAY_DUT_VALUES, codes);
  return right(claim, patched.call());
}

/// B is repacked once and kept by its address and shape: other weights that come to lie at the same
/// place are not looked at.
Status gemm_of_cached_weights(const Claim& claim, const assay_dut_call& call) {
  struct Packed {
    const void* address;
    std::int64_t n, k;
    cpu::Operand b;
  };
  static std::mutex mutex;
  static std::deque<Packed> cache;
  const std::lock_guard lock(mutex);
  const void* address = abi::find(abi::inputs(call), ASSAY_DUT_B)->data;
  auto found = std::find_if(cache.begin(), cache.end(), [&](const Packed& p) {
    return p.address == address && p.n == call.n && p.k == call.k;
  });
  if (found == cache.end()) {
    if (cache.size() == 8) cache.pop_front();
    cache.push_back({address, call.n, call.k, operand_b(claim, call)});
    found = std::prev(cache.end());
  }
  std::vector<float> d(call.m * call.n);
  cpu::gemm(operand_a(claim, call), found->b,
            {call.m, call.n, call.k, call.alpha, call.beta, read<float>(call, ASSAY_DUT_C),
             read<float>(call, ASSAY_DUT_BIAS)},
            *claim.output, d);
  store_d(claim, call, d);
  return Status::ok;
}

/// The last block of a row is loaded whole where k is no multiple of 32: amax counts the elements
/// that follow in memory too. (Loads behind the end of A give zero.)
Status quantize_gemm_beyond_row(const Claim& claim, const assay_dut_call& call) {
  const assay_dut_tensor& x = *abi::find(abi::inputs(call), ASSAY_DUT_A);
  const auto memory = abi::data_of<const float>(&x);
  formats::BlockScaledTensor a = shape_of_a(claim, call);
  const BlockRule rule = [&](std::int64_t r, std::int64_t b, std::span<const float> block,
                             std::span<std::uint8_t> codes) {
    if (!all_finite(block)) return std::uint8_t{0xFF};
    const std::size_t first = std::min<std::size_t>(r * x.strides[0] + b * 32, memory.size());
    const float amax =
        largest(memory.subspan(first, std::min<std::size_t>(32, memory.size() - first)));
    return divide_by(cpu::scale_rceil(std::max(amax, largest(block))), block, codes);
  };
  quantize_blocks(read<float>(call, ASSAY_DUT_A), rule, a);
  std::vector<float> d(call.m * call.n);
  cpu::gemm(cpu::operand(a), operand_b(claim, call),
            {call.m, call.n, call.k, call.alpha, call.beta, read<float>(call, ASSAY_DUT_C),
             read<float>(call, ASSAY_DUT_BIAS)},
            *claim.output, d);
  store_d(claim, call, d);
  store_q(a, call);
  return Status::ok;
}

/// The bias is taken by the row of D, as for a D that is stored transposed, and not by its column.
/// (Loads behind its end give zero.)
Status quantize_gemm_bias_by_row(const Claim& claim, const assay_dut_call& call) {
  formats::BlockScaledTensor a = shape_of_a(claim, call);
  if (!cpu::quantize(read<float>(call, ASSAY_DUT_A), a)) return Status::not_supported;
  const std::vector<float> bias = read<float>(call, ASSAY_DUT_BIAS);
  std::vector<float> d(call.m * call.n);
  cpu::gemm(cpu::operand(a), operand_b(claim, call),
            {call.m, call.n, call.k, call.alpha, call.beta, read<float>(call, ASSAY_DUT_C)},
            formats::fp32, d);
  for (std::int64_t i = 0; i < call.m; ++i)
    for (std::int64_t j = 0; j < call.n; ++j) {
      float& x = d[i * call.n + j];
      if (!bias.empty()) x += i < call.n ? bias[i] : 0.0F;
      x = cpu::round_to_bf16(x);
    }
  store_d(claim, call, d);
  store_q(a, call);
  return Status::ok;
}

/// The gate is clamped on both sides, as the up half is, and not from above only.
Status gated_clamped_below(const Claim& claim, const assay_dut_call& call) {
  return cpu::gated_gemm_with(claim, call, [](float gate, float up, float limit) {
    if (limit != 0.0F) {
      if (gate > limit) gate = limit;
      if (gate < -limit) gate = -limit;
      if (up > limit) up = limit;
      if (up < -limit) up = -limit;
    }
    return gate / (1.0F + std::exp(-gate)) * up;
  });
}

/// The sigmoid is e^g / (1 + e^g): infinity by infinity, NaN, for gates above 88.7.
Status gated_by_growing_exponential(const Claim& claim, const assay_dut_call& call) {
  return cpu::gated_gemm_with(claim, call, [](float gate, float up, float limit) {
    if (limit != 0.0F) {
      if (gate > limit) gate = limit;
      if (up > limit) up = limit;
      if (up < -limit) up = -limit;
    }
    const float e = std::exp(gate);
    return gate * (e / (1.0F + e)) * up;
  });
}

/// Empty groups are left out of the list of problems, and a problem finds its B by its place in
/// that list: groups behind an empty one meet the B of a group before them.
Status grouped_without_empty(const Claim& claim, const assay_dut_call& call) {
  const auto offsets = read<std::int64_t>(call, ASSAY_DUT_OFFSETS);
  std::vector<std::int64_t> problems{offsets.front()};
  for (const std::int64_t offset : offsets)
    if (offset != problems.back()) problems.push_back(offset);
  problems.resize(offsets.size(), offsets.back());
  Patched patched(call);
  patched.set(ASSAY_DUT_OFFSETS, ASSAY_DUT_VALUES, problems);
  return right(claim, patched.call());
}

/// The swizzled scale factors of group g are looked for at g times n rows, without the padding of
/// each group's rows to 128.
Status grouped_unpadded_scales(const Claim& claim, const assay_dut_call& call) {
  const assay_dut_tensor& t = *abi::find(abi::inputs(call), ASSAY_DUT_B, ASSAY_DUT_SCALES);
  const auto from = abi::data_of<const std::uint8_t>(&t);
  const std::int64_t across = formats::round_up(t.shape[2], 4);
  const std::int64_t whole = formats::round_up(t.shape[1], 128) * across;
  std::vector<std::uint8_t> met(from.size());
  for (std::int64_t g = 0; g < t.shape[0]; ++g)
    std::copy_n(from.begin() + g * t.shape[1] * across, whole, met.begin() + g * whole);
  Patched patched(call);
  patched.set(ASSAY_DUT_B, ASSAY_DUT_SCALES, met);
  return right(claim, patched.call());
}

/// Tiles of 64 rows are stored whole: rows behind a group's count, to the end of its last tile, are
/// written.
Status grouped_whole_tiles(const Claim& claim, const assay_dut_call& call) {
  auto counts = read<std::int64_t>(call, ASSAY_DUT_COUNTS);
  for (std::int64_t& count : counts) count = std::min(formats::round_up(count, 64), call.m);
  Patched patched(call);
  patched.set(ASSAY_DUT_COUNTS, ASSAY_DUT_VALUES, counts);
  return right(claim, patched.call());
}

}  // namespace blind3

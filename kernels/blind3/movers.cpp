// SPDX-License-Identifier: Apache-2.0
// Codes that are made of single numbers, transposed, or moved.
#include <algorithm>
#include <cmath>

#include "formats/layout.h"
#include "kernels/blind3/blind3.h"
#include "kernels/cpu/element.h"

namespace blind3 {

/// Tiles of 32 rows pass through one buffer of shared memory; at the bottom edge the rows that do
/// not exist are not loaded but do count in amax, as what the tile above has left there.
Status transpose_over_stale_tile(const Claim& claim, const assay_dut_call& call) {
  std::vector<float> x = read<float>(call, ASSAY_DUT_X);
  if (x.empty()) {
    const formats::BlockScaledTensor q = cpu::matrix(abi::inputs(call), ASSAY_DUT_Q, claim.a);
    x.resize(q.rows * q.cols);
    cpu::dequantize(q, x);
  }
  formats::BlockScaledTensor qt = cpu::output_shape(call, ASSAY_DUT_QT, claim.a);
  const std::vector<float> turned = cpu::transposed(x, qt.cols, qt.rows);
  const std::int64_t width = qt.format->block.cols;
  const BlockRule rule = [&](std::int64_t r, std::int64_t b, std::span<const float> block,
                             std::span<std::uint8_t> codes) {
    if (!all_finite(block)) return std::uint8_t{0xFF};
    float amax = largest(block);
    const std::int64_t count = static_cast<std::int64_t>(block.size());
    if (b > 0 && count < width)
      amax = std::max(amax, largest(std::span(turned).subspan(r * qt.cols + (b - 1) * width + count,
                                                              width - count)));
    return divide_by(cpu::scale_floor(amax), block, codes);
  };
  quantize_blocks(turned, rule, qt);
  cpu::store_matrix(qt, call, ASSAY_DUT_QT);
  return Status::ok;
}

/// Loads beyond the edge are clamped to the last row and column, not replaced by zero: the padding
/// of swizzled scale factors repeats them.
Status swizzle_clamped(const Claim& claim, const assay_dut_call& call) {
  const Status status = right(claim, call);
  const assay_dut_tensor* to = abi::find(abi::outputs(call), ASSAY_DUT_QT, ASSAY_DUT_SCALES);
  if (status != Status::ok || to == nullptr || to->layout == ASSAY_DUT_STRIDED) return status;
  const std::int64_t rows = to->shape[0];
  const std::int64_t cols = to->shape[1];
  const auto bytes = abi::data_of<std::uint8_t>(to);
  for (std::int64_t r = 0; r < formats::round_up(rows, 128); ++r)
    for (std::int64_t c = 0; c < formats::round_up(cols, 4); ++c)
      bytes[formats::swizzled_128x4(r, c, cols)] =
          bytes[formats::swizzled_128x4(std::min(r, rows - 1), std::min(c, cols - 1), cols)];
  return Status::ok;
}

/// Saturates what is above 480, the next step of the grid behind 448: numbers above 464 and up to
/// 480 are rounded to the code that 480 would have, which is NaN.
Status convert_saturating_late(const Claim& claim, const assay_dut_call& call) {
  const Status status = right(claim, call);
  const assay_dut_tensor* to = abi::find(abi::outputs(call), ASSAY_DUT_Q);
  if (status != Status::ok || to == nullptr) return status;
  const std::vector<float> x = read<float>(call, ASSAY_DUT_X);
  std::vector<std::uint8_t> codes = cpu::gather<std::uint8_t>(to);
  for (std::size_t i = 0; i < x.size(); ++i)
    if (std::fabs(x[i]) > 464.0F && std::fabs(x[i]) <= 480.0F) codes[i] |= 0x7F;
  cpu::scatter(codes, *to);
  return Status::ok;
}

}  // namespace blind3

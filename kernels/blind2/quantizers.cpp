// SPDX-License-Identifier: Apache-2.0
// Quantizers and dequantizers.
#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "kernels/blind2/blind2.h"
#include "kernels/cpu/element.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/matrix.h"

namespace blind2 {

/// The workspace of the tensor's maximum is cleared when it is allocated, once for each shape.
Status amax_kept_between_calls(const Claim& claim, const assay_dut_call& call) {
  static std::map<std::pair<std::int64_t, std::int64_t>, float> workspace;
  if (call.m * call.k == 0) return right(claim, call);
  std::vector<float> x = read<float>(call, ASSAY_DUT_X);
  float& amax = workspace[{call.m, call.k}];
  for (const float v : x)
    if (std::isfinite(v)) amax = std::max(amax, std::fabs(v));
  // A row more, with that maximum in it, makes the kernel see it.
  x.resize(x.size() + call.k, 0.0F);
  x[call.m * call.k] = amax;
  formats::BlockScaledTensor q = cpu::output_shape(call, ASSAY_DUT_Q, claim.a);
  ++q.rows;
  if (!cpu::quantize(x, q)) return Status::not_supported;
  --q.rows;
  q.codes.resize(q.rows * cpu::row_bytes(q.cols));
  q.scales.resize(q.rows * cpu::blocks_per_row(q.cols, claim.a->block.cols));
  cpu::store_matrix(q, call, ASSAY_DUT_Q);
  return Status::ok;
}

/// Columns of padding get the factor 1 (E8M0 code 127) instead of code 0.
Status padding_columns_one(const Claim& claim, const assay_dut_call& call) {
  const Status status = right(claim, call);
  const assay_dut_tensor& scales = *abi::find(abi::outputs(call), ASSAY_DUT_Q, ASSAY_DUT_SCALES);
  const std::int64_t blocks = scales.shape[1];
  for (std::int64_t i = 0; i < scales.shape[0]; ++i)
    for (std::int64_t j = blocks; j < (blocks + 3) / 4 * 4; ++j)
      static_cast<std::uint8_t*>(
          scales.data)[cpu::scale_index(formats::ScaleLayout::swizzled_128x4, i, j, blocks)] = 127;
  return status;
}

/// The absolute value is taken of the even element of each pair only.
Status odd_elements_signed_in_amax(const Claim& claim, const assay_dut_call& call) {
  const std::vector<float> x = read<float>(call, ASSAY_DUT_X);
  formats::BlockScaledTensor q = cpu::output_shape(call, ASSAY_DUT_Q, claim.a);
  const std::int64_t block = claim.a->block.cols;
  const std::int64_t blocks = cpu::blocks_per_row(q.cols, block);
  q.codes.assign(q.rows * cpu::row_bytes(q.cols), 0);
  q.scales.assign(q.rows * blocks, 0xFF);
  for (std::int64_t i = 0; i < q.rows; ++i)
    for (std::int64_t b = 0; b < blocks; ++b) {
      const float* from = &x[i * q.cols + b * block];
      const std::int64_t count = std::min(block, q.cols - b * block);
      if (!std::all_of(from, from + count, [](float v) { return std::isfinite(v); })) continue;
      float amax = 0;
      for (std::int64_t j = 0; j < count; ++j)
        amax = std::max(amax, j % 2 == 0 ? std::fabs(from[j]) : from[j]);
      const std::uint8_t scale = cpu::scale_rceil(amax);
      q.scales[i * blocks + b] = scale;
      for (std::int64_t j = 0; j < count; ++j)
        q.codes[i * cpu::row_bytes(q.cols) + (b * block + j) / 2] |= static_cast<std::uint8_t>(
            cpu::encode_e2m1(from[j] / cpu::decode_e8m0(scale)) << (j % 2 * 4));
    }
  cpu::store_matrix(q, call, ASSAY_DUT_Q);
  return Status::ok;
}

/// Tiles of 4 columns are counted as columns / 4, rounded down.
Status scale_tiles_rounded_down(const Claim& claim, const assay_dut_call& call) {
  const assay_dut_tensor& t = *abi::find(abi::inputs(call), ASSAY_DUT_Q, ASSAY_DUT_SCALES);
  const auto* stored = static_cast<const std::uint8_t*>(t.data);
  const std::int64_t rows = t.shape[0];
  const std::int64_t blocks = t.shape[1];
  std::vector<std::uint8_t> seen(
      cpu::scale_count(formats::ScaleLayout::swizzled_128x4, rows, blocks));
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < blocks; ++j)
      seen[cpu::scale_index(formats::ScaleLayout::swizzled_128x4, i, j, blocks)] =
          stored[(i / 128 * (blocks / 4) + j / 4) * 512 + i % 32 * 16 + i % 128 / 32 * 4 + j % 4];
  Patched patched(call);
  patched.set(ASSAY_DUT_Q, ASSAY_DUT_SCALES, seen);
  return right(claim, patched.call());
}

/// A row for each index of a grid's second dimension, which ends at 65535.
Status rows_beyond_grid_limit(const Claim& claim, const assay_dut_call& call) {
  Patched patched(call);
  patched.cap_rows(65535);
  return right(claim, patched.call());
}

}  // namespace blind2

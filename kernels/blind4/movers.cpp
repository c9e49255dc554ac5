// SPDX-License-Identifier: Apache-2.0
// Codes of single numbers, matrices that are turned, and scale factors that move.
#include <algorithm>

#include "formats/layout.h"
#include "kernels/blind4/blind4.h"
#include "kernels/cpu/element.h"

namespace blind4 {

/// FP32 numbers are narrowed to BF16 first, where the conversion instruction is: one that is a
/// little off a midpoint of E2M1 is on it then, and ties to even.
Status convert_by_bf16(const Claim& claim, const assay_dut_call& call) {
  std::vector<float> x = read<float>(call, ASSAY_DUT_X);
  std::transform(x.begin(), x.end(), x.begin(), cpu::round_to_bf16);
  Patched patched(call);
  patched.set(ASSAY_DUT_X, ASSAY_DUT_VALUES, x);
  return right(claim, patched.call());
}

/// The exponent of an FP16 is moved over to the bias of BF16, which subnormals need to be
/// normalized for: they are taken for zeros of their sign.
Status convert_without_subnormals(const Claim& claim, const assay_dut_call& call) {
  std::vector<std::uint16_t> x = read<std::uint16_t>(call, ASSAY_DUT_X);
  for (std::uint16_t& code : x)
    if ((code & 0x7C00) == 0) code &= 0x8000;
  Patched patched(call);
  patched.set(ASSAY_DUT_X, ASSAY_DUT_VALUES, x);
  return right(claim, patched.call());
}

/// The kernel that turns codes is used for FP32 too, behind a quantizer of the rows: the codes are
/// of DQ(Q(X))', which is rounded twice, and not of X'.
Status transpose_of_quantized(const Claim& claim, const assay_dut_call& call) {
  const std::vector<float> x = read<float>(call, ASSAY_DUT_X);
  if (x.empty()) return right(claim, call);
  Patched patched(call);
  const formats::BlockScaledTensor qt = cpu::output_shape(call, ASSAY_DUT_QT, claim.a);
  patched.set(ASSAY_DUT_X, ASSAY_DUT_VALUES, dequantized(quantized(x, qt.cols, qt.rows, claim.a)));
  return right(claim, patched.call());
}

/// One amax serves a tile of 32 x 32, as it does for weights whose transpose is to have the same
/// scale factors: all rows of a tile share it.
Status transpose_by_square_tiles(const Claim& claim, const assay_dut_call& call) {
  std::vector<float> x = read<float>(call, ASSAY_DUT_X);
  if (abi::find(abi::inputs(call), ASSAY_DUT_X) == nullptr)
    x = dequantized(cpu::matrix(abi::inputs(call), ASSAY_DUT_Q, claim.a));
  formats::BlockScaledTensor qt = cpu::output_shape(call, ASSAY_DUT_QT, claim.a);
  const std::vector<float> turned = cpu::transposed(x, qt.cols, qt.rows);
  const std::int64_t width = qt.format->block.cols;
  quantize_blocks(
      turned,
      [&](const Block& block, std::span<std::uint8_t> codes) {
        if (!all_finite(block.x)) return std::uint8_t{0xFF};
        float amax = 0.0F;
        const std::int64_t top = block.row / width * width;
        for (std::int64_t r = top; r < std::min(top + width, qt.rows); ++r)
          amax = std::max(amax, largest(std::span(turned).subspan(
                                    r * qt.cols + block.number * width, block.x.size())));
        const std::uint8_t scale = cpu::scale_rceil(amax);
        for (std::size_t i = 0; i < codes.size(); ++i)
          codes[i] = cpu::encode_e2m1(block.x[i] / cpu::decode_e8m0(scale));
        return scale;
      },
      qt);
  cpu::store_matrix(qt, call, ASSAY_DUT_QT);
  return Status::ok;
}

/// Inside a tile of 128x4 everything is where it should be; the tiles follow each other down a
/// column of tiles first, not along a row.
Status layout_of_columns_of_tiles(const Claim& claim, const assay_dut_call& call) {
  const assay_dut_tensor* from = abi::find(abi::inputs(call), ASSAY_DUT_Q, ASSAY_DUT_SCALES);
  const assay_dut_tensor* to = abi::find(abi::outputs(call), ASSAY_DUT_QT, ASSAY_DUT_SCALES);
  if (from == nullptr || to == nullptr) return right(claim, call);
  const std::int64_t rows = from->shape[0];
  const std::int64_t cols = from->shape[1];
  // The tile of a scale factor, as this kernel numbers them; its place inside is the right one.
  const auto moved = [&](std::int64_t r, std::int64_t c) {
    const std::int64_t tile = c / 4 * formats::ceil_div(rows, 128) + r / 128;
    return tile * 512 + formats::swizzled_128x4(r % 128, c % 4, 4);
  };
  if (from->layout == ASSAY_DUT_STRIDED) {
    const Status status = right(claim, call);
    if (status != Status::ok) return status;
    const auto bytes = abi::data_of<std::uint8_t>(to);
    const std::vector<std::uint8_t> correct(bytes.begin(), bytes.end());
    for (std::int64_t r = 0; r < formats::round_up(rows, 128); ++r)
      for (std::int64_t c = 0; c < formats::round_up(cols, 4); ++c)
        bytes[moved(r, c)] = correct[formats::swizzled_128x4(r, c, cols)];
    return status;
  }
  const auto bytes = abi::data_of<const std::uint8_t>(from);
  std::vector<std::uint8_t> met(bytes.begin(), bytes.end());
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < cols; ++c)
      met[formats::swizzled_128x4(r, c, cols)] = bytes[moved(r, c)];
  Patched patched(call);
  patched.set(ASSAY_DUT_Q, ASSAY_DUT_SCALES, met);
  return right(claim, patched.call());
}

}  // namespace blind4

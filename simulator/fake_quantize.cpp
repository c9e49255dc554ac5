// SPDX-License-Identifier: Apache-2.0
#include "simulator/fake_quantize.h"

#include <algorithm>

#include "formats/block.h"
#include "formats/codec.h"
#include "formats/layout.h"
#include "formats/learned_scale.h"
#include "formats/philox.h"
#include "simulator/hadamard.h"

namespace assay::simulator {
namespace {

using formats::BlockGrid;

FakeQuantized cast(std::span<const float> x, std::int64_t rows, std::int64_t cols,
                   const OperandFormat& operand, std::uint64_t seed) {
  FakeQuantized result;
  result.values.resize(rows, cols);
  const formats::FormatSpec& spec = *operand.element;
  const auto& policy = formats::profile_row(formats::saturating, spec).policy;
  const bool narrow = spec.storage_bits <= 8;
  if (narrow) result.codes.resize(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    formats::Random random;
    if (operand.random_bits > 0) {
      random = {operand.random_bits, formats::philox_bits(seed, i, operand.random_bits)};
    }
    const std::uint32_t code = formats::encode(spec, x[i], operand.rounding, policy, random);
    if (narrow) result.codes[i] = static_cast<std::uint8_t>(code);
    result.values.data()[i] = formats::decode(spec, code);
  }
  return result;
}

/// Values exactly, in double: at most 4 + 4 + 24 significand bits.
void dequantize_exactly(const formats::BlockScaledTensor& t, FakeQuantized& result) {
  const formats::BlockFormat& format = *t.format;
  const BlockGrid grid = formats::block_grid(format.block, t.rows, t.cols);
  const int bits = format.element->storage_bits;
  result.block = {grid.block_rows, grid.block_cols};
  result.scales.resize(static_cast<std::size_t>(grid.count()));
  for (std::int64_t b = 0; b < grid.count(); ++b) {
    const std::uint32_t code = formats::load_code(t.scales.data(), b, format.scale->storage_bits);
    result.scales[static_cast<std::size_t>(b)] =
        static_cast<double>(formats::decode(*format.scale, code)) * t.tensor_scale;
  }
  const std::int64_t stride = formats::code_stride(t.rows, t.cols, bits, t.layout);
  std::vector<double> table(std::size_t{1} << bits);
  for (std::size_t c = 0; c < table.size(); ++c) {
    table[c] = formats::decode(*format.element, static_cast<std::uint32_t>(c));
  }
  result.values.resize(t.rows, t.cols);
  result.codes.resize(static_cast<std::size_t>(t.rows * t.cols));
  for (std::int64_t r = 0; r < t.rows; ++r) {
    for (std::int64_t c = 0; c < t.cols; ++c) {
      const std::uint32_t code = formats::load_code(t.codes.data() + r * stride, c, bits);
      result.codes[static_cast<std::size_t>(r * t.cols + c)] = static_cast<std::uint8_t>(code);
      result.values(r, c) =
          table[code] * result.scales[static_cast<std::size_t>(grid.block_of(r, c))];
    }
  }
}

}  // namespace

formats::BlockScaledTensor quantize_operand(std::span<const float> x, std::int64_t rows,
                                            std::int64_t cols, const OperandFormat& operand,
                                            std::uint64_t seed) {
  formats::QuantizeOptions options;
  options.rounding = operand.rounding;
  if (operand.random_bits > 0) options.random_bits = operand.random_bits;
  options.seed = seed;
  std::vector<float> given;
  if (operand.scales == ScaleSource::least_squares) {
    given =
        formats::least_squares_scales(x, rows, cols, operand.block->block, *operand.block->element);
    options.scales = given;
  }
  return formats::quantize(x, rows, cols, *operand.block, options);
}

FakeQuantized fake_quantize(std::span<const float> x, std::int64_t rows, std::int64_t cols,
                            const OperandFormat& operand, std::uint64_t seed) {
  if (operand.hadamard > 0) {
    OperandFormat plain = operand;
    plain.hadamard = 0;
    std::vector<float> turned(x.begin(), x.end());
    hadamard(turned, rows, cols, operand);
    FakeQuantized result = fake_quantize(turned, rows, cols, plain, seed);
    undo_hadamard({result.values.data(), x.size()}, rows, cols, operand);
    return result;
  }
  if (!operand.block) return cast(x, rows, cols, operand, seed);
  FakeQuantized result;
  dequantize_exactly(quantize_operand(x, rows, cols, operand, seed), result);
  if (operand.reencode) {
    // E2M1 times a power of two is an FP32 value, so the second quantizer sees the first's exactly.
    std::vector<float> dequantized(x.size());
    std::transform(result.values.data(), result.values.data() + result.values.size(),
                   dequantized.begin(), [](double v) { return static_cast<float>(v); });
    FakeQuantized again;
    dequantize_exactly(formats::quantize(dequantized, rows, cols, *operand.reencode), again);
    for (std::size_t i = 0; i < x.size(); ++i) {
      result.reencode_changed += again.values.data()[i] != result.values.data()[i] ? 1 : 0;
    }
    result.values = std::move(again.values);
  }
  return result;
}

}  // namespace assay::simulator

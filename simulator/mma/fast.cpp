// SPDX-License-Identifier: Apache-2.0
#include "simulator/mma/fast.h"

#include <fmt/format.h>

#include <memory>
#include <stdexcept>

#include "simulator/mma/dot.h"
#include "simulator/mma/fast_kernels.h"

namespace assay::simulator {
namespace {

using formats::FormatSpec;
using formats::Specials;

struct Parts {
  bool special = false;
  int significand = 0, exponent = 0;
};
/// A code without the bits below it.
Parts parts_of(const FormatSpec& spec, std::uint32_t code) {
  const int m = spec.mantissa_bits;
  const int mantissa = static_cast<int>(code) & ((1 << m) - 1);
  const int top = (1 << spec.exponent_bits) - 1;
  const int field = static_cast<int>(code >> m) & top;
  Parts p;
  p.special =
      field == top && (spec.specials == Specials::ieee ||
                       (spec.specials == Specials::nan_all_ones && mantissa == (1 << m) - 1));
  const bool subnormal = field == 0 && spec.subnormals;
  p.significand = mantissa | (subnormal ? 0 : 1 << m);
  p.exponent = (subnormal ? 1 : field) - spec.bias;
  if (spec.sign_bits != 0 && (code >> (m + spec.exponent_bits) & 1U) != 0)
    p.significand = -p.significand;
  return p;
}

FastStep step_of(const MmaModel& m) {
  FastStep s;
  s.step = m.step;
  s.fraction_bits = m.fraction_bits;
  s.product_bits = m.a->mantissa_bits + m.b->mantissa_bits;
  if (m.arithmetic == Arithmetic::grouped) s.product_bits += 2 * m.scale->mantissa_bits;
  s.zero_exponent = m.zero_exponent;
  s.zero_is_floor = m.zero_rule == ZeroRule::floor;
  s.mantissa_bits = m.d->mantissa_bits;
  s.bias = m.d->bias;
  s.kept_bits = m.conversion == Conversion::rz_e8m13 ? 13 : m.d->mantissa_bits;
  s.sign_bit = 1U << (m.d->exponent_bits + m.d->mantissa_bits);
  s.nearest = m.conversion == Conversion::rne_fp16;
  s.signed_underflow = m.signed_underflow;
  s.scale_block = m.scale_block;
  return s;
}

}  // namespace

bool has_fast_mma(const MmaModel& m) {
  const int product_bits = m.a->mantissa_bits + m.b->mantissa_bits;
  // Products of 2 x 11 bits fit 32 bits after the shift to F, and sums of a step FP64.
  if (m.arithmetic == Arithmetic::fused)
    return m.a->mantissa_bits <= 10 && m.b->mantissa_bits <= 10 && m.fraction_bits <= 25 &&
           m.fraction_bits >= product_bits &&
           (m.scale == nullptr || (m.scale->mantissa_bits == 0 && m.scale_block == m.step));
  return m.arithmetic == Arithmetic::grouped && m.fraction_bits <= 40 &&
         m.fraction_bits >= product_bits + 2 * m.scale->mantissa_bits;
}

namespace {

/// Where the tiles of B have (row, at), of `width` a row.
std::size_t tiled(std::size_t row, std::size_t at, std::size_t width) {
  return (row / fast_lanes * width + at) * fast_lanes + row % fast_lanes;
}

}  // namespace

MmaOperand unpack_mma(const MmaModel& model, Side side, std::int64_t rows, std::int64_t k,
                      std::span<const std::uint32_t> codes, std::span<const std::uint32_t> scales) {
  if (!has_fast_mma(model))
    throw std::invalid_argument(model.name + " has no fast form; dot() computes every model");
  if (k % model.step != 0) require_chain(model, -k);
  const FormatSpec& spec = side == Side::a ? *model.a : *model.b;
  const std::int64_t blocks = model.scale == nullptr ? 0 : k / model.scale_block;
  if (static_cast<std::int64_t>(codes.size()) != rows * k ||
      static_cast<std::int64_t>(scales.size()) != rows * blocks)
    throw std::invalid_argument(
        fmt::format("{} x {} of {} needs {} codes and {} scales, not {} and {}", rows, k,
                    model.name, rows * k, rows * blocks, codes.size(), scales.size()));
  MmaOperand o;
  o.rows = rows;
  o.k = k;
  o.blocks = blocks;
  o.codes.assign(codes.begin(), codes.end());
  o.scale_codes.assign(scales.begin(), scales.end());
  o.special.resize(static_cast<std::size_t>(rows));
  const bool grouped = model.arithmetic == Arithmetic::grouped;
  const bool tiles = !grouped && side == Side::b;
  const auto padded = [&](std::int64_t width) {
    const auto lanes = static_cast<std::int64_t>(fast_lanes);
    return static_cast<std::size_t>((tiles ? (rows + lanes - 1) / lanes * lanes : rows) * width);
  };
  const auto place = [&](std::size_t i, std::int64_t width) {
    const auto w = static_cast<std::size_t>(width);
    return tiles ? tiled(i / w, i % w, w) : i;
  };
  if (grouped) {
    o.integers.resize(codes.size());
    o.nonzero.resize(codes.size() / 16);
  } else {
    o.significands.resize(padded(k));
    o.exponents.resize(padded(k), zero_element);
  }
  for (std::size_t i = 0; i < codes.size(); ++i) {
    const Parts p = parts_of(spec, codes[i] >> spec.storage_shift);
    const bool zero = p.significand == 0;
    if (p.special) o.special[i / static_cast<std::size_t>(k)] = 1;
    if (grouped) {
      o.integers[i] = static_cast<std::int8_t>(p.significand << p.exponent);
      if (!zero) o.nonzero[i / 16] |= static_cast<std::uint16_t>(1U << (i % 16));
      continue;
    }
    const std::size_t at = place(i, k);
    o.significands[at] = static_cast<std::int16_t>(p.significand);
    o.exponents[at] = static_cast<std::int16_t>(zero ? zero_element : p.exponent);
  }
  o.scale_exponents.resize(padded(blocks));
  if (grouped) o.scale_significands.resize(scales.size());
  for (std::size_t i = 0; i < scales.size(); ++i) {
    const Parts p = parts_of(*model.scale, scales[i]);
    o.scale_exponents[place(i, blocks)] = static_cast<std::int16_t>(p.exponent);
    if (grouped) o.scale_significands[i] = static_cast<std::int8_t>(p.significand);
    if (p.special) o.special[i / static_cast<std::size_t>(blocks)] = 1;
  }
  return o;
}

void mma_gemm(const MmaModel& model, const MmaOperand& a, const MmaOperand& b,
              std::span<const std::uint32_t> c, std::span<std::uint32_t> d, int threads) {
  const auto size = static_cast<std::size_t>(a.rows * b.rows);
  if (a.k != b.k || d.size() != size || (!c.empty() && c.size() != size))
    throw std::invalid_argument("the operands of mma_gemm do not fit together");
  const FastStep step = step_of(model);
  const auto kernel = model.arithmetic == Arithmetic::grouped ? fast_grouped() : fast_fused();
  const auto k = static_cast<std::size_t>(a.k);
  const auto blocks = static_cast<std::size_t>(a.blocks);
  const auto whole = [&](std::size_t i, std::size_t j) {
    const std::size_t at = i * static_cast<std::size_t>(b.rows) + j;
    DotOperands o{std::span(a.codes).subspan(i * k, k), std::span(b.codes).subspan(j * k, k),
                  c.empty() ? 0 : c[at]};
    if (blocks != 0) {
      o.scale_a = std::span(a.scale_codes).subspan(i * blocks, blocks);
      o.scale_b = std::span(b.scale_codes).subspan(j * blocks, blocks);
    }
    d[at] = dot(model, o);
  };
#pragma omp parallel for num_threads(threads) schedule(dynamic)
  for (std::int64_t row = 0; row < a.rows; ++row) {
    const auto i = static_cast<std::size_t>(row);
    const std::size_t first = i * static_cast<std::size_t>(b.rows);
    const auto n = static_cast<std::size_t>(b.rows);
    const auto done = std::make_unique<bool[]>(n);
    if (a.special[i] == 0)
      kernel(
          {step, a, b, row, c.empty() ? nullptr : c.data() + first, d.data() + first, done.get()});
    for (std::size_t j = 0; j < n; ++j)
      if (!done[j] || b.special[j] != 0) whole(i, j);
  }
}

}  // namespace assay::simulator

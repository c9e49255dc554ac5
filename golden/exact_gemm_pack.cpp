// SPDX-License-Identifier: Apache-2.0
#include "golden/exact_gemm_pack.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <string>

namespace assay::golden {
namespace exact_parts {

NumberTable::NumberTable(const formats::FormatSpec& spec) : spec_(spec) {
  if (spec.storage_bits > 8) return;
  for (std::uint32_t code = 0; code < 256; ++code) numbers_.push_back(read_number(spec, code));
}

Tables::Tables(const Operand& operand)
    : element(*operand.format->element),
      scale(*operand.format->scale),
      constant_scale(operand.format->block.cols == 0 || operand.format->block.cols >= operand.k),
      tensor_scale(read_number(
          formats::fp32,
          std::bit_cast<std::uint32_t>(operand.format->tensor_scale == formats::TensorScale::fp32
                                           ? operand.source.tensor_scale
                                           : 1.0F))) {}

void set_factor(RowRange& range, const Number& tensor_scale, const Number& row_scale) {
  for (const Number* x : {&tensor_scale, &row_scale}) {
    range.nan = range.nan || x->kind == Number::Kind::nan;
    range.infinite = range.infinite || x->kind == Number::Kind::infinity;
    range.negative_factor = range.negative_factor != x->negative;
  }
  range.factor = std::uint64_t{tensor_scale.significand} * row_scale.significand;
  range.factor_exponent = tensor_scale.exponent + row_scale.exponent;
  range.zero_factor = range.factor == 0;
  if (range.zero_factor) {
    range.factor = 1;
    range.factor_exponent = 0;
    return;
  }
  const int zeros = std::countr_zero(range.factor);
  range.factor >>= zeros;
  range.factor_exponent += zeros;
}

}  // namespace exact_parts

namespace {

using exact_parts::Kernel;
using exact_parts::Operand;
using formats::BlockFormat;

constexpr int folded_bits = 8;  ///< of a significand with its scale factor's

bool late_format(const BlockFormat& format) {
  return format.block.cols != 0 && exact_parts::significand_bits(*format.element) +
                                           exact_parts::significand_bits(*format.scale) >
                                       folded_bits;
}

void require_format(const BlockFormat& format) {
  const std::string name(format.name);
  if (format.element->storage_bits > 8)
    throw std::invalid_argument("exact GEMM: " + name + " has elements of " +
                                std::to_string(format.element->storage_bits) +
                                " bits; at most 8 are supported");
  if (format.block.cols % 16 != 0)
    throw std::invalid_argument("exact GEMM: " + name + " has blocks of " +
                                std::to_string(format.block.cols) +
                                " columns; multiples of 16, or 0, are supported");
  if (format.scale->storage_shift != 0)
    throw std::invalid_argument("exact GEMM: " + name + " has scale factors in " +
                                std::string(format.scale->name) + ", which is not supported");
}

void require_tensor(const formats::BlockScaledTensor& t) {
  if (t.format == nullptr)
    throw std::invalid_argument(
        "exact GEMM: the tensor has no format; set BlockScaledTensor::format");
  require_format(*t.format);
  if (t.rows < 1 || t.cols < 1)
    throw std::invalid_argument("exact GEMM: a tensor of " + std::to_string(t.rows) + " x " +
                                std::to_string(t.cols) + "; both must be at least 1");
  if (t.layout != formats::Layout::row_major || t.scale_layout != formats::ScaleLayout::row_major)
    throw std::invalid_argument(
        "exact GEMM: codes and scale factors must be row-major; relayout the tensor first");
  const auto blocks = [](std::int64_t extent, std::int64_t block) {
    return block == 0 ? 1 : (extent + block - 1) / block;
  };
  const std::int64_t codes =
      t.format->element->storage_bits == 4 ? t.rows * ((t.cols + 1) / 2) : t.rows * t.cols;
  const std::int64_t scales = blocks(t.rows, t.format->block.rows) *
                              blocks(t.cols, t.format->block.cols) *
                              (t.format->scale->storage_bits / 8);
  if (static_cast<std::int64_t>(t.codes.size()) != codes ||
      static_cast<std::int64_t>(t.scales.size()) != scales)
    throw std::invalid_argument("exact GEMM: a tensor with " + std::to_string(t.codes.size()) +
                                " bytes of codes and " + std::to_string(t.scales.size()) +
                                " of scale factors; its shape needs " + std::to_string(codes) +
                                " and " + std::to_string(scales));
  if (t.cols > std::int64_t{1} << 30) throw std::invalid_argument("exact GEMM: k is above 2^30");
}

/// What both sides must agree on, from the formats alone.
void plan(Operand& operand) {
  const BlockFormat& x = *operand.format;
  const BlockFormat& y = *operand.other;
  if (x.element == &formats::e2m1 && y.element == &formats::e2m1) {
    operand.kernel = Kernel::bytes;
    operand.group = x.block.cols % 32 == 0 && y.block.cols % 32 == 0 ? 32 : 16;
    operand.chunk = 256;
    operand.pairs = (operand.k + 2 * operand.group - 1) / (2 * operand.group);
  } else {
    operand.kernel = Kernel::words;
    std::int64_t chunk = 128;
    for (const BlockFormat* f : {&x, &y})
      if (late_format(*f)) chunk = std::gcd(chunk, f->block.cols);
    operand.chunk = static_cast<int>(chunk);
    const bool constant = x.block.cols == 0 || x.block.cols >= operand.k;
    operand.late = late_format(x) && !constant;
    const int scale_bits = constant || operand.late ? 1 : exact_parts::significand_bits(*x.scale);
    operand.plane_step = 13 - (exact_parts::significand_bits(*x.element) + scale_bits - 1 +
                               (scale_bits > 1 ? 1 : 0));
  }
  operand.chunks = (operand.k + operand.chunk - 1) / operand.chunk;
}

void summarize(const Operand& operand, std::int64_t first, int count, exact_parts::Panel& panel) {
  panel.factors.assign(static_cast<std::size_t>(panel.rows), 0.0);
  for (int r = 0; r < count; ++r) {
    const exact_parts::RowRange& x = operand.ranges[static_cast<std::size_t>(first + r)];
    panel.bits = std::max(panel.bits, x.bits);
    panel.bits_late = std::max(panel.bits_late, x.bits_late);
    panel.bits_with_late = std::max(panel.bits_with_late, x.bits + x.bits_late);
    panel.factor_bits = std::max(panel.factor_bits, static_cast<int>(std::bit_width(x.factor)));
    panel.special = panel.special || x.nan || x.infinite;
    if (x.zero_factor) continue;
    const double f =
        std::ldexp(static_cast<double>(x.factor), x.factor_exponent + x.base + x.late_base);
    panel.factors[static_cast<std::size_t>(r)] = x.negative_factor ? -f : f;
  }
}

}  // namespace

ExactOperand pack_exact(ExactSide side, const formats::BlockScaledTensor& tensor,
                        const BlockFormat& other, int threads) {
  require_tensor(tensor);
  require_format(other);
  if (threads < 1)
    throw std::invalid_argument("exact GEMM: " + std::to_string(threads) +
                                " threads; at least 1 is needed");
  auto operand = std::make_shared<Operand>();
  operand->side = side;
  operand->format = tensor.format;
  operand->other = &other;
  operand->rows = tensor.rows;
  operand->k = tensor.cols;
  operand->source = tensor;
  plan(*operand);
  const int height = side == ExactSide::a ? exact_parts::a_rows : exact_parts::b_rows;
  const std::int64_t panels = (tensor.rows + height - 1) / height;
  operand->ranges.resize(static_cast<std::size_t>(tensor.rows));
  operand->panels.resize(static_cast<std::size_t>(panels));
  const exact_parts::Tables tables(*operand);
#pragma omp parallel for schedule(static) num_threads(threads)
  for (std::int64_t p = 0; p < panels; ++p) {
    const std::int64_t first = p * height;
    const int count = static_cast<int>(std::min<std::int64_t>(height, tensor.rows - first));
    exact_parts::Panel& panel = operand->panels[static_cast<std::size_t>(p)];
    if (operand->kernel == Kernel::bytes)
      exact_parts::pack_bytes(*operand, tables, first, count, panel);
    else
      exact_parts::pack_words(*operand, tables, first, count, panel);
    summarize(*operand, first, count, panel);
  }
  return {operand};
}

}  // namespace assay::golden

// SPDX-License-Identifier: Apache-2.0
#include "proptests/diagnosis/quantizer_model.h"

#include <algorithm>
#include <cmath>

#include "golden/layout.h"
#include "golden/order.h"

namespace assay::proptests::diagnosis {
namespace {

using formats::Register;
using golden::RationalValue;

std::uint32_t nearest(const formats::FormatSpec& spec, const RationalValue& x) {
  return golden::encode(spec, x, formats::RoundingMode::nearest_even,
                        golden::policy_of(formats::saturating, spec));
}

/// An FP32 number near x, exact where x is one.
float to_float(const RationalValue& x) {
  const golden::Value v = golden::decode(formats::fp32, nearest(formats::fp32, x));
  if (v.is_nan()) return NAN;
  if (v.is_infinite()) return v.negative ? -INFINITY : INFINITY;
  return static_cast<float>(golden::approximate(v.number));
}

}  // namespace

Neighbours neighbours(const formats::FormatSpec& element, const RationalValue& x) {
  if (!x.is_finite()) {
    const std::uint32_t top = golden::max_finite_code(element);
    return {top, top, 0};
  }
  RationalValue magnitude = x;
  magnitude.negative = false;
  if (magnitude.number < 0) magnitude.number = -magnitude.number;
  const golden::Policy policy = golden::policy_of(formats::saturating, element);
  Neighbours n;
  n.low = golden::encode(element, magnitude, formats::RoundingMode::toward_zero, policy);
  n.high = golden::encode(element, magnitude, formats::RoundingMode::toward_positive, policy);
  const auto value = [&](std::uint32_t code) {
    return golden::decode(element, code).number.rational();
  };
  const golden::Rational twice = magnitude.number * 2;
  const golden::Rational sum = value(n.low) + value(n.high);
  n.side = n.low == n.high || twice == sum ? 0 : twice < sum ? -1 : 1;
  return n;
}

QuantizerModel::QuantizerModel(const formats::BlockFormat& of)
    : format(of),
      tensor_order(of.order->tensor.begin(), of.order->tensor.end()),
      block_order(of.order->block.begin(), of.order->block.end()),
      element_order(of.order->element.begin(), of.order->element.end()) {}

formats::BlockScaledTensor QuantizerModel::run(std::vector<double>* scaled_to) const {
  const golden::BlockGrid grid = golden::block_grid(format, rows, cols);
  formats::BlockScaledTensor out;
  out.format = &format;
  out.rows = rows;
  out.cols = cols;
  out.scale_layout = scale_layout;
  out.codes.resize(golden::code_bytes(*format.element, rows, cols, out.layout));
  out.scales.resize(golden::scale_bytes(format, rows, cols, scale_layout));
  if (scaled_to != nullptr) scaled_to->assign(static_cast<std::size_t>(rows * cols), NAN);
  const auto amax = [&](std::int64_t row, std::int64_t first, std::int64_t last, bool block) {
    float largest = 0;
    for (std::int64_t c = first; c < last; ++c) {
      const float v = x[row * cols + c];
      if (!(counts ? counts(v) : std::isfinite(v))) continue;
      if (block ? counts_in_block && !counts_in_block(row, c, first)
                : counts_in_tensor && !counts_in_tensor(row, c))
        continue;
      largest = std::max(largest, magnitude_at ? magnitude_at(v, row, c)
                                  : magnitude  ? magnitude(v)
                                               : std::fabs(v));
    }
    return largest;
  };
  golden::Registers tensor;
  float whole = 0;
  for (std::int64_t r = 0; r < rows; ++r) whole = std::max(whole, amax(r, 0, cols, false));
  RationalValue top = golden::to_rational(golden::value_of(whole));
  tensor[Register::amax_tensor] = tensor_amax ? tensor_amax(top) : top;
  tensor.run(tensor_order);
  if (tensor_scale_taken) {
    // Registers beside it follow from the amax that would have given it.
    const RationalValue taken = golden::to_rational(golden::value_of(*tensor_scale_taken));
    const RationalValue own = tensor[Register::tensor_scale];
    if (!own.is_zero() && own.is_finite() && taken.is_finite() && !taken.is_zero()) {
      const RationalValue amax_of_it = tensor[Register::amax_tensor] * (taken / own);
      tensor = {};
      tensor[Register::amax_tensor] = amax_of_it;
      tensor.run(tensor_order);
    }
    tensor[Register::tensor_scale] = taken;
  }
  if (format.tensor_scale == formats::TensorScale::fp32) {
    out.tensor_scale = to_float(tensor[Register::tensor_scale]);
    if (stored_tensor_scale) out.tensor_scale = stored_tensor_scale(out.tensor_scale);
  }
  const golden::Policy policy = golden::policy_of(formats::saturating, *format.element);
  for (std::int64_t r = 0; r < grid.down; ++r)
    for (std::int64_t b = 0; b < grid.across; ++b) {
      const std::int64_t first = b * grid.block_cols;
      const std::int64_t last = std::min(cols, first + grid.block_cols);
      const auto row = x.begin() + r * cols;
      if (spoil_blocks &&
          !std::all_of(row + first, row + last, [](float v) { return std::isfinite(v); })) {
        golden::store_scale(out, r, b, golden::canonical_nan(*format.scale));
        for (std::int64_t c = first; scaled_to != nullptr && c < last; ++c)
          (*scaled_to)[r * cols + c] = x[r * cols + c];
        continue;
      }
      const std::int64_t shared = amax_cols == 0 ? grid.block_cols : amax_cols;
      const std::int64_t amax_begin = first / shared * shared;
      golden::Registers block = tensor;
      std::int64_t from_r = r;
      std::int64_t from_b = b;
      if (amax_of) amax_of(from_r, from_b);
      const std::int64_t other = from_b * grid.block_cols;
      top = golden::to_rational(golden::value_of(
          from_r != r || from_b != b
              ? amax(from_r, other, std::min(cols, other + grid.block_cols), true)
              : amax(r, std::min(amax_begin + amax_first, last),
                     std::max(amax_begin, std::min(cols, amax_begin + shared) - amax_last), true)));
      block[Register::amax_block] = block_amax ? block_amax(top) : top;
      if (format.rule == formats::ScaleRule::given)
        block[Register::scale] = golden::to_rational(golden::value_of(given[r * grid.across + b]));
      std::uint32_t stored = nearest(*format.scale, block[Register::scale]);
      for (const formats::Operation& operation : block_order) {
        if (operation.dst != Register::scale) {
          block.run({&operation, 1});
          continue;
        }
        golden::Registers before = block;
        formats::Operation exact = operation;
        exact.round = {};
        before.run({&exact, 1});
        block.run({&operation, 1});
        stored = nearest(*format.scale, block[Register::scale]);
        if (scale_code) stored = scale_code(stored);
        block[Register::scale] = unrounded_scale
                                     ? before[Register::scale]
                                     : golden::to_rational(golden::decode(*format.scale, stored));
      }
      if (scale_used) block[Register::scale] = scale_used(block[Register::scale]);
      golden::store_scale(out, r, b, stored);
      for (std::int64_t c = first; c < last; ++c) {
        golden::Registers element = block;
        element[Register::x] = golden::to_rational(golden::value_of(x[r * cols + c]));
        element.run(element_order);
        const RationalValue v = scaled ? scaled(element[Register::x]) : element[Register::x];
        if (scaled_to != nullptr)
          (*scaled_to)[r * cols + c] = v.is_nan()        ? NAN
                                       : v.is_infinite() ? (v.negative ? -INFINITY : INFINITY)
                                       : v.negative      ? -std::fabs(v.number.convert_to<double>())
                                                         : v.number.convert_to<double>();
        const std::uint32_t right =
            chosen ? chosen(v, r * cols + c) : golden::encode(*format.element, v, rounding, policy);
        golden::store_code(out, r, c, code ? code(v, right) : right);
      }
    }
  if (store) store(out);
  return out;
}

QuantizerModel quantizer_of(const Call& call) {
  QuantizerModel model(*call.claim.a);
  model.x = input_floats(call, ASSAY_DUT_X);
  model.given = input_floats(call, ASSAY_DUT_GIVEN);
  model.rows = call.m;
  model.cols = call.k;
  model.rounding = call.claim.rounding;
  model.scale_layout = call.claim.scale_layout;
  return model;
}

}  // namespace assay::proptests::diagnosis

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

double near(const RationalValue& v) {
  if (v.is_nan()) return NAN;
  if (v.is_infinite()) return v.negative ? -INFINITY : INFINITY;
  const double x = v.number.convert_to<double>();
  return v.negative ? -std::fabs(x) : x;
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
      element_order(of.order->element.begin(), of.order->element.end()) {
  if (of.candidates == nullptr) return;
  const auto orders = of.candidates->orders;
  block_order.assign(orders[0]->block.begin(), orders[0]->block.end());
  element_order.assign(orders[0]->element.begin(), orders[0]->element.end());
  for (const formats::OperationOrder* order : orders.subspan(1))
    more_orders.push_back({{order->block.begin(), order->block.end()},
                           {order->element.begin(), order->element.end()}});
}

QuantizerModel::Region QuantizerModel::region(std::int64_t r, std::int64_t b) const {
  const golden::BlockGrid grid = golden::block_grid(format, rows, cols);
  return {r * grid.block_rows, std::min(rows, (r + 1) * grid.block_rows), b * grid.block_cols,
          std::min(cols, (b + 1) * grid.block_cols)};
}

float QuantizerModel::amax(const Region& of, bool block) const {
  float largest = 0;
  for (std::int64_t r = of.first_row; r < of.last_row; ++r)
    for (std::int64_t c = of.first; c < of.last; ++c) {
      const float v = x[static_cast<std::size_t>(r * cols + c)];
      if (!(counts ? counts(v) : std::isfinite(v))) continue;
      if (block ? counts_in_block && !counts_in_block(r, c, of.first)
                : counts_in_tensor && !counts_in_tensor(r, c))
        continue;
      largest = std::max(largest, magnitude_at ? magnitude_at(v, r, c)
                                  : magnitude  ? magnitude(v)
                                               : std::fabs(v));
    }
  return largest;
}

float QuantizerModel::block_maximum(std::int64_t r, std::int64_t b) const {
  std::int64_t from_r = r;
  std::int64_t from_b = b;
  if (amax_of) amax_of(from_r, from_b);
  Region of = region(from_r, from_b);
  if (from_r == r && from_b == b) {
    const std::int64_t width = golden::block_grid(format, rows, cols).block_cols;
    const std::int64_t shared = amax_cols == 0 ? width : amax_cols;
    const std::int64_t begin = of.first / shared * shared;
    const std::int64_t last = of.last;
    of.first = std::min(begin + amax_first, last);
    of.last = std::max(begin, std::min(cols, begin + shared) - amax_last);
  }
  const float own = amax(of, true);
  return amax_more ? std::max(own, amax_more(*this, r, b)) : own;
}

QuantizerModel::Attempt QuantizerModel::attempt(
    const std::vector<formats::Operation>& block_phase,
    const std::vector<formats::Operation>& element_phase, golden::Registers block,
    const Region& here) const {
  Attempt result{nearest(*format.scale, block[Register::scale]), {}, {}};
  for (const formats::Operation& operation : block_phase) {
    if (operation.dst != Register::scale) {
      block.run({&operation, 1});
      continue;
    }
    golden::Registers before = block;
    formats::Operation exact = operation;
    exact.round = {};
    before.run({&exact, 1});
    block.run({&operation, 1});
    result.scale = nearest(*format.scale, block[Register::scale]);
    if (scale_code) result.scale = scale_code(result.scale);
    block[Register::scale] = unrounded_scale
                                 ? before[Register::scale]
                                 : golden::to_rational(golden::decode(*format.scale, result.scale));
  }
  if (scale_used) block[Register::scale] = scale_used(block[Register::scale]);
  const golden::Policy policy = golden::policy_of(formats::saturating, *format.element);
  for (std::int64_t r = here.first_row; r < here.last_row; ++r)
    for (std::int64_t c = here.first; c < here.last; ++c) {
      const std::int64_t at = r * cols + c;
      const float own = x[static_cast<std::size_t>(at)];
      golden::Registers element = block;
      element[Register::x] = golden::to_rational(golden::value_of(own));
      element.run(element_phase);
      const RationalValue v = scaled ? scaled(element[Register::x]) : element[Register::x];
      const std::uint32_t right =
          chosen ? chosen(v, at) : golden::encode(*format.element, v, rounding, policy);
      const std::uint32_t taken = code ? code(v, right) : right;
      result.codes.push_back(code_of_input ? code_of_input(own, taken) : taken);
      result.scaled.push_back(v);
    }
  return result;
}

golden::Value QuantizerModel::error_of(const Attempt& attempt, const Region& here,
                                       float tensor_scale) const {
  using golden::Value;
  const auto fl = [](const Value& v) {
    return golden::decode(formats::fp32,
                          golden::encode(formats::fp32, v, formats::RoundingMode::nearest_even,
                                         golden::policy_of(formats::ieee, formats::fp32)));
  };
  const Value factor =
      golden::decode(*format.scale, attempt.scale) * golden::value_of(tensor_scale);
  Value error = Value::zero(false);
  std::size_t i = 0;
  for (std::int64_t r = here.first_row; r < here.last_row; ++r)
    for (std::int64_t c = here.first; c < here.last; ++c) {
      const Value d = fl(golden::decode(*format.element, attempt.codes[i++]) * factor);
      Value e = fl(d + golden::value_of(-x[static_cast<std::size_t>(r * cols + c)]));
      if (golden::less(e, Value::zero(false))) e = -e;
      switch (measure.value_or(format.candidates->measure)) {
        case formats::ErrorMeasure::squared:
          error = fl(error + fl(e * e));
          break;
        case formats::ErrorMeasure::absolute:
          error = fl(error + e);
          break;
        case formats::ErrorMeasure::largest:
          if (golden::less(error, e)) error = e;
          break;
      }
    }
  return error;
}

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
  golden::Registers tensor;
  const RationalValue whole =
      golden::to_rational(golden::value_of(amax({0, rows, 0, cols}, false)));
  tensor[Register::amax_tensor] = tensor_amax ? tensor_amax(whole) : whole;
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
  const auto spoiled = [&](const Region& here) {
    for (std::int64_t r = here.first_row; r < here.last_row; ++r)
      for (std::int64_t c = here.first; c < here.last; ++c) {
        const float v = x[static_cast<std::size_t>(r * cols + c)];
        if (looked_at && !looked_at(r, c, here.first)) continue;
        if (spoils ? spoils(v) : !std::isfinite(v)) return true;
      }
    return false;
  };
  for (std::int64_t r = 0; r < grid.down; ++r)
    for (std::int64_t b = 0; b < grid.across; ++b) {
      const Region here = region(r, b);
      if (spoil_blocks && spoiled(here)) {
        golden::store_scale(out, r, b,
                            spoiled_scale.value_or(golden::canonical_nan(*format.scale)));
        for (std::int64_t row = here.first_row; row < here.last_row; ++row)
          for (std::int64_t c = here.first; c < here.last; ++c) {
            const float v = x[static_cast<std::size_t>(row * cols + c)];
            if (scaled_to != nullptr) (*scaled_to)[row * cols + c] = v;
            if (spoiled_codes) golden::store_code(out, row, c, spoiled_codes(v));
          }
        continue;
      }
      golden::Registers block = tensor;
      const RationalValue top = golden::to_rational(golden::value_of(block_maximum(r, b)));
      block[Register::amax_block] = block_amax ? block_amax(top) : top;
      if (format.rule == formats::ScaleRule::given)
        block[Register::scale] = golden::to_rational(golden::value_of(given[r * grid.across + b]));
      Attempt best = attempt(block_order, element_order, block, here);
      if (!more_orders.empty()) {
        golden::Value least = error_of(best, here, out.tensor_scale);
        for (const Phases& phases : more_orders) {
          Attempt next = attempt(phases.block, phases.element, block, here);
          const golden::Value error = error_of(next, here, out.tensor_scale);
          if (!(better ? better(error, least) : golden::less(error, least))) continue;
          best = std::move(next);
          least = error;
        }
      }
      golden::store_scale(out, r, b, best.scale);
      std::size_t i = 0;
      for (std::int64_t row = here.first_row; row < here.last_row; ++row)
        for (std::int64_t c = here.first; c < here.last; ++c, ++i) {
          golden::store_code(out, row, c, best.codes[i]);
          if (scaled_to != nullptr) (*scaled_to)[row * cols + c] = near(best.scaled[i]);
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

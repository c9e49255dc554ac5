// SPDX-License-Identifier: Apache-2.0
#include "formats/panel_plan.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <stdexcept>
#include <string>

#include "formats/array.h"
#include "formats/codec.h"

namespace assay::formats {
namespace {

/// Every product of finite values of two formats is an FP32 number: significands of m + 1 bits each
/// multiply to one of at most 24, the smallest to a multiple of 2^-149, the largest below 2^128.
[[nodiscard]] bool products_exact_in_fp32(const Fields& a, const Fields& b) {
  const auto lowest = [](const Fields& f) { return 1 - f.bias - f.mantissa_bits; };
  const auto largest = [](const Fields& f) {
    return static_cast<double>(std::bit_cast<float>(detail::decode_to_f32_bits(f, f.max_finite())));
  };
  return a.mantissa_bits + b.mantissa_bits + 2 <= 24 && lowest(a) + lowest(b) >= -149 &&
         largest(a) * largest(b) <= static_cast<double>(std::numeric_limits<float>::max());
}

}  // namespace

PanelContext::PanelContext(const BlockFormat& f, std::int64_t r, std::int64_t c,
                           const QuantizeOptions& options)
    : format(&f),
      rows(r),
      cols(c),
      grid(block_grid(f.block, r, c)),
      unit{f.block.rows == 0 ? 64 : f.block.rows,
           f.block.cols == 0 ? static_cast<std::int64_t>(kChunk) : f.block.cols},
      policy(profile_row(*options.profile, *f.element).policy),
      rounding(options.rounding),
      random_bits(options.random_bits),
      seed(options.seed),
      scales(options.scales) {
  require_expressible(*f.element, policy);
  require_random_bits(rounding, random_bits);
  if (f.candidates == nullptr) {
    orders.push_back(prepare(*f.order));
    return;
  }
  if (f.block.rows == 0 || f.block.cols == 0 || f.element->storage_bits > 8) {
    throw std::invalid_argument("quantize to " + std::string(f.name) +
                                ": candidate orders need blocks of stated extents and elements of "
                                "at most 8 bits");
  }
  for (const OperationOrder* order : f.candidates->orders) orders.push_back(prepare(*order));
  for (std::size_t code = 0; code < values.size(); ++code) {
    values[code] = decode(*f.element, static_cast<std::uint32_t>(code));
  }
  exact_in_fp32 = products_exact_in_fp32(fields_of(*f.element), fields_of(*f.scale));
}

OrderJob PanelContext::prepare(const OperationOrder& order) const {
  OrderJob job{&order, plan_order(*format, order), false, {}};
  // A stochastic threshold has p + n significant bits, and quotients allow 25 (order.h).
  if (rounding == RoundingMode::stochastic && job.plan.quotient &&
      format->element->mantissa_bits + 1 + random_bits > 25) {
    throw std::invalid_argument(
        "quantize to " + std::string(format->name) +
        ": stochastic rounding of unrounded quotients needs fewer random bits");
  }
  const Fields fields = fields_of(*format->element);
  job.fast = job.plan.path != ElementPath::general && format->element->storage_bits <= 8 &&
             fields.sign_bits == 1 && fields.subnormals && array_codec_handles(fields);
  if (!job.fast) return job;
  Encoder encoder = Encoder::any;
  switch (rounding) {
    case RoundingMode::nearest_even:
      if (policy.overflow == Overflow::saturate && fields.mantissa_bits >= 1) {
        encoder = Encoder::nearest;
      }
      break;
    case RoundingMode::stochastic:
      encoder = Encoder::stochastic;
      break;
    case RoundingMode::toward_positive:
    case RoundingMode::toward_negative:
    case RoundingMode::to_odd:
      encoder = Encoder::directed;
      break;
    default:
      break;
  }
  job.element = {job.plan.path, encoder, encode_params(fields, rounding, policy, random_bits)};
  return job;
}

TensorPhase PanelContext::tensor_phase(float amax) const {
  TensorPhase phase{{}, 1.0F};
  Registers registers{};
  registers.of(Register::amax_tensor)[0] = static_cast<double>(amax);
  block_kernels().evaluate(format->order->tensor, registers, 1, false);
  for (std::size_t r = 0; r < phase.registers.size(); ++r) {
    phase.registers[r] = registers.lanes[r][0];
  }
  if (format->tensor_scale == TensorScale::fp32) {
    phase.scale = static_cast<float>(registers.of(Register::tensor_scale)[0]);
  }
  return phase;
}

PanelGrid::PanelGrid(const PanelContext& context, const Tile& tile) {
  const BlockShape unit = context.unit;
  unit_rows_ = ceil_div(tile.rows, unit.rows);
  unit_cols_ = ceil_div(tile.cols, unit.cols);
  const auto chunk = static_cast<std::int64_t>(kChunk);
  const auto lanes = static_cast<std::int64_t>(kLanes);
  // A row of a panel is a chunk; a panel is at most 16 chunks, which fits a second-level cache.
  panel_cols_ =
      std::clamp(std::min(chunk, 16 * chunk / unit.rows) / unit.cols, std::int64_t{1}, lanes);
  if (unit.cols % 2 != 0) panel_cols_ += panel_cols_ % 2;  // a nibble pair never spans two panels
  panel_cols_ = std::min(panel_cols_, unit_cols_);
  panel_rows_ = std::clamp(16 * chunk / (panel_cols_ * unit.cols * unit.rows), std::int64_t{1},
                           lanes / panel_cols_);
  down_ = ceil_div(unit_rows_, panel_rows_);
  across_ = ceil_div(unit_cols_, panel_cols_);
}

Panel PanelGrid::panel(std::int64_t i) const {
  const std::int64_t row = i / across_ * panel_rows_;
  const std::int64_t col = i % across_ * panel_cols_;
  return {row, std::min(panel_rows_, unit_rows_ - row), col,
          std::min(panel_cols_, unit_cols_ - col)};
}

}  // namespace assay::formats

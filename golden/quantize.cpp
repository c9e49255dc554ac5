// SPDX-License-Identifier: Apache-2.0
#include "golden/quantize.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "golden/fp32_order.h"
#include "golden/layout.h"
#include "golden/order.h"
#include "golden/philox.h"

namespace assay::golden {
namespace {

using formats::BlockFormat;
using formats::BlockScaledTensor;
using formats::Register;
using formats::ScaleRule;

// The half-open rectangle of elements that share a scale factor.
struct Region {
  std::int64_t first_row, last_row, first_col, last_col;
};

Region region(const BlockGrid& grid, std::int64_t rows, std::int64_t cols, std::int64_t r,
              std::int64_t c) {
  return {r * grid.block_rows, std::min(rows, (r + 1) * grid.block_rows), c * grid.block_cols,
          std::min(cols, (c + 1) * grid.block_cols)};
}

class Quantizer {
 public:
  Quantizer(std::span<const float> x, std::int64_t rows, std::int64_t cols,
            const BlockFormat& format, const QuantizeOptions& options)
      : x_(x),
        format_(format),
        options_(options),
        policy_(policy_of(*options.profile, *format.element)),
        grid_(block_grid(format, rows, cols)) {
    if (static_cast<std::int64_t>(x.size()) != rows * cols)
      throw std::invalid_argument("quantize: x has " + std::to_string(x.size()) +
                                  " elements, not " + std::to_string(rows) + " x " +
                                  std::to_string(cols));
    const std::int64_t scales = format.rule == ScaleRule::given ? grid_.down * grid_.across : 0;
    if (static_cast<std::int64_t>(options.scales.size()) != scales)
      throw std::invalid_argument("quantize: format " + std::string(format.name) + " takes " +
                                  std::to_string(scales) + " given scale factors here, not " +
                                  std::to_string(options.scales.size()));
    result_.format = &format;
    result_.rows = rows;
    result_.cols = cols;
    result_.layout = options.layout;
    result_.scale_layout = options.scale_layout;
    result_.codes.resize(
        static_cast<std::size_t>(code_bytes(*format.element, rows, cols, options.layout)));
    result_.scales.resize(
        static_cast<std::size_t>(scale_bytes(format, rows, cols, options.scale_layout)));
  }

  std::vector<RationalValue> run_unrounded() {
    scaled_.assign(x_.size(), RationalValue::nan());
    static_cast<void>(run());
    return std::move(scaled_);
  }

  BlockScaledTensor run() {
    Registers tensor;
    tensor[Register::amax_tensor] = amax({0, result_.rows, 0, result_.cols});
    tensor.run(format_.order->tensor);
    if (format_.tensor_scale == formats::TensorScale::fp32)
      result_.tensor_scale = stored_float(tensor[Register::tensor_scale]);
    for (std::int64_t r = 0; r < grid_.down; ++r)
      for (std::int64_t c = 0; c < grid_.across; ++c) quantize_block(tensor, r, c);
    return std::move(result_);
  }

 private:
  [[nodiscard]] float at(std::int64_t row, std::int64_t col) const {
    return x_[static_cast<std::size_t>(row * result_.cols + col)];
  }

  // Comparing floats is exact; only finite elements count.
  [[nodiscard]] RationalValue amax(const Region& region) const {
    float largest = 0;
    for (std::int64_t row = region.first_row; row < region.last_row; ++row)
      for (std::int64_t col = region.first_col; col < region.last_col; ++col)
        if (std::isfinite(at(row, col))) largest = std::max(largest, std::fabs(at(row, col)));
    return to_rational(value_of(largest));
  }

  [[nodiscard]] bool all_finite(const Region& region) const {
    for (std::int64_t row = region.first_row; row < region.last_row; ++row)
      for (std::int64_t col = region.first_col; col < region.last_col; ++col)
        if (!std::isfinite(at(row, col))) return false;
    return true;
  }

  [[nodiscard]] static std::uint32_t nearest_code(const FormatSpec& spec, const RationalValue& x) {
    return encode(spec, x, RoundingMode::nearest_even, policy_of(formats::saturating, spec));
  }

  // The order must have left a value of the stored format: storing must not round a second time.
  [[nodiscard]] std::uint32_t stored_code(const FormatSpec& spec, const RationalValue& x) const {
    const std::uint32_t code = nearest_code(spec, x);
    if (!x.is_nan() && !(to_rational(decode(spec, code)) == x))
      throw std::invalid_argument("quantize: a scale of " + std::string(format_.name) +
                                  " is not a value of " + std::string(spec.name) +
                                  "; round it to that format first");
    return code;
  }

  [[nodiscard]] float stored_float(const RationalValue& x) const {
    const Value stored = decode(formats::fp32, stored_code(formats::fp32, x));
    return static_cast<float>(approximate(stored.number));  // 24 bits: exact
  }

  /// A block as one of the orders quantizes it.
  struct Attempt {
    std::uint32_t scale;
    std::vector<std::uint32_t> codes;   // row by row
    std::vector<RationalValue> scaled;  // elements before their rounding
  };

  void quantize_block(const Registers& tensor, std::int64_t r, std::int64_t c) {
    const Region here = region(grid_, result_.rows, result_.cols, r, c);
    if (!all_finite(here)) {
      store_scale(result_, r, c, canonical_nan(*format_.scale));
      return;  // the codes are zero already
    }
    Registers block = tensor;
    block[Register::amax_block] = amax(here);
    if (format_.rule == ScaleRule::given)
      block[Register::scale] = given_scale(static_cast<std::size_t>(r * grid_.across + c));
    Attempt best;
    if (format_.candidates == nullptr) {
      best = attempt(*format_.order, block, here);
    } else {
      Value least = Value::nan();
      for (const formats::OperationOrder* order : format_.candidates->orders) {
        Attempt next = attempt(*order, block, here);
        const Value error = error_of(next, here);
        if (best.codes.empty() || less(error, least)) {
          best = std::move(next);
          least = error;
        }
      }
    }
    store_scale(result_, r, c, best.scale);
    std::size_t i = 0;
    for (std::int64_t row = here.first_row; row < here.last_row; ++row)
      for (std::int64_t col = here.first_col; col < here.last_col; ++col, ++i) {
        store_code(result_, row, col, best.codes[i]);
        if (!scaled_.empty())
          scaled_[static_cast<std::size_t>(row * result_.cols + col)] = best.scaled[i];
      }
  }

  [[nodiscard]] Attempt attempt(const formats::OperationOrder& order, Registers block,
                                const Region& here) const {
    block.run(order.block);
    Attempt result{stored_code(*format_.scale, block[Register::scale]), {}, {}};
    for (std::int64_t row = here.first_row; row < here.last_row; ++row)
      for (std::int64_t col = here.first_col; col < here.last_col; ++col) {
        Registers element = block;
        element[Register::x] = to_rational(value_of(at(row, col)));
        element.run(order.element);
        Random random;
        if (options_.rounding == RoundingMode::stochastic)
          random = random_of(options_.seed, static_cast<std::uint64_t>(row * result_.cols + col),
                             options_.random_bits);
        result.codes.push_back(
            encode(*format_.element, element[Register::x], options_.rounding, policy_, random));
        result.scaled.push_back(element[Register::x]);
      }
    return result;
  }

  /// formats::ErrorMeasure. A difference that overflows FP32 is infinite.
  [[nodiscard]] Value error_of(const Attempt& attempt, const Region& here) const {
    const Value factor = decode(*format_.scale, attempt.scale) * value_of(result_.tensor_scale);
    Value error = Value::zero(false);
    std::size_t i = 0;
    for (std::int64_t row = here.first_row; row < here.last_row; ++row)
      for (std::int64_t col = here.first_col; col < here.last_col; ++col) {
        const Value d = fl(decode(*format_.element, attempt.codes[i++]) * factor);
        Value e = fl(d + value_of(-at(row, col)));
        if (less(e, Value::zero(false))) e = -e;
        switch (format_.candidates->measure) {
          case formats::ErrorMeasure::squared:
            error = fl(error + fl(e * e));
            break;
          case formats::ErrorMeasure::absolute:
            error = fl(error + e);
            break;
          case formats::ErrorMeasure::largest:
            if (less(error, e)) error = e;
            break;
        }
      }
    return error;
  }

  [[nodiscard]] RationalValue given_scale(std::size_t index) const {
    const float scale = options_.scales[index];
    if (!std::isfinite(scale))
      throw std::invalid_argument("quantize: given scale factor " + std::to_string(index) +
                                  " is not finite");
    return to_rational(
        decode(*format_.scale, nearest_code(*format_.scale, to_rational(value_of(scale)))));
  }

  std::span<const float> x_;
  const BlockFormat& format_;
  const QuantizeOptions& options_;
  Policy policy_;
  BlockGrid grid_;
  BlockScaledTensor result_;
  std::vector<RationalValue> scaled_;  // empty where nobody asked
};

}  // namespace

BlockScaledTensor quantize(std::span<const float> x, std::int64_t rows, std::int64_t cols,
                           const BlockFormat& format, const QuantizeOptions& options) {
  return Quantizer(x, rows, cols, format, options).run();
}

std::vector<RationalValue> scaled_elements(std::span<const float> x, std::int64_t rows,
                                           std::int64_t cols, const BlockFormat& format) {
  const QuantizeOptions options;
  return Quantizer(x, rows, cols, format, options).run_unrounded();
}

std::vector<Value> dequantize(const BlockScaledTensor& tensor) {
  require_consistent(tensor);
  const BlockGrid grid = block_grid(*tensor.format, tensor.rows, tensor.cols);
  const bool two_levels = tensor.format->tensor_scale == formats::TensorScale::fp32;
  const Value tensor_scale = value_of(two_levels ? tensor.tensor_scale : 1.0F);
  std::vector<Value> result(static_cast<std::size_t>(tensor.rows * tensor.cols));
  for (std::int64_t r = 0; r < grid.down; ++r)
    for (std::int64_t c = 0; c < grid.across; ++c) {
      const Value scale = decode(*tensor.format->scale, load_scale(tensor, r, c)) * tensor_scale;
      const Region here = region(grid, tensor.rows, tensor.cols, r, c);
      for (std::int64_t row = here.first_row; row < here.last_row; ++row)
        for (std::int64_t col = here.first_col; col < here.last_col; ++col)
          result[static_cast<std::size_t>(row * tensor.cols + col)] =
              decode(*tensor.format->element, load_code(tensor, row, col)) * scale;
    }
  return result;
}

}  // namespace assay::golden

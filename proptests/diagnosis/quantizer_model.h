// SPDX-License-Identifier: Apache-2.0
#pragma once
// Block quantization as golden/quantize.h defines it, with every step open to an error. As it
// stands it computes what golden::quantize does.

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "golden/codec.h"
#include "golden/quantize.h"
#include "proptests/diagnosis/hypothesis.h"

namespace assay::proptests::diagnosis {

/// The element codes on either side of a number, as magnitudes, and where it lies between them.
struct Neighbours {
  std::uint32_t low = 0, high = 0;  ///< equal where the number is a code or beyond the largest
  int side = 0;                     ///< -1: nearer to low, 0: a tie, 1: nearer to high
};
[[nodiscard]] Neighbours neighbours(const formats::FormatSpec& element,
                                    const golden::RationalValue& x);

struct QuantizerModel {
  using Number = golden::RationalValue;

  // What is asked for.
  std::vector<float> x;
  std::int64_t rows = 0, cols = 0;
  const formats::BlockFormat& format;  ///< outlives the model and what it makes
  std::vector<formats::Operation> tensor_order, block_order, element_order;  ///< copies
  std::vector<float> given;
  formats::RoundingMode rounding = formats::RoundingMode::nearest_even;
  formats::ScaleLayout scale_layout = formats::ScaleLayout::row_major;

  // Steps that an error may replace; each is right by default.
  std::function<float(float)> magnitude;  ///< of an element, for an amax
  std::function<bool(float)> counts;      ///< in an amax
  /// Which places count in the amax of a block (its first column is `first`) and of the tensor.
  std::function<bool(std::int64_t r, std::int64_t c, std::int64_t first)> counts_in_block;
  std::function<bool(std::int64_t r, std::int64_t c)> counts_in_tensor;
  /// Of an element at a place, for an amax.
  std::function<float(float, std::int64_t r, std::int64_t c)> magnitude_at;
  std::int64_t amax_cols = 0;   ///< columns that share an amax; 0: the block's
  std::int64_t amax_first = 0;  ///< elements of the block left out of its amax ...
  std::int64_t amax_last = 0;   ///< ... at its beginning and at its end
  /// The block whose amax stands for that of block b of row r; null: its own.
  std::function<void(std::int64_t& r, std::int64_t& b)> amax_of;
  bool spoil_blocks = true;  ///< a NaN or Inf spoils its block
  std::function<Number(Number)> block_amax, tensor_amax;
  std::function<std::uint32_t(std::uint32_t)> scale_code;
  std::function<Number(Number)> scale_used;  ///< what divides elements, in place of the stored one
  bool unrounded_scale = false;              ///< elements are divided by the scale before its code
  std::function<Number(Number)> scaled;      ///< an element just before it is rounded
  std::function<std::uint32_t(const Number&, std::int64_t at)> chosen;  ///< replaces the rounding
  std::function<std::uint32_t(const Number&, std::uint32_t right)> code;
  std::optional<float> tensor_scale_taken;  ///< in place of the computed one
  std::function<float(float)> stored_tensor_scale;
  std::function<void(formats::BlockScaledTensor&)> store;

  explicit QuantizerModel(const formats::BlockFormat& of);
  /// `scaled_to`: where the scaled elements go, row by row, as doubles near them; or null.
  [[nodiscard]] formats::BlockScaledTensor run(std::vector<double>* scaled_to = nullptr) const;
};

/// A known error of quantizers: it edits the model.
struct QuantizerError {
  const char* id;
  const char* name;
  std::function<void(QuantizerModel&)> spoil;
  bool (*applies)(const formats::BlockFormat&) = nullptr;  ///< null: to all
};
[[nodiscard]] const std::vector<QuantizerError>& quantizer_errors();

[[nodiscard]] QuantizerModel quantizer_of(const Call& call);

}  // namespace assay::proptests::diagnosis

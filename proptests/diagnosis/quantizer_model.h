// SPDX-License-Identifier: Apache-2.0
#pragma once
// Block quantization as golden/quantize.h defines it, with every step open to an error. As it
// stands it computes what golden::quantize does.

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "golden/codec.h"
#include "golden/order.h"
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
  /// Further candidates of a format that keeps the best of some (formats::Candidates).
  struct Phases {
    std::vector<formats::Operation> block, element;
  };
  std::vector<Phases> more_orders;
  std::optional<formats::ErrorMeasure> measure;  ///< of the candidates
  /// Whether a candidate's error takes the place of the least so far; null: where it is less.
  std::function<bool(const golden::Value& error, const golden::Value& least)> better;
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
  /// What counts in an amax beside the block's own elements; `b` is a block of block row `r`.
  std::function<float(const QuantizerModel&, std::int64_t r, std::int64_t b)> amax_more;
  bool spoil_blocks = true;           ///< a NaN or Inf spoils its block
  std::function<bool(float)> spoils;  ///< which numbers do; null: NaN and Inf
  /// Where they are looked for, as counts_in_block; null: everywhere.
  std::function<bool(std::int64_t r, std::int64_t c, std::int64_t first)> looked_at;
  std::optional<std::uint32_t> spoiled_scale;  ///< the code of a spoiled block's scale factor
  std::function<std::uint32_t(float)> spoiled_codes;  ///< of its elements; null: 0
  std::function<Number(Number)> block_amax, tensor_amax;
  std::function<std::uint32_t(std::uint32_t)> scale_code;
  std::function<Number(Number)> scale_used;  ///< what divides elements, in place of the stored one
  bool unrounded_scale = false;              ///< elements are divided by the scale before its code
  std::function<Number(Number)> scaled;      ///< an element just before it is rounded
  std::function<std::uint32_t(const Number&, std::int64_t at)> chosen;  ///< replaces the rounding
  std::function<std::uint32_t(const Number&, std::uint32_t right)> code;
  std::function<std::uint32_t(float x, std::uint32_t right)> code_of_input;  ///< behind `code`
  std::optional<float> tensor_scale_taken;  ///< in place of the computed one
  std::function<float(float)> stored_tensor_scale;
  std::function<void(formats::BlockScaledTensor&)> store;

  explicit QuantizerModel(const formats::BlockFormat& of);
  /// `scaled_to`: where the scaled elements go, row by row, as doubles near them; or null.
  [[nodiscard]] formats::BlockScaledTensor run(std::vector<double>* scaled_to = nullptr) const;

  /// The rectangle of elements that share a scale factor, half open.
  struct Region {
    std::int64_t first_row = 0, last_row = 0, first = 0, last = 0;
  };
  [[nodiscard]] Region region(std::int64_t r, std::int64_t b) const;
  /// The largest finite magnitude of some columns of some rows, as the fields above take it.
  [[nodiscard]] float amax(const Region& of, bool block) const;

 private:
  struct Attempt {
    std::uint32_t scale = 0;
    std::vector<std::uint32_t> codes;  ///< row by row
    std::vector<Number> scaled;
  };
  [[nodiscard]] float block_maximum(std::int64_t r, std::int64_t b) const;
  [[nodiscard]] Attempt attempt(const std::vector<formats::Operation>& block_phase,
                                const std::vector<formats::Operation>& element_phase,
                                golden::Registers block, const Region& here) const;
  [[nodiscard]] golden::Value error_of(const Attempt& attempt, const Region& here,
                                       float tensor_scale) const;
};

/// A known error of quantizers: it edits the model.
struct QuantizerError {
  const char* id;
  std::string name;
  std::function<void(QuantizerModel&)> spoil;
  bool (*applies)(const formats::BlockFormat&) = nullptr;  ///< null: to all
};
[[nodiscard]] const std::vector<QuantizerError>& quantizer_errors();
// Its parts.
[[nodiscard]] std::vector<QuantizerError> element_errors();
[[nodiscard]] std::vector<QuantizerError> store_errors();
[[nodiscard]] std::vector<QuantizerError> exponent_errors();
[[nodiscard]] std::vector<QuantizerError> other_exponent_errors();  ///< less precise ones
[[nodiscard]] std::vector<QuantizerError> scale_errors();
[[nodiscard]] std::vector<QuantizerError> special_errors();

[[nodiscard]] QuantizerModel quantizer_of(const Call& call);

}  // namespace assay::proptests::diagnosis

// SPDX-License-Identifier: Apache-2.0
#pragma once
// Published quantization errors on synthetic inputs, as rows: what was published and where, and the
// block format and quantity that should reproduce it.

#include <array>
#include <optional>
#include <span>
#include <string_view>

#include "formats/tensor.h"
#include "tools/expected_error.h"

namespace assay::tools {

enum class Quantity : std::uint8_t {
  relative_error,  ///< sum (x - y)^2 / sum x^2
  mean_error,      ///< sum (x - y)^2 / n
  misalignment,    ///< 1 - sum x y / sum x^2
  step,            ///< the scale factor of least squared error
  clip,            ///< the same times the largest element value
};

/// Where scale factors come from, for formats whose scale factors are given.
enum class GivenScale : std::uint8_t {
  none,           ///< computed by the format's order
  least_squares,  ///< one for all elements
  clipped_rms,    ///< of each block: 2.92247856 / 6 * root mean square, to the nearest power of two
                  ///< of its logarithm
  clipped_deviation,  ///< of each block: 2.92247856 / 6 * standard deviation, rounded down to a
                      ///< power of two
};

struct PublishedError {
  std::string_view name;
  Quantity quantity;
  double published;
  std::string_view source;
  const formats::BlockFormat* format;
  formats::RoundingMode rounding = formats::RoundingMode::nearest_even;
  Density density = Density::normal;
  GivenScale given = GivenScale::none;
  bool octave = false;  ///< scale factors are powers of two: the mean over sigma = 2^0 .. 2^1
  std::span<const float> input = {};  ///< these numbers instead of deviates
  bool stand_in = false;         ///< measured on other data, which normal deviates stand in for
  std::string_view missed = {};  ///< why the figure cannot be met, where that is known
};

std::span<const PublishedError> published_errors();

/// Formats whose expected error has an integral but no published figure.
struct ExpectedOnly {
  const formats::BlockFormat* format;
  formats::RoundingMode rounding = formats::RoundingMode::nearest_even;
};

std::span<const ExpectedOnly> expected_only();

/// The scale factors of a format as an integral needs them; `unit` is the tensor scale. Nothing
/// where they do not follow from the block's largest magnitude alone.
std::optional<std::vector<ScalePiece>> scale_pieces(const formats::BlockFormat& format,
                                                    double unit);

/// What dequantized values are to be multiplied by: 4/3 for a format that quantizes 3/4 of x.
double value_factor(const formats::BlockFormat& format);

/// Published figures that are left out, and why.
struct LeftOut {
  std::string_view what;
  std::string_view why;
};

std::span<const LeftOut> left_out_errors();

}  // namespace assay::tools

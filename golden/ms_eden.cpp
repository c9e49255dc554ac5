// SPDX-License-Identifier: Apache-2.0
#include "golden/ms_eden.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <utility>

#include "formats/presets.h"
#include "golden/layout.h"
#include "golden/philox.h"

namespace assay::golden {
namespace {

using formats::BlockFormat;
using formats::BlockScaledTensor;

constexpr const BlockFormat& format = formats::nvfp4;
constexpr std::int64_t block = format.block.cols;

void check(std::span<const float> x, std::int64_t rows, std::int64_t cols, const MsEden& how) {
  if (rows < 1 || cols < 1 || static_cast<std::int64_t>(x.size()) != rows * cols)
    throw std::invalid_argument("ms_eden: x has " + std::to_string(x.size()) + " elements, not " +
                                std::to_string(rows) + " x " + std::to_string(cols));
  if (how.group < block || how.group % block != 0)
    throw std::invalid_argument("ms_eden: the group is " + std::to_string(how.group) +
                                ", not a multiple of " + std::to_string(block));
  if (how.clip <= 0 || how.top <= 0)
    throw std::invalid_argument("ms_eden: clip and top must be more than 0");
  for (std::size_t i = 0; i < x.size(); ++i)
    if (!std::isfinite(x[i]))
      throw std::invalid_argument("ms_eden: element " + std::to_string(i) + " is not finite");
}

Rational exact(float x) { return Exact::from_float(x).rational(); }

Rational amax(std::span<const float> x) {
  float largest = 0;  // comparing floats is exact
  for (const float v : x) largest = std::max(largest, std::fabs(v));
  return exact(largest);
}

std::uint32_t nearest(const FormatSpec& spec, const Rational& x) {
  return encode(spec, RationalValue::finite(x), RoundingMode::nearest_even,
                policy_of(formats::saturating, spec));
}

Rational number(const FormatSpec& spec, std::uint32_t code) {
  return decode(spec, code).number.rational();
}

}  // namespace

MsEdenNearest ms_eden_nearest(std::span<const float> x, std::int64_t rows, std::int64_t cols,
                              const MsEden& how) {
  check(x, rows, cols, how);
  MsEdenNearest result;
  BlockScaledTensor& t = result.tensor;
  t.format = &format;
  t.rows = rows;
  t.cols = cols;
  t.codes.resize(static_cast<std::size_t>(code_bytes(*format.element, rows, cols, t.layout)));
  t.scales.resize(static_cast<std::size_t>(scale_bytes(format, rows, cols, t.scale_layout)));

  const Value stored =
      decode(formats::fp32, nearest(formats::fp32, amax(x) / (how.top * how.clip)));
  const bool nothing = stored.is_zero();
  t.tensor_scale = nothing ? 1.0F : static_cast<float>(approximate(stored.number));  // 24 bits
  const Rational g = nothing ? Rational(1) : stored.number.rational();

  for (std::int64_t row = 0; row < rows; ++row)
    for (std::int64_t first = 0; first < cols; first += how.group) {
      const std::int64_t last = std::min(cols, first + how.group);
      Rational squares = 0;
      Rational products = 0;
      for (std::int64_t begin = first; begin < last; begin += block) {
        const std::int64_t end = std::min(last, begin + block);
        const auto here = x.subspan(static_cast<std::size_t>(row * cols + begin),
                                    static_cast<std::size_t>(end - begin));
        std::uint32_t scale = nearest(*format.scale, amax(here) / (g * how.clip));
        if (number(*format.scale, scale) == 0) scale = nearest(*format.scale, 1);
        store_scale(t, row, begin / block, scale);
        const Rational s = number(*format.scale, scale);
        for (std::int64_t col = begin; col < end; ++col) {
          const Rational u = exact(here[static_cast<std::size_t>(col - begin)]) / (s * g);
          // The sign of a zero is the element's: a Rational has none.
          const bool negative = std::signbit(here[static_cast<std::size_t>(col - begin)]);
          RationalValue signed_u = RationalValue::finite(u);
          signed_u.negative = negative;
          const std::uint32_t code = encode(*format.element, signed_u, RoundingMode::nearest_even,
                                            policy_of(formats::saturating, *format.element));
          store_code(t, row, col, code);
          squares += u * u;
          products += u * number(*format.element, code);
        }
      }
      const Rational correction = products == 0 ? Rational(1) : squares / products;
      for (std::int64_t b = first / block; b * block < last; ++b)
        result.corrected.push_back(correction * number(*format.scale, load_scale(t, row, b)));
    }
  return result;
}

BlockScaledTensor ms_eden(std::span<const float> x, std::int64_t rows, std::int64_t cols,
                          std::uint64_t seed, int random_bits, const MsEden& how) {
  MsEdenNearest nearest = ms_eden_nearest(x, rows, cols, how);
  const std::int64_t across = block_grid(format, rows, cols).across;
  for (std::size_t b = 0; b < nearest.corrected.size(); ++b) {
    const auto index = static_cast<std::int64_t>(b);
    store_scale(
        nearest.tensor, index / across, index % across,
        encode(*format.scale, RationalValue::finite(nearest.corrected[b]), RoundingMode::stochastic,
               policy_of(formats::saturating, *format.scale), random_of(seed, b, random_bits)));
  }
  return std::move(nearest.tensor);
}

}  // namespace assay::golden

// SPDX-License-Identifier: Apache-2.0
#include "formats/learned_scale.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <stdexcept>
#include <string>

#include "formats/codec.h"
#include "formats/layout.h"
#include "formats/parallel.h"

namespace assay::formats {
namespace {

/// The positive values of a format, ascending from 0.
std::vector<double> magnitudes(const FormatSpec& element) {
  if (element.storage_bits > 8 || !element.subnormals) {
    throw std::invalid_argument("least_squares_scale: " + std::string(element.name) +
                                " is not an element format of at most 8 bits with a zero");
  }
  std::vector<double> values;
  for (std::uint32_t code = 0; code <= fields_of(element).max_finite(); ++code) {
    values.push_back(static_cast<double>(decode(element, code)));
  }
  return values;
}

/// For codes q the error is the quadratic C - 2 s B + s^2 A, A = sum q_i^2, B = sum |x_i| q_i, and
/// its minimum C - B^2 / A lies at s = B / A. Rounding to nearest picks, for each s, the codes of
/// least error, so min over s of the error = C - max over q of B^2 / A, and the best q is among
/// those that rounding produces for some s. As s falls, |x_i| / s passes the midpoint t_k between
/// values k and k+1 at s = |x_i| / t_k and q_i steps up: walking through those breakpoints in
/// descending order visits every q, with A and B updated in constant time. (Codes in the middle of
/// simultaneous steps are codes too, and no better than the best.)
///
/// The breakpoints of one k descend with |x|: with the elements sorted once, those of all k are
/// merged. Of equal ones that of the smaller k comes first, so that the sums are determined; equal
/// ones of one k are of equal elements, as quotients of different FP32 numbers differ.
class Search {
 public:
  explicit Search(const FormatSpec& element) : values_(magnitudes(element)) {
    for (std::size_t k = 0; k + 1 < values_.size(); ++k) {
      const double low = values_[k];
      const double high = values_[k + 1];
      steps_.push_back({(low + high) / 2, high - low, high * high - low * low});
    }
    next_.resize(steps_.size());
    place_.resize(steps_.size());
  }

  double run(std::span<const float> group) {
    x_.clear();
    for (const float value : group) {
      if (std::isfinite(value) && value != 0) x_.push_back(std::fabs(static_cast<double>(value)));
    }
    std::sort(x_.begin(), x_.end(), std::greater<>());
    x_.push_back(0);  // behind the last: its breakpoints are below all others
    const std::size_t count = x_.size();
    breakpoints_.resize(steps_.size() * count);
    for (std::size_t k = 0; k < steps_.size(); ++k) {
      double* to = breakpoints_.data() + k * count;
      for (std::size_t i = 0; i < count; ++i) to[i] = x_[i] / steps_[k].midpoint;
      next_[k] = to[0];
      place_[k] = 0;
    }
    double a = 0;
    double b = 0;
    double best = 0;
    double scale = 0;
    for (std::size_t left = (count - 1) * steps_.size(); left > 0; --left) {
      const auto k =
          static_cast<std::size_t>(std::max_element(next_.begin(), next_.end()) - next_.begin());
      const Step& step = steps_[k];
      a += step.squares;
      b += x_[place_[k]] * step.width;
      next_[k] = breakpoints_[k * count + ++place_[k]];
      if (b * b >= best * a) {  // of equally good ones the smallest: it overflows FP32 last
        best = b * b / a;
        scale = b / a;
      }
    }
    return scale;
  }

 private:
  /// From value k to the next.
  struct Step {
    double midpoint, width, squares;
  };
  std::vector<double> values_;
  std::vector<Step> steps_;
  std::vector<double> x_;            ///< magnitudes of a group, descending, and 0
  std::vector<double> breakpoints_;  ///< [k][place of an element], descending
  std::vector<double> next_;         ///< by k: its next breakpoint
  std::vector<std::size_t> place_;   ///< by k: the element that steps there
};

}  // namespace

double least_squares_scale(std::span<const float> group, const FormatSpec& element) {
  return Search(element).run(group);
}

std::vector<float> least_squares_scales(std::span<const float> x, std::int64_t rows,
                                        std::int64_t cols, BlockShape block,
                                        const FormatSpec& element) {
  if (rows <= 0 || cols <= 0 || static_cast<std::int64_t>(x.size()) != rows * cols) {
    throw std::invalid_argument("least_squares_scales: " + std::to_string(x.size()) +
                                " elements do not fill the shape " + std::to_string(rows) + " x " +
                                std::to_string(cols) + " with positive sizes");
  }
  const BlockGrid grid = block_grid(block, rows, cols);
  std::vector<float> scales(static_cast<std::size_t>(grid.count()));
  const Search prototype(element);
  // A search merges seven steps an element, which takes as long as quantizing some 16 elements.
#pragma omp parallel if (detail::worth_threads(16 * rows * cols))
  {
    Search search = prototype;
    std::vector<float> group;
#pragma omp for schedule(static)
    for (std::int64_t i = 0; i < grid.count(); ++i) {
      const std::int64_t first_row = i / grid.cols * grid.block_rows;
      const std::int64_t first_col = i % grid.cols * grid.block_cols;
      const std::int64_t last_col = std::min(cols, first_col + grid.block_cols);
      group.clear();
      for (std::int64_t r = first_row; r < std::min(rows, first_row + grid.block_rows); ++r) {
        group.insert(group.end(), x.begin() + r * cols + first_col,
                     x.begin() + r * cols + last_col);
      }
      scales[static_cast<std::size_t>(i)] = static_cast<float>(search.run(group));
    }
  }
  return scales;
}

}  // namespace assay::formats

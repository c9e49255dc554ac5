// SPDX-License-Identifier: Apache-2.0
#include "formats/learned_scale.h"

#include <algorithm>
#include <cmath>
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
class Search {
 public:
  explicit Search(const FormatSpec& element) : values_(magnitudes(element)) {}

  double run(std::span<const float> group) {
    steps_.clear();
    for (const float value : group) {
      const double x = std::isfinite(value) ? std::fabs(static_cast<double>(value)) : 0.0;
      if (x == 0) continue;
      for (std::size_t k = 0; k + 1 < values_.size(); ++k) {
        steps_.push_back({x / ((values_[k] + values_[k + 1]) / 2), x, k});
      }
    }
    // Simultaneous steps of one element cannot occur; ties between elements go by k, then by x, so
    // that the sums do not depend on the sorting algorithm.
    std::sort(steps_.begin(), steps_.end(), [](const Step& a, const Step& b) {
      return a.scale != b.scale ? a.scale > b.scale : a.k != b.k ? a.k < b.k : a.x < b.x;
    });
    double a = 0;
    double b = 0;
    double best = 0;
    double scale = 0;
    for (const Step& step : steps_) {
      const double low = values_[step.k];
      const double high = values_[step.k + 1];
      a += high * high - low * low;
      b += step.x * (high - low);
      if (b * b >= best * a) {  // of equally good ones the smallest: it overflows FP32 last
        best = b * b / a;
        scale = b / a;
      }
    }
    return scale;
  }

 private:
  struct Step {
    double scale;
    double x;
    std::size_t k;
  };
  std::vector<double> values_;
  std::vector<Step> steps_;
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
  // A search sorts seven steps an element, which takes as long as quantizing some 64 elements.
#pragma omp parallel if (detail::worth_threads(64 * rows * cols))
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

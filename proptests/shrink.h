// SPDX-License-Identifier: Apache-2.0
#pragma once
// Simpler cases, in the order in which a person would try them: a smaller matrix, fewer nonzero
// numbers, simpler numbers. Everything listed is strictly simpler than what it came from (fewer
// elements, or fewer nonzero ones, or a number of lower rank), so that shrinking ends.

#include <rapidcheck.h>

#include <cstdint>
#include <span>
#include <vector>

namespace assay::proptests {

/// A rectangle of a row-major matrix to keep: `rows` from `first_row` on, `cols` from `first_col`
/// on.
struct Crop {
  std::int64_t first_row = 0, rows = 0, first_col = 0, cols = 0;
};

/// Smaller extents of a dimension: halves (either), one less; nothing for 1. `multiple`: the
/// results' starts and lengths are multiples of it (but for a last piece that already was not).
struct Piece {
  std::int64_t first = 0, count = 0;
};
[[nodiscard]] std::vector<Piece> smaller(std::int64_t extent);

/// Replace values[first .. first + count) by `value`.
struct Replacement {
  std::size_t first = 0, count = 0;
  float value = 0.0F;
};
/// Zero ever smaller runs that are not zero yet; then, number by number, 1, the power of two below
/// it, and its leading 8 bits.
[[nodiscard]] std::vector<Replacement> simpler_values(std::span<const float> values);
void perform(const Replacement& replacement, std::span<float> values);

template <class T>
std::vector<T> crop(const std::vector<T>& x, std::int64_t cols, const Crop& c) {
  std::vector<T> out;
  if (x.empty()) return out;
  out.reserve(c.rows * c.cols);
  for (std::int64_t r = c.first_row; r < c.first_row + c.rows; ++r)
    for (std::int64_t i = c.first_col; i < c.first_col + c.cols; ++i)
      out.push_back(x[r * cols + i]);
  return out;
}

/// An rc::Seq over `edits`, each applied to `from` only when it is asked for.
template <class Case, class Edit, class Apply>
rc::Seq<Case> edited(const Case& from, std::vector<Edit> edits, const Apply& apply_edit) {
  return rc::seq::map(rc::seq::fromContainer(std::move(edits)),
                      [from, apply_edit](const Edit& edit) {
                        Case to = from;
                        apply_edit(to, edit);
                        return to;
                      });
}

}  // namespace assay::proptests

// SPDX-License-Identifier: Apache-2.0
#pragma once
// What goes wrong at any stage of any operation: numbers that are left out, applied twice,
// inverted, narrowed, of the wrong sign or clamped; places that are read for other places; terms
// that are not counted. Each is a row here; generated.cpp crosses the rows with the stages.

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "proptests/diagnosis/hypothesis.h"

namespace assay::proptests::diagnosis {

/// An operand or an intermediate array as a grid of bits, wherever its numbers lie.
struct Grid {
  std::int64_t rows = 0, cols = 0;
  std::function<std::uint32_t(std::int64_t r, std::int64_t c)> get;
  std::function<void(std::int64_t r, std::int64_t c, std::uint32_t bits)> set;
  int width = 32;         ///< of a number: 32 FP32, 16 bf16, 0 a code
  std::uint32_t pad = 0;  ///< what lies between its rows
  std::int64_t gap = 0;   ///< how many of these
};
[[nodiscard]] Grid grid_of(std::vector<float>& x, std::int64_t rows, std::int64_t cols);
[[nodiscard]] Grid grid_of(std::vector<std::uint16_t>& x, std::int64_t rows, std::int64_t cols);
[[nodiscard]] Grid grid_of(std::vector<std::uint32_t>& x, std::int64_t rows, std::int64_t cols);
[[nodiscard]] Grid codes_of(formats::BlockScaledTensor& t);
[[nodiscard]] Grid scales_of(formats::BlockScaledTensor& t);

/// A number in the place of another.
struct ValueEdit {
  const char* id;    ///< "narrowed_bf16", behind the name of a stage
  const char* text;  ///< "{} is rounded to bf16"
  float (*value)(float);
  bool factor = false;  ///< makes sense for what multiplies, and not for what is added
};
[[nodiscard]] std::span<const ValueEdit> value_edits();

/// A place in the place of another. Where the other place is outside of the grid, it is what
/// `outside` says.
struct MapEdit {
  const char* id;
  const char* text;
  void (*move)(std::int64_t& r, std::int64_t& c, const Grid& g);
};
[[nodiscard]] std::span<const MapEdit> map_edits();
/// Numbers beyond an end are those at that end of the row before or behind it (`wrap`), or as if
/// nobody had moved them. False where nothing changes.
bool apply(const MapEdit& edit, Grid& grid, bool wrap);
bool apply(const ValueEdit& edit, Grid& grid);

/// Terms of a sum, members of a block, rows of a group: some of them.
struct Some {
  const char* id;
  const char* text;
  bool (*holds)(std::int64_t at, std::int64_t size);
};
[[nodiscard]] std::span<const Some> some();

/// `text` with the stage in the place of {}.
[[nodiscard]] std::string said(const char* text, const std::string& stage);

}  // namespace assay::proptests::diagnosis

// SPDX-License-Identifier: Apache-2.0
#pragma once
// The fast block quantizer: what BlockFormat, OperationOrder and QuantizeOptions (tensor.h) say,
// for float matrices in row-major order, bit for bit as golden computes it. The bytes depend on no
// thread count, no tile size and no instruction set.
//
//   BlockScaledTensor t = quantize(x, rows, cols, nvfp4);
//   dequantize(t, y);                                 y = element * scale factor * tensor scale
//
// Errors: std::invalid_argument, one sentence, for rows or cols <= 0, sizes that do not fit, scale
// factors given to a format that computes them (or missing, or not finite), a profile that the
// element format cannot express, candidate orders for blocks of whole extents, the swizzled layout
// with scale factors wider than a byte, and an OperationOrder that the fast path cannot evaluate
// exactly (order.h says which).

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "formats/tensor.h"

namespace assay::formats {

/// The row of that name. Throws std::invalid_argument that suggests the nearest name and lists all.
const BlockFormat& find_block_format(std::string_view name);

/// Quantizes x (rows * cols elements, row major). Partial blocks at the edges are legal.
BlockScaledTensor quantize(std::span<const float> x, std::int64_t rows, std::int64_t cols,
                           const BlockFormat& format, const QuantizeOptions& options = {});

/// The dequantized values in row-major order, each the exact product rounded once to FP32 (to
/// nearest even, overflow to Inf). NaN throughout a block whose scale code is NaN. Throws where
/// out.size() is not rows * cols or the byte arrays have not the sizes that the shape implies.
void dequantize(const BlockScaledTensor& tensor, std::span<float> out);

/// A rectangle of a matrix: rows [row, row + rows), columns [col, col + cols).
struct Tile {
  std::int64_t row = 0;
  std::int64_t col = 0;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
};

/// The same quantization tile by tile, for tensors that do not fit in memory. Where needs_amax(),
/// every element must pass through observe() once, in any order, before the first quantize_tile().
class BlockQuantizer {
 public:
  BlockQuantizer(const BlockFormat& format, std::int64_t rows, std::int64_t cols,
                 const QuantizeOptions& options = {});
  ~BlockQuantizer();
  BlockQuantizer(BlockQuantizer&&) noexcept;
  BlockQuantizer& operator=(BlockQuantizer&&) noexcept;

  /// True for a tensor scale, and for blocks that span the whole extent of the tensor in a
  /// direction.
  [[nodiscard]] bool needs_amax() const;

  /// Takes the elements of `tile` (row major) into the largest magnitudes.
  void observe(std::span<const float> x, const Tile& tile);

  /// The tile as a tensor of its own shape, in the layouts of the options, with the tensor scale
  /// and the random words of the whole. Its first row and column must be multiples of the block's
  /// extents; its last ones must end blocks or the tensor. (A whole-extent direction sets no such
  /// limit.) Row-major codes of consecutive row tiles, and their scale factors - swizzled ones if
  /// the tiles hold multiples of 128 block rows - concatenate to those of the whole.
  /// `scales`: those of the tile's own blocks, where the format's are given and the options hold
  /// none, so that they need not be in memory all at once.
  [[nodiscard]] BlockScaledTensor quantize_tile(std::span<const float> x, const Tile& tile,
                                                std::span<const float> scales = {}) const;

  /// The tensor scale; 1 where the format has none. Final once all has been observed.
  [[nodiscard]] float tensor_scale() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace assay::formats

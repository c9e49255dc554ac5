// SPDX-License-Identifier: Apache-2.0
#include "formats/block.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include "formats/block_panel.h"
#include "formats/layout.h"
#include "formats/names.h"
#include "formats/parallel.h"
#include "formats/presets.h"
#include "formats/rule_matrix.h"

namespace assay::formats {
namespace {

[[noreturn]] void fail(const BlockFormat& format, const std::string& why) {
  throw std::invalid_argument("quantize to " + std::string(format.name) + ": " + why);
}

std::string shape(std::int64_t rows, std::int64_t cols) {
  return std::to_string(rows) + " x " + std::to_string(cols);
}

void require_shape(const BlockFormat& format, std::int64_t rows, std::int64_t cols) {
  if (rows <= 0 || cols <= 0) {
    fail(format, "the shape is " + shape(rows, cols) + "; both sizes must be positive");
  }
  if (rows > std::numeric_limits<std::int64_t>::max() / 8 / cols) {
    fail(format, "the shape " + shape(rows, cols) + " has more elements than memory can address");
  }
}

void require_size(const BlockFormat& format, std::span<const float> x, std::int64_t rows,
                  std::int64_t cols) {
  if (static_cast<std::int64_t>(x.size()) != rows * cols) {
    fail(format, std::to_string(x.size()) + " elements do not fill the shape " + shape(rows, cols));
  }
}

void require_scales(const BlockFormat& format, const BlockGrid& grid,
                    std::span<const float> scales) {
  const auto size = static_cast<std::int64_t>(scales.size());
  if (format.rule != ScaleRule::given) {
    if (size != 0) fail(format, "it computes its scale factors; give none");
    return;
  }
  if (size != grid.count()) {
    fail(format, "its scale factors are learned, one per block: give " +
                     std::to_string(grid.count()) + ", not " + std::to_string(size));
  }
  for (std::size_t i = 0; i < scales.size(); ++i) {
    if (!std::isfinite(scales[i])) {
      fail(format, "scale factor " + std::to_string(i) + " is not finite; give finite ones");
    }
  }
}

void merge_max(std::uint32_t& into, std::uint32_t value) {
  const std::atomic_ref<std::uint32_t> shared(into);
  std::uint32_t current = shared.load(std::memory_order_relaxed);
  while (current < value &&
         !shared.compare_exchange_weak(current, value, std::memory_order_relaxed)) {
  }
}

}  // namespace

const BlockFormat& find_block_format(std::string_view name) {
  std::array<std::string_view, every_block_format.size() + block_format_aliases.size()> names;
  std::size_t i = 0;
  for (const BlockFormat* format : every_block_format) {
    if (format->name == name) return *format;
    names[i++] = format->name;
  }
  for (const BlockFormatAlias& alias : block_format_aliases) {
    if (alias.name == name) return *alias.format;
    names[i++] = alias.name;
  }
  // Too many names for a sentence.
  throw std::invalid_argument("unknown block format '" + std::string(name) + "'; did you mean '" +
                              std::string(nearest_name(name, names)) +
                              "'? `assay formats` lists all " +
                              std::to_string(every_block_format.size()));
}

struct BlockQuantizer::State {
  PanelContext context;
  QuantizeOptions options;
  bool whole_extent;                ///< blocks span the tensor in a direction
  std::vector<std::uint32_t> amax;  ///< their largest magnitudes, filled by observe()
  std::uint32_t tensor_amax = 0;

  State(const BlockFormat& format, std::int64_t rows, std::int64_t cols, const QuantizeOptions& o)
      : options(o), whole_extent(format.block.rows == 0 || format.block.cols == 0) {
    require_shape(format, rows, cols);
    context = PanelContext(format, rows, cols, o);
    if (!o.scales.empty()) require_scales(format, context.grid, o.scales);
    require_layouts(format, cols, o.layout, o.scale_layout);
    if (whole_extent) amax.resize(static_cast<std::size_t>(context.grid.count()));
  }

  void require_tile(std::span<const float> x, const Tile& t) const {
    if (t.rows <= 0 || t.cols <= 0 || t.row < 0 || t.col < 0 || t.row > context.rows - t.rows ||
        t.col > context.cols - t.cols) {
      fail(*context.format, "the tile " + shape(t.rows, t.cols) + " at " + shape(t.row, t.col) +
                                " does not lie inside the tensor " +
                                shape(context.rows, context.cols));
    }
    require_size(*context.format, x, t.rows, t.cols);
  }

  void require_aligned(const Tile& t) const {
    const BlockShape b = context.format->block;
    const auto aligned = [](std::int64_t first, std::int64_t count, std::int64_t extent,
                            std::int64_t all) {
      return extent == 0 || (first % extent == 0 && (count % extent == 0 || first + count == all));
    };
    if (!aligned(t.row, t.rows, b.rows, context.rows) ||
        !aligned(t.col, t.cols, b.cols, context.cols)) {
      fail(*context.format, "the tile " + shape(t.rows, t.cols) + " at " + shape(t.row, t.col) +
                                " cuts blocks of " + shape(b.rows, b.cols));
    }
  }
};

BlockQuantizer::BlockQuantizer(const BlockFormat& format, std::int64_t rows, std::int64_t cols,
                               const QuantizeOptions& options)
    : state_(std::make_unique<State>(format, rows, cols, options)) {}
BlockQuantizer::~BlockQuantizer() = default;
BlockQuantizer::BlockQuantizer(BlockQuantizer&&) noexcept = default;
BlockQuantizer& BlockQuantizer::operator=(BlockQuantizer&&) noexcept = default;

bool BlockQuantizer::needs_amax() const {
  return state_->whole_extent || !state_->context.format->order->tensor.empty();
}

void BlockQuantizer::observe(std::span<const float> x, const Tile& tile) {
  State& s = *state_;
  s.require_tile(x, tile);
  const BlockGrid& grid = s.context.grid;
  const BlockKernels& kernels = block_kernels();
  // Pieces of rows: small enough to share out, large enough to dwarf the merging.
  constexpr std::int64_t kPiece = 16 * kChunk;
  const std::int64_t per_row = ceil_div(tile.cols, kPiece);
  std::uint32_t most = 0;
  const bool threads = detail::worth_threads(tile.rows * tile.cols);
#pragma omp parallel for schedule(static) reduction(max : most) if (threads)
  for (std::int64_t i = 0; i < tile.rows * per_row; ++i) {
    const std::int64_t row = i / per_row;
    std::int64_t first = i % per_row * kPiece;
    const std::int64_t last = std::min(tile.cols, first + kPiece);
    const float* x_row = x.data() + row * tile.cols;
    most =
        std::max(most, kernels.finite_amax(x_row + first, static_cast<std::size_t>(last - first)));
    while (s.whole_extent && first < last) {
      const std::int64_t col = tile.col + first;
      const std::int64_t lanes = static_cast<std::int64_t>(kLanes);
      const std::int64_t block = grid.block_of(tile.row + row, col);
      const std::int64_t offset = col % grid.block_cols;
      const std::int64_t size = std::min(last - first, lanes * grid.block_cols - offset);
      std::array<std::uint32_t, kLanes> amax{};
      kernels.block_amax(
          {x_row + first, static_cast<std::size_t>(size), static_cast<std::size_t>(size),
           static_cast<std::size_t>(offset), static_cast<std::size_t>(grid.block_cols)},
          amax.data());
      const std::int64_t blocks = ceil_div(offset + size, grid.block_cols);
      for (std::int64_t b = 0; b < blocks; ++b) {
        merge_max(s.amax[static_cast<std::size_t>(block + b)], amax[static_cast<std::size_t>(b)]);
      }
      first += size;
    }
  }
  s.tensor_amax = std::max(s.tensor_amax, most);
}

float BlockQuantizer::tensor_scale() const {
  return state_->context.tensor_phase(std::bit_cast<float>(state_->tensor_amax)).scale;
}

BlockScaledTensor BlockQuantizer::quantize_tile(std::span<const float> x, const Tile& tile,
                                                std::span<const float> scales) const {
  const State& s = *state_;
  s.require_tile(x, tile);
  s.require_aligned(tile);
  const BlockFormat& format = *s.context.format;
  const TensorPhase phase = s.context.tensor_phase(std::bit_cast<float>(s.tensor_amax));

  BlockScaledTensor out{&format, tile.rows, tile.cols,  s.options.layout, s.options.scale_layout,
                        {},      {},        phase.scale};
  const int bits = format.element->storage_bits;
  const BlockGrid own = block_grid(format.block, tile.rows, tile.cols);
  out.codes.resize(
      static_cast<std::size_t>(code_bytes(tile.rows, tile.cols, bits, Layout::row_major)));
  out.scales.resize(static_cast<std::size_t>(
      scale_slots(own.rows, own.cols, s.options.scale_layout) * (format.scale->storage_bits / 8)));
  const PanelGrid panels(s.context, tile);
  if (s.options.scales.empty()) require_scales(format, own, scales);
  const PanelJob job{s.context, phase, tile, x, s.amax, own, scales, out};
#pragma omp parallel for schedule(static) if (detail::worth_threads(tile.rows * tile.cols))
  for (std::int64_t i = 0; i < panels.count(); ++i) quantize_panel(job, panels.panel(i));

  if (s.options.layout == Layout::column_major) {
    out.codes = transpose_codes(out.codes, tile.rows, tile.cols, bits);
  } else if (s.options.layout == Layout::split_nibbles) {
    split_nibbles(out.codes);
  }
  return out;
}

BlockScaledTensor quantize(std::span<const float> x, std::int64_t rows, std::int64_t cols,
                           const BlockFormat& format, const QuantizeOptions& options) {
  const auto size = static_cast<std::int64_t>(x.size());
  // Rows of whole blocks that end with a byte follow each other as one long row would, in codes,
  // scale factors and random words: short rows are then no slower than long ones. A block wider
  // than the matrix is a block as wide.
  BlockFormat own = format;
  if (cols > 0) own.block.cols = std::min(own.block.cols, cols);
  const BlockShape block = own.block;
  const bool one_row =
      rows > 0 && cols > 0 && size / cols == rows && size % cols == 0 && block.rows == 1 &&
      block.cols != 0 && cols % block.cols == 0 && cols * format.element->storage_bits % 8 == 0 &&
      options.layout == Layout::row_major && options.scale_layout == ScaleLayout::row_major;
  const Tile whole{0, 0, one_row ? 1 : rows, one_row ? size : cols};
  BlockQuantizer quantizer(own, whole.rows, whole.cols, options);
  if (quantizer.needs_amax()) quantizer.observe(x, whole);
  BlockScaledTensor out = quantizer.quantize_tile(x, whole);
  out.format = &format;
  out.rows = rows;
  out.cols = cols;
  return out;
}

}  // namespace assay::formats

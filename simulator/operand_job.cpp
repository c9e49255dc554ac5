// SPDX-License-Identifier: Apache-2.0
#include "simulator/operand_job.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "formats/array.h"
#include "formats/layout.h"
#include "formats/learned_scale.h"
#include "formats/names.h"
#include "simulator/hadamard.h"
#include "simulator/linear_replay.h"
#include "simulator/operand_audit.h"
#include "simulator/tile_kernels.h"

namespace assay::simulator {
namespace {

using formats::Tile;

/// Of this thread: fresh memory for every tile costs page faults.
std::vector<BlockSums>& block_room() {
  thread_local std::vector<BlockSums> room;
  return room;
}

}  // namespace

void find_worst(std::span<const BlockSums> blocks, std::int64_t first, TilePart& p) {
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    p.total.power += blocks[b].power;
    p.total.error += blocks[b].error;
    const double relative = blocks[b].power > 0 ? blocks[b].error / blocks[b].power : 0;
    if (relative > p.worst_error) {
      p.worst_error = relative;
      p.worst_block = first + static_cast<std::int64_t>(b);
    }
  }
}

OperandJob::OperandJob(const OperandFormat& format, const Operand& o, std::uint64_t seed)
    : name_(describe(format)), format_(format), operand_(o), seed_(seed) {
  if (!format_.block) return;
  // Blocks of a whole row end with it: the shape says so, and no pass for their maxima is needed.
  if (format_.block->block.rows != 0 && format_.block->block.cols == 0)
    format_.block->block.cols = o.cols;
  options_.rounding = format_.rounding;
  if (format_.random_bits > 0) options_.random_bits = format_.random_bits;
  options_.seed = seed;
  quantizer_.emplace(*format_.block, o.rows, o.cols, options_);
  if (format_.reencode) again_.emplace(*format_.reencode, o.rows, o.cols);
}

std::int64_t OperandJob::band() const {
  std::int64_t rows = 1;
  const auto also = [&](std::int64_t n) { rows = std::lcm(rows, std::max<std::int64_t>(1, n)); };
  if (format_.block) also(format_.block->block.rows);
  if (format_.reencode) also(format_.reencode->block.rows);
  if (format_.hadamard > 0 && runs_down(format_)) also(format_.hadamard);
  return rows;
}

std::span<const float> OperandJob::turned(std::span<const float> x, const Tile& tile,
                                          std::vector<float>& scratch) const {
  if (format_.hadamard == 0) return x;
  scratch.assign(x.begin(), x.end());
  hadamard(scratch, tile.rows, tile.cols, format_);
  return scratch;
}

void OperandJob::observe(float amax) {
  quantizer_->observe(std::span(&amax, 1), {0, 0, 1, 1});
  amax_ = amax;
}

void OperandJob::expect_bf16() {
  if (!format_.block || again_ || format_.hadamard > 0) return;
  bf16_ = Bf16Statistics::of(*format_.block, options_, operand_.cols, amax_);
  if (!bf16_) bf16_rows_ = Bf16Rows::of(*format_.block, options_, amax_);
}

std::optional<TilePart> OperandJob::measure_bf16(std::span<const std::uint16_t> x,
                                                 const Tile& tile) const {
  if (!bf16_ && !bf16_rows_) return std::nullopt;
  const auto grid = formats::block_grid(format_.block->block, operand_.rows, operand_.cols);
  const std::int64_t first = grid.block_of(tile.row, tile.col);
  TilePart p;
  if (bf16_rows_) {
    auto sums = bf16_rows_->tile(x, tile.cols, std::exchange(block_room(), {}));
    if (!sums) return std::nullopt;
    p.sums = *std::move(sums);
    find_worst(p.sums.blocks, first, p);
    block_room() = std::exchange(p.sums.blocks, {});
    return p;
  }
  const auto sums = bf16_->tile(x, first);
  if (!sums) return std::nullopt;
  p.total = sums->total;
  p.worst_block = sums->worst_block;
  p.worst_error = sums->worst_error;
  p.sums.xy = lane_sum(sums->xy);
  p.sums.clipped = sums->clipped;
  p.sums.flushed = sums->codes[0] + sums->codes[8] - sums->zeros;  // scale factors are not 0
  p.sums.codes = sums->codes;
  return p;
}

TilePart OperandJob::measure(std::span<const float> x, const Tile& tile) const {
  TilePart p;
  if (!format_.block) return measure_cast(x, tile);
  std::vector<float> scales;
  if (format_.scales == ScaleSource::least_squares)
    scales = formats::least_squares_scales(x, tile.rows, tile.cols, format_.block->block,
                                           *format_.block->element);
  const formats::BlockScaledTensor q = quantizer_->quantize_tile(x, tile, scales);
  std::vector<BlockSums> room = std::exchange(block_room(), {});
  if (again_) {
    // E2M1 times a power of two is an FP32 value: the second quantizer sees the first's exactly.
    std::vector<float> values(x.size());
    formats::dequantize(q, values);
    const formats::BlockScaledTensor second = again_->quantize_tile(values, tile);
    p.sums = tile_statistics(x, q, &second, std::move(room));
  } else {
    p.sums = tile_statistics(x, q, nullptr, std::move(room));
  }
  if (!spans_tiles()) {
    const auto grid = formats::block_grid(format_.block->block, operand_.rows, operand_.cols);
    find_worst(p.sums.blocks, grid.block_of(tile.row, tile.col), p);
    block_room() = std::exchange(p.sums.blocks, {});
  }
  return p;
}

TilePart OperandJob::measure_cast(std::span<const float> x, const Tile& tile) const {
  const formats::FormatSpec& spec = *format_.element;
  formats::ArrayOptions options;
  options.mode = format_.rounding;
  options.policy = formats::profile_row(formats::saturating, spec).policy;
  options.random_bits = format_.random_bits;
  options.seed = seed_;
  options.first_index = static_cast<std::uint64_t>(tile.row * operand_.cols + tile.col);
  std::vector<std::uint8_t> codes(formats::packed_size(spec, x.size()));
  std::vector<float> values(x.size());
  formats::encode_array(spec, x, options, codes);
  formats::decode_array(spec, codes, values);
  const double one = 1;
  const double limit = std::numeric_limits<double>::infinity();
  TilePart p;
  StatisticsSums sums;
  sums.blocks = &p.total;
  add_row_statistics({x.data(), values.data(), nullptr, &one, &limit, x.size(), x.size()}, sums);
  p.sums.xy = lane_sum(sums.xy);
  p.sums.flushed = sums.flushed;
  return p;
}

}  // namespace assay::simulator

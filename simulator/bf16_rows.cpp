// SPDX-License-Identifier: Apache-2.0
#include "simulator/bf16_rows.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "formats/codec.h"
#include "formats/fields.h"
#include "formats/layout.h"
#include "simulator/bf16_kernels.h"

namespace assay::simulator {
namespace {

constexpr std::uint16_t kInfinity = 0x7F80;  // BF16's bits

float value_of(std::uint32_t bits) { return std::bit_cast<float>(bits << 16); }

/// The largest BF16 bits of a finite magnitude that is not above `limit`, which is at least 2^-100.
std::uint16_t bits_up_to(double limit) {
  if (!(limit < value_of(kInfinity - 1))) return kInfinity - 1;
  std::uint32_t bits = std::bit_cast<std::uint32_t>(static_cast<float>(limit)) >> 16;
  if (value_of(bits) > limit) --bits;  // the conversion to float has rounded up
  return static_cast<std::uint16_t>(bits);
}

}  // namespace

/// What a tile's blocks are quantized by. Buffers of a thread.
struct Bf16Rows::Blocks {
  std::vector<std::uint16_t> amax, clip;
  std::vector<float> factor;
  std::vector<double> scale;
};

std::unique_ptr<Bf16Rows> Bf16Rows::of(const formats::BlockFormat& format,
                                       const formats::QuantizeOptions& options, float tensor_amax) {
  const formats::Fields element = formats::fields_of(*format.element);
  // A scale factor of a byte has at most 8 significant bits and the tensor scale 24, or an FP32
  // scale factor stands alone; an element has at most 7 and x 8. So x x^ has at most 47 and is a
  // double, as add_row_bf16() needs it.
  const bool exact =
      format.scale->storage_bits == 8 ||
      (format.scale == &formats::fp32 && format.tensor_scale == formats::TensorScale::none);
  if (!bf16_kernels_apply() || options.rounding != formats::RoundingMode::nearest_even ||
      format.candidates != nullptr || format.rule == formats::ScaleRule::given ||
      format.block.rows == 0 || format.block.cols == 0 || !exact ||
      format.element->storage_bits <= 4 || format.element->storage_bits > 8 ||
      element.sign_bits != 1 || element.is_twos_complement())
    return nullptr;
  std::unique_ptr<Bf16Rows> rows(new Bf16Rows(format, options, tensor_amax));
  return rows->probe_.usable() ? std::move(rows) : nullptr;
}

Bf16Rows::Bf16Rows(const formats::BlockFormat& format, const formats::QuantizeOptions& options,
                   float tensor_amax)
    : probe_(format, options, tensor_amax),
      format_(format),
      largest_(formats::decode(*format.element, formats::fields_of(*format.element).max_finite())) {
}

bool Bf16Rows::find_scales(Blocks& b) const {
  const std::size_t count = b.amax.size();
  b.clip.resize(count);
  b.factor.resize(count);
  b.scale.resize(count);
  for (std::size_t first = 0; first < count; first += formats::kLanes) {
    const std::size_t n = std::min(formats::kLanes, count - first);
    std::array<float, formats::kLanes> most{};
    std::array<std::uint32_t, formats::kLanes> codes{};
    for (std::size_t i = 0; i < n; ++i) most[i] = value_of(b.amax[first + i]);
    if (!probe_.scales(std::span(most).first(n), codes, std::span(b.factor).subspan(first, n)))
      return false;
    const bool inverse = probe_.element().path == formats::ElementPath::power_of_two;
    for (std::size_t i = 0; i < n; ++i) {
      if (inverse) b.factor[first + i] = 1.0F / b.factor[first + i];
      const double scale =
          static_cast<double>(formats::decode(*format_.scale, codes[i])) * probe_.tensor_scale();
      if (!(scale >= 0x1p-100 && scale <= 0x1p100)) return false;
      b.scale[first + i] = scale;
      b.clip[first + i] = bits_up_to(scale * largest_);
    }
  }
  return true;
}

std::optional<TileSums> Bf16Rows::tile(std::span<const std::uint16_t> x, std::int64_t cols,
                                       std::vector<BlockSums> room) const {
  const auto rows = static_cast<std::int64_t>(x.size()) / cols;
  const formats::BlockGrid grid = formats::block_grid(format_.block, rows, cols);
  const auto width = static_cast<std::size_t>(grid.block_cols);
  thread_local Blocks blocks;
  blocks.amax.assign(static_cast<std::size_t>(grid.count()), 0);
  for (std::int64_t r = 0; r < rows; ++r)
    row_amax_bf16(x.data() + r * cols, static_cast<std::size_t>(cols), width,
                  blocks.amax.data() + r / grid.block_rows * grid.cols);
  if (*std::max_element(blocks.amax.begin(), blocks.amax.end()) >= kInfinity) return std::nullopt;
  if (!find_scales(blocks)) return std::nullopt;

  TileSums out;
  out.blocks = std::move(room);
  out.blocks.assign(static_cast<std::size_t>(grid.count()), BlockSums());
  StatisticsSums sums;
  for (std::int64_t r = 0; r < rows; ++r) {
    const std::int64_t block = r / grid.block_rows * grid.cols;
    sums.blocks = out.blocks.data() + block;
    add_row_bf16(
        probe_.element(),
        {x.data() + r * cols, static_cast<std::size_t>(cols), width, blocks.factor.data() + block,
         blocks.scale.data() + block, blocks.clip.data() + block},
        sums);
  }
  out.xy = lane_sum(sums.xy);
  out.clipped = sums.clipped;
  out.flushed = sums.flushed;
  return out;
}

}  // namespace assay::simulator

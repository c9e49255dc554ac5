// SPDX-License-Identifier: Apache-2.0
#include "simulator/tile_statistics.h"

#include <algorithm>
#include <optional>

#include "formats/codec.h"
#include "formats/fields.h"
#include "formats/layout.h"
#include "simulator/tile_kernels.h"

namespace assay::simulator {
namespace {

/// Reads the element values of a quantized tile, row by row, before they are scaled.
class Elements {
 public:
  explicit Elements(const formats::BlockScaledTensor& q)
      : q_(q),
        bits_(q.format->element->storage_bits),
        stride_(formats::code_stride(q.rows, q.cols, bits_, q.layout)),
        grid_(formats::block_grid(q.format->block, q.rows, q.cols)),
        scales_(static_cast<std::size_t>(grid_.count())) {
    value_.resize(std::size_t{1} << bits_);
    for (std::size_t c = 0; c < value_.size(); ++c)
      value_[c] = formats::decode(*q.format->element, static_cast<std::uint32_t>(c));
    if (bits_ == 4) {
      for (std::size_t c = 0; c < 256; ++c) pair_[c] = {value_[c % 16], value_[c / 16]};
    }
    for (std::int64_t b = 0; b < grid_.count(); ++b) {
      const std::uint32_t code =
          formats::load_code(q.scales.data(), b, q.format->scale->storage_bits);
      scales_[static_cast<std::size_t>(b)] =
          static_cast<double>(formats::decode(*q.format->scale, code)) * q.tensor_scale;
    }
  }

  [[nodiscard]] const formats::BlockGrid& grid() const { return grid_; }
  [[nodiscard]] const std::uint8_t* codes(std::int64_t row) const {
    return q_.codes.data() + row * stride_;
  }
  [[nodiscard]] const double* scales(std::int64_t row) const {
    return scales_.data() + row / grid_.block_rows * grid_.cols;
  }
  [[nodiscard]] const std::vector<double>& all_scales() const { return scales_; }

  void read(std::int64_t row, std::vector<double>& out) const {
    const std::uint8_t* code = codes(row);
    const std::size_t count = out.size();
    if (bits_ == 4) {
      for (std::size_t i = 0; i + 1 < count; i += 2) {
        const Pair& p = pair_[code[i / 2]];
        out[i] = p.even;
        out[i + 1] = p.odd;
      }
      if (count % 2 != 0) out[count - 1] = value_[code[count / 2] & 15U];
    } else if (bits_ == 8) {
      for (std::size_t i = 0; i < count; ++i) out[i] = value_[code[i]];
    } else {
      for (std::size_t i = 0; i < count; ++i)
        out[i] = value_[formats::load_code(code, static_cast<std::int64_t>(i), bits_)];
    }
  }

  /// The same, times the scale factors.
  void read_scaled(std::int64_t row, std::vector<double>& out) const {
    read(row, out);
    const double* scale = scales(row);
    const auto width = static_cast<std::size_t>(grid_.block_cols);
    for (std::size_t i = 0; i < out.size(); ++i) out[i] *= scale[i / width];
  }

 private:
  struct Pair {
    double even, odd;
  };
  const formats::BlockScaledTensor& q_;
  int bits_;
  std::int64_t stride_;
  formats::BlockGrid grid_;
  std::vector<double> value_, scales_;
  std::array<Pair, 256> pair_{};
};

/// Pairs of 4-bit codes, counted as bytes in four tables, so that equal neighbours do not wait for
/// each other.
class CodeCounts {
 public:
  void add(const std::uint8_t* codes, std::size_t count) {
    const std::size_t bytes = count / 2;
    std::size_t i = 0;
    for (; i + 4 <= bytes; i += 4)
      for (std::size_t t = 0; t < 4; ++t) ++tables_[t][codes[i + t]];
    for (; i < bytes; ++i) ++tables_[0][codes[i]];
    if (count % 2 != 0) ++single_[codes[bytes] & 15U];
  }
  [[nodiscard]] std::array<std::uint64_t, 16> total() const {
    std::array<std::uint64_t, 16> out = single_;
    for (const auto& table : tables_) {
      for (std::size_t c = 0; c < 256; ++c) {
        out[c % 16] += table[c];
        out[c / 16] += table[c];
      }
    }
    return out;
  }

 private:
  std::array<std::array<std::uint64_t, 256>, 4> tables_{};
  std::array<std::uint64_t, 16> single_{};
};

}  // namespace

TileSums tile_statistics(std::span<const float> x, const formats::BlockScaledTensor& q,
                         const formats::BlockScaledTensor* again) {
  const formats::FormatSpec& element = *q.format->element;
  const double largest = formats::decode(element, formats::fields_of(element).max_finite());
  const Elements first(q);
  std::optional<Elements> second;
  if (again != nullptr) second.emplace(*again);
  const formats::BlockGrid& grid = first.grid();
  std::vector<double> limits = first.all_scales();
  for (double& limit : limits) limit *= largest;

  TileSums out;
  out.blocks.resize(static_cast<std::size_t>(grid.count()));
  StatisticsSums sums;
  CodeCounts counts;
  const auto cols = static_cast<std::size_t>(q.cols);
  std::vector<double> values(cols);
  std::vector<double> before;
  const std::vector<double> ones(static_cast<std::size_t>(grid.cols), 1.0);
  StatisticsRow row;
  row.cols = cols;
  row.width = static_cast<std::size_t>(grid.block_cols);
  row.element = values.data();
  for (std::int64_t r = 0; r < q.rows; ++r) {
    row.x = x.data() + r * q.cols;
    row.limit = limits.data() + r / grid.block_rows * grid.cols;
    sums.blocks = out.blocks.data() + r / grid.block_rows * grid.cols;
    if (again == nullptr) {
      first.read(r, values);
      row.scale = first.scales(r);
    } else {
      before.resize(cols);
      first.read_scaled(r, before);
      second->read_scaled(r, values);
      for (std::size_t i = 0; i < cols; ++i) out.reencode_changed += before[i] != values[i] ? 1 : 0;
      row.scale = ones.data();
    }
    add_row_statistics(row, sums);
    if (element.storage_bits == 4) counts.add(first.codes(r), cols);
  }
  out.xy = lane_sum(sums.xy);
  out.clipped = sums.clipped;
  out.flushed = sums.flushed;
  if (element.storage_bits == 4) out.codes = counts.total();
  return out;
}

}  // namespace assay::simulator

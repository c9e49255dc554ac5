// SPDX-License-Identifier: Apache-2.0
#include "simulator/tile_statistics.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <utility>

#include "formats/codec.h"
#include "formats/fields.h"
#include "formats/layout.h"
#include "simulator/tile_kernels.h"

namespace assay::simulator {
namespace {

/// Columns at a time: values and elements of a piece stay in the nearest cache.
constexpr std::int64_t kPieceElements = 2048;

/// How a row's codes become element values.
enum class Decoder : std::uint8_t { nibbles, bytes, table };

/// Reads the element values of a quantized tile before they are scaled. Elements of at most 8 bits
/// are FP32 numbers, and so are those of BF16 and FP16.
class Elements {
 public:
  /// `scales` is room for the scale factors, kept from tile to tile.
  Elements(const formats::BlockScaledTensor& q, std::vector<double>& scales)
      : q_(q),
        bits_(q.format->element->storage_bits),
        stride_(formats::code_stride(q.rows, q.cols, bits_, q.layout)),
        grid_(formats::block_grid(q.format->block, q.rows, q.cols)),
        scales_(scales) {
    scales_.resize(static_cast<std::size_t>(grid_.count()));
    value_.resize(std::size_t{1} << bits_);
    for (std::size_t c = 0; c < value_.size(); ++c) {
      value_[c] =
          static_cast<float>(formats::decode(*q.format->element, static_cast<std::uint32_t>(c)));
    }
    find_decoder();
    const formats::FormatSpec& scale = *q.format->scale;
    std::array<double, 256> known{};
    for (std::uint32_t c = 0; scale.storage_bits == 8 && c < known.size(); ++c)
      known[c] = static_cast<double>(formats::decode(scale, c)) * q.tensor_scale;
    for (std::int64_t b = 0; b < grid_.count(); ++b) {
      const std::uint32_t code = formats::load_code(q.scales.data(), b, scale.storage_bits);
      scales_[static_cast<std::size_t>(b)] =
          scale.storage_bits == 8
              ? known[code]
              : static_cast<double>(formats::decode(scale, code)) * q.tensor_scale;
    }
  }

  [[nodiscard]] const formats::BlockGrid& grid() const { return grid_; }
  [[nodiscard]] const std::uint8_t* codes(std::int64_t row) const {
    return q_.codes.data() + row * stride_;
  }
  [[nodiscard]] const double* scales(std::int64_t row) const {
    return scales_.data() + row / grid_.block_rows * grid_.cols;
  }

  /// Columns [first, first + out.size()), first even.
  void read(std::int64_t row, std::int64_t first, std::span<float> out) const {
    const std::uint8_t* code = codes(row);
    switch (decoder_) {
      case Decoder::nibbles:
        return decode_nibbles(code + first / 2, out.size(), twice_.data(), out.data());
      case Decoder::bytes:
        return decode_bytes(code + first, out.size(), mantissa_bits(), factor_, out.data());
      case Decoder::table:
        for (std::size_t i = 0; i < out.size(); ++i)
          out[i] = value_[formats::load_code(code, first + static_cast<std::int64_t>(i), bits_)];
    }
  }

  /// The same, times the scale factors.
  void read_scaled(std::int64_t row, std::int64_t first, std::span<float> scratch,
                   std::span<double> out) const {
    read(row, first, scratch);
    const double* scale = scales(row);
    for (std::size_t i = 0; i < out.size(); ++i)
      out[i] = scratch[i] * scale[(first + static_cast<std::int64_t>(i)) / grid_.block_cols];
  }

 private:
  [[nodiscard]] int mantissa_bits() const { return q_.format->element->mantissa_bits; }

  /// A fast decoder is taken where it gives every finite value of the table.
  void find_decoder() {
    const formats::Fields fields = formats::fields_of(*q_.format->element);
    const auto agrees = [&](std::size_t c, float v) {
      return v == value_[c] ||
             fields.magnitude(static_cast<std::uint32_t>(c)) > fields.max_finite();
    };
    if (bits_ == 4) {
      bool all = true;
      for (std::size_t c = 0; c < value_.size(); ++c) {
        twice_[c] = static_cast<std::int8_t>(2 * value_[c]);
        all = all && agrees(c, static_cast<float>(twice_[c]) / 2);
      }
      if (all) decoder_ = Decoder::nibbles;
    }
    if (bits_ == 8 && fields.magnitude_bits() == 7 && fields.bias < 127 && fields.bias > -127) {
      factor_ = std::ldexp(1.0F, 127 - fields.bias);
      std::array<std::uint8_t, 256> every{};
      std::iota(every.begin(), every.end(), std::uint8_t{0});
      std::array<float, 256> fast{};
      decode_bytes(every.data(), every.size(), mantissa_bits(), factor_, fast.data());
      bool all = true;
      for (std::size_t c = 0; c < fast.size(); ++c) all = all && agrees(c, fast[c]);
      if (all) decoder_ = Decoder::bytes;
    }
  }

  const formats::BlockScaledTensor& q_;
  int bits_;
  std::int64_t stride_;
  formats::BlockGrid grid_;
  Decoder decoder_ = Decoder::table;
  std::array<std::int8_t, 16> twice_{};
  float factor_ = 1;
  std::vector<float> value_;
  std::vector<double>& scales_;
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

/// Buffers of a thread. Given back after every tile they would cost page faults.
struct Scratch {
  std::vector<float> values;
  std::vector<double> scales, other_scales, limits, before, after;
};

}  // namespace

TileSums tile_statistics(std::span<const float> x, const formats::BlockScaledTensor& q,
                         const formats::BlockScaledTensor* again, std::vector<BlockSums> room) {
  const formats::FormatSpec& element = *q.format->element;
  const double largest = formats::decode(element, formats::fields_of(element).max_finite());
  thread_local Scratch own;
  const Elements first(q, own.scales);
  std::optional<Elements> second;
  if (again != nullptr) second.emplace(*again, own.other_scales);
  const formats::BlockGrid& grid = first.grid();
  std::vector<double>& limits = own.limits;
  limits.assign(own.scales.begin(), own.scales.end());
  for (double& limit : limits) limit *= largest;

  TileSums out;
  out.blocks = std::move(room);
  out.blocks.assign(static_cast<std::size_t>(grid.count()), BlockSums());
  StatisticsSums sums;
  CodeCounts counts;
  // Rows are taken in pieces of whole blocks (and bytes) that stay in the nearest cache.
  const std::int64_t unit = std::lcm(grid.block_cols, std::int64_t{2});
  const std::int64_t piece = unit >= q.cols ? q.cols : std::max(unit, kPieceElements / unit * unit);
  std::vector<float>& values = own.values;
  std::vector<double>& before = own.before;
  std::vector<double>& after = own.after;
  values.resize(static_cast<std::size_t>(std::min(piece, q.cols)));
  const std::vector<double> ones(static_cast<std::size_t>(grid.cols), 1.0);
  StatisticsRow row;
  row.width = static_cast<std::size_t>(grid.block_cols);
  for (std::int64_t r = 0; r < q.rows; ++r) {
    for (std::int64_t c = 0; c < q.cols; c += piece) {
      row.cols = static_cast<std::size_t>(std::min(piece, q.cols - c));
      const std::int64_t block = c / grid.block_cols;
      row.x = x.data() + r * q.cols + c;
      row.limit = limits.data() + r / grid.block_rows * grid.cols + block;
      sums.blocks = out.blocks.data() + r / grid.block_rows * grid.cols + block;
      if (again == nullptr) {
        first.read(r, c, std::span(values).first(row.cols));
        row.element = values.data();
        row.scale = first.scales(r) + block;
      } else {
        before.resize(row.cols);
        after.resize(row.cols);
        first.read_scaled(r, c, std::span(values).first(row.cols), before);
        second->read_scaled(r, c, std::span(values).first(row.cols), after);
        for (std::size_t i = 0; i < row.cols; ++i)
          out.reencode_changed += before[i] != after[i] ? 1 : 0;
        row.exact = after.data();
        row.scale = ones.data();
      }
      add_row_statistics(row, sums);
    }
    if (element.storage_bits == 4) counts.add(first.codes(r), static_cast<std::size_t>(q.cols));
  }
  out.xy = lane_sum(sums.xy);
  out.clipped = sums.clipped;
  out.flushed = sums.flushed;
  if (element.storage_bits == 4) out.codes = counts.total();
  return out;
}

}  // namespace assay::simulator

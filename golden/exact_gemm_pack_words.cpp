// SPDX-License-Identifier: Apache-2.0
// Numbers in planes of 16-bit words, for any formats of up to 8 bits.
//
// A number is an odd-or-even significand of b bits times a power of two. Let T be the largest
// exponent of a row's chunk and w = 13 - b. Plane p holds the numbers of exponents
// T - w(p + 1) + 1 .. T - w p as integers over the least of these: below 2^(b + w - 1) = 2^12.
// Every number is in one plane, so of the sums over all pairs of planes, each k adds to one, and a
// sum over a chunk of 128 is at most 128 * 4095^2 < 2^31. Most numbers are in plane 0; of the
// others a list holds the pairs of k that have any.
//
// A scale factor of few bits is folded into the numbers: the b bits are those of the product, at
// most 8. One of more bits is late: it multiplies the sum of a chunk, which lies within its block.
#include <algorithm>
#include <array>
#include <bit>

#include "golden/exact_gemm_pack.h"

namespace assay::golden::exact_parts {
namespace {

constexpr int none = -(1 << 20);

struct LowNumber {
  int plane;
  int k;  ///< within the chunk
  int lane;
  std::int16_t word;
};

/// A row's chunk: elements, and what multiplies them.
class ChunkPacker {
 public:
  ChunkPacker(const Operand& operand, const Tables& tables)
      : operand_(operand),
        tables_(tables),
        reader_(operand.source),
        nibbles_(operand.format->element->storage_bits == 4),
        magnitudes_(operand.format->element->negatives == formats::Negatives::sign_bit
                        ? (1U << (operand.format->element->exponent_bits +
                                  operand.format->element->mantissa_bits)) -
                              1
                        : 0xFFU) {
    least_ = -none_16;
    for (std::uint32_t code = 0; code < 256; ++code) {
      const Number x = tables.element[code];
      special_[code] = x.kind != Number::Kind::finite;
      significands_[code] = static_cast<std::int16_t>(
          special_[code] ? 0 : (x.negative ? -1 : 1) * static_cast<int>(x.significand));
      exponents_[code] = static_cast<std::int16_t>(significands_[code] == 0 ? none_16 : x.exponent);
      if (significands_[code] != 0) least_ = std::min(least_, x.exponent);
    }
    words_.resize(64);
  }

  /// T, or `none` where all numbers are zero; marks specials and sets the late scale factor.
  int top(std::int64_t row, std::int64_t first, int count, RowRange& range, Scale& late) {
    read_codes(row, first, count);
    scales_.clear();
    int top = none;
    span_ = tables_.constant_scale
                ? count
                : static_cast<int>(std::min<std::int64_t>(operand_.chunk, reader_.block_cols()));
    // Blocks are multiples of 16, chunks of at least 16 may begin within one.
    if (!tables_.constant_scale && operand_.chunk % span_ != 0) span_ = 16;
    if (!tables_.constant_scale && reader_.block_cols() % span_ != 0) span_ = 16;
    for (int at = 0; at < count; at += span_) {
      Number s{.significand = 1};
      if (!tables_.constant_scale) s = tables_.scale[reader_.scale_code(row, first + at)];
      range.nan = range.nan || s.kind == Number::Kind::nan;
      range.infinite = range.infinite || s.kind == Number::Kind::infinity;
      if (operand_.late) {
        late = {s.significand, s.exponent};
        s = Number{.negative = s.negative, .significand = s.significand == 0 ? 0U : 1U};
      }
      const int largest = largest_exponent(at, std::min(at + span_, count), range);
      if (s.significand != 0 && largest != none_16) top = std::max(top, largest + s.exponent);
      scales_.push_back(s);
    }
    return top;
  }

  /// Plane 0 goes to `to`, two words each `stride`; the other numbers to `low`. Returns the planes.
  int words(int top, int lane, std::uint32_t* to, int stride, std::vector<LowNumber>& low) {
    int planes = 1;
    const int count = static_cast<int>(codes_.size());
    for (int at = 0; at < count; at += span_) {
      const Number& s = scales_[static_cast<std::size_t>(at / span_)];
      if (s.significand == 0) continue;
      const std::int16_t* table = words_of(top - s.exponent);
      const int factor = (s.negative ? -1 : 1) * static_cast<int>(s.significand);
      const int end = std::min(at + span_, count);
      bool some_low = false;
      int i = at;  // even: spans are
      for (; i + 1 < end; i += 2) {
        const std::uint8_t x = codes_[static_cast<std::size_t>(i)];
        const std::uint8_t y = codes_[static_cast<std::size_t>(i) + 1];
        const int low_word = table[x];
        const int high_word = table[y];
        some_low |=
            (low_word == 0 && significands_[x] != 0) || (high_word == 0 && significands_[y] != 0);
        to[i / 2 * stride] = static_cast<std::uint32_t>(low_word * factor & 0xFFFF) |
                             static_cast<std::uint32_t>(high_word * factor) << 16;
      }
      if (i < end) {
        const std::uint8_t x = codes_[static_cast<std::size_t>(i)];
        some_low |= table[x] == 0 && significands_[x] != 0;
        to[i / 2 * stride] = static_cast<std::uint32_t>(table[x] * factor & 0xFFFF);
      }
      if (some_low) planes = std::max(planes, low_words(at, end, top, lane, table, s, low));
    }
    return planes;
  }

 private:
  static constexpr int none_16 = -30000;

  void read_codes(std::int64_t row, std::int64_t first, int count) {
    codes_.resize(static_cast<std::size_t>(count));
    if (nibbles_)
      for (int i = 0; i < count; ++i)
        codes_[static_cast<std::size_t>(i)] =
            static_cast<std::uint8_t>(reader_.code(row, first + i));
    else
      std::copy_n(reader_.row_codes(row) + first, count, codes_.data());
  }

  /// Exponents grow with magnitudes, and NaN and infinities are the largest magnitudes.
  int largest_exponent(int at, int end, RowRange& range) const {
    std::uint8_t magnitude = 0;
    for (int i = at; i < end; ++i)
      magnitude = std::max(
          magnitude, static_cast<std::uint8_t>(codes_[static_cast<std::size_t>(i)] & magnitudes_));
    if (!special_[magnitude]) return exponents_[magnitude];
    int largest = none_16;
    for (int i = at; i < end; ++i) {
      const std::uint8_t code = codes_[static_cast<std::size_t>(i)];
      largest = std::max<int>(largest, exponents_[code]);
      if (special_[code])
        (tables_.element[code].kind == Number::Kind::nan ? range.nan : range.infinite) = true;
    }
    return largest;
  }

  /// Words of plane 0 by code, where the largest exponent is `top` over the scale factor's.
  const std::int16_t* words_of(int top) {
    const int step = operand_.plane_step;
    const auto index =
        static_cast<std::size_t>(std::clamp(top - least_, 0, static_cast<int>(words_.size()) - 1));
    std::vector<std::int16_t>& table = words_[index];
    if (!table.empty()) return table.data();
    table.resize(256);
    for (std::size_t code = 0; code < 256; ++code) {
      const int below = least_ + static_cast<int>(index) - exponents_[code];
      if (significands_[code] != 0 && below >= 0 && below < step)
        table[code] = static_cast<std::int16_t>(significands_[code] * (1 << (step - 1 - below)));
    }
    return table.data();
  }

  int low_words(int at, int end, int top, int lane, const std::int16_t* table, const Number& s,
                std::vector<LowNumber>& low) const {
    const int step = operand_.plane_step;
    int planes = 1;
    for (int i = at; i < end; ++i) {
      const std::uint8_t code = codes_[static_cast<std::size_t>(i)];
      if (table[code] != 0 || significands_[code] == 0) continue;
      const int below = top - (exponents_[code] + s.exponent);
      const int plane = below / step;
      planes = std::max(planes, plane + 1);
      const int word = (s.negative ? -1 : 1) * significands_[code] *
                       static_cast<int>(s.significand) * (1 << (step - 1 - below % step));
      low.push_back({plane, i, lane, static_cast<std::int16_t>(word)});
    }
    return planes;
  }

  const Operand& operand_;
  const Tables& tables_;
  Reader reader_;
  bool nibbles_;
  std::uint32_t magnitudes_;
  int least_ = 0;  ///< exponent of any number but zero
  int span_ = 16;  ///< elements that share a scale factor
  std::array<std::int16_t, 256> significands_{}, exponents_{};
  std::array<bool, 256> special_{};
  std::vector<std::vector<std::int16_t>> words_;
  std::vector<std::uint8_t> codes_;
  std::vector<Number> scales_;
};

/// Entries by plane and pair, from numbers in any order.
void build_list(std::vector<LowNumber>& numbers, int first_lane, int lanes, LowList& list) {
  std::stable_sort(numbers.begin(), numbers.end(), [](const LowNumber& x, const LowNumber& y) {
    return std::pair(x.plane, x.k / 2) < std::pair(y.plane, y.k / 2);
  });
  int plane = 0;
  int pair = -1;
  for (const LowNumber& x : numbers) {
    if (x.lane < first_lane || x.lane >= first_lane + lanes) continue;
    if (x.plane != plane || x.k / 2 != pair) {
      for (; plane < x.plane; ++plane)  // entries of a plane begin where those before it end
        list.first[static_cast<std::size_t>(plane) + 1] =
            static_cast<std::uint16_t>(list.pairs.size());
      pair = x.k / 2;
      list.pairs.push_back(static_cast<std::uint8_t>(pair));
      list.values.resize(list.values.size() + static_cast<std::size_t>(lanes), 0);
    }
    list.values[list.values.size() - static_cast<std::size_t>(lanes - (x.lane - first_lane))] |=
        std::uint32_t{static_cast<std::uint16_t>(x.word)} << (x.k % 2 * 16);
  }
  for (; plane < most_planes; ++plane)
    list.first[static_cast<std::size_t>(plane) + 1] = static_cast<std::uint16_t>(list.pairs.size());
  for (std::size_t p = 0; p < most_planes; ++p)
    for (std::size_t e = list.first[p]; e < list.first[p + 1]; ++e)
      list.masks[p] |= std::uint64_t{1} << list.pairs[e];
}

}  // namespace

void pack_words(Operand& operand, const Tables& tables, std::int64_t first, int count,
                Panel& panel) {
  const bool is_a = operand.side == ExactSide::a;
  panel.rows = is_a ? count : b_rows;
  const int stride = panel.rows;
  const int step = operand.plane_step;
  const auto chunks = static_cast<std::size_t>(operand.chunks);
  const auto pairs = static_cast<std::size_t>(operand.chunk / 2);
  panel.values.assign(chunks * pairs * static_cast<std::size_t>(stride), 0);
  panel.low.resize(chunks);
  panel.planes.assign(chunks, 1);
  panel.shifts.assign(chunks * static_cast<std::size_t>(stride), 0);
  if (operand.late) panel.scales.assign(panel.shifts.size(), Scale{});
  std::vector<std::vector<LowNumber>> low(chunks);
  ChunkPacker packer(operand, tables);
  const Reader reader(operand.source);
  for (int lane = 0; lane < count; ++lane) {
    const std::int64_t row = first + lane;
    RowRange& range = operand.ranges[static_cast<std::size_t>(row)];
    set_factor(
        range, tables.tensor_scale,
        tables.constant_scale ? tables.scale[reader.scale_code(row, 0)] : Number{.significand = 1});
    int least = -none;
    int most = none;
    int least_late = -none;
    int most_late = none;
    for (std::size_t c = 0; c < chunks; ++c) {
      const std::int64_t at = static_cast<std::int64_t>(c) * operand.chunk;
      const int size = static_cast<int>(std::min<std::int64_t>(operand.chunk, operand.k - at));
      const std::size_t here =
          c * static_cast<std::size_t>(stride) + static_cast<std::size_t>(lane);
      Scale late{};
      const int top = packer.top(row, at, size, range, late);
      panel.shifts[here] = none;
      if (top == none) continue;
      const int planes = packer.words(
          top, lane, panel.values.data() + c * pairs * static_cast<std::size_t>(stride) + lane,
          stride, low[c]);
      if (planes > most_planes) range.bits = out_of_range;
      panel.planes[c] = std::max<std::uint8_t>(
          panel.planes[c], static_cast<std::uint8_t>(std::min(planes, most_planes)));
      panel.shifts[here] = top - step + 1;
      least = std::min(least, top - step * planes + 1);
      most = std::max(most, top - step + 1);
      if (operand.late) {
        panel.scales[here] = late;
        least_late = std::min(least_late, late.exponent);
        most_late =
            std::max(most_late, late.exponent + static_cast<int>(std::bit_width(late.significand)));
      }
    }
    if (most == none) least = most = least_late = most_late = 0;
    range.base = least;
    range.bits += 12 + most - least;
    range.late_base = operand.late ? least_late : 0;
    range.bits_late = operand.late ? most_late - least_late : 0;
    for (std::size_t c = 0; c < chunks; ++c) {
      const std::size_t here =
          c * static_cast<std::size_t>(stride) + static_cast<std::size_t>(lane);
      panel.shifts[here] = panel.shifts[here] == none ? 0 : panel.shifts[here] - least;
      if (operand.late && panel.scales[here].significand != 0)
        panel.scales[here].exponent -= least_late;
    }
  }
  for (std::size_t c = 0; c < chunks; ++c) {
    std::erase_if(low[c], [](const LowNumber& x) { return x.plane >= most_planes; });
    if (low[c].empty()) continue;
    if (is_a) {
      build_list(low[c], 0, stride, panel.low[c][0]);
    } else {
      build_list(low[c], 0, 16, panel.low[c][0]);
      build_list(low[c], 16, 16, panel.low[c][1]);
    }
  }
}

}  // namespace assay::golden::exact_parts

// SPDX-License-Identifier: Apache-2.0
// E2M1 for products with E2M1.
//
// Twice an E2M1 value is an integer of at most 12. A group of 16 (32) products is at most
// G = 2304 (4608). Scale factors of a row's chunk are integers s over the chunk's least exponent;
// where s_a s_b <= 32767 for every pair of a tile's chunk, which the largest of each decide, a
// product of scale factors fits a signed word, a sum of a group too, and the 16 (8) groups of a
// chunk of 256 sum up to at most 16 * 2304 * 32767 = 8 * 4608 * 32767 < 2^31: `product` of Limits.
#include <algorithm>
#include <array>
#include <bit>

#include "golden/exact_gemm_pack.h"

namespace assay::golden::exact_parts {
namespace {

constexpr int offset = 12;  ///< makes A's bytes unsigned, as vpdpbusd wants them

/// Two codes of a byte, the even one first.
struct ByteTable {
  std::array<std::uint16_t, 256> pairs;
  explicit ByteTable(int add) : pairs{} {
    static constexpr int doubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
    for (unsigned i = 0; i < 256; ++i)
      pairs[i] = static_cast<std::uint16_t>(static_cast<std::uint8_t>(doubled[i & 15U] + add) |
                                            static_cast<std::uint8_t>(doubled[i >> 4] + add) << 8);
  }
};

void pack_values(const Operand& operand, const ByteTable& table, std::int64_t row,
                 std::uint32_t* to, int stride) {
  const auto row_bytes = static_cast<std::size_t>((operand.k + 1) / 2);
  const std::uint8_t* from =
      operand.source.codes.data() + static_cast<std::size_t>(row) * row_bytes;
  const auto dwords = static_cast<std::size_t>(operand.pairs * operand.group / 2);
  const auto whole = static_cast<std::size_t>(operand.k / 4);
  for (std::size_t i = 0; i < whole; ++i)
    to[i * static_cast<std::size_t>(stride)] =
        table.pairs[from[2 * i]] | std::uint32_t{table.pairs[from[2 * i + 1]]} << 16;
  for (std::size_t i = whole; i < dwords; ++i) {
    std::uint8_t last[2] = {0, 0};
    for (std::size_t k = 4 * i; k < 4 * i + 4 && k < static_cast<std::size_t>(operand.k); ++k)
      last[(k - 4 * i) / 2] |=
          static_cast<std::uint8_t>((from[k / 2] >> (k % 2 * 4) & 15U) << (k % 2 * 4));
    to[i * static_cast<std::size_t>(stride)] =
        table.pairs[last[0]] | std::uint32_t{table.pairs[last[1]]} << 16;
  }
}

/// A negative scale factor is a positive one of negated values.
void negate_group(const Operand& operand, std::size_t group, bool is_a, std::uint32_t* values,
                  int stride) {
  const auto steps = static_cast<std::size_t>(operand.group / 4);
  for (std::size_t step = group * steps; step < (group + 1) * steps; ++step) {
    std::uint32_t& four = values[step * static_cast<std::size_t>(stride)];
    std::uint32_t negated = 0;
    for (int i = 0; i < 32; i += 8) {
      const auto byte = static_cast<std::uint8_t>(four >> i);
      negated |= std::uint32_t{static_cast<std::uint8_t>((is_a ? 2 * offset : 0) - byte)} << i;
    }
    four = negated;
  }
}

/// Sums of products with A + 12 begin with -12 sum b. The biases G keep both words of the vectors'
/// lanes free of borrows: A's sums of a group plus G lie in 0 .. 2 G < 2^16, and the first group's
/// start is in the low word, the second's in the high one (the lane is rotated between them). A
/// start is at least G - 12 * 12 * group = 0, so each is itself a word that is not negative.
void pack_starts(const Operand& operand, Panel& panel) {
  const int bias = operand.group * 144;
  const auto steps = static_cast<std::size_t>(operand.group / 4);
  const auto stride = static_cast<std::size_t>(panel.rows);
  panel.starts.resize(static_cast<std::size_t>(operand.pairs) * stride);
  for (std::size_t at = 0; at < panel.starts.size(); ++at) {
    const std::size_t pair = at / stride;
    std::uint32_t start = 0;
    for (std::size_t half = 0; half < 2; ++half) {
      int sum = 0;
      for (std::size_t step = 0; step < steps; ++step) {
        const std::uint32_t four =
            panel.values[((pair * 2 + half) * steps + step) * stride + at % stride];
        for (int i = 0; i < 32; i += 8) sum += static_cast<std::int8_t>(four >> i);
      }
      start |= static_cast<std::uint32_t>(bias - offset * sum) << (16 * half);
    }
    panel.starts[at] = start;
  }
}

/// Scale factors of a row, one for each group; zeros beyond k and for what is not finite.
struct RowScales {
  std::vector<std::uint32_t> significands;
  std::vector<std::int32_t> exponents;  ///< of zeros: `none`
  std::vector<std::uint8_t> negative;
  bool any_negative = false;
  static constexpr int none = 1 << 20;

  void set(std::size_t first, std::size_t end, const Number& s) {
    const bool zero = s.kind != Number::Kind::finite || s.significand == 0;
    for (std::size_t g = first; g < end; ++g) {
      significands[g] = zero ? 0 : s.significand;
      exponents[g] = zero ? none : s.exponent;
      negative[g] = static_cast<std::uint8_t>(s.negative);
    }
    any_negative = any_negative || s.negative;
  }
};

void read_scales(const Operand& operand, const Tables& tables, std::int64_t row, RowScales& scales,
                 RowRange& range) {
  const Reader reader(operand.source);
  const auto groups = static_cast<std::size_t>(2 * operand.pairs);
  const auto used = static_cast<std::size_t>((operand.k + operand.group - 1) / operand.group);
  scales.significands.resize(groups);
  scales.exponents.resize(groups);
  scales.negative.resize(groups);
  scales.any_negative = false;
  scales.set(used, groups, Number{});
  const Number one{.significand = 1};
  if (tables.constant_scale) {
    set_factor(range, tables.tensor_scale, tables.scale[reader.scale_code(row, 0)]);
    scales.set(0, used, one);
    return;
  }
  set_factor(range, tables.tensor_scale, one);
  const auto groups_of_block = static_cast<std::size_t>(reader.block_cols() / operand.group);
  std::size_t g = 0;
  for (std::int64_t block = 0; g < used; ++block) {
    const Number s = tables.scale[reader.scale_of_block(row, block)];
    range.nan = range.nan || s.kind == Number::Kind::nan;
    range.infinite = range.infinite || s.kind == Number::Kind::infinity;
    const std::size_t end = std::min(g + groups_of_block, used);
    scales.set(g, end, s);
    g = end;
  }
}

/// A row's scale factors go to its lane of the panel, over the least exponents of row and chunks.
void pack_scales(const Operand& operand, const RowScales& scales, RowRange& range, std::size_t lane,
                 Panel& panel) {
  const std::size_t groups = scales.exponents.size();
  const auto stride = static_cast<std::size_t>(panel.rows);
  const auto groups_of_chunk = static_cast<std::size_t>(operand.chunk / operand.group);
  int least = RowScales::none;
  int most = -RowScales::none;
  for (std::size_t g = 0; g < groups; ++g) {
    if (scales.significands[g] == 0) continue;
    least = std::min(least, scales.exponents[g]);
    most = std::max(most,
                    scales.exponents[g] + static_cast<int>(std::bit_width(scales.significands[g])));
  }
  if (most < least) least = most = 0;
  range.base = least - 1;  // the bytes are twice the values
  range.bits = most - least;
  for (std::size_t c = 0; c < panel.chunk_max.size(); ++c) {
    const std::size_t begin = c * groups_of_chunk;
    const std::size_t end = std::min(begin + groups_of_chunk, groups);
    int low = RowScales::none;
    for (std::size_t g = begin; g < end; ++g) low = std::min(low, scales.exponents[g]);
    panel.shifts[c * stride + lane] = low == RowScales::none ? 0 : low - least;
    std::uint64_t largest = panel.chunk_max[c];
    const auto integer = [&](std::size_t g) {
      const std::uint32_t significand = scales.significands[g];
      panel.scales[g * stride + lane] = {significand,
                                         significand == 0 ? 0 : scales.exponents[g] - least};
      // More than 16 bits pass no check and are kept out of the words.
      const int up = std::min(scales.exponents[g] - low, 17);
      const std::uint64_t x =
          std::min(std::uint64_t{significand} << std::max(up, 0), std::uint64_t{0x10000});
      largest = std::max(largest, x);
      return static_cast<std::uint32_t>(x & 0xFFFFU);
    };
    for (std::size_t g = begin; g < end; g += 2) {
      const std::uint32_t first = integer(g);
      panel.scale_pairs[g / 2 * stride + lane] = first << 16 | integer(g + 1);
    }
    panel.chunk_max[c] = static_cast<std::uint32_t>(largest);
  }
}

}  // namespace

void pack_bytes(Operand& operand, const Tables& tables, std::int64_t first, int count,
                Panel& panel) {
  static const ByteTable unsigned_table(offset);
  static const ByteTable signed_table(0);
  const bool is_a = operand.side == ExactSide::a;
  panel.rows = is_a ? count : b_rows;
  const auto stride = static_cast<std::size_t>(panel.rows);
  const auto pairs = static_cast<std::size_t>(operand.pairs);
  const auto chunks = static_cast<std::size_t>(operand.chunks);
  panel.values.resize(pairs * static_cast<std::size_t>(operand.group / 2) * stride);
  panel.scale_pairs.resize(pairs * stride);
  panel.scales.resize(2 * pairs * stride);
  panel.shifts.resize(chunks * stride);
  panel.chunk_max.assign(chunks, 0);
  if (count < panel.rows) {  // lanes without a row
    std::fill(panel.values.begin(), panel.values.end(), 0);
    std::fill(panel.scale_pairs.begin(), panel.scale_pairs.end(), 0);
    std::fill(panel.scales.begin(), panel.scales.end(), Scale{});
    std::fill(panel.shifts.begin(), panel.shifts.end(), 0);
  }
  RowScales scales;
  for (int r = 0; r < count; ++r) {
    const std::int64_t row = first + r;
    const auto lane = static_cast<std::size_t>(r);
    RowRange& range = operand.ranges[static_cast<std::size_t>(row)];
    std::uint32_t* values = panel.values.data() + lane;
    pack_values(operand, is_a ? unsigned_table : signed_table, row, values, panel.rows);
    read_scales(operand, tables, row, scales, range);
    for (std::size_t g = 0; scales.any_negative && g < scales.negative.size(); ++g)
      if (scales.negative[g] != 0) negate_group(operand, g, is_a, values, panel.rows);
    pack_scales(operand, scales, range, lane, panel);
  }
  if (!is_a) pack_starts(operand, panel);
}

}  // namespace assay::golden::exact_parts

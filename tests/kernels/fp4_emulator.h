// SPDX-License-Identifier: Apache-2.0
#pragma once
// What Blackwell's FP4 instructions do with registers, shared memory and tensor memory, as PTX ISA
// 9.0 documents it, with the arithmetic of a published model (simulator/mma/dot.h). Written from
// the document, without the kernels' maps.

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <span>
#include <vector>

#include "simulator/mma/dot.h"

namespace assay::tests {

using Words = std::vector<std::uint32_t>;

/// One output of one instruction: 64 codes and the scale factors of A's row and B's column.
inline std::uint32_t multiply(const simulator::MmaModel& model, const Words& a, const Words& b,
                              const Words& scale_a, const Words& scale_b, std::uint32_t c) {
  return simulator::dot(model, {a, b, c, scale_a, scale_b});
}

inline std::uint32_t nibble(std::uint32_t word, int i) { return word >> 4 * i & 15U; }
inline std::uint32_t byte_of(std::uint32_t word, int i) { return word >> 8 * i & 255U; }

/// The registers of a warp for mma.sync.m16n8k64 with .block_scale.
struct WarpRegisters {
  std::uint32_t a[32][4], b[32][2], scale_a[32], scale_b[32];
};

/// d += A B: sections 9.7.14.5.11 (fragments) and 9.7.14.3 (selectors). `count`: 4 for
/// .scale_vec::4X, 2 for 2X.
inline void warp_multiply(const simulator::MmaModel& model, int count, const WarpRegisters& w,
                          int byte_id_a, int thread_id_a, int byte_id_b, int thread_id_b,
                          std::uint32_t (&d)[32][4]) {
  std::vector<Words> a(16, Words(64)), b(8, Words(64)), sa(16), sb(8);
  for (int lane = 0; lane < 32; ++lane) {
    const int group = lane >> 2, in_group = lane % 4;
    for (int i = 0; i < 32; ++i) {
      const int row = (0 <= i && i < 8) || (16 <= i && i < 24) ? group : group + 8;
      const int col = in_group * 8 + (i & 7) + (i < 16 ? 0 : 32);
      a[row][col] = nibble(w.a[lane][i / 8], i % 8);
    }
    for (int i = 0; i < 16; ++i)
      b[group][in_group * 8 + (i & 7) + (i < 8 ? 0 : 32)] = nibble(w.b[lane][i / 8], i % 8);
  }
  for (int row = 0; row < 16; ++row) {  // a pair of threads in each quad: rows 0..7, rows 8..15
    const int lane = row % 8 * 4 + 2 * thread_id_a + row / 8;
    for (int i = 0; i < count; ++i) sa[row].push_back(byte_of(w.scale_a[lane], byte_id_a + i));
  }
  for (int col = 0; col < 8; ++col)
    for (int i = 0; i < count; ++i)
      sb[col].push_back(byte_of(w.scale_b[col * 4 + thread_id_b], byte_id_b + i));
  for (int lane = 0; lane < 32; ++lane)
    for (int i = 0; i < 4; ++i) {
      const int row = lane / 4 + (i < 2 ? 0 : 8), col = lane % 4 * 2 + (i & 1);
      d[lane][i] = multiply(model, a[row], b[col], sa[row], sb[col], d[lane][i]);
    }
}

/// Tensor memory and the shared memory of a thread block, and the instructions between them.
class TensorCore {
 public:
  static constexpr int lanes = 128, columns = 512;

  TensorCore(const simulator::MmaModel& model, std::size_t shared_bytes)
      : shared(shared_bytes, 0xEE), model_(model), cells_(lanes * columns, 0xEEEEEEEEU) {}

  std::vector<std::uint8_t> shared;  ///< from address 0 on

  [[nodiscard]] std::uint32_t& cell(int lane, int column) {
    return cells_.at(static_cast<std::size_t>(lane * columns + column));
  }

  /// tcgen05.cp.32x128b.warpx4: 32 rows of 16 bytes, in each of the four groups of lanes.
  void copy_scales(std::uint32_t to, std::uint64_t descriptor) {
    EXPECT_EQ(to >> 16, 0U);
    for (int row = 0; row < 32; ++row)
      for (int word = 0; word < 4; ++word) {
        std::uint32_t value = 0;
        for (int i = 3; i >= 0; --i) value = value << 8 | fetch(descriptor, row, 4 * word + i);
        for (int group = 0; group < 4; ++group)
          cell(group * 32 + row, static_cast<int>(to) + word) = value;
      }
  }

  /// tcgen05.mma of .kind::mxf4nvf4 or mxf4, .cta_group::1.
  void multiply(std::uint32_t d, std::uint64_t a, std::uint64_t b, std::uint32_t instruction,
                std::uint32_t scale_a, std::uint32_t scale_b, bool accumulate) {
    const auto field = [&](int first, int bits) {
      return static_cast<int>(instruction >> first & ((1U << bits) - 1));
    };
    const int n_count = field(17, 6) * 8, m_count = field(27, 2) * 128;
    EXPECT_EQ(m_count, 128);
    EXPECT_EQ(field(7, 3), 1);
    EXPECT_EQ(field(10, 2), 1);
    EXPECT_EQ(field(23, 1) == 1, model_.scale->mantissa_bits == 0);
    EXPECT_EQ(field(0, 4) | field(6, 1) | field(12, 5) | field(24, 3) | field(31, 1), 0);
    const int count = 64 / model_.scale_block;
    EXPECT_TRUE(count == 2 || (field(4, 2) | field(29, 2)) == 0);
    std::vector<Words> rows_a, rows_b, factors_a, factors_b;
    for (int m = 0; m < m_count; ++m) {
      rows_a.push_back(row_of(a, m));
      factors_a.push_back(factors(scale_a, m, field(29, 2), count));
    }
    for (int n = 0; n < n_count; ++n) {
      rows_b.push_back(row_of(b, n));
      factors_b.push_back(factors(scale_b, n, field(4, 2), count));
    }
    EXPECT_EQ(d >> 16, 0U);
    for (int m = 0; m < m_count; ++m)
      for (int n = 0; n < n_count; ++n) {
        std::uint32_t& out = cell(m, static_cast<int>(d) + n);
        out = tests::multiply(model_, rows_a[m], rows_b[n], factors_a[m], factors_b[n],
                              accumulate ? out : 0);
      }
  }

 private:
  /// Byte `byte` of row `row` of a K-major matrix: section 9.7.16.4.1 and the canonical layouts.
  [[nodiscard]] std::uint8_t fetch(std::uint64_t descriptor, int row, int byte) const {
    const auto field = [&](int first, int bits) {
      return static_cast<std::uint32_t>(descriptor >> first & ((std::uint64_t{1} << bits) - 1));
    };
    EXPECT_EQ(field(46, 3), 1U);
    EXPECT_EQ(field(49, 12), 0U);  // base offset, mode of the leading stride, fixed zeros
    const std::uint32_t swizzle = field(61, 3);
    const std::uint32_t row_bytes = swizzle == 2 ? 128 : 16;
    EXPECT_TRUE(swizzle == 0 || swizzle == 2);
    std::uint32_t address = field(0, 14) * 16 + row / 8 * (field(32, 14) * 16) +
                            row % 8 * row_bytes + static_cast<std::uint32_t>(byte);
    if (swizzle == 2) address ^= (address >> 7 & 7U) << 4;
    return shared.at(address);
  }
  [[nodiscard]] Words row_of(std::uint64_t descriptor, int row) const {
    Words codes;
    for (int byte = 0; byte < 32; ++byte)
      for (int half = 0; half < 2; ++half)
        codes.push_back(nibble(fetch(descriptor, row, byte), half));
    return codes;
  }
  /// Layouts of the scale factor matrices, 9.7.16.10.7: row r in lane r % 32 of column r / 32, the
  /// same in all four groups of lanes.
  [[nodiscard]] Words factors(std::uint32_t address, int row, int id, int count) {
    const int column = static_cast<int>(address & 0xFFFFU) + row / 32;
    const std::uint32_t word = cell(row % 32, column);
    for (int group = 1; group < 4; ++group) EXPECT_EQ(cell(group * 32 + row % 32, column), word);
    Words all;
    for (int i = 0; i < count; ++i) all.push_back(byte_of(word, id + i));
    return all;
  }

  const simulator::MmaModel& model_;
  Words cells_;
};

}  // namespace assay::tests

// SPDX-License-Identifier: Apache-2.0
#pragma once
// Inside the fast exact GEMM: tiles of D, and which sums go through how many bits.
//
// Let row m of A hold integers below 2^x in magnitude over its base (RowRange::bits), row n of B
// below 2^y.
// bytes: the integers are scale factors; a group adds at most G = group * 144 times them, so
//   |sum| < 2^(x + y) * G * groups <= 2^(x + y + bit_width(G * groups)).
// words: |sum| < 2^(x + y) * k <= 2^(x + y + bit_width(k)).
// An exponent of at most 63 (Limits::bits64) proves that the sum fits 64 bits with a sign; terms
// and partial sums are taken modulo 2^64, so they may wrap: the sum is right all the same. Late
// scale factors add their bits to x and y, and 127 (Limits::bits128) proves 128 bits likewise; the
// sum of a chunk of words over its own power of two then needs 64 bits, by the same argument with
// chunk * 2^(12 + step * (planes - 1)) for each side. Where a chunk's sum over the rows' bases
// needs at most 62 bits, late scale factors are integers below 2^31 and all together needs at most
// 124 bits, vectors add in three digits: the highest, 2^62, sums to less than 2^62. What no check
// lets through goes to big integers, element by element.

#include <cstdint>
#include <memory>

#include "golden/exact_gemm_kernels.h"
#include "golden/exact_gemm_operand.h"
#include "golden/exact_gemm_round.h"

namespace assay::golden::exact_parts {

/// Tiles that are computed together, one below the other: a chunk of B's panel stays in the first
/// cache (10 KiB of 32) while it meets as many of A's (2 KiB each, with sums of 1.5 KiB).
constexpr int tiles_together = 4;

enum class Way : std::uint8_t { in_64, in_digits, in_128, big };

/// A tile of D on its way.
struct Tile {
  Way way = Way::big;
  alignas(64) std::int64_t totals[tile_size];
  alignas(64) std::uint32_t codes[tile_size];
  alignas(64) std::int64_t digits[3 * tile_size];
  Int128 wide[tile_size];
};

/// What one thread works with.
struct Scratch {
  alignas(64) std::int32_t sums[most_sums * tile_size];
  alignas(64) double odd[tile_size];
  alignas(64) std::int32_t right[b_rows];
  alignas(64) std::int64_t right_scales[b_rows];
  alignas(64) std::uint32_t right_words[b_rows];
  Tile tiles[tiles_together];
};

class TileGemm {
 public:
  TileGemm(const Operand& a, const Operand& b, const KernelTable& kernels, const Limits& limits)
      : a_(a), b_(b), kernels_(kernels), limits_(limits), s_(std::make_unique<Scratch>()) {}

  /// Codes of the tiles of A's panels i .. i + count - 1 and B's panel j in `codes(0)` and on.
  void compute(std::int64_t i, int count, std::int64_t j, const ExactGemmOptions& options);
  [[nodiscard]] const std::uint32_t* codes(int tile) const { return s_->tiles[tile].codes; }
  [[nodiscard]] const ExactGemmCounts& counts() const { return counts_; }

 private:
  /// Makes a tile the one that the others work on.
  void select(std::int64_t first, int tile);

  const RowRange& row(int m) const { return a_.ranges[static_cast<std::size_t>(i_ * a_rows + m)]; }
  const RowRange& column(int n) const {
    return b_.ranges[static_cast<std::size_t>(j_ * b_rows + n)];
  }

  Way way() const;
  void begin();
  void byte_chunk(std::size_t c);
  void byte_groups(std::size_t c);
  void word_chunk(std::size_t c);
  bool word_products(std::size_t c, int pa, int pb, bool any, std::int32_t* sums);
  void add_late(std::size_t c);
  void add_late_wide(std::size_t c);
  void add(const std::int32_t* left, const std::int32_t* right);
  void round(const ExactGemmOptions& options);
  double round_one(int m, int n) const;
  void big(const ExactGemmOptions& options);
  void specials(const ExactGemmOptions& options);

  const Operand& a_;
  const Operand& b_;
  const KernelTable& kernels_;
  const Limits limits_;
  std::unique_ptr<Scratch> s_;
  ExactGemmCounts counts_;
  Tile* t_ = nullptr;
  std::int64_t i_ = 0, j_ = 0;
  int rows_ = 0, columns_ = 0;
  const Panel* left_ = nullptr;
  const Panel* right_ = nullptr;
};

}  // namespace assay::golden::exact_parts

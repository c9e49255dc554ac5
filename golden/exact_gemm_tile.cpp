// SPDX-License-Identifier: Apache-2.0
#include "golden/exact_gemm_tile.h"

#include <algorithm>
#include <bit>

namespace assay::golden::exact_parts {

Way TileGemm::way() const {
  const int x = left_->bits;
  const int y = right_->bits;
  const int with_late = left_->bits_with_late + right_->bits_with_late;
  const int late_bits = std::max(left_->bits_late, right_->bits_late);
  std::int64_t terms = a_.k;
  if (a_.kernel == Kernel::bytes) terms = 2 * a_.pairs * a_.group * 144;
  const auto bits = static_cast<int>(std::bit_width(static_cast<std::uint64_t>(terms)));
  const bool late = a_.late || b_.late;
  const auto chunk_bits = static_cast<int>(std::bit_width(static_cast<unsigned>(a_.chunk)));
  if (!late && x + y + bits <= limits_.bits64) return Way::in_64;
  if (with_late + bits > limits_.bits128) return Way::big;
  if (late && x + y + chunk_bits <= limits_.total_digits && late_bits <= limits_.late_digit &&
      with_late + bits <= limits_.digits)
    return Way::in_digits;
  if (a_.kernel == Kernel::words)
    for (std::size_t c = 0; c < left_->planes.size(); ++c) {
      const int sum_bits = 24 + a_.plane_step * (left_->planes[c] - 1) +
                           b_.plane_step * (right_->planes[c] - 1) + chunk_bits;
      if (sum_bits > limits_.bits64) return Way::big;
    }
  return Way::in_128;
}

/// sums * 2^(left + right), into 64 bits, or into 128.
void TileGemm::add(const std::int32_t* left, const std::int32_t* right) {
  if (t_->way == Way::in_64) {
    constexpr std::int32_t none = 0;
    kernels_.add_shifted({rows_, 1, s_->sums, &none, left, right, t_->totals});
    return;
  }
  for (int m = 0; m < rows_; ++m)
    for (int n = 0; n < columns_; ++n)
      t_->wide[m * b_rows + n] = static_cast<Int128>(
          static_cast<Uint128>(t_->wide[m * b_rows + n]) +
          (static_cast<Uint128>(Int128{s_->sums[m * b_rows + n]}) << (left[m] + right[n])));
}

void TileGemm::byte_chunk(std::size_t c) {
  if (std::uint64_t{left_->chunk_max[c]} * right_->chunk_max[c] > limits_.product ||
      left_->chunk_max[c] > 0xFFFF || right_->chunk_max[c] > 0xFFFF) {
    byte_groups(c);
    return;
  }
  ++counts_.chunks;
  const int pairs_of_chunk = a_.chunk / (2 * a_.group);
  const std::size_t first = c * static_cast<std::size_t>(pairs_of_chunk);
  const auto pairs =
      std::min<std::int64_t>(pairs_of_chunk, a_.pairs - static_cast<std::int64_t>(first));
  const auto height = static_cast<std::size_t>(rows_);
  const auto words = static_cast<std::size_t>(a_.group / 2);
  kernels_.byte_sums(
      {rows_, static_cast<int>(pairs), a_.group / 4, left_->values.data() + first * words * height,
       left_->scale_pairs.data() + first * height, right_->values.data() + first * words * b_rows,
       right_->starts.data() + first * b_rows, right_->scale_pairs.data() + first * b_rows},
      s_->sums);
  add(left_->shifts.data() + c * height, right_->shifts.data() + c * b_rows);
}

/// Group by group: a pair of groups with scale factors 1 and 0, or 0 and 1, gives each's sum.
void TileGemm::byte_groups(std::size_t c) {
  ++counts_.chunks_by_group;
  const auto groups_of_chunk = static_cast<std::size_t>(a_.chunk / a_.group);
  const auto height = static_cast<std::size_t>(rows_);
  const auto words = static_cast<std::size_t>(a_.group / 2);
  const std::size_t end =
      std::min((c + 1) * groups_of_chunk, static_cast<std::size_t>(2 * a_.pairs));
  for (std::size_t g = c * groups_of_chunk; g < end; ++g) {
    const std::size_t pair = g / 2;
    std::uint32_t left_words[a_rows];
    const std::uint32_t one = g % 2 == 0 ? 0x10000U : 1U;
    std::fill_n(left_words, a_rows, one);
    std::fill_n(s_->right_words, b_rows, one);
    kernels_.byte_sums({rows_, 1, a_.group / 4, left_->values.data() + pair * words * height,
                        left_words, right_->values.data() + pair * words * b_rows,
                        right_->starts.data() + pair * b_rows, s_->right_words},
                       s_->sums);
    const Scale* left = left_->scales.data() + g * height;
    const Scale* right = right_->scales.data() + g * b_rows;
    if (t_->way == Way::in_64) {
      // Below 2^bits each, so within 64 bits; of a row outside the check, anything.
      const auto integer = [](const Scale& s) {
        return s.exponent > 63
                   ? 0
                   : static_cast<std::int64_t>(std::uint64_t{s.significand} << s.exponent);
      };
      std::int64_t left_scales[a_rows];
      for (int m = 0; m < rows_; ++m) left_scales[m] = integer(left[m]);
      for (int n = 0; n < b_rows; ++n) s_->right_scales[n] = integer(right[n]);
      kernels_.add_scaled(rows_, s_->sums, left_scales, s_->right_scales, t_->totals);
      continue;
    }
    for (int m = 0; m < rows_; ++m)
      for (int n = 0; n < columns_; ++n) {
        const Int128 term = Int128{s_->sums[m * b_rows + n]} *
                            (std::uint64_t{left[m].significand} * right[n].significand);
        Int128& total = t_->wide[m * b_rows + n];
        total = static_cast<Int128>(
            static_cast<Uint128>(total) +
            (static_cast<Uint128>(term) << (left[m].exponent + right[n].exponent)));
      }
  }
}

void TileGemm::select(std::int64_t first, int tile) {
  t_ = &s_->tiles[tile];
  i_ = first + tile;
  left_ = &a_.panels[static_cast<std::size_t>(i_)];
  rows_ = left_->rows;
}

/// Chooses the tile's way and starts its sums.
void TileGemm::begin() {
  t_->way = way();
  const std::int64_t elements = std::int64_t{rows_} * columns_;
  if (t_->way == Way::big) {
    counts_.in_big_integers += elements;
    return;
  }
  (t_->way == Way::in_64 ? counts_.in_64_bits : counts_.in_128_bits) += elements;
  if (t_->way == Way::in_64)
    std::fill_n(t_->totals, rows_ * b_rows, 0);
  else if (t_->way == Way::in_128)
    std::fill_n(t_->wide, rows_ * b_rows, 0);
  else
    std::fill_n(t_->digits, 3 * tile_size, 0);
}

void TileGemm::compute(std::int64_t i, int count, std::int64_t j, const ExactGemmOptions& options) {
  j_ = j;
  right_ = &b_.panels[static_cast<std::size_t>(j)];
  columns_ = static_cast<int>(std::min<std::int64_t>(b_rows, b_.rows - j * b_rows));
  for (int tile = 0; tile < count; ++tile) {
    select(i, tile);
    begin();
  }
  for (std::size_t c = 0; c < static_cast<std::size_t>(a_.chunks); ++c)
    for (int tile = 0; tile < count; ++tile) {
      select(i, tile);
      if (t_->way == Way::big) continue;
      a_.kernel == Kernel::bytes ? byte_chunk(c) : word_chunk(c);
    }
  for (int tile = 0; tile < count; ++tile) {
    select(i, tile);
    t_->way == Way::big ? big(options) : round(options);
    if (left_->special || right_->special) specials(options);
  }
}

}  // namespace assay::golden::exact_parts

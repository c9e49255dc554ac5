// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "golden/exact_gemm_tile.h"

namespace assay::golden::exact_parts {
namespace {

/// In 128 bits, a chunk's sum is over its own power of two first: what that is over the row's.
int own_shift(int shift, int step, int planes) { return std::max(0, shift - step * (planes - 1)); }

}  // namespace

/// Products of planes pa and pb of a chunk, added to the sums where there are `any` already. False
/// where there are none.
bool TileGemm::word_products(std::size_t c, int pa, int pb, bool any, std::int32_t* sums) {
  const int pairs = a_.chunk / 2;
  const auto height = static_cast<std::size_t>(rows_);
  const std::uint32_t* a = left_->values.data() + c * static_cast<std::size_t>(pairs) * height;
  const std::uint32_t* b = right_->values.data() + c * static_cast<std::size_t>(pairs) * b_rows;
  if (pa == 0 && pb == 0) {
    kernels_.word_sums({rows_, pairs, a, nullptr, b, nullptr, false}, sums);
    return true;
  }
  const LowList& left = left_->low[c][0];
  const std::size_t a_first = left.first[static_cast<std::size_t>(pa)];
  const int a_count = pa == 0 ? pairs : left.count(pa);
  if (a_count == 0) return false;
  const std::uint32_t* a_low = left.values.data() + a_first * height;
  const std::uint8_t* a_pairs = left.pairs.data() + a_first;
  if (pb == 0) {
    kernels_.word_sums({rows_, a_count, a_low, nullptr, b, a_pairs, any}, sums);
    return true;
  }
  WordJob jobs[2];
  std::uint8_t a_index[2][most_pairs];
  std::uint8_t b_index[2][most_pairs];
  for (std::size_t half = 0; half < 2; ++half) {
    const LowList& right = right_->low[c][half];
    const std::size_t b_first = right.first[static_cast<std::size_t>(pb)];
    const int b_count = right.count(pb);
    const std::uint32_t* b_low = right.values.data() + b_first * 16;
    const std::uint8_t* b_pairs = right.pairs.data() + b_first;
    jobs[half] = {rows_, b_count, a, b_pairs, b_low, nullptr, any};
    if (pa == 0) continue;
    const int both =
        kernels_.intersect(left.masks[static_cast<std::size_t>(pa)],
                           right.masks[static_cast<std::size_t>(pb)], a_index[half], b_index[half]);
    jobs[half] = {rows_, both, a_low, a_index[half], b_low, b_index[half], any};
  }
  if (jobs[0].count + jobs[1].count == 0) return false;
  kernels_.word_sums_halves(jobs[0], jobs[1], sums);
  return true;
}

void TileGemm::word_chunk(std::size_t c) {
  // The lists of the next chunk lie apart: on their way while this one's products are summed.
  if (c + 1 < left_->low.size()) {
    const LowList& next = left_->low[c + 1][0];
    __builtin_prefetch(next.pairs.data());
    for (std::size_t at = 0; at < next.values.size() && at < 128; at += 16)
      __builtin_prefetch(next.values.data() + at);
  }
  const int a_planes = left_->planes[c];
  const int b_planes = right_->planes[c];
  const bool own = t_->way == Way::in_128;
  if (t_->way != Way::in_64) std::fill_n(t_->totals, rows_ * b_rows, 0);
  const std::int32_t* row_shifts = left_->shifts.data() + c * static_cast<std::size_t>(rows_);
  const std::int32_t* right = right_->shifts.data() + c * b_rows;
  std::int32_t left[a_rows];
  for (int m = 0; m < rows_; ++m)
    left[m] = row_shifts[m] - (own ? own_shift(row_shifts[m], a_.plane_step, a_planes) : 0);
  if (own) {
    for (int n = 0; n < b_rows; ++n)
      s_->right[n] = right[n] - own_shift(right[n], b_.plane_step, b_planes);
    right = s_->right;
  }
  // Each k adds to one pair of planes, so the sums of several pairs together are bounded as one is:
  // those that count the same powers of two are one sum.
  std::int32_t down[most_sums];
  int count = 0;
  const auto add_all = [&] {
    kernels_.add_shifted({rows_, count, s_->sums, down, left, right, t_->totals});
    count = 0;
  };
  for (int depth = 0; depth < a_planes + b_planes - 1; ++depth)
    for (int pa = std::max(0, depth - b_planes + 1); pa <= std::min(depth, a_planes - 1); ++pa) {
      const int pb = depth - pa;
      const int below = a_.plane_step * pa + b_.plane_step * pb;
      const bool any = count > 0 && down[count - 1] == below;
      if (!any && count == most_sums) add_all();
      const int at = any ? count - 1 : count;
      if (!word_products(c, pa, pb, any, s_->sums + at * tile_size) || any) continue;
      down[count++] = below;
    }
  add_all();
  if (t_->way == Way::in_digits) add_late(c);
  if (t_->way == Way::in_128) add_late_wide(c);
}

void TileGemm::add_late(std::size_t c) {
  std::uint32_t left[a_rows];
  const auto integer = [](const Scale& s) { return s.significand << s.exponent; };
  for (int m = 0; m < rows_; ++m)
    left[m] =
        a_.late
            ? integer(
                  left_->scales[c * static_cast<std::size_t>(rows_) + static_cast<std::size_t>(m)])
            : 1;
  for (int n = 0; n < b_rows; ++n)
    s_->right_words[n] =
        b_.late ? integer(right_->scales[c * b_rows + static_cast<std::size_t>(n)]) : 1;
  kernels_.add_late({rows_, t_->totals, left, s_->right_words, t_->digits, tile_size});
}

void TileGemm::add_late_wide(std::size_t c) {
  const int a_planes = left_->planes[c];
  const int b_planes = right_->planes[c];
  const Scale one{1, 0};
  for (int m = 0; m < rows_; ++m) {
    const std::size_t at = c * static_cast<std::size_t>(rows_) + static_cast<std::size_t>(m);
    const Scale x = a_.late ? left_->scales[at] : one;
    const int shift = own_shift(left_->shifts[at], a_.plane_step, a_planes) + x.exponent;
    for (int n = 0; n < columns_; ++n) {
      const std::size_t there = c * b_rows + static_cast<std::size_t>(n);
      const Scale y = b_.late ? right_->scales[there] : one;
      const Int128 term =
          Int128{t_->totals[m * b_rows + n]} * (std::uint64_t{x.significand} * y.significand);
      const int up = shift + own_shift(right_->shifts[there], b_.plane_step, b_planes) + y.exponent;
      Int128& total = t_->wide[m * b_rows + n];
      total = static_cast<Int128>(static_cast<Uint128>(total) + (static_cast<Uint128>(term) << up));
    }
  }
}

}  // namespace assay::golden::exact_parts

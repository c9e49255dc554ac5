// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "golden/exact_gemm_tile.h"

namespace assay::golden::exact_parts {
namespace {

/// In 128 bits, a chunk's sum is over its own power of two first: what that is over the row's.
int own_shift(int shift, int step, int planes) { return std::max(0, shift - step * (planes - 1)); }

}  // namespace

/// Products of planes pa and pb of a chunk, added to the sums where there are `any` already; `any`
/// becomes true where there are some.
void TileGemm::word_products(std::size_t c, int pa, int pb, bool& any) {
  const int pairs = a_.chunk / 2;
  const auto height = static_cast<std::size_t>(rows_);
  const std::uint32_t* a = left_->values.data() + c * static_cast<std::size_t>(pairs) * height;
  const std::uint32_t* b = right_->values.data() + c * static_cast<std::size_t>(pairs) * b_rows;
  if (pa == 0 && pb == 0) {
    any = true;
    kernels_.word_sums32({rows_, pairs, a, nullptr, b, b_rows, nullptr, false}, t_->sums);
    return;
  }
  const LowList& left = left_->low[c][0];
  const std::size_t a_first = left.first[static_cast<std::size_t>(pa)];
  const int a_count = pa == 0 ? pairs : left.count(pa);
  if (a_count == 0) return;
  const std::uint32_t* a_low = left.values.data() + a_first * height;
  const std::uint8_t* a_pairs = left.pairs.data() + a_first;
  if (pb == 0) {
    kernels_.word_sums32({rows_, a_count, a_low, nullptr, b, b_rows, a_pairs, any}, t_->sums);
    any = true;
    return;
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
    jobs[half] = {rows_, b_count, a, b_pairs, b_low, 16, nullptr, any};
    if (pa == 0) continue;
    int both = 0;
    if (b_count != 0)
      for (int x = 0; x < a_count; ++x) {
        const std::uint8_t y = right.where[static_cast<std::size_t>(pb * most_pairs) + a_pairs[x]];
        a_index[half][both] = static_cast<std::uint8_t>(x);
        b_index[half][both] = y;
        both += static_cast<int>(y != no_entry);
      }
    jobs[half] = {rows_, both, a_low, a_index[half], b_low, 16, b_index[half], any};
  }
  if (jobs[0].count + jobs[1].count == 0) return;
  for (int half = 0; half < 2; ++half)
    if (!any || jobs[half].count != 0) kernels_.word_sums16(jobs[half], t_->sums + 16 * half);
  any = true;
}

void TileGemm::word_chunk(std::size_t c, Way way) {
  const std::int32_t* left_shifts = left_->shifts.data() + c * static_cast<std::size_t>(rows_);
  const std::int32_t* right_shifts = right_->shifts.data() + c * b_rows;
  const int a_planes = left_->planes[c];
  const int b_planes = right_->planes[c];
  const bool same_steps = a_.plane_step == b_.plane_step;
  if (way != Way::in_64) std::fill_n(t_->totals, rows_ * b_rows, 0);
  for (int depth = 0; depth < a_planes + b_planes - 1; ++depth) {
    // Pairs of planes of one depth count the same powers of two where the steps are equal. Each k
    // adds to one pair of planes, so their sums together are bounded as one is.
    bool any = false;
    const int first = std::max(0, depth - b_planes + 1);
    const int last = std::min(depth, a_planes - 1);
    for (int pa = first; pa <= last; ++pa) {
      const int pb = depth - pa;
      if (!same_steps) any = false;
      word_products(c, pa, pb, any);
      if (!any || (same_steps && pa != last)) continue;
      std::int32_t left[a_rows];
      for (int m = 0; m < rows_; ++m) {
        left[m] = left_shifts[m] - a_.plane_step * pa;
        if (way == Way::in_128) left[m] -= own_shift(left_shifts[m], a_.plane_step, a_planes);
      }
      for (int n = 0; n < b_rows; ++n) {
        t_->right[n] = right_shifts[n] - b_.plane_step * pb;
        if (way == Way::in_128) t_->right[n] -= own_shift(right_shifts[n], b_.plane_step, b_planes);
      }
      kernels_.add_shifted(rows_, t_->sums, left, t_->right, t_->totals);
    }
  }
  if (way == Way::in_digits) add_late(c);
  if (way == Way::in_128) add_late_wide(c);
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
    t_->right_words[n] =
        b_.late ? integer(right_->scales[c * b_rows + static_cast<std::size_t>(n)]) : 1;
  kernels_.add_late({rows_, t_->totals, left, t_->right_words, t_->digits, tile_size});
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

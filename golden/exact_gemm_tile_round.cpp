// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>

#include "golden/exact_gemm_tile.h"
#include "golden/exact_gemm_wide.h"

namespace assay::golden::exact_parts {

double TileGemm::round_one(int m, int n) const {
  const RowRange& x = row(m);
  const RowRange& y = column(n);
  if (x.zero_factor || y.zero_factor) return 0;
  const int at = m * b_rows + n;
  const Int128 sum = t_->way == Way::in_64 ? Int128{t_->totals[at]} : t_->wide[at];
  return round_to_odd(
      x.negative_factor != y.negative_factor ? -sum : sum, x.factor, y.factor,
      x.base + x.late_base + x.factor_exponent + y.base + y.late_base + y.factor_exponent);
}

void TileGemm::round(const ExactGemmOptions& options) {
  const int factor_bits = left_->factor_bits + right_->factor_bits;
  const double* rows = left_->factors.data();
  const double* columns = right_->factors.data();
  bool done = false;
  if (t_->way == Way::in_64 && factor_bits <= 53)
    done = kernels_.round({rows_, t_->totals, rows, columns, s_->odd, t_->codes});
  if (t_->way == Way::in_digits && factor_bits == 2)  // both are powers of two
    done = kernels_.round_digits({rows_, t_->digits, rows, columns, s_->odd, t_->codes});
  if (t_->way == Way::in_digits && !done)
    for (int at = 0; at < rows_ * b_rows; ++at)
      t_->wide[at] = Int128{t_->digits[at]} + (Int128{t_->digits[tile_size + at]} << 31) +
                     (Int128{t_->digits[2 * tile_size + at]} << 62);
  if (!done)
    for (int m = 0; m < rows_; ++m)
      for (int n = 0; n < columns_; ++n) s_->odd[m * b_rows + n] = round_one(m, n);
  const bool nearest_f32 = options.output == &formats::fp32 &&
                           options.rounding == formats::RoundingMode::nearest_even &&
                           options.policy.overflow == formats::Overflow::to_infinity;
  if (done && nearest_f32) return;
  for (int m = 0; m < rows_; ++m)
    for (int n = 0; n < columns_; ++n) {
      const int at = m * b_rows + n;
      t_->codes[at] = nearest_f32 ? std::bit_cast<std::uint32_t>(static_cast<float>(s_->odd[at]))
                                  : encode_odd(s_->odd[at], options);
    }
}

void TileGemm::big(const ExactGemmOptions& options) {
  std::vector<WideRow> columns;
  for (int n = 0; n < columns_; ++n) columns.push_back(wide_row(b_, j_ * b_rows + n));
  for (int m = 0; m < rows_; ++m) {
    const WideRow left = wide_row(a_, i_ * a_rows + m);
    for (int n = 0; n < columns_; ++n)
      t_->codes[m * b_rows + n] =
          encode_odd(wide_dot(a_, i_ * a_rows + m, left, b_, j_ * b_rows + n,
                              columns[static_cast<std::size_t>(n)]),
                     options);
  }
}

/// What rows with NaN or infinities make of their elements, whatever the sums said.
void TileGemm::specials(const ExactGemmOptions& options) {
  for (int m = 0; m < rows_; ++m)
    for (int n = 0; n < columns_; ++n) {
      const RowRange& x = row(m);
      const RowRange& y = column(n);
      std::uint32_t& code = t_->codes[m * b_rows + n];
      if (!x.nan && !y.nan && !x.infinite && !y.infinite) continue;
      ++counts_.special;
      SpecialSum sum = SpecialSum::nan;
      if (!x.nan && !y.nan) sum = special_dot(a_, i_ * a_rows + m, b_, j_ * b_rows + n);
      if (sum == SpecialSum::nan) code = encode_nan(options);
      if (sum == SpecialSum::positive_infinity) code = encode_infinity(false, options);
      if (sum == SpecialSum::negative_infinity) code = encode_infinity(true, options);
    }
}

}  // namespace assay::golden::exact_parts

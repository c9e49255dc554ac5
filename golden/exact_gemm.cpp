// SPDX-License-Identifier: Apache-2.0
// Tiles of D: which sums go through how many bits.
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
// chunk * 2^(12 + step * (planes - 1)) for each side. What no check lets through goes to big
// integers, element by element.
#include "golden/exact_gemm.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>
#include <stdexcept>
#include <string>

#include "golden/exact_gemm_kernels.h"
#include "golden/exact_gemm_operand.h"
#include "golden/exact_gemm_round.h"
#include "golden/exact_gemm_wide.h"

namespace assay::golden {
namespace exact_parts {
namespace {

constexpr int tile_size = a_rows * b_rows;

/// What one thread works on.
struct Tile {
  alignas(64) std::int32_t sums[tile_size];
  alignas(64) std::int64_t totals[tile_size];
  alignas(64) double odd[tile_size];
  alignas(64) std::uint32_t codes[tile_size];
  alignas(64) std::int32_t right[b_rows];
  alignas(64) std::int64_t right_scales[b_rows];
  alignas(64) std::uint32_t right_words[b_rows];
  Int128 wide[tile_size];
};

class TileGemm {
 public:
  TileGemm(const Operand& a, const Operand& b, const KernelTable& kernels, const Limits& limits)
      : a_(a), b_(b), kernels_(kernels), limits_(limits), t_(std::make_unique<Tile>()) {}

  /// Codes of the tile of panels i and j in `codes()`.
  void compute(std::int64_t i, std::int64_t j, const ExactGemmOptions& options);
  [[nodiscard]] const std::uint32_t* codes() const { return t_->codes; }
  [[nodiscard]] const ExactGemmCounts& counts() const { return counts_; }

 private:
  enum class Way : std::uint8_t { in_64, in_128, big };

  const RowRange& row(int m) const { return a_.ranges[static_cast<std::size_t>(i_ * a_rows + m)]; }
  const RowRange& column(int n) const {
    return b_.ranges[static_cast<std::size_t>(j_ * b_rows + n)];
  }

  Way way() const;
  void byte_chunk(std::size_t c, Way way);
  void byte_groups(std::size_t c, Way way);
  void word_chunk(std::size_t c, Way way);
  void word_products(std::size_t c, int pa, int pb, bool& any);
  void add(Way way, const std::int32_t* left, const std::int32_t* right);
  void add_wide(std::size_t c);
  void round(Way way, const ExactGemmOptions& options);
  void round_vectors(const ExactGemmOptions& options);
  double round_one(Way way, int m, int n) const;
  void big(const ExactGemmOptions& options);
  void specials(const ExactGemmOptions& options);

  const Operand& a_;
  const Operand& b_;
  const KernelTable& kernels_;
  const Limits limits_;
  std::unique_ptr<Tile> t_;
  ExactGemmCounts counts_;
  std::int64_t i_ = 0, j_ = 0;
  int rows_ = 0, columns_ = 0;
  const Panel* left_ = nullptr;
  const Panel* right_ = nullptr;
};

TileGemm::Way TileGemm::way() const {
  int x = 0;
  int y = 0;
  int x_late = 0;
  int y_late = 0;
  for (int m = 0; m < rows_; ++m) {
    x = std::max(x, row(m).bits);
    x_late = std::max(x_late, row(m).bits + row(m).bits_late);
  }
  for (int n = 0; n < columns_; ++n) {
    y = std::max(y, column(n).bits);
    y_late = std::max(y_late, column(n).bits + column(n).bits_late);
  }
  std::int64_t terms = a_.k;
  if (a_.kernel == Kernel::bytes) terms = 2 * a_.pairs * a_.group * 144;
  const auto bits = static_cast<int>(std::bit_width(static_cast<std::uint64_t>(terms)));
  const bool late = a_.late || b_.late;
  if (!late && x + y + bits <= limits_.bits64) return Way::in_64;
  if (x_late + y_late + bits > limits_.bits128) return Way::big;
  if (a_.kernel == Kernel::words)
    for (std::size_t c = 0; c < left_->planes.size(); ++c) {
      const int chunk_bits = 24 + a_.plane_step * (left_->planes[c] - 1) +
                             b_.plane_step * (right_->planes[c] - 1) +
                             static_cast<int>(std::bit_width(static_cast<unsigned>(a_.chunk)));
      if (chunk_bits > limits_.bits64) return Way::big;
    }
  return Way::in_128;
}

/// sums * 2^(left + right), into 64 bits, or into 128.
void TileGemm::add(Way way, const std::int32_t* left, const std::int32_t* right) {
  if (way == Way::in_64) {
    kernels_.add_shifted(rows_, t_->sums, left, right, t_->totals);
    return;
  }
  for (int m = 0; m < rows_; ++m)
    for (int n = 0; n < columns_; ++n)
      t_->wide[m * b_rows + n] = static_cast<Int128>(
          static_cast<Uint128>(t_->wide[m * b_rows + n]) +
          (static_cast<Uint128>(Int128{t_->sums[m * b_rows + n]}) << (left[m] + right[n])));
}

void TileGemm::byte_chunk(std::size_t c, Way way) {
  if (std::uint64_t{left_->chunk_max[c]} * right_->chunk_max[c] > limits_.product ||
      left_->chunk_max[c] > 0xFFFF || right_->chunk_max[c] > 0xFFFF) {
    byte_groups(c, way);
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
      t_->sums);
  add(way, left_->shifts.data() + c * height, right_->shifts.data() + c * b_rows);
}

/// Group by group: a pair of groups with scale factors 1 and 0, or 0 and 1, gives each's sum.
void TileGemm::byte_groups(std::size_t c, Way way) {
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
    std::fill_n(t_->right_words, b_rows, one);
    kernels_.byte_sums({rows_, 1, a_.group / 4, left_->values.data() + pair * words * height,
                        left_words, right_->values.data() + pair * words * b_rows,
                        right_->starts.data() + pair * b_rows, t_->right_words},
                       t_->sums);
    const Scale* left = left_->scales.data() + g * height;
    const Scale* right = right_->scales.data() + g * b_rows;
    if (way == Way::in_64) {
      // Below 2^bits each, so within 64 bits; of a row outside the check, anything.
      const auto integer = [](const Scale& s) {
        return s.exponent > 63
                   ? 0
                   : static_cast<std::int64_t>(std::uint64_t{s.significand} << s.exponent);
      };
      std::int64_t left_scales[a_rows];
      for (int m = 0; m < rows_; ++m) left_scales[m] = integer(left[m]);
      for (int n = 0; n < b_rows; ++n) t_->right_scales[n] = integer(right[n]);
      kernels_.add_scaled(rows_, t_->sums, left_scales, t_->right_scales, t_->totals);
      continue;
    }
    for (int m = 0; m < rows_; ++m)
      for (int n = 0; n < columns_; ++n) {
        const Int128 term = Int128{t_->sums[m * b_rows + n]} *
                            (std::uint64_t{left[m].significand} * right[n].significand);
        Int128& total = t_->wide[m * b_rows + n];
        total = static_cast<Int128>(
            static_cast<Uint128>(total) +
            (static_cast<Uint128>(term) << (left[m].exponent + right[n].exponent)));
      }
  }
}

/// Products of planes pa and pb of a chunk; `any` says whether there are any.
void TileGemm::word_products(std::size_t c, int pa, int pb, bool& any) {
  const int pairs = a_.chunk / 2;
  const auto height = static_cast<std::size_t>(rows_);
  const std::uint32_t* a = left_->values.data() + c * static_cast<std::size_t>(pairs) * height;
  const std::uint32_t* b = right_->values.data() + c * static_cast<std::size_t>(pairs) * b_rows;
  const auto of_plane = [](const LowList& list, int plane) {
    const auto is = [plane](const LowEntry& e) { return e.plane == plane; };
    const auto begin = std::find_if(list.entries.begin(), list.entries.end(), is);
    return std::pair(static_cast<int>(begin - list.entries.begin()),
                     static_cast<int>(std::find_if_not(begin, list.entries.end(), is) - begin));
  };
  any = true;
  if (pa == 0 && pb == 0) {
    kernels_.word_sums32({rows_, pairs, a, nullptr, b, b_rows, nullptr}, t_->sums);
    return;
  }
  std::uint8_t a_index[64];
  std::uint8_t b_index[64];
  if (pb == 0) {
    const LowList& list = left_->low[c][0];
    const auto [first, count] = of_plane(list, pa);
    any = count != 0;
    if (!any) return;
    for (int e = 0; e < count; ++e)
      b_index[e] = list.entries[static_cast<std::size_t>(first + e)].pair;
    kernels_.word_sums32(
        {rows_, count, list.values.data() + static_cast<std::size_t>(first) * height, nullptr, b,
         b_rows, b_index},
        t_->sums);
    return;
  }
  any = false;
  for (int half = 0; half < 2; ++half) {
    const LowList& list = right_->low[c][static_cast<std::size_t>(half)];
    const auto [first, count] = of_plane(list, pb);
    int used = 0;
    const std::uint32_t* a_values = a;
    const auto entry = [&](int e) {
      return list.entries[static_cast<std::size_t>(first + e)].pair;
    };
    if (pa == 0) {
      for (int e = 0; e < count; ++e, ++used) {
        a_index[used] = entry(e);
        b_index[used] = static_cast<std::uint8_t>(e);
      }
    } else {
      const LowList& other = left_->low[c][0];
      const auto [a_first, a_count] = of_plane(other, pa);
      a_values = other.values.data() + static_cast<std::size_t>(a_first) * height;
      int e = 0;
      for (int x = 0; x < a_count; ++x) {
        const std::uint8_t pair = other.entries[static_cast<std::size_t>(a_first + x)].pair;
        while (e < count && entry(e) < pair) ++e;
        if (e == count || entry(e) != pair) continue;
        a_index[used] = static_cast<std::uint8_t>(x);
        b_index[used++] = static_cast<std::uint8_t>(e);
      }
    }
    any = any || used != 0;
    kernels_.word_sums16({rows_, used, a_values, a_index,
                          list.values.data() + static_cast<std::size_t>(first) * 16, 16, b_index},
                         t_->sums + 16 * half);
  }
}

void TileGemm::word_chunk(std::size_t c, Way way) {
  const std::int32_t* left_shifts = left_->shifts.data() + c * static_cast<std::size_t>(rows_);
  const std::int32_t* right_shifts = right_->shifts.data() + c * b_rows;
  const int a_planes = left_->planes[c];
  const int b_planes = right_->planes[c];
  // In 128 bits, a chunk's sum is over its own power of two first.
  const auto own = [](int shift, int step, int planes) {
    return std::max(0, shift - step * (planes - 1));
  };
  if (way == Way::in_128) std::fill_n(t_->totals, rows_ * b_rows, 0);
  for (int pa = 0; pa < a_planes; ++pa)
    for (int pb = 0; pb < b_planes; ++pb) {
      bool any = false;
      word_products(c, pa, pb, any);
      if (!any) continue;
      std::int32_t left[a_rows];
      for (int m = 0; m < rows_; ++m)
        left[m] = left_shifts[m] - a_.plane_step * pa -
                  (way == Way::in_128 ? own(left_shifts[m], a_.plane_step, a_planes) : 0);
      for (int n = 0; n < b_rows; ++n)
        t_->right[n] = right_shifts[n] - b_.plane_step * pb -
                       (way == Way::in_128 ? own(right_shifts[n], b_.plane_step, b_planes) : 0);
      kernels_.add_shifted(rows_, t_->sums, left, t_->right, t_->totals);
    }
  if (way == Way::in_64) return;
  const Scale one{1, 0};
  for (int m = 0; m < rows_; ++m) {
    const Scale x =
        a_.late ? left_->scales[c * static_cast<std::size_t>(rows_) + static_cast<std::size_t>(m)]
                : one;
    const int shift = own(left_shifts[m], a_.plane_step, a_planes) + x.exponent;
    for (int n = 0; n < columns_; ++n) {
      const Scale y = b_.late ? right_->scales[c * b_rows + static_cast<std::size_t>(n)] : one;
      const Int128 term =
          Int128{t_->totals[m * b_rows + n]} * (std::uint64_t{x.significand} * y.significand);
      Int128& total = t_->wide[m * b_rows + n];
      total = static_cast<Int128>(
          static_cast<Uint128>(total) +
          (static_cast<Uint128>(term)
           << (shift + own(right_shifts[n], b_.plane_step, b_planes) + y.exponent)));
    }
  }
}

double TileGemm::round_one(Way way, int m, int n) const {
  const RowRange& x = row(m);
  const RowRange& y = column(n);
  if (x.zero_factor || y.zero_factor) return 0;
  const int at = m * b_rows + n;
  const Int128 sum = way == Way::in_64 ? Int128{t_->totals[at]} : t_->wide[at];
  return round_to_odd(
      x.negative_factor != y.negative_factor ? -sum : sum, x.factor, y.factor,
      x.base + x.late_base + x.factor_exponent + y.base + y.late_base + y.factor_exponent);
}

void TileGemm::round(Way way, const ExactGemmOptions& options) {
  bool done = way == Way::in_64;
  if (done) {
    double rows[a_rows];
    alignas(64) double columns[b_rows];
    int x = 0;
    int y = 0;
    const auto factor = [](const RowRange& r, int& bits) {
      bits = std::max(bits, static_cast<int>(std::bit_width(r.factor)));
      const double f =
          r.zero_factor ? 0 : std::ldexp(static_cast<double>(r.factor), r.factor_exponent + r.base);
      return r.negative_factor ? -f : f;
    };
    for (int m = 0; m < rows_; ++m) rows[m] = factor(row(m), x);
    std::fill_n(columns, b_rows, 0.0);
    for (int n = 0; n < columns_; ++n) columns[n] = factor(column(n), y);
    done = x + y <= 53 && kernels_.round({rows_, t_->totals, rows, columns, t_->odd, t_->codes});
  }
  if (!done)
    for (int m = 0; m < rows_; ++m)
      for (int n = 0; n < columns_; ++n) t_->odd[m * b_rows + n] = round_one(way, m, n);
  const bool nearest_f32 = options.output == &formats::fp32 &&
                           options.rounding == formats::RoundingMode::nearest_even &&
                           options.policy.overflow == formats::Overflow::to_infinity;
  if (done && nearest_f32) return;
  for (int m = 0; m < rows_; ++m)
    for (int n = 0; n < columns_; ++n)
      t_->codes[m * b_rows + n] = encode_odd(t_->odd[m * b_rows + n], options);
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

void TileGemm::compute(std::int64_t i, std::int64_t j, const ExactGemmOptions& options) {
  i_ = i;
  j_ = j;
  left_ = &a_.panels[static_cast<std::size_t>(i)];
  right_ = &b_.panels[static_cast<std::size_t>(j)];
  rows_ = left_->rows;
  columns_ = static_cast<int>(std::min<std::int64_t>(b_rows, b_.rows - j * b_rows));
  const Way chosen = way();
  if (chosen == Way::big) {
    counts_.in_big_integers += rows_ * columns_;
    big(options);
  } else {
    (chosen == Way::in_64 ? counts_.in_64_bits : counts_.in_128_bits) += rows_ * columns_;
    if (chosen == Way::in_64)
      std::fill_n(t_->totals, rows_ * b_rows, 0);
    else
      std::fill_n(t_->wide, rows_ * b_rows, 0);
    for (std::size_t c = 0; c < static_cast<std::size_t>(a_.chunks); ++c)
      a_.kernel == Kernel::bytes ? byte_chunk(c, chosen) : word_chunk(c, chosen);
    round(chosen, options);
  }
  specials(options);
}

const KernelTable* kernels_of(ExactIsa isa) {
  const KernelTable* best = avx512_kernels();
  if (best == nullptr) best = avx2_kernels();
  if (best == nullptr) best = &portable_kernels();
  switch (isa) {
    case ExactIsa::portable:
      return &portable_kernels();
    case ExactIsa::avx2:
      return avx2_kernels();
    case ExactIsa::avx512_vnni:
      return avx512_kernels();
    case ExactIsa::best:
      break;
  }
  return best;
}

void require(const ExactOperand& a, const ExactOperand& b, std::span<std::uint32_t> d,
             const ExactGemmOptions& options) {
  if (a.parts == nullptr || b.parts == nullptr || a.parts->side != ExactSide::a ||
      b.parts->side != ExactSide::b)
    throw std::invalid_argument("exact GEMM: needs an operand packed as A and one packed as B");
  if (a.parts->format != b.parts->other || b.parts->format != a.parts->other)
    throw std::invalid_argument("exact GEMM: A and B were not packed for each other's formats");
  if (a.parts->k != b.parts->k)
    throw std::invalid_argument("exact GEMM: A has " + std::to_string(a.parts->k) +
                                " columns and B " + std::to_string(b.parts->k) +
                                "; both must be k");
  if (static_cast<std::int64_t>(d.size()) != a.parts->rows * b.parts->rows)
    throw std::invalid_argument("exact GEMM: D has " + std::to_string(d.size()) +
                                " elements instead of m * n");
  if (options.output != &formats::fp32 && options.output != &formats::bf16 &&
      options.output != &formats::fp16)
    throw std::invalid_argument("exact GEMM: the output is fp32, bf16 or fp16");
  if (options.rounding == formats::RoundingMode::stochastic)
    throw std::invalid_argument(
        "exact GEMM: stochastic rounding is not offered; take golden::gemm");
  if (options.threads < 1)
    throw std::invalid_argument("exact GEMM: " + std::to_string(options.threads) +
                                " threads; at least 1 is needed");
  if (kernels_of(options.isa) == nullptr)
    throw std::invalid_argument("exact GEMM: this machine lacks the instructions asked for");
}

}  // namespace
}  // namespace exact_parts

std::string_view exact_gemm_isa() {
  if (exact_parts::avx512_kernels() != nullptr) return "avx512_vnni";
  return exact_parts::avx2_kernels() != nullptr ? "avx2" : "portable";
}

ExactGemmCounts exact_gemm(const ExactOperand& a, const ExactOperand& b, std::span<std::uint32_t> d,
                           const ExactGemmOptions& options) {
  exact_parts::require(a, b, d, options);
  const exact_parts::KernelTable& kernels = *exact_parts::kernels_of(options.isa);
  const exact_parts::Limits limits =
      options.limits == nullptr ? exact_parts::Limits{} : *options.limits;
  const auto panels_a = static_cast<std::int64_t>(a.parts->panels.size());
  const auto panels_b = static_cast<std::int64_t>(b.parts->panels.size());
  // A panel of B stays in the cache while panels of A pass by; a task is a panel of B and enough of
  // A's that all threads have work.
  const std::int64_t height = panels_b >= 4 * options.threads ? panels_a : 8;
  const std::int64_t bands = (panels_a + height - 1) / height;
  const std::int64_t n = b.parts->rows;
  ExactGemmCounts counts;
#pragma omp parallel num_threads(options.threads)
  {
    exact_parts::TileGemm tile(*a.parts, *b.parts, kernels, limits);
#pragma omp for schedule(dynamic)
    for (std::int64_t task = 0; task < panels_b * bands; ++task) {
      const std::int64_t j = task / bands;
      const std::int64_t first = task % bands * height;
      const std::int64_t columns =
          std::min<std::int64_t>(exact_parts::b_rows, n - j * exact_parts::b_rows);
      for (std::int64_t i = first; i < std::min(first + height, panels_a); ++i) {
        tile.compute(i, j, options);
        for (int m = 0; m < a.parts->panels[static_cast<std::size_t>(i)].rows; ++m)
          std::copy_n(tile.codes() + m * exact_parts::b_rows, columns,
                      d.data() + (i * exact_parts::a_rows + m) * n + j * exact_parts::b_rows);
      }
    }
#pragma omp critical
    {
      const ExactGemmCounts& own = tile.counts();
      counts.in_64_bits += own.in_64_bits;
      counts.in_128_bits += own.in_128_bits;
      counts.in_big_integers += own.in_big_integers;
      counts.special += own.special;
      counts.chunks += own.chunks;
      counts.chunks_by_group += own.chunks_by_group;
    }
  }
  return counts;
}

}  // namespace assay::golden

// SPDX-License-Identifier: Apache-2.0
#include "tools/bench_golden.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <functional>
#include <nlohmann/json.hpp>
#include <random>
#include <stdexcept>
#include <vector>

#include "formats/block.h"
#include "formats/presets.h"
#include "golden/exact_gemm.h"
#include "golden/gemm.h"
#include "golden/layout.h"
#include "simulator/atomic_file.h"
#include "tools/bench_golden_rows.h"
#include "tools/bench_timing.h"
#include "tools/eigen_baseline.h"

namespace assay::tools {
namespace {

using formats::BlockScaledTensor;
using golden::ExactIsa;
using golden::ExactSide;

/// One row as the definition reads it.
golden::Matrix row_of(const BlockScaledTensor& t, std::int64_t row) {
  const golden::BlockGrid grid = golden::block_grid(*t.format, t.rows, t.cols);
  const bool two_levels = t.format->tensor_scale == formats::TensorScale::fp32;
  const golden::Value tensor_scale = golden::value_of(two_levels ? t.tensor_scale : 1.0F);
  golden::Matrix m{1, t.cols, {}};
  for (std::int64_t k = 0; k < t.cols; ++k) {
    const std::uint32_t scale = golden::load_scale(t, row / grid.block_rows, k / grid.block_cols);
    m.values.push_back(golden::decode(*t.format->element, golden::load_code(t, row, k)) *
                       (golden::decode(*t.format->scale, scale) * tensor_scale));
  }
  return m;
}

std::uint32_t defined(const BlockScaledTensor& a, std::int64_t i, const BlockScaledTensor& b,
                      std::int64_t j) {
  const auto element = golden::gemm(row_of(a, i), row_of(b, j));
  return golden::round_to(formats::fp32, element, formats::RoundingMode::nearest_even,
                          golden::policy_of(formats::ieee, formats::fp32))[0];
}

struct Measured {
  ExactIsa isa;
  double exact = 0, packing = 0, eigen = 0, eigen_avx2 = 0;  ///< seconds
  bool equal = true;
  golden::ExactGemmCounts counts;
};

std::string_view name_of(ExactIsa isa) {
  return isa == ExactIsa::avx512_vnni ? "avx512_vnni"
                                      : (isa == ExactIsa::avx2 ? "avx2" : "portable");
}

class Suite {
 public:
  explicit Suite(const BenchGoldenOptions& options) : options_(options), random_(options.seed) {}

  /// Every element of a small product, K with a tail.
  bool all_of_a_small_shape(const BenchPair& pair, ExactIsa isa) {
    const BlockScaledTensor a = draw_normal(*pair.a, 7, 417, random_);
    const BlockScaledTensor b = draw_normal(*pair.b, 37, 417, random_);
    const auto d = product(a, b, isa);
    for (std::int64_t i = 0; i < a.rows; ++i)
      for (std::int64_t j = 0; j < b.rows; ++j)
        if (d[static_cast<std::size_t>(i * b.rows + j)] != defined(a, i, b, j)) return false;
    return true;
  }

  /// Of one thread its processor time, which others on the machine disturb less.
  [[nodiscard]] double timed(const std::function<void()>& run) const {
    return options_.threads == 1 ? thread_seconds_of(run) : seconds_of(run);
  }

  /// One line for each instruction set, over the same operands and the same runs of Eigen.
  std::vector<Measured> measure(const BenchPair& pair, const BenchShape& s) {
    const BlockScaledTensor a = draw_normal(*pair.a, s.m, s.k, random_);
    const BlockScaledTensor b = draw_normal(*pair.b, s.n, s.k, random_);
    std::vector<float> x(static_cast<std::size_t>(s.m * s.k));
    std::vector<float> y(static_cast<std::size_t>(s.n * s.k));
    std::vector<float> z(static_cast<std::size_t>(s.m * s.n));
    formats::dequantize(a, x);
    formats::dequantize(b, y);
    std::vector<Measured> rows;
    for (const ExactIsa isa : isas()) rows.push_back({.isa = isa, .counts = {}});
    const golden::ExactOperand packed_b =
        golden::pack_exact(ExactSide::b, b, *a.format, options_.threads);
    std::vector<std::vector<std::uint32_t>> d(
        rows.size(), std::vector<std::uint32_t>(static_cast<std::size_t>(s.m * s.n)));
    std::vector<std::vector<double>> times(2 * rows.size());
    std::vector<double> native;
    std::vector<double> avx2;
    const EigenBaseline eigen = eigen_native();
    const EigenBaseline eigen_2 = eigen_avx2();
    for (int run = 0; run <= options_.repeats; ++run) {
      for (std::size_t r = 0; r < rows.size(); ++r) {
        golden::ExactGemmOptions how;
        how.threads = options_.threads;
        how.isa = rows[r].isa;
        double packing = 0;
        const double all = timed([&] {
          golden::ExactOperand packed_a;
          packing = timed(
              [&] { packed_a = golden::pack_exact(ExactSide::a, a, *b.format, options_.threads); });
          rows[r].counts = golden::exact_gemm(packed_a, packed_b, d[r], how);
        });
        if (run == 0) continue;  // the warm-up
        times[2 * r].push_back(all);
        times[2 * r + 1].push_back(packing);
      }
      const double n = timed([&] { eigen.gemm(x.data(), y.data(), z.data(), s.m, s.n, s.k); });
      const double v = timed([&] { eigen_2.gemm(x.data(), y.data(), z.data(), s.m, s.n, s.k); });
      if (run == 0) continue;
      native.push_back(n);
      avx2.push_back(v);
    }
    for (std::size_t r = 0; r < rows.size(); ++r) {
      rows[r].exact = median(times[2 * r]);
      rows[r].packing = median(times[2 * r + 1]);
      rows[r].eigen = median(native);
      rows[r].eigen_avx2 = median(avx2);
      rows[r].equal = d[r] == d[0];
    }
    for (int sample = 0; sample < 24; ++sample) {
      const auto i = static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(s.m));
      const auto j = static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(s.n));
      const bool equal = d[0][static_cast<std::size_t>(i * s.n + j)] == defined(a, i, b, j);
      for (Measured& row : rows) row.equal = row.equal && equal;
    }
    return rows;
  }

  static std::vector<ExactIsa> isas() {
    if (golden::exact_gemm_isa() == "avx512_vnni") return {ExactIsa::avx512_vnni, ExactIsa::avx2};
    if (golden::exact_gemm_isa() == "avx2") return {ExactIsa::avx2};
    return {ExactIsa::portable};
  }

 private:
  std::vector<std::uint32_t> product(const BlockScaledTensor& a, const BlockScaledTensor& b,
                                     ExactIsa isa) const {
    std::vector<std::uint32_t> d(static_cast<std::size_t>(a.rows * b.rows));
    golden::ExactGemmOptions how;
    how.isa = isa;
    how.threads = options_.threads;
    golden::exact_gemm(golden::pack_exact(ExactSide::a, a, *b.format),
                       golden::pack_exact(ExactSide::b, b, *a.format), d, how);
    return d;
  }

  BenchGoldenOptions options_;
  std::mt19937_64 random_;
};

}  // namespace

int bench_golden(const BenchGoldenOptions& options) {
  if (options.repeats < 1 || options.threads < 1)
    throw std::invalid_argument("bench golden: repeats and threads must be at least 1");
  std::vector<BenchShape> wanted(bench_shapes().begin(), bench_shapes().end());
  if (!options.shape.empty()) wanted = {parse_bench_shape(options.shape)};
  nlohmann::ordered_json document{{"schema", "assay-bench-golden-1"},
                                  {"isa", golden::exact_gemm_isa()},
                                  {"flags", ASSAY_CODEC_FLAGS},
                                  {"eigen_flags", eigen_native().flags},
                                  {"eigen_avx2_flags", eigen_avx2().flags},
                                  {"repeats", options.repeats},
                                  {"threads", options.threads},
                                  {"rows", nlohmann::ordered_json::array()}};
  const bool text = options.json != "-";
  if (text)
    fmt::print(
        "exact GEMM ({} thread{}, compiled {})\nbeside Eigen's float GEMM (1 thread, {}; avx2: "
        "{})\n"
        "medians of {} runs, packing of A counted; rates are 10^9 multiply-adds a second\n\n"
        "{:<42}{:>16}  {:<12}{:>8}{:>8}{:>9}{:>9}{:>8}  {}\n",
        options.threads, options.threads == 1 ? "" : "s", ASSAY_CODEC_FLAGS, eigen_native().flags,
        eigen_avx2().flags, options.repeats, "A x B", "shape", "instructions", "exact", "Eigen",
        "x Eigen", "x avx2", "packing", "bits");
  Suite suite(options);
  bool all_equal = true;
  for (const BenchPair& pair : bench_pairs()) {
    std::vector<bool> small;
    for (const ExactIsa isa : Suite::isas()) small.push_back(suite.all_of_a_small_shape(pair, isa));
    for (const BenchShape& s : wanted) {
      const std::vector<Measured> rows = suite.measure(pair, s);
      for (std::size_t r = 0; r < rows.size(); ++r) {
        const Measured& row = rows[r];
        const bool equal = row.equal && small[r];
        all_equal = all_equal && equal;
        const double work = 1e-9 * static_cast<double>(s.m * s.n * s.k);
        document["rows"].push_back({{"a", pair.a->name},
                                    {"b", pair.b->name},
                                    {"m", s.m},
                                    {"n", s.n},
                                    {"k", s.k},
                                    {"isa", name_of(row.isa)},
                                    {"giga_multiply_adds_per_second", work / row.exact},
                                    {"eigen_f32_giga_multiply_adds_per_second", work / row.eigen},
                                    {"ratio_vs_eigen_f32", row.eigen / row.exact},
                                    {"ratio_vs_eigen_f32_avx2", row.eigen_avx2 / row.exact},
                                    {"packing_share", row.packing / row.exact},
                                    {"elements",
                                     {{"in_64_bits", row.counts.in_64_bits},
                                      {"in_128_bits", row.counts.in_128_bits},
                                      {"in_big_integers", row.counts.in_big_integers}}},
                                    {"bits_equal", equal}});
        if (text)
          fmt::print("{:<42}{:>16}  {:<12}{:>8.1f}{:>8.1f}{:>9.2f}{:>9.2f}{:>7.0f}%  {}\n",
                     fmt::format("{} x {}", pair.a->name, pair.b->name),
                     fmt::format("{}x{}x{}", s.m, s.n, s.k), name_of(row.isa), work / row.exact,
                     work / row.eigen, row.eigen / row.exact, row.eigen_avx2 / row.exact,
                     100 * row.packing / row.exact, equal ? "equal" : "DIFFER");
      }
    }
  }
  const std::string json = document.dump(2) + "\n";
  if (!text) fmt::print("{}", json);
  if (text && !options.json.empty()) {
    simulator::AtomicFile file(options.json);
    file.write(json);
    file.commit();
  }
  return all_equal ? 0 : 1;
}

}  // namespace assay::tools

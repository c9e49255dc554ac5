// SPDX-License-Identifier: Apache-2.0
#include "golden/exact_gemm.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "golden/exact_gemm_tile.h"

namespace assay::golden {
namespace exact_parts {
namespace {

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
  // Some panels of B, half a MiB, stay in the second cache while panels of A pass by; a task is
  // those and enough of A's that all threads have work.
  const std::size_t panel_bytes = 4 * b.parts->panels.front().values.size();
  const auto group = static_cast<std::int64_t>(
      std::clamp<std::size_t>((std::size_t{1} << 19) / panel_bytes, 1, 8));
  const std::int64_t groups = (panels_b + group - 1) / group;
  const std::int64_t height = groups >= 4 * options.threads ? panels_a : 8;
  const std::int64_t bands = (panels_a + height - 1) / height;
  const std::int64_t n = b.parts->rows;
  ExactGemmCounts counts;
#pragma omp parallel num_threads(options.threads)
  {
    exact_parts::TileGemm tile(*a.parts, *b.parts, kernels, limits);
    const auto column = [&](std::int64_t i, int count, std::int64_t j) {
      tile.compute(i, count, j, options);
      const std::int64_t columns =
          std::min<std::int64_t>(exact_parts::b_rows, n - j * exact_parts::b_rows);
      for (int t = 0; t < count; ++t)
        for (int m = 0; m < a.parts->panels[static_cast<std::size_t>(i + t)].rows; ++m)
          std::copy_n(tile.codes(t) + m * exact_parts::b_rows, columns,
                      d.data() + ((i + t) * exact_parts::a_rows + m) * n + j * exact_parts::b_rows);
    };
#pragma omp for schedule(dynamic)
    for (std::int64_t task = 0; task < groups * bands; ++task) {
      const std::int64_t first_j = task / bands * group;
      const std::int64_t end_j = std::min(first_j + group, panels_b);
      const std::int64_t first = task % bands * height;
      const std::int64_t end = std::min(first + height, panels_a);
      for (std::int64_t i = first; i < end; i += exact_parts::tiles_together) {
        const int count =
            static_cast<int>(std::min<std::int64_t>(exact_parts::tiles_together, end - i));
        for (std::int64_t j = first_j; j < end_j; ++j) column(i, count, j);
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

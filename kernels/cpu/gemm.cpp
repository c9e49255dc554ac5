// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>

#include "kernels/cpu/element.h"
#include "kernels/cpu/kernels.h"

namespace assay::kernels::cpu {
namespace {

constexpr std::int64_t tile_n = 16;
constexpr std::int64_t tile_m = 4;

/// tile_m rows times one panel: the accumulators stay in registers, one lane for each output, so
/// every output sees its own k in ascending order whatever the tile or the thread.
template <std::int64_t Rows>
void micro_kernel(const float* a, const float* panel, std::int64_t k, float* out, std::int64_t n,
                  std::int64_t columns) {
  std::array<std::array<float, tile_n>, Rows> acc{};
  for (std::int64_t l = 0; l < k; ++l)
    for (std::int64_t i = 0; i < Rows; ++i)
      for (std::int64_t j = 0; j < tile_n; ++j) acc[i][j] += a[i * k + l] * panel[l * tile_n + j];
  for (std::int64_t i = 0; i < Rows; ++i) std::copy_n(acc[i].begin(), columns, out + i * n);
}

}  // namespace

std::vector<float> multiply(std::span<const float> a, std::span<const float> b, std::int64_t m,
                            std::int64_t n, std::int64_t k) {
  std::vector<float> out(m * n);
  const std::int64_t panels = (n + tile_n - 1) / tile_n;
#pragma omp parallel if (m * n * k > 65536)
  {
    std::vector<float> panel(k * tile_n);
#pragma omp for
    for (std::int64_t p = 0; p < panels; ++p) {
      const std::int64_t first = p * tile_n;
      const std::int64_t columns = std::min(tile_n, n - first);
      for (std::int64_t j = 0; j < tile_n; ++j)
        for (std::int64_t l = 0; l < k; ++l)
          panel[l * tile_n + j] = j < columns ? b[(first + j) * k + l] : 0.0F;
      std::int64_t i = 0;
      for (; i + tile_m <= m; i += tile_m)
        micro_kernel<tile_m>(a.data() + i * k, panel.data(), k, &out[i * n + first], n, columns);
      for (; i < m; ++i)
        micro_kernel<1>(a.data() + i * k, panel.data(), k, &out[i * n + first], n, columns);
    }
  }
  return out;
}

Operand operand(const formats::BlockScaledTensor& in) {
  return {decode_blocks(in), in.tensor_scale};
}

void gemm(const Operand& a, const Operand& b, const Product& p, const formats::FormatSpec& output,
          std::span<float> d) {
  const std::vector<float> sums = multiply(a.values, b.values, p.m, p.n, p.k);
  const float scale = p.alpha * a.tensor_scale * b.tensor_scale;
  for (std::int64_t i = 0; i < p.m; ++i)
    for (std::int64_t j = 0; j < p.n; ++j) {
      const std::int64_t at = i * p.n + j;
      float x = sums[at] * scale;
      if (p.beta != 0.0F) x += p.beta * p.c[at];
      if (!p.bias.empty()) x += p.bias[j];
      d[at] = &output == &formats::bf16 ? round_to_bf16(x) : x;
    }
}

}  // namespace assay::kernels::cpu

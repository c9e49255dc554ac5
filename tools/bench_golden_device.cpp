// SPDX-License-Identifier: Apache-2.0
#include "tools/bench_golden_device.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <random>
#include <stdexcept>
#include <vector>

#include "formats/presets.h"
#include "golden/exact_gemm.h"
#include "kernels/cuda/exact_gemm.h"
#include "simulator/atomic_file.h"
#include "tools/bench_golden_rows.h"

namespace assay::tools {
namespace {

using formats::BlockScaledTensor;
using golden::ExactSide;

/// Every code and scale factor, specials among them; k ends within a block and within 64.
constexpr BenchShape small_shape{133, 70, 1007};
constexpr BenchShape large_shape{8192, 8192, 8192};
constexpr BenchShape middle_shape{1024, 1024, 4096};

BlockScaledTensor with_raw_bits(BlockScaledTensor t, std::mt19937_64& random) {
  const bool odd_nibbles = t.format->element->storage_bits == 4 && t.cols % 2 != 0;
  const auto width = static_cast<std::size_t>((t.cols + 1) / 2);
  for (std::size_t i = 0; i < t.codes.size(); ++i) {
    t.codes[i] = static_cast<std::uint8_t>(random());
    if (odd_nibbles && i % width == width - 1) t.codes[i] &= 15U;
  }
  // One row in four keeps its scale factors: not every sum is to be NaN.
  const std::size_t row =
      std::max<std::size_t>(1, t.scales.size() / static_cast<std::size_t>(t.rows));
  for (std::size_t i = 0; i < t.scales.size(); ++i)
    if (i / row % 4 != 0 && random() % 8 == 0) t.scales[i] = static_cast<std::uint8_t>(random());
  return t;
}

struct Row {
  kernels::cuda::ExactGemmRun run;
  std::int64_t differences = 0;
};

Row compare(const BlockScaledTensor& a, const BlockScaledTensor& b,
            const BenchGoldenOptions& options, int repeats, bool digits) {
  Row row{kernels::cuda::exact_gemm(a, b, repeats, digits)};
  golden::ExactGemmOptions how;
  how.threads = options.threads;
  std::vector<std::uint32_t> d(row.run.d.size());
  golden::exact_gemm(golden::pack_exact(ExactSide::a, a, *b.format, options.threads),
                     golden::pack_exact(ExactSide::b, b, *a.format, options.threads), d, how);
  for (std::size_t i = 0; i < d.size(); ++i)
    row.differences += static_cast<std::int64_t>(d[i] != row.run.d[i]);
  return row;
}

}  // namespace

ExitCode bench_golden_device(const BenchGoldenOptions& options, int device) {
  if (options.repeats < 1 || options.threads < 1)
    throw std::invalid_argument("bench golden: repeats and threads must be at least 1");
  std::string reason;
  bool has_digits = false;
  const std::string gpu = kernels::cuda::exact_gemm_gpu(device, has_digits, reason);
  if (gpu.empty()) {
    fmt::print(stderr, "assay: bench golden: not_supported: {}\n", reason);
    return ExitCode::absent;
  }
  std::vector<BenchShape> wanted{middle_shape, large_shape};
  if (!options.shape.empty()) wanted = {parse_bench_shape(options.shape)};
  const bool text = options.json != "-";
  nlohmann::ordered_json document{{"schema", "assay-bench-golden-device-1"},
                                  {"gpu", gpu},
                                  {"repeats", options.repeats},
                                  {"rows", nlohmann::ordered_json::array()}};
  std::mt19937_64 random(options.seed);
  bool all_equal = true;
  const auto show = [&](const BenchPair& pair, const BenchShape& s, const char* data,
                        const Row& row, double fp64) {
    all_equal = all_equal && row.differences == 0;
    const double work =
        2e-12 * static_cast<double>(s.m) * static_cast<double>(s.n) * static_cast<double>(s.k);
    document["rows"].push_back({{"a", pair.a->name},
                                {"b", pair.b->name},
                                {"m", s.m},
                                {"n", s.n},
                                {"k", s.k},
                                {"data", data},
                                {"planes", row.run.planes},
                                {"wide_outputs", row.run.wide_outputs},
                                {"outputs", s.m * s.n},
                                {"differences", row.differences},
                                {"seconds", row.run.seconds},
                                {"tflops", work / row.run.seconds}});
    auto& last = document["rows"].back();
    if (fp64 > 0) {
      last["cublas_fp64_tflops"] = work / fp64;
      last["ratio_vs_cublas_fp64"] = fp64 / row.run.seconds;
    }
    if (text)
      fmt::print("{:<42}{:>17}  {:<7}{:>7}{:>10}{:>10.2f}{:>10}{:>8}  {}\n",
                 fmt::format("{} x {}", pair.a->name, pair.b->name),
                 fmt::format("{}x{}x{}", s.m, s.n, s.k), data, row.run.planes, row.run.wide_outputs,
                 work / row.run.seconds, fp64 > 0 ? fmt::format("{:.2f}", work / fp64) : "-",
                 fp64 > 0 ? fmt::format("{:.2f}", fp64 / row.run.seconds) : "-",
                 row.differences == 0 ? "equal" : fmt::format("{} DIFFER", row.differences));
    std::fflush(stdout);
  };
  if (text)
    fmt::print(
        "exact GEMM on {} beside the exact GEMM of the CPU, every element; medians of {} runs\n\n"
        "{:<42}{:>17}  {:<7}{:>7}{:>10}{:>10}{:>10}{:>8}  {}\n",
        gpu, options.repeats, "A x B", "shape", "data", "planes", "wide", "TFLOP/s", "cuBLAS64",
        "ratio", "bits");
  for (const BenchPair& pair : bench_pairs()) {
    const BlockScaledTensor a = draw_normal(*pair.a, small_shape.m, small_shape.k, random);
    const BlockScaledTensor b = draw_normal(*pair.b, small_shape.n, small_shape.k, random);
    show(pair, small_shape, "normal", compare(a, b, options, 0, has_digits), 0);
    show(pair, small_shape, "wide", compare(a, b, options, 0, false), 0);
    const BlockScaledTensor raw_a = with_raw_bits(a, random);
    const BlockScaledTensor raw_b = with_raw_bits(b, random);
    show(pair, small_shape, "raw", compare(raw_a, raw_b, options, 0, has_digits), 0);
  }
  for (const BenchShape& s : wanted) {
    const double fp64 = kernels::cuda::cublas_fp64_seconds(s.m, s.n, s.k, options.repeats, reason);
    if (fp64 == 0) fmt::print(stderr, "assay: bench golden: no FP64 beside it: {}\n", reason);
    for (const BenchPair& pair : bench_pairs()) {
      const BlockScaledTensor a = draw_normal(*pair.a, s.m, s.k, random);
      const BlockScaledTensor b = draw_normal(*pair.b, s.n, s.k, random);
      show(pair, s, "normal", compare(a, b, options, options.repeats, has_digits), fp64);
      // The large shape is about NVFP4; the other pairs take the CPU minutes.
      if (s.m * s.n * s.k > std::int64_t{1} << 36) break;
    }
  }
  const std::string json = document.dump(2) + "\n";
  if (!text) fmt::print("{}", json);
  if (text && !options.json.empty()) {
    simulator::AtomicFile file(options.json);
    file.write(json);
    file.commit();
  }
  return all_equal ? ExitCode::pass : ExitCode::fail;
}

}  // namespace assay::tools

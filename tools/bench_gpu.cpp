// SPDX-License-Identifier: Apache-2.0
#include "tools/bench_gpu.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "kernels/cuda/bench.h"
#include "simulator/atomic_file.h"

namespace assay::tools {
namespace {

using nlohmann::ordered_json;

ordered_json json_of(const kernels::cuda::BenchRow& row) {
  return {{"suite", row.suite},
          {"kernel", row.kernel},
          {"m", row.m},
          {"n", row.n},
          {"k", row.k},
          {"microseconds", row.microseconds},
          {"best_microseconds", row.best},
          {"bytes", row.bytes},
          {"operations", row.operations},
          {"baseline", row.baseline},
          {"ratio", row.ratio},
          {"goal", row.goal},
          {"checked", row.checked},
          {"wrong", row.wrong},
          {"worst_share_of_bound", row.worst}};
}

std::string goal_text(const kernels::cuda::BenchRow& row) {
  if (row.goal == 0) return "";
  return fmt::format("{:.2f} {}", row.goal, row.ratio >= row.goal ? "reached" : "MISSED");
}

void print(const kernels::cuda::BenchRow& row) {
  const double seconds = row.microseconds * 1e-6;
  fmt::print("| {} | {} | {} | {} | {:.1f} | {:.2f} | {:.1f} | {} | {:.3f} | {} | {} of {} |\n",
             row.kernel, row.m, row.n, row.k, row.microseconds, row.bytes / seconds * 1e-12,
             row.operations / seconds * 1e-12, row.baseline, row.ratio, goal_text(row), row.wrong,
             row.checked);
}

}  // namespace

ExitCode bench_gpu(const BenchGpuOptions& options) {
  kernels::cuda::BenchResult result;
  std::string reason;
  const kernels::cuda::BenchOptions run{
      .repeats = options.repeats, .seed = options.seed, .only = options.only};
  if (!kernels::cuda::bench(run, result, reason)) {
    fmt::print(stderr, "assay: not_supported: {}\n", reason);
    return ExitCode::absent;
  }
  const std::vector<BitsRow> bits =
      run.wants("bits") ? compare_bits(options.seed) : std::vector<BitsRow>{};
  bool right = true;
  ordered_json document{{"schema", "assay-bench-gpu-1"},
                        {"gpu", result.machine.gpu},
                        {"driver", result.machine.driver},
                        {"cublas", result.machine.cublas},
                        {"copy_bytes_per_second", result.machine.copy_bytes_per_second},
                        {"repeats", options.repeats},
                        {"seed", options.seed},
                        {"rows", ordered_json::array()},
                        {"bits", ordered_json::array()}};
  const bool text = options.json != "-";
  if (text)
    fmt::print(
        "{}, driver {}, {}; device copy {:.2f} TB/s read and written; medians of {} runs, seed "
        "{}\n\n"
        "| kernel | m | n | k | us | TB/s | TFLOP/s | baseline | ratio | goal | wrong |\n"
        "|---|---|---|---|---|---|---|---|---|---|---|\n",
        result.machine.gpu, result.machine.driver, result.machine.cublas,
        result.machine.copy_bytes_per_second * 1e-12, options.repeats, options.seed);
  for (const kernels::cuda::BenchRow& row : result.rows) {
    right = right && row.wrong == 0;
    document["rows"].push_back(json_of(row));
    if (text) print(row);
  }
  if (text) fmt::print("\n| CPU and CUDA | cases | values | different |\n|---|---|---|---|\n");
  for (const BitsRow& row : bits) {
    right = right && row.different == 0;
    document["bits"].push_back({{"claim", row.claim},
                                {"cases", row.cases},
                                {"values", row.compared},
                                {"different", row.different}});
    if (text)
      fmt::print("| {} | {} | {} | {} |\n", row.claim, row.cases, row.compared, row.different);
  }
  const std::string json = document.dump(2) + "\n";
  if (!text) fmt::print("{}", json);
  if (text && !options.json.empty()) {
    simulator::AtomicFile file(options.json);
    file.write(json);
    file.commit();
  }
  return right ? ExitCode::pass : ExitCode::fail;
}

}  // namespace assay::tools

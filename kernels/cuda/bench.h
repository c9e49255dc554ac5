// SPDX-License-Identifier: Apache-2.0
#pragma once
// The GPU kernels against the machine's limits and against NVIDIA's libraries, in one run on random
// data. A time is worth nothing beside a wrong result: every row was checked in the same run.

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

namespace assay::kernels::cuda {

struct BenchRow {
  std::string suite;   ///< w4a16, quantize, ...
  std::string kernel;  ///< with its formats and tactic
  std::int64_t m = 0, n = 0, k = 0;
  double microseconds = 0;  ///< median of the repeats
  double best = 0;          ///< the shortest
  double bytes = 0;         ///< that must move: every operand once
  double operations = 0;    ///< 2 m n k, or 0
  std::string baseline;     ///< what `ratio` compares with; empty: nothing
  double ratio = 0;         ///< baseline's time / this time; of the copy: achieved bandwidth share
  double goal = 0;          ///< what the ratio should reach; 0: none stated
  std::int64_t checked = 0, wrong = 0;
  double worst = 0;  ///< largest error / its bound among the checked
};

struct BenchMachine {
  std::string gpu, driver, cublas;  ///< cublas: version, or why it is absent
  double copy_bytes_per_second = 0;
};

struct BenchOptions {
  int repeats = 11;
  std::uint64_t seed = 1;
  std::int64_t size = 8192;            ///< n and k of the products, and m of the large ones
  std::vector<std::string> only = {};  ///< suites (BenchRow::suite, "bits"); empty: all

  [[nodiscard]] bool wants(const std::string& suite) const {
    return only.empty() || std::find(only.begin(), only.end(), suite) != only.end();
  }
};

struct BenchResult {
  BenchMachine machine;
  std::vector<BenchRow> rows;
};

/// False with one sentence in `reason` where there is no GPU that this build runs on.
bool bench(const BenchOptions& options, BenchResult& result, std::string& reason);

}  // namespace assay::kernels::cuda

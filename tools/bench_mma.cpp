// SPDX-License-Identifier: Apache-2.0
#include "tools/bench_mma.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <random>
#include <stdexcept>
#include <vector>

#include "formats/array.h"
#include "simulator/atomic_file.h"
#include "simulator/mma/dot.h"
#include "simulator/mma/fast.h"
#include "tools/random_codes.h"

namespace assay::tools {
namespace {

using simulator::MmaModel;
using simulator::MmaOperand;
using simulator::Side;

constexpr std::int64_t rows = 256;  ///< of A and of B
constexpr std::int64_t k = 4096;
constexpr const char* names[] = {
    "hopper.wgmma.e4m3.f32",      "hopper.wgmma.e5m2.f16",        "ada.mma.e4m3.f32",
    "ada.mma.e5m2.f16",           "hopper.wgmma.bf16.f32",        "hopper.wgmma.f16.f16",
    "blackwell.tcgen05.e4m3.f32", "blackwell.tcgen05.mxe4m3.f32", "blackwell.tcgen05.nvfp4.f32",
    "blackwell.tcgen05.mxfp4.f32"};

MmaOperand random_operand(const MmaModel& model, Side side, std::mt19937_64& random) {
  const auto& spec = side == Side::a ? *model.a : *model.b;
  const auto codes = random_codes(spec, rows * k, random);
  if (model.scale == nullptr) return unpack_mma(model, side, rows, k, codes);
  return unpack_mma(model, side, rows, k, codes,
                    random_codes(*model.scale, rows * k / model.scale_block, random));
}

struct Measured {
  std::string name;
  double rate[2] = {};  ///< 10^9 multiply-adds a second, with one and with `threads` threads
  bool equal = false;
};

/// 64 elements, drawn anew: the interpreter is slow.
bool equals_interpreter(const MmaModel& model, const MmaOperand& a, const MmaOperand& b,
                        const std::vector<std::uint32_t>& d, std::mt19937_64& random) {
  const auto blocks = static_cast<std::size_t>(a.blocks);
  const auto part = [&](const std::vector<std::uint32_t>& v, std::size_t row, std::size_t width) {
    return std::span(v).subspan(row * width, width);
  };
  for (int i = 0; i < 64; ++i) {
    const std::size_t row = random() % rows;
    const std::size_t col = random() % rows;
    const std::uint32_t expected =
        dot(model, {part(a.codes, row, k), part(b.codes, col, k), 0,
                    part(a.scale_codes, row, blocks), part(b.scale_codes, col, blocks)});
    if (d[row * rows + col] != expected) return false;
  }
  return true;
}

Measured measure(const MmaModel& model, const BenchMmaOptions& options) {
  std::mt19937_64 random(options.seed);
  const MmaOperand a = random_operand(model, Side::a, random);
  const MmaOperand b = random_operand(model, Side::b, random);
  Measured row{model.name};
  std::vector<std::uint32_t> d(rows * rows);
  for (const int column : {0, 1}) {
    std::vector<double> seconds;
    for (int run = 0; run <= options.repeats; ++run) {
      const auto start = std::chrono::steady_clock::now();
      mma_gemm(model, a, b, {}, d, column == 0 ? 1 : options.threads);
      seconds.push_back(
          std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    seconds.erase(seconds.begin());  // the warm-up
    std::nth_element(seconds.begin(), seconds.begin() + seconds.size() / 2, seconds.end());
    row.rate[column] = 1e-9 * rows * rows * k / seconds[seconds.size() / 2];
  }
  row.equal = equals_interpreter(model, a, b, d, random);
  return row;
}

}  // namespace

int bench_mma(const BenchMmaOptions& options) {
  if (options.repeats < 1 || options.threads < 1)
    throw std::invalid_argument("bench mma: repeats and threads must be at least 1");
  nlohmann::ordered_json document{{"schema", "assay-bench-mma-1"},
                                  {"simd", formats::simd_target()},
                                  {"flags", ASSAY_CODEC_FLAGS},
                                  {"m", rows},
                                  {"n", rows},
                                  {"k", k},
                                  {"repeats", options.repeats},
                                  {"threads", {1, options.threads}},
                                  {"rows", nlohmann::ordered_json::array()}};
  const bool text = options.json != "-";
  if (text) {
    fmt::print("{}; compiled {}\n{} x {} x {}, medians of {} runs, 10^9 multiply-adds a second\n\n",
               formats::simd_target(), ASSAY_CODEC_FLAGS, rows, rows, k, options.repeats);
    fmt::print("{:<30}{:>10}{:>12}  {}\n", "", "1 thread",
               fmt::format("{} threads", options.threads), "bits");
  }
  bool all_equal = true;
  for (const char* name : names) {
    const Measured row = measure(simulator::find_mma_model(name), options);
    all_equal = all_equal && row.equal;
    document["rows"].push_back({{"name", row.name},
                                {"giga_multiply_adds_per_second", {row.rate[0], row.rate[1]}},
                                {"bits_equal", row.equal}});
    if (text)
      fmt::print("{:<30}{:>10.2f}{:>12.2f}  {}\n", row.name, row.rate[0], row.rate[1],
                 row.equal ? "equal" : "DIFFER");
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

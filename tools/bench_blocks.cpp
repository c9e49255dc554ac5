// SPDX-License-Identifier: Apache-2.0
#include "tools/bench_blocks.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <random>
#include <stdexcept>
#include <vector>

#include "formats/array.h"
#include "formats/block.h"
#include "formats/layout.h"
#include "formats/rule_matrix.h"
#include "simulator/atomic_file.h"
#include "tools/bench_timing.h"
#include "tools/cuda_baseline.h"
#include "tools/cuda_blocks.h"
#include "tools/machine.h"

namespace assay::tools {
namespace {

using cuda_baseline::BlockCall;
using cuda_baseline::BlockLoop;
using formats::BlockFormat;

constexpr std::array<std::int64_t, 2> shapes{4096, 32};  // columns

struct Measured {
  double ours = 0;      ///< 10^6 elements a second
  double baseline = 0;  ///< 0: absent
  bool equal = true;
};

/// amax of each block over the largest element value, for formats whose scale factors are given.
std::vector<float> given_scales(const BlockFormat& format, const std::vector<float>& x,
                                std::int64_t rows, std::int64_t cols) {
  if (format.rule != formats::ScaleRule::given) return {};
  const formats::BlockGrid grid = formats::block_grid(format.block, rows, cols);
  std::vector<float> scales(static_cast<std::size_t>(grid.count()));
  for (std::int64_t i = 0; i < rows * cols; ++i) {
    float& scale = scales[static_cast<std::size_t>(grid.block_of(i / cols, i % cols))];
    scale = std::max(scale, std::fabs(x[static_cast<std::size_t>(i)]) / 6);
  }
  return scales;
}

/// Both ways in turn, so that a slow moment of the machine hits both.
Measured measure(const BlockFormat& format, const std::vector<float>& x, std::int64_t cols,
                 int repeats) {
  const auto rows = static_cast<std::int64_t>(x.size()) / cols;
  const std::vector<float> given = given_scales(format, x, rows, cols);
  const formats::QuantizeOptions options{.scales = given};
  formats::BlockScaledTensor mine = formats::quantize(x, rows, cols, format, options);
  const BlockLoop loop =
      cuda_baseline::flags() == nullptr ? nullptr : cuda_baseline::block_loop(format.name.data());
  std::vector<std::uint8_t> codes(mine.codes.size());
  std::vector<std::uint8_t> scales(mine.scales.size());
  BlockCall call{x.data(), rows, cols, given.data(), codes.data(), scales.data(), 1};
  std::vector<double> ours;
  std::vector<double> baseline;
  for (int repeat = -1; repeat < repeats; ++repeat) {  // -1: the warm-up
    const double mine_s =
        thread_seconds_of([&] { mine = formats::quantize(x, rows, cols, format, options); });
    const double theirs_s = loop == nullptr ? 0 : thread_seconds_of([&] { loop(call); });
    if (repeat < 0) continue;
    ours.push_back(mine_s);
    baseline.push_back(theirs_s);
  }
  const double millions = static_cast<double>(x.size()) / 1e6;
  Measured result{.ours = millions / median(ours), .baseline = 0, .equal = true};
  if (loop == nullptr) return result;
  result.baseline = millions / median(baseline);
  result.equal =
      mine.codes == codes && mine.scales == scales && mine.tensor_scale == call.tensor_scale;
  return result;
}

}  // namespace

int bench_blocks(const BenchBlocksOptions& options) {
  if (options.elements < 1 || options.repeats < 1)
    throw std::invalid_argument("bench blocks: elements and repeats must be at least 1");
  constexpr std::int64_t unit = 128 * shapes[0];
  std::vector<float> x(static_cast<std::size_t>((options.elements + unit - 1) / unit * unit));
  std::mt19937_64 random(options.seed);
  std::normal_distribution<float> normal(0.0F, 2.0F);
  for (float& value : x) value = normal(random);
  set_threads(1);

  const bool text = options.json != "-";
  const char* flags = cuda_baseline::flags();
  if (text) {
    fmt::print("{}; {}; codec compiled {}; CUDA headers {}\n", processor(), formats::simd_target(),
               ASSAY_CODEC_FLAGS, flags == nullptr ? "absent" : flags);
    fmt::print(
        "{} elements, 1 thread, medians of {} runs, 10^6 elements a second of processor time\n\n",
        x.size(), options.repeats);
    fmt::print("{:<26}{:>12}{:>8}{:>8}{:>16}{:>8}{:>8}  {}\n", "", "4096 columns", "CUDA", "ratio",
               "32 columns", "CUDA", "ratio", "bits");
  }
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  bool all_equal = true;
  for (const BlockFormat* format : formats::every_block_format) {
    std::string line = fmt::format("{:<26}", format->name);
    nlohmann::ordered_json entry{{"format", format->name}};
    bool equal = true;
    for (const std::int64_t columns : shapes) {
      const Measured m = measure(*format, x, columns, options.repeats);
      const bool absent = m.baseline == 0;
      equal = equal && m.equal;
      line += fmt::format("{:>{}.0f}{:>8}{:>8}", m.ours, columns == shapes[0] ? 12 : 16,
                          absent ? "absent" : fmt::format("{:.0f}", m.baseline),
                          absent ? "-" : fmt::format("{:.1f}", m.ours / m.baseline));
      nlohmann::ordered_json at{{"melements_per_second", m.ours}};
      if (!absent) {
        at["cuda_headers"] = m.baseline;
        at["ratio"] = m.ours / m.baseline;
      }
      entry[fmt::format("columns_{}", columns)] = at;
    }
    entry["bits_equal"] = equal;
    rows.push_back(entry);
    all_equal = all_equal && equal;
    if (text) fmt::print("{}  {}\n", line, flags == nullptr ? "-" : equal ? "equal" : "DIFFER");
  }
  const nlohmann::ordered_json document{
      {"schema", "assay-bench-blocks-1"},
      {"processor", processor()},
      {"simd", formats::simd_target()},
      {"flags", ASSAY_CODEC_FLAGS},
      {"cuda_headers_flags", flags == nullptr ? nlohmann::json() : nlohmann::json(flags)},
      {"elements", x.size()},
      {"repeats", options.repeats},
      {"threads", 1},
      {"clock", "processor time of the thread"},
      {"rows", rows}};
  const std::string json = document.dump(2) + "\n";
  if (!text) {
    fmt::print("{}", json);
  } else if (!options.json.empty()) {
    simulator::AtomicFile file(options.json);
    file.write(json);
    file.commit();
  }
  return all_equal ? 0 : 1;
}

}  // namespace assay::tools

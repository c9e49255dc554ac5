// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "kernels/cuda/mma_gemm.h"
#include "simulator/atomic_file.h"
#include "simulator/mma/fast.h"
#include "tools/bench_mma.h"
#include "tools/random_codes.h"

namespace assay::tools {
namespace {

using simulator::MmaModel;
using simulator::Side;
using Words = std::vector<std::uint32_t>;
using Bytes = std::vector<std::uint8_t>;

constexpr const char* names[] = {
    "hopper.wgmma.e4m3.f32",      "hopper.wgmma.e5m2.f16",       "ada.mma.e4m3.f32",
    "blackwell.tcgen05.e4m3.f32", "blackwell.tcgen05.nvfp4.f32", "blackwell.tcgen05.mxfp4.f32"};

struct Measured {
  std::string name;
  double tera_flops = 0;  ///< 2 m n k a second
  std::int64_t compared = 0, different = 0, not_done = 0;
};

Measured measure(const MmaModel& model, const BenchDeviceMmaOptions& o) {
  std::mt19937_64 random(o.seed);
  const bool scaled = model.scale != nullptr;
  const std::int64_t blocks = scaled ? o.k / model.scale_block : 0;
  const auto draw = [&](const formats::FormatSpec& spec, std::int64_t count) {
    return random_codes(spec, count, random);
  };
  const Words a = draw(*model.a, o.m * o.k);
  const Words b = draw(*model.b, o.n * o.k);
  const Words scale_a = scaled ? draw(*model.scale, o.m * blocks) : Words();
  const Words scale_b = scaled ? draw(*model.scale, o.n * blocks) : Words();
  const auto bytes = [](const Words& w) { return Bytes(w.begin(), w.end()); };
  const Bytes byte_a = bytes(a);
  const Bytes byte_b = bytes(b);
  const Bytes byte_scale_a = bytes(scale_a);
  const Bytes byte_scale_b = bytes(scale_b);
  Words d(static_cast<std::size_t>(o.m * o.n));
  Bytes done(d.size());
  const double seconds = kernels::cuda::run_device_mma(
      {device_mma_of(model), o.m, o.n, o.k, byte_a, byte_b, byte_scale_a, byte_scale_b, d, done},
      o.repeats);
  Measured row{model.name};
  row.tera_flops = 2e-12 * static_cast<double>(o.m * o.n * o.k) / seconds;
  // The CPU's rows: the first of every 64 or more, so that every column and many tiles take part.
  const std::int64_t apart = std::max<std::int64_t>(64, o.m / 64);
  Words some, some_scales;
  std::vector<std::int64_t> rows;
  for (std::int64_t i = 0; i < o.m; i += apart + 1) {
    rows.push_back(i);
    some.insert(some.end(), a.begin() + i * o.k, a.begin() + (i + 1) * o.k);
    some_scales.insert(some_scales.end(), scale_a.begin() + i * blocks,
                       scale_a.begin() + (i + 1) * blocks);
  }
  const auto count = static_cast<std::int64_t>(rows.size());
  Words expected(static_cast<std::size_t>(count * o.n));
  mma_gemm(model, unpack_mma(model, Side::a, count, o.k, some, some_scales),
           unpack_mma(model, Side::b, o.n, o.k, b, scale_b), {}, expected, o.threads);
  for (std::size_t i = 0; i < rows.size(); ++i)
    for (std::int64_t j = 0; j < o.n; ++j) {
      const auto at = static_cast<std::size_t>(rows[i] * o.n + j);
      ++row.compared;
      if (done[at] != 0 &&
          d[at] != expected[i * static_cast<std::size_t>(o.n) + static_cast<std::size_t>(j)])
        ++row.different;
    }
  for (const std::uint8_t x : done) row.not_done += x == 0 ? 1 : 0;
  return row;
}

}  // namespace

int bench_device_mma(const BenchDeviceMmaOptions& o) {
  if (o.repeats < 1 || o.threads < 1)
    throw std::invalid_argument("bench mma: repeats and threads must be at least 1");
  std::string reason;
  const std::string gpu = kernels::cuda::mma_gpu(o.device, reason);
  if (gpu.empty()) {
    fmt::print(stderr, "assay: bench mma: not_supported: {}\n", reason);
    return 77;
  }
  nlohmann::ordered_json document{{"schema", "assay-bench-device-mma-1"},
                                  {"gpu", gpu},
                                  {"m", o.m},
                                  {"n", o.n},
                                  {"k", o.k},
                                  {"repeats", o.repeats},
                                  {"rows", nlohmann::ordered_json::array()}};
  const bool text = o.json != "-";
  if (text)
    fmt::print("{}; {} x {} x {}, medians of {} runs\n\n{:<30}{:>10}{:>12}{:>12}{:>10}\n", gpu, o.m,
               o.n, o.k, o.repeats, "", "TFLOP/s", "compared", "different", "not done");
  bool all_equal = true;
  for (const char* name : names) {
    const Measured row = measure(simulator::find_mma_model(name), o);
    all_equal = all_equal && row.different == 0 && row.not_done == 0;
    document["rows"].push_back({{"name", row.name},
                                {"tera_flops", row.tera_flops},
                                {"outputs_compared", row.compared},
                                {"different", row.different},
                                {"not_done", row.not_done}});
    if (text)
      fmt::print("{:<30}{:>10.2f}{:>12}{:>12}{:>10}\n", row.name, row.tera_flops, row.compared,
                 row.different, row.not_done);
  }
  const std::string json = document.dump(2) + "\n";
  if (!text) fmt::print("{}", json);
  if (text && !o.json.empty()) {
    simulator::AtomicFile file(o.json);
    file.write(json);
    file.commit();
  }
  return all_equal ? 0 : 1;
}

}  // namespace assay::tools

// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include "formats/names.h"
#include "tools/bench_blocks.h"
#include "tools/bench_codec.h"
#include "tools/bench_errors.h"
#include "tools/bench_golden.h"
#include "tools/bench_golden_device.h"
#include "tools/bench_golden_rows.h"
#include "tools/bench_gpu.h"
#include "tools/bench_mma.h"
#include "tools/verb.h"

namespace assay::tools {
namespace {

struct Options {
  std::string suite;
  std::optional<std::int64_t> elements;
  BenchCodecOptions codec;
  int threads = 0;  ///< 0: the suite's own
  std::string shape;
  std::optional<int> device;
  std::vector<std::string> only;
};

ExitCode run(const Options& options) {
  constexpr std::array<std::string_view, 6> suites{"codec",  "mma",    "errors",
                                                   "golden", "blocks", "gpu"};
  BenchCodecOptions shared = options.codec;
  shared.elements = options.elements.value_or(shared.elements);
  if (options.threads != 0) shared.threads = options.threads;
  if (options.suite == suites[0]) return bench_codec(shared) == 0 ? ExitCode::pass : ExitCode::fail;
  if (options.suite == suites[2]) {
    BenchErrorsOptions errors{.seed = shared.seed, .json = shared.json};
    errors.elements = options.elements.value_or(errors.elements);
    return bench_errors(errors) == 0 ? ExitCode::pass : ExitCode::fail;
  }
  if (options.suite == suites[3]) {
    const BenchGoldenOptions golden{options.shape, shared.repeats,
                                    options.threads == 0 ? 1 : options.threads, shared.seed,
                                    shared.json};
    if (options.device) return bench_golden_device(golden, *options.device);
    return bench_golden(golden) == 0 ? ExitCode::pass : ExitCode::fail;
  }
  if (options.suite == suites[4]) {
    BenchBlocksOptions blocks{.repeats = shared.repeats, .seed = shared.seed, .json = shared.json};
    blocks.elements = options.elements.value_or(blocks.elements);
    return bench_blocks(blocks) == 0 ? ExitCode::pass : ExitCode::fail;
  }
  if (options.suite == suites[5])
    return bench_gpu({shared.repeats, shared.seed, shared.json, options.only});
  if (options.suite == suites[1] && options.device) {
    BenchDeviceMmaOptions models{.device = *options.device,
                                 .repeats = shared.repeats,
                                 .threads = shared.threads,
                                 .seed = shared.seed,
                                 .json = shared.json};
    if (!options.shape.empty()) {
      const BenchShape s = parse_bench_shape(options.shape);
      models.m = s.m;
      models.n = s.n;
      models.k = s.k;
    }
    return static_cast<ExitCode>(bench_device_mma(models));
  }
  if (options.suite == suites[1])
    return bench_mma({shared.repeats, shared.threads, shared.seed, shared.json}) == 0
               ? ExitCode::pass
               : ExitCode::fail;
  throw std::invalid_argument(formats::unknown_name("benchmark", options.suite, suites));
}

}  // namespace

Action declare_bench(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option(
         "SUITE", options->suite,
         "codec: the array codec and some block quantizers; blocks: the quantizers of all block "
         "formats; mma: the models of matrix units; errors: published quantization errors; "
         "golden: the exact GEMM beside Eigen's; "
         "gpu: the GPU kernels beside the copy bandwidth and cuBLAS")
      ->required();
  app.add_option("--elements", options->elements,
                 "codec: of each array (default 2^24); blocks, errors: samples (default 2^22)");
  app.add_option("--repeats", options->codec.repeats, "runs behind each median (default 5)");
  app.add_option("--shape", options->shape,
                 "golden: of the product, in place of several; mma with --device: of the products")
      ->type_name("MxNxK");
  app.add_option("--device", options->device,
                 "mma: the models on this GPU, in place of the CPU; golden: its exact GEMM")
      ->type_name("N");
  app.add_option("--threads", options->threads,
                 "of the second column (default 2); golden: of the exact GEMM (default 1)")
      ->check(CLI::PositiveNumber);
  app.add_option("--only", options->only,
                 "gpu: some of quantize, qat, exact, w4a16, w4a8, grouped, bits, in place of all")
      ->delimiter(',');
  app.add_option("--seed", options->codec.seed, "of the data (default 1)");
  app.add_option("--json", options->codec.json, "write the result as JSON to FILE")
      ->type_name("FILE");
  return [options] { return run(*options); };
}

}  // namespace assay::tools

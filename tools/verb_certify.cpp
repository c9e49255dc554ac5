// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <array>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "analysis/report.h"
#include "formats/names.h"
#include "kernels/cpu/cpu_device.h"
#include "kernels/cuda/cuda_device.h"
#include "kernels/mutants/mutants.h"
#include "proptests/certify.h"
#include "tools/certify_table.h"
#include "tools/environment.h"
#include "tools/outcome.h"
#include "tools/outputs.h"
#include "tools/progress.h"
#include "tools/verb.h"

namespace assay::tools {
namespace {

struct Options {
  std::string device, property, token;
  std::int64_t cases = 1000;
  std::uint64_t seed = 1;
  bool verbose = false;
  Outputs outputs;
};

struct Target {
  std::string_view name;
  /// Null, with the reason, where this machine has no such device.
  std::unique_ptr<kernels::DeviceUnderTest> (*make)(std::string& reason);
};
constexpr std::array<Target, 2> targets{
    {{"cpu",
      [](std::string&) -> std::unique_ptr<kernels::DeviceUnderTest> {
        return kernels::make_cpu_device();
      }},
     {"cuda", [](std::string& reason) { return kernels::make_cuda_device(reason); }}}};

/// Any of the kernels that are wrong on purpose, to see what a failure looks like.
constexpr std::string_view mutant_prefix = "mutants.";

const Target& find_target(const std::string& name) {
  std::vector<std::string_view> known;
  for (const Target& target : targets) {
    if (target.name == name) return target;
    known.push_back(target.name);
  }
  throw std::invalid_argument(formats::unknown_name("device", name, known));
}

std::string command_of(const Options& options) {
  std::string text = fmt::format("assay certify {} --cases {} --seed {}", options.device,
                                 options.cases, options.seed);
  if (!options.property.empty()) text += " --property " + options.property;
  if (!options.token.empty()) text += " --case " + options.token;
  return text;
}

ExitCode run(const Options& options) {
  std::string reason;
  std::unique_ptr<kernels::DeviceUnderTest> kernels =
      options.device.starts_with(mutant_prefix)
          ? kernels::mutants::make_mutant(options.device.substr(mutant_prefix.size()))
          : find_target(options.device).make(reason);
  if (kernels == nullptr) {
    fmt::print(stderr, "assay: {}\n", reason);
    return ExitCode::absent;
  }
  options.outputs.require_writable();
  const std::unique_ptr<proptests::Device> device = proptests::in_process(std::move(kernels));
  proptests::CertifyOptions certify;
  certify.property = options.property;
  certify.cases = options.cases;
  certify.seed = options.seed;
  certify.token = options.token;
  certify.target = options.device;
  const auto properties = static_cast<std::int64_t>(proptests::catalogue().size());
  proptests::Report result;
  {
    Progress progress("certify", properties);
    certify.on_verdict = [&progress](const proptests::Verdict&) { progress.advance(1); };
    result = proptests::run_certification(*device, certify);
  }
  analysis::Report report;
  report.environment = environment(command_of(options));
  report.seed = options.seed;
  report.certifications.push_back(std::move(result));
  options.outputs.write_json(analysis::to_json(report));
  options.outputs.write_html([&] { return analysis::to_html(report); });
  const proptests::Report& certified = report.certifications.front();
  if (!options.outputs.to_stdout()) {
    fmt::print("{}", options.verbose ? summary(certified) : certify_table(certified));
    for (const proptests::Verdict& verdict : certified.verdicts)
      if (verdict.counterexample) fmt::print("\n{}", proptests::show(verdict));
  }
  return outcome(certified);
}

}  // namespace

Action declare_certify(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("DEVICE", options->device,
                 "cpu or cuda: the kernels of this tree; mutants.ID: one that is wrong on purpose")
      ->required();
  app.add_option("--property", options->property,
                 "only this property, or those whose id begins with this up to a dot");
  app.add_option("--cases", options->cases, "cases of each property (default 1000)");
  app.add_option("--seed", options->seed, "of the cases (default 1)");
  app.add_option("--case", options->token, "replay one case: the token of a failure");
  app.add_flag("-v,--verbose", options->verbose, "a line for every property, not every group");
  options->outputs.declare_json(app);
  options->outputs.declare_html(app);
  return [options] { return run(*options); };
}

}  // namespace assay::tools

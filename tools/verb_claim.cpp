// SPDX-License-Identifier: Apache-2.0
// A claim for kernels whose author does not know what the accumulator does.
#include <fmt/format.h>

#include <memory>
#include <stdexcept>
#include <string>

#include "formats/names.h"
#include "kernels/abi/claim_text.h"
#include "proptests/claim_probe.h"
#include "tools/device_choice.h"
#include "tools/outputs.h"
#include "tools/verb.h"

namespace assay::tools {
namespace {

struct Options {
  std::string what, entry;
  DeviceChoice device;
  Outputs outputs;
};

ExitCode run(const Options& options) {
  constexpr std::array<std::string_view, 1> known{"infer"};
  if (options.what != known[0])
    throw std::invalid_argument(formats::unknown_name("claim", options.what, known));
  std::string reason;
  const auto devices = open_devices(options.device, 1, reason);
  if (devices.empty()) {
    fmt::print(stderr, "assay: {}\n", reason);
    return ExitCode::absent;
  }
  proptests::Device& device = *devices.front();
  nlohmann::ordered_json entries = nlohmann::ordered_json::array();
  const bool text = !options.outputs.to_stdout();
  for (const kernels::Claim& claim : device.claims()) {
    const std::string name = name_of(claim);
    if (options.entry.empty() ? !proptests::can_infer(claim) : name != options.entry) continue;
    const proptests::InferredClaim inferred = infer_claim(device, claim);
    const std::string line = kernels::abi::text_of(inferred.claim);
    nlohmann::ordered_json answers = nlohmann::ordered_json::array();
    if (text) fmt::print("{}\n", name);
    for (const proptests::ProbeAnswer& a : inferred.answers) {
      if (text) fmt::print("  {:<34}{}\n", a.question, a.answer);
      answers.push_back({{"question", a.question}, {"answer", a.answer}, {"decided", a.decided}});
    }
    if (text) fmt::print("  propose: {}\n", line);
    entries.push_back({{"entry", name}, {"claim", line}, {"answers", std::move(answers)}});
  }
  if (entries.empty())
    throw std::invalid_argument(options.entry.empty()
                                    ? "the device has no gemm of E2M1 operands to ask"
                                    : "the device has no entry '" + options.entry +
                                          "'; assay list entries names them");
  options.outputs.write_json({{"device", device.name()}, {"entries", std::move(entries)}});
  return ExitCode::pass;
}

}  // namespace

Action declare_claim(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("WHAT", options->what,
                 "infer: propose a claim from answers to constructed operands")
      ->required();
  app.add_option("DEVICE", options->device.target, "as in certify")->required();
  app.add_option("--entry", options->entry, "only this entry (default: every gemm)");
  options->device.declare(app);
  options->outputs.declare_json(app);
  return [options] { return run(*options); };
}

}  // namespace assay::tools

// SPDX-License-Identifier: Apache-2.0
#include "tools/device_choice.h"

#include <array>
#include <string_view>

#include "formats/names.h"
#include "kernels/cpu/cpu_device.h"
#include "kernels/cuda/cuda_device.h"
#include "kernels/mutants/mutants.h"

namespace assay::tools {
namespace {

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

std::unique_ptr<kernels::DeviceUnderTest> make(const std::string& name, std::string& reason) {
  if (name.starts_with(mutant_prefix))
    return kernels::mutants::make_mutant(name.substr(mutant_prefix.size()));
  std::vector<std::string_view> known;
  for (const Target& target : targets) {
    if (target.name == name) return target.make(reason);
    known.push_back(target.name);
  }
  throw std::invalid_argument(formats::unknown_name("device", name, known));
}

}  // namespace

void DeviceChoice::declare(CLI::App& app) {
  app.add_flag("--in-process", in_process,
               "call the kernels in this process: for debugging, a crash then ends the run");
  app.add_option("--timeout", timeout, "seconds that one call may take (default 10)")
      ->check(CLI::PositiveNumber);
}

std::vector<std::unique_ptr<proptests::Device>> open_devices(const DeviceChoice& choice, int count,
                                                             std::string& reason) {
  std::vector<std::unique_ptr<proptests::Device>> devices;
  for (int i = 0; i < count; ++i) {
    auto kernels = make(choice.target, reason);
    if (kernels == nullptr) return {};
    devices.push_back(proptests::in_process(std::move(kernels)));
  }
  return devices;
}

}  // namespace assay::tools

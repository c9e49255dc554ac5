// SPDX-License-Identifier: Apache-2.0
#include "tools/device_choice.h"

#include <stdexcept>

#include "kernels/open_device.h"
#include "proptests/devices/process.h"

namespace assay::tools {

void DeviceChoice::declare(CLI::App& app) {
  app.add_flag("--in-process", in_process,
               "call the kernels in this process: for debugging, a crash then ends the run");
  app.add_option("--timeout", timeout, "seconds that one call may take (default 10)")
      ->check(CLI::Range(0.001, 1e6));
}

std::vector<std::unique_ptr<proptests::Device>> open_devices(const DeviceChoice& choice, int count,
                                                             std::string& reason) {
  const bool script = choice.target.ends_with(".py");
  if (script && choice.in_process)
    throw std::invalid_argument("a script runs in a process of its own: leave --in-process out");
  // Named here too: whether this machine has a GPU is known before a process is started for it.
  const bool plugin =
      choice.target.ends_with(".so") || choice.target.find('/') != std::string::npos;
  std::vector<std::unique_ptr<proptests::Device>> devices;
  for (int i = 0; i < count; ++i) {
    if (choice.in_process || (i == 0 && !script && !plugin)) {
      auto kernels = kernels::open_device(choice.target, reason);
      if (kernels == nullptr) return {};
      if (choice.in_process) {
        devices.push_back(proptests::in_process(std::move(kernels)));
        continue;
      }
    }
    proptests::ProcessOptions options;
    options.call_limit =
        std::chrono::milliseconds(static_cast<std::int64_t>(choice.timeout * 1000.0));
    devices.push_back(proptests::in_own_process(proptests::device_command(choice.target), options));
  }
  return devices;
}

}  // namespace assay::tools

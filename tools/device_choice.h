// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which device a verb talks to, and across which border.

#include <CLI/App.hpp>
#include <memory>
#include <string>
#include <vector>

#include "proptests/device.h"

namespace assay::tools {

struct DeviceChoice {
  std::string target;
  bool in_process = false;
  double timeout = 10;  ///< seconds, of one call

  /// Everything but the target itself, which some verbs take from elsewhere.
  void declare(CLI::App& app);
};

/// Instances of the device, each with memory and, unless in_process, a process of its own. Empty,
/// with the reason, where this machine has no such device. Throws std::invalid_argument for a name
/// that no device has and std::runtime_error for one that does not start.
[[nodiscard]] std::vector<std::unique_ptr<proptests::Device>> open_devices(
    const DeviceChoice& choice, int count, std::string& reason);

}  // namespace assay::tools

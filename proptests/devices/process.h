// SPDX-License-Identifier: Apache-2.0
#pragma once
// A device in a process of its own (proptests/wire.h): what it does to itself is a result, and it
// cannot see what it should answer.

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "proptests/device.h"

namespace assay::proptests {

struct ProcessOptions {
  std::chrono::milliseconds call_limit{10'000};   ///< of one run of a call: Outcome::timeout
  std::chrono::milliseconds start_limit{60'000};  ///< from the start to the list of its claims
  /// Every tensor on pages of its own, between pages that cannot be touched: a stray read crashes.
  bool guard_pages = true;
};

/// Starts `command` (a program found as a shell would, and its arguments), which speaks the
/// protocol, and asks it for its claims. It runs in a process group of its own without any
/// descriptor of ours, and ends when the result or this process does. After a crash, a time-out and
/// an error it is started anew for the next call; after three in a row that end like this the rest
/// of a list is not called any more and gets the same outcome.
/// Throws std::runtime_error, one sentence with the last lines it printed, if it does not start.
[[nodiscard]] std::unique_ptr<Device> in_own_process(std::vector<std::string> command,
                                                     const ProcessOptions& options = {});

/// The command for a device that `assay certify` names: `python3 TARGET` for a Python script, else
/// `assay-runner TARGET` with the runner beside this executable or, if there is none, in the PATH.
[[nodiscard]] std::vector<std::string> device_command(const std::string& target);

}  // namespace assay::proptests

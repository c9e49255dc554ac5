// SPDX-License-Identifier: Apache-2.0
#pragma once
// Devices by the names that the command line knows.

#include <memory>
#include <string>

#include "kernels/device_under_test.h"

namespace assay::kernels {

/// `cpu`, `cuda`, `mutants.ID` (`mutants.none` is the right kernel), `cuda-mutants.ID`, or the path
/// of a plugin (it has a slash or ends in .so). Null, with one sentence in `reason`, where this
/// machine has no such device. Throws std::invalid_argument for a name that is none of these, and
/// as open_plugin does.
[[nodiscard]] std::shared_ptr<const DeviceUnderTest> open_device(const std::string& target,
                                                                 std::string& reason);

}  // namespace assay::kernels

// SPDX-License-Identifier: Apache-2.0
#pragma once
// A shared object that exports assay_dut_get_api (abi/assay_dut.h), as a device under test.

#include <memory>
#include <string>

#include "kernels/device_under_test.h"

namespace assay::kernels::abi {

/// Loads it into this process and asks it for its entries: claims() has one Claim per tactic. Where
/// the plugin names a device, the tensors of a call are copied there and back around each run; an
/// entry that claims ASSAY_DUT_GRAPH is captured and replayed as well, and fails if the replay
/// gives other bits. A C++ exception that leaves the plugin is a failure of the call. The object
/// stays loaded until the process ends.
/// Throws std::invalid_argument, one sentence naming the file and the fix, for everything that
/// keeps it from being called: no such file, no such symbol, a version or struct too new or too
/// short, a claim that assay does not understand, two entries of one name, no entries.
[[nodiscard]] std::shared_ptr<const DeviceUnderTest> open_plugin(const std::string& path);

}  // namespace assay::kernels::abi

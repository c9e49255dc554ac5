// SPDX-License-Identifier: Apache-2.0
#pragma once
// The device's side of proptests/wire.h, for kernels behind the C++ interface.

#include "kernels/device_under_test.h"

namespace assay::tools {

/// Announces the device and answers batches until the host closes the socket. Returns the exit
/// status of the process.
[[nodiscard]] int serve(const kernels::DeviceUnderTest& device);

/// Tells the host why there is no device to serve.
void announce_failure(const char* why);

}  // namespace assay::tools

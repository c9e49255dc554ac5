// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "kernels/typed_device.h"

namespace assay::kernels {

/// The in-tree GPU kernels on the first CUDA device, or null with one sentence in `reason`: built
/// without CUDA, no driver, no device, or a device for which this build carries no machine code.
std::unique_ptr<TypedDevice> make_cuda_device(std::string& reason);

}  // namespace assay::kernels

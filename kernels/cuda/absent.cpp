// SPDX-License-Identifier: Apache-2.0
// Stands in where the build has no CUDA compiler.
#include "kernels/cuda/cuda_device.h"

namespace assay::kernels {

std::unique_ptr<DeviceUnderTest> make_cuda_device(std::string& reason) {
  reason = "this build has no GPU kernels: nvcc was not found when it was configured";
  return nullptr;
}

}  // namespace assay::kernels

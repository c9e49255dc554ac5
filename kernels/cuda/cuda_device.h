// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "kernels/cuda/mutant.h"
#include "kernels/typed_device.h"

namespace assay::kernels {

/// A GPU kernel that is wrong in one way: device "cuda-mutants.<id>".
struct CudaMutant {
  std::string_view id;           ///< a slug
  std::string_view description;  ///< what is wrong, in one line
  std::string_view source;       ///< the class of real bugs it stands for
  cuda::Mutant mutant;
  bool (*touches)(
      const Claim&);  ///< the claims of the CUDA device that it spoils: it has no others
};
[[nodiscard]] std::span<const CudaMutant> cuda_mutants();

/// The in-tree GPU kernels on the first CUDA device, or null with one sentence in `reason`: built
/// without CUDA, no driver, no device, or a device for which this build carries no machine code.
std::unique_ptr<TypedDevice> make_cuda_device(std::string& reason,
                                              const CudaMutant* mutant = nullptr);

/// The same kernels with one fault. Throws std::invalid_argument for an unknown id.
std::unique_ptr<TypedDevice> make_cuda_mutant(std::string_view id, std::string& reason);

}  // namespace assay::kernels

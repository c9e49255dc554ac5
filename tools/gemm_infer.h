// SPDX-License-Identifier: Apache-2.0
#pragma once
// `assay gemm --infer`: the reduction plan of a kernel, from files or from a device.

#include <string>

#include "simulator/mma/model.h"
#include "tools/device_choice.h"
#include "tools/exit_code.h"
#include "tools/outputs.h"

namespace assay::tools {

struct InferOptions {
  std::string folder;              ///< of the questions and the plan
  std::string a_format, b_format;  ///< b: as a where empty
  std::string block_scale;         ///< FORMAT/BLOCK, or empty
  std::int64_t k = 512;
  std::uint64_t seed = 1;
  std::string outputs;  ///< the kernel's answers; empty: write the questions
  std::string output = "fp32";
  std::string models;
  std::string entry;  ///< of the device
  DeviceChoice device;
  int threads = 1;
  Outputs reports;
};

/// Writes questions, or answers them. fail where no plan gives the outputs, absent where the device
/// is. Throws std::invalid_argument for what the user can mend.
ExitCode infer_gemm(const InferOptions& options);

}  // namespace assay::tools

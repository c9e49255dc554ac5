// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a GEMM's accumulator does, from its answers to operands made for the question: for kernel
// authors (Triton, a vendor's library) who do not know. An answer says what was seen, not more:
// certification under the proposed claim decides.

#include <string>
#include <vector>

#include "proptests/device.h"

namespace assay::proptests {

struct ProbeAnswer {
  std::string question, answer;
  bool decided = true;
};

struct InferredClaim {
  kernels::Claim claim;  ///< the entry's own with what was inferred
  std::vector<ProbeAnswer> answers;
};

/// Whether the entry is a `gemm` of E2M1 operands in blocks along k, A perhaps in bf16.
[[nodiscard]] bool can_infer(const kernels::Claim& claim);

/// Asks one entry. Throws std::invalid_argument where can_infer() is false, and std::runtime_error
/// where the device does not answer.
[[nodiscard]] InferredClaim infer_claim(Device& device, const kernels::Claim& claim);

}  // namespace assay::proptests

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

/// Asks one entry, whose claim is a `gemm`. Throws std::invalid_argument for another operation or
/// for elements other than E2M1, and std::runtime_error where the device does not answer.
[[nodiscard]] InferredClaim infer_claim(Device& device, const kernels::Claim& claim);

}  // namespace assay::proptests

// SPDX-License-Identifier: Apache-2.0
#pragma once
// Operands made so that one bit of the answer settles one question about a matrix unit: what
// published models leave open or disagree on.

#include <string>
#include <vector>

#include "simulator/mma/model.h"

namespace assay::tools {

/// One output element; elements of A and B beyond those given are +0.
struct ProbeQuestion {
  std::string id;    ///< stable
  std::string text;  ///< what the answer says
  std::vector<std::uint32_t> a, b;
  std::uint32_t c = 0;
};

/// For an instruction of this k. Empty answers are no answers: only what the model's formats can
/// express is asked.
[[nodiscard]] std::vector<ProbeQuestion> probe_questions(const simulator::MmaModel& model, int k);

}  // namespace assay::tools

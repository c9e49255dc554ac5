// SPDX-License-Identifier: Apache-2.0
#include "proptests/diagnosis/stages.h"

namespace assay::proptests::diagnosis {

const std::vector<Hypothesis>& generated_hypotheses() {
  static const std::vector<Hypothesis> all = [] {
    std::vector<Hypothesis> rows;
    for (auto* part : {generated_of_gate_halves, generated_of_products, generated_of_gates,
                       generated_of_quantizers, generated_of_readers, generated_of_moves,
                       generated_of_conversions, generated_of_draws, generated_of_groups,
                       generated_of_group_memory, generated_of_training, generated_of_estimators,
                       generated_of_outputs})
      for (Hypothesis& row : part()) rows.push_back(std::move(row));
    return rows;
  }();
  return all;
}

}  // namespace assay::proptests::diagnosis

// SPDX-License-Identifier: Apache-2.0
#pragma once
// Weights of one tensor class in E2M1 under one block size and scale rule after another: what each
// choice costs, predicted from one set of responses.

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "simulator/graph/predict.h"

namespace assay::analysis {

struct AblationRow {
  simulator::TensorClass tensor_class = simulator::TensorClass::expert;
  std::string format;            ///< of the weights
  std::string block;             ///< "16", "row", "tensor"
  double gain = 1.0, nsr = 0.0;  ///< of the weights: mean over groups
  /// Smallest and largest weight NSR over the phase of log2(scale of the tensor); equal where the
  /// scale factors are not powers of two.
  double phase_low = 0.0, phase_high = 0.0;
  double kl = 0.0, loss_change = 0.0, loss_uncertainty = 0.0;
  double flips = 0.0;     ///< largest over routers
  double noise_sd = 0.0;  ///< of the last router
};

/// Rows of every class in `classes` that the network has. Weights only.
[[nodiscard]] std::vector<AblationRow> ablate(const simulator::Graph& graph,
                                              simulator::Predictor& predictor,
                                              const std::vector<simulator::TensorClass>& classes,
                                              const simulator::ReplayOptions& options);

[[nodiscard]] nlohmann::ordered_json to_json(const std::vector<AblationRow>& rows);

}  // namespace assay::analysis

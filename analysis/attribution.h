// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which operands are to blame: the predicted parts of a figure, which add up, beside what leaving
// one group in high precision takes away when it is measured.

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "simulator/graph/measure.h"
#include "simulator/graph/predict.h"

namespace assay::analysis {

/// Kendall's tau-b of two rankings (1938): concordant less discordant pairs, over the geometric
/// mean of the pairs that either does not tie. 0 for fewer than two pairs. Throws
/// std::invalid_argument for lists of different length.
[[nodiscard]] double kendall_tau(std::span<const double> a, std::span<const double> b);

struct Blame {
  std::string group;
  double nsr = 0.0;          ///< of the operands: the baseline that ranks by the tensors' own error
  double kl = 0.0;           ///< predicted part of the final logits' KL
  double without_kl = 0.0;   ///< predicted, gain and flips included: KL less KL without this group
  double only_kl = 0.0;      ///< predicted, gain and flips included: KL of this group alone
  double measured_kl = 0.0;  ///< KL of the recipe less KL without this group
  double alone_kl = 0.0;     ///< KL of this group alone: not drowned in the others' flips
  /// measured_kl and without_kl with every token's experts held: the same roundings in both
  /// executions, and no flip that only one of them has.
  double held_kl = 0.0, held_without_kl = 0.0;
  std::vector<double> variance;           ///< [router] predicted part of the logits' variance
  std::vector<double> measured_variance;  ///< [router] the same, measured
};

struct Attribution {
  std::string recording, recipe;
  bool measured = false;
  std::vector<std::string> routers;
  double kl = 0.0;  ///< predicted, of all groups: the parts add up to it
  double gain_and_flips =
      0.0;  ///< predicted KL that no group owns, not in `kl`: flips (gains are in the parts)
  double measured_kl = 0.0;
  std::vector<Blame> blames;  ///< largest predicted KL first
  /// Kendall's tau of prediction and measurement; `naive`: of the operands' NSR and
  /// measurement; `alone`: against quantizing one group alone.
  double tau_kl = 0.0, naive_tau_kl = 0.0, alone_tau_kl = 0.0, naive_alone_tau_kl = 0.0;
  double tau_held_kl = 0.0, naive_tau_held_kl = 0.0;  ///< leaving groups out with experts held
  double tau_router = 0.0, naive_tau_router = 0.0;    ///< of the last router's variance
};

/// `measure`: also executes the recipe once for every group, without it.
[[nodiscard]] Attribution attribute(const simulator::Graph& graph, const simulator::Forward& clean,
                                    simulator::Predictor& predictor,
                                    const simulator::Recipe& recipe,
                                    const simulator::ReplayOptions& options,
                                    const simulator::GroupFilter& filter, bool measure);

[[nodiscard]] nlohmann::ordered_json to_json(const Attribution& attribution);
/// The `top` groups.
[[nodiscard]] std::string to_text(const Attribution& attribution, std::size_t top);

}  // namespace assay::analysis

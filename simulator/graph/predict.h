// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a recipe will do to a recorded network, computed without quantizing or executing anything
// under it: block statistics price each operand (block_statistics.h), the responses of the network
// (responses.h) carry the price to the routers and the loss.
//
// With v_g the NSR and a_g the gain of operand group g (means over its tensors, weighted by their
// share of the group's output), and independent groups:
//   linear output   NSR = c_w v_w + c_x v_x + c_w c_x v_w v_x. c_w = sum_j p_w(j) p_x(j) n
//                   ||W||^2 ||X||^2 / (in ||Y||^2), j over blocks of columns, p_w(j) the share of
//                   sum amax^2 of W's blocks in column block j, p_x(j) the share of ||X||^2; c_x
//                   the same with the roles exchanged. White noise would have c = 1.
//   router logits   Cov(ds_t) = sum_g v_g R_g R_g^T + m m^T, m = sum_g (a_g - 1) G_g, per token,
//                   plus the flips before
//   flip            draws of ds_t over the experts next to the boundary (4 of the chosen, 4 of the
//                   others) pass the score and the bias and are ranked; p_t is the share that
//                   differ
//   cascade         a token that router l flips with probability p adds its measured answer to that
//                   flip with probability p; other tokens' flips add noise of their mean square
//   load            clean load moved by the draws
//   loss change     sum_g v_g E_g + sum_g (a_g - 1) dL/da_g + sum_l sum_t p_lt dL_lt
//   KL              sum_g v_g K_g + 1/2 m^T H m + flips, H = diag p - p p^T of the final softmax
// Uncertainty of a loss change: the first-order term of the noise, which has mean zero over noises
// but not for the one rounding that a recipe makes: sqrt(sum_g v_g (dL/dd)^2).

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "simulator/graph/recipe_operands.h"
#include "simulator/graph/responses.h"

namespace assay::simulator {

struct OperandPrediction {
  std::string op, tensor;
  std::size_t node = kNone;
  int expert = -1;
  Role role = Role::weight;
  PredictedOperand figures;
};

struct LinearPrediction {
  std::string op;
  double nsr = 0.0, uncertainty = 0.0;  ///< uncertainty: relative
  double white = 0.0;                   ///< the naive figure: c = 1
};

struct RouterPrediction {
  std::string op;
  int layer = -1;
  double noise_sd = 0.0, centred_noise_sd = 0.0;
  double uncertainty = 0.0;  ///< relative, of noise_sd: spread over the samples of noise
  Matrix covariance;         ///< experts x experts, mean over tokens, of the noise
  double flip_rate = 0.0, flip_uncertainty = 0.0;  ///< uncertainty: one standard error, absolute
  std::vector<double> flip_probability;            ///< by token
  std::vector<double> load;
  double load_shift = 0.0;
  double white_noise_sd = 0.0;  ///< naive: the same noise relative to the logits as its input's
  double independent_flip_rate = 0.0;  ///< naive: each expert's noise independent, one sd for all
};

struct LossPrediction {
  double change = 0.0, uncertainty = 0.0;
  double second_order = 0.0, gain = 0.0, flips = 0.0;  ///< parts of change
  double kl = 0.0;
  double p01 = 0.0, p05 = 0.0, p50 = 0.0, p95 = 0.0, p99 = 0.0;  ///< of token changes
  double white_kl = 0.0;  ///< naive: final logits with white noise of the summed weight NSR
};

/// Part of a group in what is predicted; parts of one column add up.
struct Contribution {
  std::string group;
  double nsr = 0.0;              ///< of the operands
  double kl = 0.0;               ///< of the final logits
  std::vector<double> variance;  ///< [router]: of the logits
};

struct ValuePrediction {
  std::string op;
  double nsr = 0.0;
};

struct Prediction {
  std::vector<OperandPrediction> operands;
  std::vector<LinearPrediction> linears;
  std::vector<RouterPrediction> routers;
  std::vector<ValuePrediction> values;
  std::vector<Contribution> contributions;
  LossPrediction loss;
  double seconds = 0.0;
};

/// True for the groups that the recipe is applied to; the others stay in high precision. Empty:
/// all.
using GroupFilter = std::function<bool(const OperandGroup&)>;

/// Predicts recipes for one network; keeps the block statistics of every tensor and block shape it
/// has met, so that a further recipe reads no tensor.
class Predictor {
 public:
  Predictor(const Graph& graph, const Forward& clean, Responses responses);
  /// Gathers the statistics that a recipe needs, ahead of predict().
  void prepare(const Recipe& recipe, const ReplayOptions& options);
  [[nodiscard]] Prediction predict(const Recipe& recipe, const ReplayOptions& options,
                                   const GroupFilter& filter = {});
  [[nodiscard]] const Responses& responses() const { return responses_; }

 private:
  struct Coefficients {
    double weight = 1.0, activation = 1.0;
  };
  const BlockStatistics& statistics(std::size_t node, Role role, const OperandFormat& format);
  void price(const Recipe& recipe, const ReplayOptions& options, const GroupFilter& filter,
             Prediction& out);
  void linears(Prediction& out) const;
  void routers(Prediction& out) const;
  void loss(Prediction& out) const;
  void naive(Prediction& out) const;
  [[nodiscard]] Coefficients coefficients(std::size_t node) const;

  const Graph& graph_;
  const Forward& clean_;
  Responses responses_;
  Matrix probability_;  ///< of the final softmax
  std::map<std::tuple<std::size_t, int, int, std::int64_t, std::int64_t>, BlockStatistics>
      statistics_;
  std::vector<Coefficients> coefficients_;  ///< by op
  std::vector<double> nsr_, gain_;          ///< by group, of the recipe being predicted
};

}  // namespace assay::simulator

// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a recipe will do to a recorded network, computed without quantizing or executing anything
// under it: block statistics price each operand (block_statistics.h), the responses of the network
// (responses.h) carry the price to the routers and the loss.
//
//   linear output   NSR = c_w v_w + c_x v_x + c_wx v_w v_x, v the NSR of an operand. With n_w(k)
//   and
//                   n_x(k) the shares of an operand's noise in column k (block_statistics.h),
//                   p_w(k) and p_x(k) those of its power, P = ||W||^2 ||X||^2 / ||Y||^2: c_w = P
//                   sum_k n_w(k) p_x(k), c_x = P sum_k n_x(k) p_w(k), c_wx = P sum_k n_w(k) n_x(k).
//                   White noise would have c = 1. Errors of different columns are taken as
//                   uncorrelated; of one rounding they are not where inputs are: uncertainty^2 = 2
//                   sum_{j != k} H_jk^2 / (rows (tr H)^2), H = X^T X and W's rows for the error of
//                   W, H = W^T W and X's rows for that of X, each weighted by its part of the
//                   noise.
// With v_g the NSR and a_g the gain of operand group g (means over its tensors, weighted by their
// share of the group's output), and independent groups:
//   router logits   Cov(ds_t) = sum_g v_g R_g R_g^T + m m^T, m = sum_g (a_g - 1) G_g, per token,
//                   plus the flips before
//   flip            draws of ds_t over the experts next to the boundary (4 of the chosen, 4 of the
//                   others) pass the score and the bias and are ranked; p_t is the share that
//                   differ, and 0 without draws where no flip came before and every margin, less
//                   the gain part, is more than 6 standard deviations of its difference (no score
//                   moves further than its logit)
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
  double nsr = 0.0, uncertainty = 0.0;  ///< uncertainty: relative, one standard deviation
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
  double kl_uncertainty = 0.0;  ///< absolute: spread of the flips' part over which tokens flip
  double held_kl = 0.0;         ///< the part without flips: every token keeps its experts
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
  /// Of one linear: its operands' powers by column.
  struct Columns {
    std::vector<double> weight, activation;               ///< shares of ||W||^2 and ||X||^2
    double power = 0.0;                                   ///< P
    double spread_weight = 0.0, spread_activation = 0.0;  ///< uncertainty of either error alone
  };
  struct Coefficients {
    double weight = 1.0, activation = 1.0, both = 1.0;
  };
  /// What a recipe needs of a group's answer, summed once: sums over tokens and samples.
  struct GroupSums {
    std::vector<double> token_loss_square;  ///< mean over samples, by token
    double loss_square = 0, gain_loss = 0, gain_along = 0;
  };
  const BlockStatistics& statistics(std::size_t node, Role role, const OperandFormat& format);
  PredictedOperand figures(std::size_t node, Role role, const OperandFormat& format);
  void price(const Recipe& recipe, const ReplayOptions& options, const GroupFilter& filter,
             Prediction& out);
  void linears(Prediction& out) const;
  /// Of one router: per token its experts, best first, as far as they can change sides, and the
  /// covariance of their logits' noise from each group at NSR 1 (lower triangle, row by row).
  struct Boundary {
    int first = 0, last = 0;                     ///< ranks [first, last) are next to the boundary
    Matrix space;                                ///< clean, of all experts
    std::vector<int> order;                      ///< [token][rank below last]
    std::vector<std::vector<float>> covariance;  ///< [group]: [token][packed]; empty: no noise
  };
  void find_boundaries();
  void find_sums();
  void routers(Prediction& out) const;
  void loss(Prediction& out);
  void naive(Prediction& out) const;
  [[nodiscard]] Columns columns(std::size_t node) const;
  /// c of two operands' noise at a linear.
  [[nodiscard]] Coefficients coefficients(std::size_t node, const PredictedOperand& weight,
                                          const PredictedOperand& activation) const;

  const Graph& graph_;
  const Forward& clean_;
  Responses responses_;
  Matrix probability_;  ///< of the final softmax
  std::map<std::tuple<std::size_t, int, int, std::int64_t, std::int64_t, int>, BlockStatistics>
      statistics_;  ///< of transformed values where the format has a Hadamard transform
  std::vector<Boundary> boundaries_;      ///< by router
  std::vector<Columns> columns_;          ///< by op
  std::vector<GroupSums> sums_;           ///< by group
  Matrix gain_product_, gain_curvature_;  ///< groups x groups: of the gain parts of the logits
  std::vector<double> nsr_, gain_;        ///< by group, of the recipe being predicted
  std::vector<double> operand_nsr_;       ///< by group: mean NSR of its operands
  double gain_nsr_ = 0.0;                 ///< of the final logits, from gain
};

}  // namespace assay::simulator

// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a recipe will do to a recorded network, computed without executing anything under it. No
// product sees a rounded operand. Weights and activations differ: the rounding of a weight is one
// fixed matrix dW, known before any token (operand_errors.h), and the derivative of the network
// along it (tangent.h) is one pass in high precision; what an activation is rounded to depends on
// all that came before it, so only its statistics are known (block_statistics.h), and random noise
// stands in (responses.h).
//
//   linear output   with E = x dW^T and a, v the gain and NSR of an operand, the activation's taken
//                   as independent of dW:
//                   NSR = a_x^2 (||E||^2 - <E, y>^2 / ||y||^2) / ||y||^2 + a_w^2 c_x v_x
//                         + c_wx v_w v_x
//                   With n_w(k) and n_x(k) the shares of an operand's noise in column k, p_w(k) and
//                   p_x(k) those of its power, P = ||W||^2 ||x||^2 / ||y||^2:
//                   c_x = P sum_k n_x(k) p_w(k), c_wx = P sum_k n_w(k) n_x(k). White noise would
//                   have c = 1. The activation's errors of different columns are taken as
//                   uncorrelated; of one rounding they are not where the weight's columns are:
//                   uncertainty^2 = 2 sum_{j != k} H_jk^2 / (rows (tr H)^2), H = W^T W, weighted by
//                   the activation's part of the noise.
// With m the answer of the network to all dW at once plus sum_g (a_g - 1) G_g over the groups of
// activations, v_g the NSR of a group of activations, independent of each other:
//   router logits   mean shift m + sum_l F_l, F_l the answer to a flip of the token at the earlier
//                   router l, noise of covariance sum_g v_g R_g R_g^T per token, and the second
//                   order as noise of its measured size
//   flip            draws of that pass the score and the bias (no score moves further than its
//                   logit); a token flips where the least of its chosen experts comes below the
//                   best of the others; p_t is the share of its draws: 0 or 1 where nothing is
//                   random
//   cascade         a token that router l flips in a draw adds its measured answer to that flip;
//                   other tokens' flips add noise of their mean square
//   load            clean load moved by the draws
//   loss change     sum_t (p - target) . m_t + 1/2 m^T H m + sum_g v_g E_g + sum_w v_w (E_w - K_w)
//                   + the answer to other tokens' flips times their rate + the mean over draws of
//                   what flips do: their measured answers, and of a token's flips with m and with
//                   each other sum_t f^T H m + 1/2 (f^T H f - sum_l f_l^T H f_l), f = sum_l f_l the
//                   answers of the token's final logits; H = diag p - p p^T of the final softmax, w
//                   the groups of weights, of which E - K is the second order of the network before
//                   the softmax
//   KL              1/2 m^T H m + sum_g v_g K_g + flips, with the same joint part
// m, H and f are taken on a sample of tokens (token_sample.h); the first order, E, K and measured
// answers are those of all.
// Uncertainty of a loss change: the first-order term of the activations' noise, which has mean zero
// over noises but not for the one rounding that a recipe makes, and that of which tokens flip.

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "simulator/graph/backward.h"
#include "simulator/graph/own_errors.h"
#include "simulator/graph/recipe_operands.h"
#include "simulator/graph/responses.h"
#include "simulator/graph/tangent.h"
#include "simulator/graph/token_sample.h"

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
  double uncertainty = 0.0;  ///< relative, of noise_sd: spread of draws, and the second order
  Matrix covariance;         ///< experts x experts, of the noise, mean over tokens of the sample
  double flip_rate = 0.0, flip_uncertainty = 0.0;  ///< uncertainty: one standard error, absolute
  std::vector<double> flip_probability;            ///< by token
  std::vector<double> load;
  double load_shift = 0.0;
  double white_noise_sd = 0.0;  ///< naive: the same noise relative to the logits as its input's
  double independent_flip_rate = 0.0;  ///< naive: each expert's noise independent, one sd for all
};

struct LossPrediction {
  double change = 0.0, uncertainty = 0.0;
  double first_order = 0.0, second_order = 0.0, flips = 0.0;  ///< parts of change
  double kl = 0.0;
  /// Absolute: spread of the flips' part over which tokens flip, and the second order.
  double kl_uncertainty = 0.0;
  double held_kl = 0.0;  ///< the part without flips: every token keeps its experts
  double p01 = 0.0, p05 = 0.0, p50 = 0.0, p95 = 0.0, p99 = 0.0;  ///< of token changes
  double white_kl = 0.0;  ///< naive: final logits with white noise of the summed weight NSR
};

/// Part of a group in what is predicted with experts held; parts of one column add up to it. The
/// errors of weights are one sum m = sum_g m_g, so a part of a square, <m_g, m>, can be negative:
/// an error that undoes part of the others'.
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
  std::vector<Contribution> contributions;  ///< where they were asked for
  LossPrediction loss;
  double seconds = 0.0;  ///< CPU time, on one thread, without the contributions
};

/// True for the groups that the recipe is applied to; the others stay in high precision. Empty:
/// all.
using GroupFilter = std::function<bool(const OperandGroup&)>;

/// Predicts recipes for one network; keeps the block statistics of every activation and block shape
/// and the error of every weight and format it has met, so that a further recipe reads no tensor.
class Predictor {
 public:
  Predictor(const Graph& graph, const Forward& clean, Responses responses);
  /// Gathers the statistics that a recipe needs, ahead of predict().
  void prepare(const Recipe& recipe, const ReplayOptions& options);
  [[nodiscard]] Prediction predict(const Recipe& recipe, const ReplayOptions& options,
                                   const GroupFilter& filter = {});
  /// The prediction with every group's part: one derivative more for each group of weights.
  [[nodiscard]] Prediction with_contributions(const Recipe& recipe, const ReplayOptions& options,
                                              const GroupFilter& filter = {});
  [[nodiscard]] const Responses& responses() const { return responses_; }

 private:
  /// Of one linear: its operands' powers by column.
  struct Columns {
    std::vector<double> weight;  ///< shares of ||W||^2
    double output = 0.0;         ///< ||y||^2
    double power = 0.0;          ///< P
    double spread = 0.0;         ///< relative uncertainty of the activation's part
  };
  const BlockStatistics& statistics(std::size_t node, const OperandFormat& format);
  const PredictedOperand& activation(std::size_t node, const OperandFormat& format);
  void price(const Recipe& recipe, const ReplayOptions& options, const GroupFilter& filter,
             Prediction& out);
  void linears(Prediction& out) const;
  void routers(Prediction& out);
  RouterPrediction router(std::size_t r, std::vector<std::vector<double>>& rates);
  [[nodiscard]] MatrixF moved_logits(std::size_t draw, std::size_t r, const MatrixF& known,
                                     const std::vector<double>& rates) const;
  /// Size of a logit's second order, of all groups together.
  [[nodiscard]] double second_order_sd(std::size_t router) const;
  /// Adds the random groups' answer at a router in one draw.
  void add_noise(std::size_t draw, std::size_t router, MatrixF& to) const;
  /// Reduces the answers to what predictions read of them: per-token matrices to the sample, and
  /// means over all tokens.
  void keep_answers();
  void find_output();
  void loss(Prediction& out);
  /// d loss / d operand along the known errors and the gains of activations: over all tokens.
  [[nodiscard]] double first_order() const;
  /// The parts of the loss that differ from draw to draw; `even`: what every draw has, by token of
  /// the sample.
  void draw_losses(Prediction& out, const std::vector<double>& even);
  /// What flips in one draw do to loss, KL and final logits: the growth of the square of their
  /// change and its product with the clean ones.
  struct FlipSums {
    double loss = 0.0, kl = 0.0, power = 0.0, along = 0.0;
  };
  /// Of every flip of a draw by itself, over all tokens.
  [[nodiscard]] FlipSums flips_alone(std::size_t draw) const;
  /// What a token's flips do together and with the rest of the error; `row`: of the sample.
  [[nodiscard]] FlipSums flips_together(std::size_t draw, std::size_t row) const;
  [[nodiscard]] bool flipped(std::size_t router, std::size_t draw, std::size_t token) const {
    return flips_[router][draw * graph_.token_count() + token] != 0;
  }
  void values(Prediction& out) const;
  /// H of the final softmax of a token of the sample times d.
  [[nodiscard]] Eigen::RowVectorXf curved(std::size_t row, const Eigen::RowVectorXf& d) const;
  void naive(Prediction& out) const;
  [[nodiscard]] Columns columns(std::size_t node) const;
  /// m of a router's logits: tokens of the sample x experts.
  [[nodiscard]] Matrix shift(const Tangent& tangent, std::size_t router) const;
  [[nodiscard]] bool random(std::size_t group) const { return nsr_[group] > 0 && !known_[group]; }

  const Graph& graph_;
  const Forward& clean_;
  Responses responses_;
  std::size_t draws_;
  TokenSample sample_;
  Forward seen_;                    ///< the clean execution of the sample
  MatrixF probability_;             ///< of its final softmax
  double curvature_ = 0.0;          ///< mean over all tokens of sum_i p_i (1 - p_i)
  double sampled_curvature_ = 0.0;  ///< the same over the sample
  Linearization linearization_;
  OperandErrors errors_;
  OwnErrors own_;
  Backward slope_;                 ///< of the clean loss; of values only what known inputs need
  std::vector<double> gain_loss_;  ///< by group: d loss / d gain, first order; of activations
  std::vector<std::vector<double>> noise_loss_;  ///< [group][sample]: mean over all tokens
  std::vector<std::vector<float>> flip_power_, flip_along_;  ///< [router][token], of final logits
  std::map<std::tuple<std::size_t, int, std::int64_t, std::int64_t, int>, BlockStatistics>
      statistics_;  ///< of transformed values where the format has a Hadamard transform
  std::map<std::tuple<std::size_t, int, std::string>, PredictedOperand> activations_;
  std::vector<double> power_, sampled_power_;  ///< by op: ||y||^2, over all tokens and the sample
  std::vector<Matrix> space_;                  ///< by router: its clean selection space
  std::vector<StandIns> stand_ins_;            ///< by router
  std::vector<Columns> columns_;               ///< by op
  // Of the recipe being predicted:
  std::vector<double> nsr_, gain_;  ///< by group: means over its operands
  std::vector<bool> known_;         ///< by group: its rounding error is
  std::vector<const OperandError*> weight_error_, input_error_;  ///< by op: the known ones
  std::map<const OperandError*, MatrixF> sampled_;  ///< errors of inputs, rows of the sample
  OperandShift shift_;                              ///< the known errors, on the sample
  Tangent tangent_;                                 ///< along all of them
  MatrixF output_, curved_;                         ///< m of the final logits, and H m
  std::vector<std::vector<std::uint8_t>> flips_;    ///< [router][draw * tokens + token]
  double second_order_ = 0.0;  ///< at the last router: relative size, of what goes along the first
  double output_nsr_ = 0.0;    ///< of the final logits, from m and the token's own flips
};

}  // namespace assay::simulator

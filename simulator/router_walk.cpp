// SPDX-License-Identifier: Apache-2.0
// The router's part of the walk: s = W_r RMSNorm(r), s' = W_r' RMSNorm(r + e).
#include <algorithm>

#include "simulator/graph_walk.h"
#include "simulator/router_noise.h"

namespace assay::simulator {
namespace {

Selection selection_of(const Recording& recording, const Op& top_k) {
  Selection selection;
  selection.k = top_k.count("k");
  if (top_k.numbers.contains("score")) {
    const double score = top_k.number("score");
    if (score != 0 && score != 1 && score != 2) {
      throw InputError("recording " + recording.header().name + ": op " + top_k.id +
                       " has an unknown score function; known: 0 softmax, 1 sigmoid, 2 "
                       "sqrt(softplus).");
    }
    selection.score = static_cast<ScoreFunction>(static_cast<int>(score));
  }
  if (top_k.has(Role::router_bias)) {
    const auto bias = recording.tensor(top_k, Role::router_bias).read();
    selection.bias.assign(bias.begin(), bias.end());
  }
  return selection;
}

/// Tokens whose recorded set of experts is not the one of the recomputed logits.
std::uint64_t count_differences(const Recording& recording, const Op& op, const Matrix& logits,
                                const Selection& selection) {
  if (!op.has(Role::router_choice)) return 0;
  const auto choice = recording.tensor(op, Role::router_choice).read_ints();
  const auto k = static_cast<std::size_t>(selection.k);
  if (choice.size() != k * static_cast<std::size_t>(logits.rows())) {
    throw InputError("recording " + recording.header().name + ": " +
                     op.tensor(Role::router_choice) + " does not hold k experts for each token.");
  }
  const Matrix space = selection_space(logits, selection.score, selection.bias);
  std::uint64_t count = 0;
  for (std::int64_t t = 0; t < space.rows(); ++t) {
    auto chosen = top_k({space.data() + t * space.cols(), static_cast<std::size_t>(space.cols())},
                        selection.k);
    const auto begin = choice.begin() + t * selection.k;
    std::vector<int> recorded(begin, begin + selection.k);
    std::sort(chosen.begin(), chosen.end());
    std::sort(recorded.begin(), recorded.end());
    count += chosen != recorded ? 1 : 0;
  }
  return count;
}

}  // namespace

void GraphWalk::evaluate_router(const Op& op, Outcome& out) const {
  const auto skip = [&](const std::string& why) {
    out.notes.push_back("Router " + op.id + " was not replayed: " + why + ".");
  };
  if (op.inputs.empty()) return skip("it is not connected to its linear");
  const Op& router = recording_.op(op.inputs[0]);
  if (router.inputs.empty()) return skip("its linear is not connected to a norm");
  const Op& norm = recording_.op(router.inputs[0]);
  if (norm.kind != OpKind::rmsnorm || norm.inputs.empty() || !norm.has(Role::residual) ||
      !norm.has(Role::norm_weight)) {
    return skip("the residual stream and the weight of the norm before it are not recorded");
  }
  const auto stream = recording_.tensor(norm, Role::residual);
  const Matrix residual = to_matrix(read_finite(stream), stream.rows(), stream.cols());
  const auto norm_weight = read_finite(recording_.tensor(norm, Role::norm_weight));
  const std::vector<double> g(norm_weight.begin(), norm_weight.end());
  const auto weight = recording_.tensor(router, Role::weight);
  const auto w = read_finite(weight);
  const Matrix clean_w = to_matrix(w, weight.rows(), weight.cols());
  const Selection selection = selection_of(recording_, op);
  if (static_cast<std::int64_t>(g.size()) != residual.cols() || weight.cols() != residual.cols() ||
      selection.k < 1 || selection.k > weight.rows() ||
      (!selection.bias.empty() &&
       static_cast<std::int64_t>(selection.bias.size()) != weight.rows())) {
    throw InputError("recording " + recording_.header().name +
                     ": the norm, weight, bias and k of router " + router.id +
                     " do not fit each other.");
  }
  const double eps = norm.number("eps");
  const Matrix clean = rms_norm(residual, g, eps) * clean_w.transpose();
  const Treatment treatment = treatment_of(router, recipe_, options_);
  const Matrix hat_w =
      under_recipe(clean_w, treatment.weight, recipe_, options_, router.tensor(Role::weight));
  const auto noisy = [&](const Matrix& e) {
    if (e.size() != 0 && (e.rows() != residual.rows() || e.cols() != residual.cols())) {
      throw InputError("recording " + recording_.header().name + ": the error that reaches " +
                       norm.id + " has another shape than its residual stream.");
    }
    const Matrix r = e.size() == 0 ? residual : Matrix(residual + e);
    const Matrix h =
        under_recipe(rms_norm(r, g, eps), treatment.activation, recipe_, options_, norm.id);
    return Matrix(h * hat_w.transpose());
  };
  const Value& error = value(norm.inputs[0]);
  RouterReplay replay;
  replay.op = router.id;
  replay.layer = router.layer;
  replay.tokens = clean.rows();
  replay.experts = clean.cols();
  replay.k = selection.k;
  replay.margins = margins(clean, selection);
  replay.local = router_noise(clean, noisy(error.local), selection);
  replay.accumulated = router_noise(clean, noisy(error.accumulated), selection);
  replay.recorded_differs = count_differences(recording_, op, clean, selection);
  out.routers.push_back(std::move(replay));
}

}  // namespace assay::simulator

// SPDX-License-Identifier: Apache-2.0
#include "simulator/graph/predict.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "simulator/graph/draws.h"
#include "simulator/graph/one_thread.h"
#include "simulator/graph/thread_clock.h"
#include "simulator/hadamard.h"
#include "simulator/linear_replay.h"

namespace assay::simulator {
namespace {

double square(double v) { return v * v; }

/// x as the quantizer meets it.
Matrix turned(const Matrix& x, const OperandFormat& format) {
  if (format.hadamard == 0) return x;
  std::vector<float> v(static_cast<std::size_t>(x.size()));
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = static_cast<float>(x.data()[i]);
  hadamard(v, x.rows(), x.cols(), format);
  return to_matrix(v, x.rows(), x.cols());
}

/// sum_k a(k) b(k) of shares by column; 1 / columns where one has none (white), 0 where both have.
template <class A, class B>
double overlap(const A& a, const B& b) {
  if (a.empty() && b.empty()) return 0;
  if (a.empty() || b.empty()) return 1 / static_cast<double>(std::max(a.size(), b.size()));
  double sum = 0;
  for (std::size_t k = 0; k < a.size(); ++k) sum += static_cast<double>(a[k]) * b[k];
  return sum;
}

std::vector<double> power_shares(const Matrix& x) {
  const double power = x.squaredNorm();
  std::vector<double> share;
  for (std::int64_t c = 0; c < x.cols(); ++c) {
    share.push_back(power > 0 ? x.col(c).squaredNorm() / power : 0);
  }
  return share;
}

/// sqrt(2 sum_{j != k} H_jk^2 / rows) / tr H, H = x^T x: how far the errors of `rows` rows that x
/// multiplies spread about their mean square.
double spread_of(const Matrix& x, std::int64_t rows) {
  const Matrix h = x.transpose() * x;
  const double trace = h.trace();
  if (trace <= 0) return 0;
  const double off = std::max(0.0, h.squaredNorm() - h.diagonal().squaredNorm());
  return std::sqrt(2 * off / static_cast<double>(rows)) / trace;
}

}  // namespace

Predictor::Predictor(const Graph& graph, const Forward& clean, Responses responses)
    : graph_(graph),
      clean_(clean),
      responses_(std::move(responses)),
      draws_(draws_for(graph.token_count())),
      sample_(sample_tokens(graph, kSampledTokens)),
      seen_(restricted(graph, clean, sample_)),
      linearization_(graph, seen_),
      errors_(graph, clean),
      own_(graph, clean),
      slope_(loss_gradients(graph, clean)) {
  const Matrix all = log_softmax(clean.values[graph.logits]).array().exp().matrix();
  const auto curvature = [](const Matrix& p) {
    return (p.array() * (1 - p.array())).sum() / static_cast<double>(p.rows());
  };
  const Matrix seen = gather(all, sample_.rows);
  probability_ = seen.cast<float>();
  curvature_ = curvature(all);
  sampled_curvature_ = curvature(seen);
  for (const Matrix& v : clean.values) power_.push_back(v.squaredNorm());
  for (const Matrix& v : seen_.values) sampled_power_.push_back(v.squaredNorm());
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    Matrix& slope = slope_.values[i];  // of an input that is known: d loss / d x = d loss / d y W
    const bool known = graph.nodes[i].kind == OpKind::linear && errors_.known(i, Role::input);
    slope = known && slope.size() > 0 ? Matrix(slope * graph.nodes[i].weight) : Matrix();
  }
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const bool counts = graph.nodes[i].kind == OpKind::linear && clean.values[i].rows() > 0;
    columns_.push_back(counts ? columns(i) : Columns{});
  }
  for (const std::size_t top : graph.routers) {
    const GraphNode& n = graph.nodes[top];
    space_.push_back(selection_space(clean.values[n.inputs[0]], n.gate.score, n.gate.bias));
    stand_ins_.push_back(stand_ins(space_.back(), n.gate.k, sample_));
  }
  keep_answers();
}

void Predictor::keep_answers() {
  const Matrix& logits = clean_.values[graph_.logits];
  const Matrix slope = cross_entropy_backward(logits, graph_.targets);
  for (Response& answer : responses_.noise) {
    gain_loss_.push_back(answer.gain_output.size() > 0
                             ? slope.cwiseProduct(answer.gain_output.cast<double>()).sum()
                             : 0.0);
    auto& means = noise_loss_.emplace_back();
    for (auto& loss : answer.token_loss) means.push_back(mean(loss));
    if (answer.gain_output.size() > 0)
      answer.gain_output = gather(answer.gain_output, sample_.rows);
    for (MatrixF& m : answer.gain_logits) m = gather(m, sample_.rows);
  }
  for (FlipResponse& answer : responses_.flips) {
    auto& power = flip_power_.emplace_back();
    auto& along = flip_along_.emplace_back();
    for (std::int64_t t = 0; t < answer.own_output.rows(); ++t) {
      power.push_back(answer.own_output.row(t).squaredNorm());
      along.push_back(
          static_cast<float>(answer.own_output.row(t).cast<double>().dot(logits.row(t))));
    }
    if (answer.own_output.size() > 0) answer.own_output = gather(answer.own_output, sample_.rows);
  }
}

Predictor::Columns Predictor::columns(std::size_t node) const {
  const Matrix x = linear_input(graph_, clean_, node);
  const Matrix& w = graph_.nodes[node].weight;
  Columns c;
  c.weight = power_shares(w);
  c.output = power_[node];
  c.power = c.output > 0 ? x.squaredNorm() * w.squaredNorm() / c.output : 0;
  c.spread = spread_of(w, x.rows());
  return c;
}

const BlockStatistics& Predictor::statistics(std::size_t node, const OperandFormat& format) {
  const formats::BlockShape block = format.block ? format.block->block : formats::BlockShape{0, 0};
  const GraphNode& n = graph_.nodes[node];
  const int turn = format.hadamard * 2 + (format.random_signs ? 1 : 0);
  const auto key = std::make_tuple(n.inputs[0], n.expert, block.rows, block.cols, turn);
  const auto found = statistics_.find(key);
  if (found != statistics_.end()) return found->second;
  return statistics_[key] =
             block_statistics(turned(linear_input(graph_, clean_, node), format), block);
}

const PredictedOperand& Predictor::activation(std::size_t node, const OperandFormat& format) {
  const GraphNode& read = graph_.nodes[node];
  const auto [found, fresh] =
      activations_.try_emplace({read.inputs[0], read.expert, rounding_key(format, 0)});
  PredictedOperand& out = found->second;
  if (!fresh) return out;
  out = predict_operand(statistics(node, format), format);
  if (format.hadamard == 0 || runs_down(format)) return out;
  // Undoing the transform spreads a group's noise evenly over it.
  const auto n = static_cast<std::size_t>(format.hadamard);
  for (std::size_t first = 0; first + n <= out.columns.size(); first += n) {
    const auto begin = out.columns.begin() + static_cast<std::ptrdiff_t>(first);
    const auto end = begin + static_cast<std::ptrdiff_t>(n);
    std::fill(begin, end, std::accumulate(begin, end, 0.0F) / static_cast<float>(n));
  }
  return out;
}

void Predictor::prepare(const Recipe& recipe, const ReplayOptions& options) {
  const OneThread one;
  for (const auto& group : responses_.groups) {
    for (const std::size_t node : group.nodes) {
      const Treatment t = node_treatment(graph_.nodes[node], recipe, options);
      const OperandFormat& format = group.role == Role::weight ? t.weight : t.activation;
      if (!quantizes(format, recipe)) continue;
      if (errors_.known(node, group.role)) {
        (void)errors_.of(node, group.role, format, options.seed);
      } else {
        (void)activation(node, format);
      }
    }
  }
}

void Predictor::price(const Recipe& recipe, const ReplayOptions& options, const GroupFilter& filter,
                      Prediction& out) {
  nsr_.assign(responses_.groups.size(), 0.0);
  gain_.assign(responses_.groups.size(), 1.0);
  shift_ = OperandShift(graph_.nodes.size());
  weight_error_.assign(graph_.nodes.size(), nullptr);
  input_error_.assign(graph_.nodes.size(), nullptr);
  known_.assign(responses_.groups.size(), false);
  // Activations, priced once: their place in the list of operands.
  std::map<std::pair<std::size_t, int>, std::size_t> shared;
  for (std::size_t g = 0; g < responses_.groups.size(); ++g) {
    const OperandGroup& group = responses_.groups[g];
    if (filter && !filter(group)) continue;
    for (std::size_t i = 0; i < group.nodes.size(); ++i) {
      const std::size_t node = group.nodes[i];
      const GraphNode& n = graph_.nodes[node];
      const Treatment t = node_treatment(n, recipe, options);
      const bool weight = group.role == Role::weight;
      const OperandFormat& format = weight ? t.weight : t.activation;
      if (!quantizes(format, recipe)) continue;
      std::size_t at = out.operands.size();
      known_[g] = errors_.known(node, group.role);
      const OperandError* error =
          known_[g] ? &errors_.of(node, group.role, format, options.seed) : nullptr;
      if (error != nullptr) (weight ? weight_error_ : input_error_)[node] = error;
      if (error != nullptr && weight) shift_.weight[node] = &error->error;
      if (error != nullptr && !weight) {
        MatrixF& rows = sampled_[error];
        if (rows.size() == 0) rows = gather(error->error, sample_.rows);
        shift_.input[node] = &rows;
      }
      if (weight) {
        out.operands.push_back({n.id, n.weight_name, node, n.expert, group.role, error->figures});
      } else if (const auto [read, fresh] = shared.try_emplace({n.inputs[0], n.expert}, at);
                 fresh) {
        out.operands.push_back({n.id, graph_.nodes[n.inputs[0]].id, node, n.expert, group.role,
                                error != nullptr ? error->figures : activation(node, format)});
      } else {
        at = read->second;
      }
      const PredictedOperand& priced = out.operands[at].figures;
      nsr_[g] += group.share[i] * priced.nsr;
      gain_[g] += group.share[i] * (priced.gain - 1);
    }
  }
}

void Predictor::linears(Prediction& out) const {
  static const PredictedOperand kExact;
  struct Pair {
    const PredictedOperand* weight = &kExact;
    const PredictedOperand* activation = &kExact;
  };
  std::map<std::pair<std::size_t, int>, const PredictedOperand*> activations;
  std::map<std::size_t, Pair> nodes;
  for (const auto& o : out.operands) {
    const GraphNode& n = graph_.nodes[o.node];
    if (o.role == Role::weight) {
      nodes[o.node].weight = &o.figures;
    } else {
      activations[{n.inputs[0], n.expert}] = &o.figures;
    }
  }
  for (std::size_t i = 0; i < graph_.nodes.size(); ++i) {
    const GraphNode& n = graph_.nodes[i];
    if (n.kind != OpKind::linear || clean_.values[i].rows() == 0) continue;
    const auto found = activations.find({n.inputs[0], n.expert});
    if (found != activations.end() && n.tensor_class != TensorClass::router) {
      nodes[i].activation = found->second;
    }
  }
  for (const auto& [i, pair] : nodes) {
    if (clean_.values[i].rows() == 0) continue;
    const PredictedOperand& w = *pair.weight;
    const PredictedOperand& x = *pair.activation;
    const Columns& c = columns_[i];
    const OwnError own = own_.of(i, weight_error_[i], input_error_[i]);
    LinearPrediction p;
    p.op = graph_.nodes[i].id;
    const bool known = input_error_[i] != nullptr || x.nsr == 0;
    const double from_known =
        c.output > 0 ? (own.power - square(own.along) / c.output) / c.output : 0;
    const double from_activation =
        known ? 0 : c.power * overlap(x.columns, c.weight) * square(w.gain) * x.nsr;
    p.nsr = (known ? 1 : square(x.gain)) * from_known + from_activation +
            c.power * overlap(w.columns, x.columns) * w.nsr * x.nsr;
    p.white = square(x.gain) * w.nsr + square(w.gain) * x.nsr + w.nsr * x.nsr;
    if (p.nsr > 0) p.uncertainty = from_activation * c.spread / p.nsr;
    out.linears.push_back(std::move(p));
  }
}

Prediction Predictor::predict(const Recipe& recipe, const ReplayOptions& options,
                              const GroupFilter& filter) {
  const OneThread one;
  const ThreadClock clock;
  Prediction out;
  price(recipe, options, filter, out);
  tangent_ = linearization_.along(shift_);
  linears(out);
  find_output();
  routers(out);
  loss(out);
  values(out);
  naive(out);
  out.seconds = clock.seconds();
  return out;
}

}  // namespace assay::simulator

// SPDX-License-Identifier: Apache-2.0
#include "simulator/graph/responses.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <random>

#include "simulator/graph/measure.h"
#include "simulator/graph/noise_operands.h"

namespace assay::simulator {
namespace {

constexpr double kGainStep = 1e-4;
constexpr std::size_t kFlipParts = 8;  // of the tokens next to their margin, and of the others
constexpr std::size_t kNear = 4;       // a quarter of the tokens is next to its margin

std::string last_part(const std::string& id) { return id.substr(id.rfind('.') + 1); }

/// sum over tokens of KL(clean || changed), by token.
std::vector<double> kl_of(const Matrix& log_p, const Matrix& changed) {
  const Matrix log_q = log_softmax(changed);
  std::vector<double> kl;
  for (std::int64_t t = 0; t < log_p.rows(); ++t) {
    kl.push_back((log_p.row(t).array().exp() * (log_p.row(t) - log_q.row(t)).array()).sum());
  }
  return kl;
}

double mean(const std::vector<double>& v) {
  double sum = 0;
  for (const double x : v) sum += x;
  return sum / static_cast<double>(v.size());
}

/// Fisher and Yates, the same on every machine, which std::shuffle is not.
template <class At>
void shuffle(At begin, At end, std::mt19937_64& random) {
  for (auto left = static_cast<std::uint64_t>(end - begin); left > 1; --left) {
    std::swap(*(begin + static_cast<std::ptrdiff_t>(left - 1)),
              *(begin + static_cast<std::ptrdiff_t>(random() % left)));
  }
}

/// The part in which each token flips: below kFlipParts for the tokens of least margin.
std::vector<std::size_t> flip_parts(const Matrix& space, int k, std::uint64_t seed) {
  const auto tokens = static_cast<std::size_t>(space.rows());
  std::vector<double> margin;
  for (std::int64_t t = 0; t < space.rows(); ++t) {
    const std::span<const double> row(space.data() + t * space.cols(),
                                      static_cast<std::size_t>(space.cols()));
    const auto best = top_k(row, k + 1);
    margin.push_back(space(t, best[static_cast<std::size_t>(k) - 1]) - space(t, best.back()));
  }
  std::vector<std::size_t> order(tokens);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return margin[a] < margin[b]; });
  std::mt19937_64 random(seed);
  const auto middle = order.begin() + static_cast<std::ptrdiff_t>((tokens + kNear - 1) / kNear);
  shuffle(order.begin(), middle, random);
  shuffle(middle, order.end(), random);
  std::vector<std::size_t> part(tokens);
  for (auto at = order.begin(); at != order.end(); ++at) {
    const auto n = static_cast<std::size_t>(at - (at < middle ? order.begin() : middle));
    part[*at] = n % kFlipParts + (at < middle ? 0 : kFlipParts);
  }
  return part;
}

class Pass {
 public:
  Pass(const Graph& graph, const Forward& clean, int samples, std::uint64_t seed, Grouping grouping)
      : graph_(graph), clean_(clean), seed_(seed) {
    out_.samples = samples;
    out_.groups = operand_groups(graph, clean, grouping);
    out_.noise.resize(out_.groups.size());
    out_.flips.resize(graph.routers.size());
    for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
      if (graph.nodes[i].kind == OpKind::add || i == graph.logits) out_.watched.push_back(i);
    }
    log_p_ = log_softmax(clean.values[graph.logits]);
  }

  Responses run(const StepDone& done) {
    const auto begin = std::chrono::steady_clock::now();
    const auto groups = static_cast<std::int64_t>(out_.groups.size());
    const auto total = groups + static_cast<std::int64_t>(out_.flips.size());
    std::int64_t finished = 0;
#pragma omp parallel for schedule(dynamic)
    for (std::int64_t j = 0; j < total; ++j) {
      if (j < groups) {
        noise(static_cast<std::size_t>(j));
      } else {
        flip(static_cast<std::size_t>(j - groups));
      }
#pragma omp critical(assay_responses)
      if (done) done(++finished, total);
    }
    out_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return std::move(out_);
  }

 private:
  const Matrix& logits_of(const Forward& run, const ForwardOptions& options, std::size_t r) const {
    return value_of(run, options, graph_.nodes[graph_.routers[r]].inputs[0]);
  }

  void noise(std::size_t g) {
    const OperandGroup& group = out_.groups[g];
    Response& answer = out_.noise[g];
    const std::size_t routers = graph_.routers.size();
    const std::size_t tokens = graph_.token_count();
    answer.covariance.resize(routers);
    answer.logit_power.assign(routers, 0.0);
    answer.curved_power.assign(routers, 0.0);
    answer.token_loss_even.assign(tokens, 0.0F);
    answer.value_nsr.assign(out_.watched.size(), 0.0);
    const ForwardOptions options{.held = &clean_, .first = group.nodes.front(), .base = &clean_};
    const double weight = 1.0 / out_.samples;
    for (int k = 0; k < out_.samples; ++k) {
      const GroupNoise d(graph_, clean_, group,
                         seed_ * 1000003 + g * 64 + static_cast<std::uint64_t>(k));
      const Forward plus = run_forward(graph_, NoiseOperands(d, kNoiseAmplitude), options);
      const Forward minus = run_forward(graph_, NoiseOperands(d, -kNoiseAmplitude), options);
      std::vector<MatrixF> logits;
      for (std::size_t r = 0; r < routers; ++r) {
        const Matrix odd =
            (logits_of(plus, options, r) - logits_of(minus, options, r)) / (2 * kNoiseAmplitude);
        const auto size = static_cast<double>(odd.size());
        answer.logit_power[r] += weight * odd.squaredNorm() / size;
        const Matrix& s = clean_.values[graph_.nodes[graph_.routers[r]].inputs[0]];
        answer.curved_power[r] +=
            weight *
            (logits_of(plus, options, r) + logits_of(minus, options, r) - 2 * s).squaredNorm() /
            (4 * std::pow(kNoiseAmplitude, 4) * size);
        const Matrix c = odd.transpose() * odd * (weight / static_cast<double>(odd.rows()));
        if (answer.covariance[r].size() == 0) {
          answer.covariance[r] = c;
        } else {
          answer.covariance[r] += c;
        }
        logits.push_back(odd.cast<float>());
      }
      if (group.role != Role::weight) answer.logits.push_back(std::move(logits));
      auto& loss = answer.token_loss.emplace_back(tokens);
      const double second = kNoiseAmplitude * kNoiseAmplitude;
      for (std::size_t t = 0; t < tokens; ++t) {
        const double even =
            (plus.token_loss[t] + minus.token_loss[t] - 2 * clean_.token_loss[t]) / (2 * second);
        loss[t] =
            static_cast<float>((plus.token_loss[t] - minus.token_loss[t]) / (2 * kNoiseAmplitude));
        answer.token_loss_even[t] += static_cast<float>(weight * even);
        answer.loss_even += weight * even / static_cast<double>(tokens);
      }
      answer.kl += weight *
                   (mean(kl_of(log_p_, value_of(plus, options, graph_.logits))) +
                    mean(kl_of(log_p_, value_of(minus, options, graph_.logits)))) /
                   (2 * second);
      for (std::size_t w = 0; w < out_.watched.size(); ++w) {
        const std::size_t i = out_.watched[w];
        if (i < options.first) continue;
        const Matrix odd = (plus.values[i] - minus.values[i]) / (2 * kNoiseAmplitude);
        answer.value_nsr[w] += weight * noise_part(odd, clean_.values[i]);
      }
    }
    if (group.role == Role::weight) return;
    gain(group, options, answer);
  }

  /// ||d||^2 without its part along y, over ||y||^2.
  static double noise_part(const Matrix& d, const Matrix& y) {
    const double power = y.squaredNorm();
    if (power <= 0) return 0;
    const double along = d.cwiseProduct(y).sum();
    return (d.squaredNorm() - along * along / power) / power;
  }

  void gain(const OperandGroup& group, const ForwardOptions& options, Response& answer) const {
    const Forward grown = run_forward(graph_, GainOperands(graph_, group, 1 + kGainStep), options);
    for (std::size_t r = 0; r < graph_.routers.size(); ++r) {
      const Matrix& s = clean_.values[graph_.nodes[graph_.routers[r]].inputs[0]];
      answer.gain_logits.push_back(
          ((logits_of(grown, options, r) - s) / kGainStep).template cast<float>());
    }
    answer.gain_output =
        ((value_of(grown, options, graph_.logits) - clean_.values[graph_.logits]) / kGainStep)
            .template cast<float>();
  }

  void flip(std::size_t r) {
    const std::size_t node = graph_.routers[r];
    const Gate& gate = graph_.nodes[node].gate;
    FlipResponse& answer = out_.flips[r];
    const std::size_t tokens = graph_.token_count();
    const std::size_t routers = graph_.routers.size();
    answer.cross_power.resize(routers);
    for (std::size_t q = 0; q < routers; ++q) {
      const Matrix& s = clean_.values[graph_.nodes[graph_.routers[q]].inputs[0]];
      answer.own_logits.push_back(MatrixF::Zero(s.rows(), s.cols()));
      answer.cross_power[q].assign(tokens, 0.0F);
    }
    for (auto* v : {&answer.own_loss, &answer.cross_loss, &answer.own_kl, &answer.cross_kl}) {
      v->assign(tokens, 0.0F);
    }
    answer.cross_value_power.assign(out_.watched.size(), 0.0);
    answer.own_value_power.assign(out_.watched.size(), std::vector<float>(tokens, 0.0F));
    if (gate.k >= graph_.nodes[node].width) return;  // nothing to exchange
    const Matrix space =
        selection_space(clean_.values[graph_.nodes[node].inputs[0]], gate.score, gate.bias);
    answer.own_output =
        MatrixF::Zero(static_cast<std::int64_t>(tokens), clean_.values[graph_.logits].cols());
    const std::vector<std::size_t> part = flip_parts(space, gate.k, seed_ * 7919 + r);
    for (std::size_t p = 0; p < 2 * kFlipParts; ++p) {
      auto choice = clean_.routing[node].choice;
      double flipped = 0;
      for (std::size_t t = 0; t < tokens; ++t) {
        if (part[t] != p) continue;
        const std::span<const double> row(
            space.data() + static_cast<std::int64_t>(t) * space.cols(),
            static_cast<std::size_t>(space.cols()));
        choice[t].back() = top_k(row, gate.k + 1).back();
        flipped += 1;
      }
      if (flipped == 0) continue;
      const ForwardOptions options{
          .held = &clean_, .swapped = node, .swap = &choice, .first = node, .base = &clean_};
      const Forward run = run_forward(graph_, Operands(), options);
      // Every other token meets the flips of all near parts, or of all but its own.
      const bool near = p < kFlipParts;
      const auto met = [&](std::size_t t) {
        return near ? static_cast<double>(tokens) / flipped /
                          static_cast<double>(kFlipParts - (part[t] < kFlipParts ? 1 : 0))
                    : 0.0;
      };
      const auto kl = kl_of(log_p_, value_of(run, options, graph_.logits));
      for (std::size_t q = 0; q < routers; ++q) {
        const Matrix d =
            logits_of(run, options, q) - clean_.values[graph_.nodes[graph_.routers[q]].inputs[0]];
        for (std::size_t t = 0; t < tokens; ++t) {
          const auto row = static_cast<std::int64_t>(t);
          if (part[t] == p) {
            answer.own_logits[q].row(row) = d.row(row).cast<float>();
          } else {
            answer.cross_power[q][t] += static_cast<float>(met(t) * d.row(row).squaredNorm() /
                                                           static_cast<double>(d.cols()));
          }
        }
      }
      for (std::size_t t = 0; t < tokens; ++t) {
        const double dl = run.token_loss[t] - clean_.token_loss[t];
        const bool own = part[t] == p;
        (own ? answer.own_loss : answer.cross_loss)[t] +=
            static_cast<float>(dl * (own ? 1 : met(t)));
        (own ? answer.own_kl : answer.cross_kl)[t] +=
            static_cast<float>(kl[t] * (own ? 1 : met(t)));
      }
      const Matrix& output = value_of(run, options, graph_.logits);
      for (std::size_t t = 0; t < tokens; ++t) {
        const auto row = static_cast<std::int64_t>(t);
        if (part[t] != p) continue;
        answer.own_output.row(row) =
            (output.row(row) - clean_.values[graph_.logits].row(row)).cast<float>();
      }
      for (std::size_t w = 0; w < out_.watched.size(); ++w) {
        const std::size_t i = out_.watched[w];
        if (i < options.first) continue;
        for (std::size_t t = 0; t < tokens; ++t) {
          const auto row = static_cast<std::int64_t>(t);
          const double power = (run.values[i].row(row) - clean_.values[i].row(row)).squaredNorm();
          if (part[t] == p) {
            answer.own_value_power[w][t] = static_cast<float>(power);
          } else {
            answer.cross_value_power[w] += met(t) * power;
          }
        }
      }
    }
  }

  const Graph& graph_;
  const Forward& clean_;
  std::uint64_t seed_;
  Matrix log_p_;
  Responses out_;
};

}  // namespace

std::vector<OperandGroup> operand_groups(const Graph& graph, const Forward& clean,
                                         Grouping grouping) {
  std::vector<OperandGroup> groups;
  std::map<std::string, std::size_t> index;
  const auto put = [&](std::size_t node, Role role, const std::string& part) {
    const GraphNode& n = graph.nodes[node];
    const std::string key =
        (n.layer >= 0 ? "layer " + std::to_string(n.layer) + " " : "") +
        std::string(name(n.tensor_class)) + " " +
        (role == Role::weight ? "weight " : "activation ") +
        (grouping == Grouping::by_expert && n.expert >= 0 ? "of expert " + std::to_string(n.expert)
                                                          : part);
    const auto [at, fresh] = index.emplace(key, groups.size());
    if (fresh) groups.push_back({key, n.layer, n.tensor_class, role, {}, {}});
    groups[at->second].nodes.push_back(node);
    groups[at->second].share.push_back(clean.values[node].squaredNorm());
  };
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    if (graph.nodes[i].kind != OpKind::linear || clean.values[i].rows() == 0) continue;
    put(i, Role::weight, last_part(graph.nodes[i].id));
    put(i, Role::input, last_part(graph.nodes[graph.nodes[i].inputs[0]].id));
  }
  for (auto& group : groups) {
    double sum = 0;
    for (const double s : group.share) sum += s;
    for (double& s : group.share)
      s = sum > 0 ? s / sum : 1.0 / static_cast<double>(group.share.size());
  }
  return groups;
}

Responses measure_responses(const Graph& graph, const Forward& clean, int samples,
                            std::uint64_t seed, const StepDone& done, Grouping grouping) {
  return Pass(graph, clean, samples, seed, grouping).run(done);
}

}  // namespace assay::simulator

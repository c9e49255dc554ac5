// SPDX-License-Identifier: Apache-2.0
#include "simulator/graph_walk.h"

#include <algorithm>
#include <exception>

#include "simulator/error_figures.h"
#include "simulator/graph/graph.h"
#include "simulator/input_error.h"
#include "simulator/router_noise.h"

namespace assay::simulator {
namespace {

void add_to(Matrix& sum, const Matrix& term, const Op& op) {
  if (term.size() == 0) return;
  if (sum.size() == 0) {
    sum = term;
    return;
  }
  if (sum.rows() != term.rows() || sum.cols() != term.cols()) {
    throw InputError("op \"" + op.id + "\" of the recording adds values of different shapes.");
  }
  sum += term;
}

}  // namespace

GraphWalk::GraphWalk(const Recording& recording, const Recipe& recipe, const ReplayOptions& options)
    : recording_(recording), recipe_(recipe), options_(options) {
  index();
}

void GraphWalk::index() {
  for (const Op& op : recording_.ops()) {
    needs_[op.id] = op.inputs;
    if (op.kind == OpKind::embedding && op.has(Role::tokens)) {
      sequence_length_ = recording_.tensor(op, Role::tokens).cols();
    }
    if (op.has(Role::residual)) tokens_ = recording_.tensor(op, Role::residual).rows();
    if (op.kind == OpKind::top_k && !op.inputs.empty()) {
      const Op& router = recording_.op(op.inputs[0]);
      if (router.inputs.empty()) continue;
      const Op& norm = recording_.op(router.inputs[0]);
      if (norm.kind != OpKind::rmsnorm || norm.inputs.empty()) continue;
      routed_.insert(norm.inputs[0]);
      needs_[op.id].push_back(norm.inputs[0]);  // the error on the stream before the router's norm
    }
  }
  for (const auto& [id, needs] : needs_) {
    for (const auto& need : needs) ++readers_[need];
  }
}

std::vector<std::vector<std::size_t>> GraphWalk::waves() const {
  std::map<std::string, std::size_t> depth;
  std::vector<std::vector<std::size_t>> result;
  const auto& ops = recording_.ops();
  for (std::size_t i = 0; i < ops.size(); ++i) {
    std::size_t d = 0;
    for (const auto& input : ops[i].inputs) {
      const auto found = depth.find(input);
      if (found == depth.end()) {
        throw InputError("recording " + recording_.header().name + ": op " + ops[i].id + " reads " +
                         input +
                         ", which comes after it; list ops in the order of "
                         "execution.");
      }
      d = std::max(d, found->second + 1);
    }
    depth[ops[i].id] = d;
    if (result.size() <= d) result.resize(d + 1);
    result[d].push_back(i);
  }
  return result;
}

ReplayResult GraphWalk::run() {
  result_.recording = recording_.header().name;
  result_.training_step = recording_.header().training_step;
  result_.recipe = recipe_.name;
  result_.seed = options_.seed;
  for (const auto& wave : waves()) run_wave(wave);
  if (result_.routers.empty()) {
    result_.notes.emplace_back(
        "No router was replayed: the recording has no top_k op with a connected graph and a "
        "recorded residual before its norm.");
  }
  if (std::any_of(result_.tensors.begin(), result_.tensors.end(),
                  [](const TensorReplay& t) { return t.stand_in_scales; })) {
    result_.notes.emplace_back(
        "The recording has no learned scales: the group scale of least squared error stands in.");
  }
  // Waves run breadth first; readers expect the order of the network.
  const auto by_layer = [](const auto& a, const auto& b) { return a.layer < b.layer; };
  std::stable_sort(result_.tensors.begin(), result_.tensors.end(), by_layer);
  std::stable_sort(result_.linears.begin(), result_.linears.end(), by_layer);
  std::stable_sort(result_.routers.begin(), result_.routers.end(), by_layer);
  return std::move(result_);
}

void GraphWalk::run_wave(const std::vector<std::size_t>& wave) {
  std::vector<Outcome> outcomes(wave.size());
  std::vector<std::exception_ptr> errors(wave.size());
  const auto count = static_cast<std::int64_t>(wave.size());
#pragma omp parallel for schedule(dynamic)
  for (std::int64_t j = 0; j < count; ++j) {
    const auto i = static_cast<std::size_t>(j);
    try {
      outcomes[i] = evaluate(wave[i]);
    } catch (...) {
      errors[i] = std::current_exception();
    }
  }
  for (std::size_t i = 0; i < wave.size(); ++i) {
    if (errors[i]) std::rethrow_exception(errors[i]);
    merge(wave[i], std::move(outcomes[i]));
  }
}

void GraphWalk::merge(std::size_t i, Outcome&& outcome) {
  const Op& op = recording_.ops()[i];
  values_[op.id] = std::move(outcome.value);
  for (const auto& need : needs_[op.id]) {
    if (--readers_[need] == 0) values_.erase(need);
  }
  for (auto& t : outcome.linear.tensors) {
    // q, k and v read one operand: it is reported once per set of gathered rows.
    const std::string rows =
        t.role == Role::input && op.has(Role::rows) ? op.tensor(Role::rows) : "";
    if (seen_.insert(t.tensor + "|" + rows + "|" + t.format).second) {
      result_.tensors.push_back(std::move(t));
    }
  }
  if (outcome.linear.linear) result_.linears.push_back(std::move(*outcome.linear.linear));
  if (op.kind == OpKind::linear) {
    result_.linears_left_alone += outcome.linear.touched ? 0 : 1;
    result_.linears_without_rows += outcome.linear.has_rows ? 0 : 1;
  }
  for (auto& r : outcome.routers) result_.routers.push_back(std::move(r));
  for (auto& r : outcome.recomputations) result_.recomputations.push_back(std::move(r));
  for (auto& n : outcome.notes) result_.notes.push_back(std::move(n));
}

GraphWalk::Outcome GraphWalk::evaluate(std::size_t i) const {
  const Op& op = recording_.ops()[i];
  Outcome out;
  switch (op.kind) {
    case OpKind::linear:
      evaluate_linear(op, out);
      break;
    case OpKind::attention:
      evaluate_attention(op, out);
      break;
    case OpKind::swiglu:
      evaluate_swiglu(op, out);
      break;
    case OpKind::combine:
      evaluate_combine(op, out);
      break;
    case OpKind::add:
      evaluate_add(op, out);
      break;
    case OpKind::top_k:
      evaluate_router(op, out);
      break;
    // A norm hands its recorded value on; the error it receives stays on the stream.
    case OpKind::embedding:
    case OpKind::rmsnorm:
    case OpKind::loss:
      break;
  }
  return out;
}

void GraphWalk::evaluate_linear(const Op& op, Outcome& out) const {
  const bool inside = !op.inputs.empty() && value(op.inputs[0]).in_block();
  const Value* source = inside ? &value(op.inputs[0]) : nullptr;
  out.linear = replay_linear(recording_, op, recipe_, options_, inside ? &source->clean : nullptr,
                             inside ? &source->perturbed : nullptr);
  out.value.clean = std::move(out.linear.clean);
  out.value.perturbed = std::move(out.linear.perturbed);
}

void GraphWalk::evaluate_attention(const Op& op, Outcome& out) const {
  if (op.inputs.size() != 3 || sequence_length_ == 0 || !value(op.inputs[0]).in_block()) {
    out.notes.push_back("Op " + op.id +
                        " was not recomputed (it needs q, k, v and the tokens): "
                        "errors of q, k and v do not reach the linear after it.");
    return;
  }
  const AttentionShape shape = attention_shape(op, sequence_length_);
  const Value& q = value(op.inputs[0]);
  const Value& k = value(op.inputs[1]);
  const Value& v = value(op.inputs[2]);
  out.value.clean = attention(q.clean, k.clean, v.clean, shape);
  out.value.perturbed = attention(q.perturbed, k.perturbed, v.perturbed, shape);
  compare_with_recording(op, out.value.clean, out);
}

void GraphWalk::evaluate_swiglu(const Op& op, Outcome& out) const {
  if (op.inputs.size() != 2) {
    throw InputError("recording " + recording_.header().name + ": op " + op.id +
                     " needs two inputs, gate and up.");
  }
  const Value& gate = value(op.inputs[0]);
  const Value& up = value(op.inputs[1]);
  if (!gate.in_block()) return;
  if (gate.clean.rows() != up.clean.rows() || gate.clean.cols() != up.clean.cols()) {
    throw InputError("recording " + recording_.header().name + ": gate and up of op " + op.id +
                     " have different shapes.");
  }
  const SwigluClamp clamp = swiglu_clamp(op);
  out.value.clean = swiglu(gate.clean, up.clean, clamp);
  out.value.perturbed = swiglu(gate.perturbed, up.perturbed, clamp);
  compare_with_recording(op, out.value.clean, out);
}

void GraphWalk::compare_with_recording(const Op& op, const Matrix& clean, Outcome& out) const {
  for (const Op& reader : recording_.ops()) {
    if (reader.kind != OpKind::linear || reader.inputs.empty() || reader.inputs[0] != op.id ||
        !reader.has(Role::input)) {
      continue;
    }
    const auto recorded = recording_.tensor(reader, Role::input).read();
    if (recorded.size() != static_cast<std::size_t>(clean.size())) continue;
    const std::vector<double> x(recorded.begin(), recorded.end());
    const auto figures = error_figures(x, {clean.data(), x.size()});
    out.recomputations.push_back({op.id, figures.relative_mse});
    return;
  }
}

void GraphWalk::evaluate_combine(const Op& op, Outcome& out) const {
  for (const auto& id : op.inputs) {
    const Value& expert = value(id);
    if (!expert.in_block()) continue;  // no recorded token chose it
    const Matrix error = expert.perturbed - expert.clean;
    const Op& last = recording_.op(id);
    if (!last.has(Role::rows)) {  // a shared expert: every token, factor 1
      add_to(out.value.local, error, op);
      continue;
    }
    const auto rows = recording_.tensor(last, Role::rows).read_ints();
    const auto gates = recording_.tensor(last, Role::row_gate).read();
    if (static_cast<std::int64_t>(rows.size()) != error.rows() || gates.size() != rows.size()) {
      throw InputError("recording " + recording_.header().name + ": op " + id +
                       " has other numbers of rows, gates and outputs.");
    }
    if (out.value.local.size() == 0) {
      out.value.local = Matrix::Zero(tokens_, error.cols());
    }
    if (out.value.local.cols() != error.cols()) {
      throw InputError("op \"" + op.id + "\" of the recording adds values of different shapes.");
    }
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (rows[i] < 0 || rows[i] >= out.value.local.rows()) {
        throw InputError("recording " + recording_.header().name + ": op " + id +
                         " combines into row " + std::to_string(rows[i]) +
                         ", which the residual stream does not have.");
      }
      out.value.local.row(rows[i]) += gates[i] * error.row(static_cast<std::int64_t>(i));
    }
  }
  out.value.accumulated = out.value.local;
}

void GraphWalk::evaluate_add(const Op& op, Outcome& out) const {
  for (const auto& id : op.inputs) {
    const Value& term = value(id);
    if (term.in_block()) {
      const Matrix error = term.perturbed - term.clean;
      add_to(out.value.local, error, op);
      add_to(out.value.accumulated, error, op);
    } else {
      // What a router has read already belongs to that router, not to the next.
      if (!routed_.contains(id)) add_to(out.value.local, term.local, op);
      add_to(out.value.accumulated, term.accumulated, op);
    }
  }
}

}  // namespace assay::simulator

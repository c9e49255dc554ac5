// SPDX-License-Identifier: Apache-2.0
#include "simulator/graph/graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "simulator/linear_replay.h"

namespace assay::simulator {
namespace {

double number_or(const Op& op, const char* key, double otherwise) {
  return op.numbers.contains(key) ? op.number(key) : otherwise;
}

class Builder {
 public:
  explicit Builder(const Recording& recording) : recording_(recording) {
    graph_.recording = recording.header().name;
    graph_.training_step = recording.header().training_step;
  }

  Graph run() {
    for (const Op& op : recording_.ops()) {
      GraphNode node;
      node.id = op.id;
      node.kind = op.kind;
      node.layer = op.layer;
      node.expert = op.expert;
      for (const auto& input : op.inputs) {
        const std::size_t i = index_.at(input);
        if (graph_.nodes[i].kind == OpKind::top_k) {
          node.routing = i;
        } else {
          node.inputs.push_back(i);
        }
      }
      add(op, node);
      index_[op.id] = graph_.nodes.size();
      graph_.nodes.push_back(std::move(node));
    }
    if (graph_.logits == kNone) {
      throw InputError("recording " + graph_.recording +
                       " has no loss op: a whole network needs one that reads the head and names "
                       "the targets.");
    }
    int layers = 0;
    for (const GraphNode& node : graph_.nodes) layers = std::max(layers, node.layer + 1);
    for (GraphNode& node : graph_.nodes) node.layers = layers;
    return std::move(graph_);
  }

 private:
  [[noreturn]] void fail(const GraphNode& node, const std::string& problem) const {
    throw InputError("recording " + graph_.recording + ": op " + node.id + " " + problem + ".");
  }
  const GraphNode& input(const GraphNode& node, std::size_t i) const {
    return graph_.nodes[node.inputs[i]];
  }
  void require_inputs(const GraphNode& node, std::size_t count) const {
    if (node.inputs.size() != count) {
      fail(node, fmt::format("needs {} input{} and has {}", count, count == 1 ? "" : "s",
                             node.inputs.size()));
    }
  }
  Matrix read_matrix(const Op& op, Role role) const {
    const auto tensor = recording_.tensor(op, role);
    return to_matrix(read_finite(tensor), tensor.rows(), tensor.cols());
  }
  std::vector<std::int64_t> read_ids(const Op& op, Role role, const GraphNode& node,
                                     std::int64_t limit) const {
    auto ids = recording_.tensor(op, role).read_ints();
    for (const auto id : ids) {
      if (id < 0 || id >= limit) {
        fail(node, fmt::format("has the {} {}, outside 0..{}", name(role), id, limit - 1));
      }
    }
    return ids;
  }

  void add(const Op& op, GraphNode& node) {
    switch (op.kind) {
      case OpKind::embedding:
        return add_embedding(op, node);
      case OpKind::rmsnorm:
        return add_norm(op, node);
      case OpKind::linear:
        return add_linear(op, node);
      case OpKind::attention:
        return add_attention(op, node);
      case OpKind::top_k:
        return add_top_k(op, node);
      case OpKind::swiglu:
        require_inputs(node, 2);
        same_width(node);
        node.routing = input(node, 0).routing;
        node.clamp = swiglu_clamp(op);
        return;
      case OpKind::combine:
      case OpKind::add:
        if (node.inputs.empty()) fail(node, "has no input");
        same_width(node);
        if (op.kind == OpKind::combine) node.routing = kNone;
        return;
      case OpKind::loss:
        return add_loss(op, node);
    }
  }

  void same_width(GraphNode& node) const {
    node.width = input(node, 0).width;
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const GraphNode& other = input(node, i);
      if (other.width != node.width) {
        fail(node, fmt::format("joins {} of width {} and {} of width {}", input(node, 0).id,
                               node.width, other.id, other.width));
      }
      if (node.kind != OpKind::combine && other.routing != input(node, 0).routing) {
        fail(node, "joins values of different tokens, " + input(node, 0).id + " and " + other.id);
      }
    }
  }

  void add_embedding(const Op& op, GraphNode& node) {
    if (!graph_.tokens.empty()) fail(node, "is a second embedding; there may be one");
    node.weight_name = op.tensor(Role::weight);
    node.weight = read_matrix(op, Role::weight);
    node.width = node.weight.cols();
    const auto tokens = recording_.tensor(op, Role::tokens);
    graph_.length = tokens.cols();
    graph_.tokens = read_ids(op, Role::tokens, node, node.weight.rows());
    if (graph_.tokens.empty()) fail(node, "has no tokens");
  }

  void add_norm(const Op& op, GraphNode& node) const {
    require_inputs(node, 1);
    const auto g = read_finite(recording_.tensor(op, Role::norm_weight));
    node.norm.assign(g.begin(), g.end());
    node.width = input(node, 0).width;
    node.eps = op.number("eps");
    if (static_cast<std::int64_t>(g.size()) != node.width || !(node.eps >= 0)) {
      fail(node, fmt::format("has {} weights for a stream of width {}, or an eps below 0", g.size(),
                             node.width));
    }
  }

  void add_linear(const Op& op, GraphNode& node) const {
    require_inputs(node, 1);
    node.tensor_class = linear_class(op);
    node.weight_name = op.tensor(Role::weight);
    node.weight = read_matrix(op, Role::weight);
    if (op.tensors.contains(Role::update)) {
      node.update = read_matrix(op, Role::update);
      if (node.update.rows() != node.weight.rows() || node.update.cols() != node.weight.cols()) {
        fail(node,
             fmt::format("has an update of {} x {} for a weight of {} x {}", node.update.rows(),
                         node.update.cols(), node.weight.rows(), node.weight.cols()));
      }
    }
    node.width = node.weight.rows();
    const GraphNode& x = input(node, 0);
    if (node.weight.cols() != x.width) {
      fail(node, fmt::format("has {} weight columns for the {} that op {} gives it",
                             node.weight.cols(), x.width, x.id));
    }
    if (node.routing != kNone) {  // gathers the tokens of its expert
      node.source = node.inputs[0];
      if (node.expert < 0 || node.expert >= graph_.nodes[node.routing].width) {
        fail(node, fmt::format("is of expert {}, and {} chooses among {}", node.expert,
                               graph_.nodes[node.routing].id, graph_.nodes[node.routing].width));
      }
    } else {
      node.routing = x.routing;
      if (node.routing != kNone && node.expert != x.expert) {
        fail(node,
             fmt::format("is of expert {} and reads {} of expert {}", node.expert, x.id, x.expert));
      }
    }
  }

  void add_attention(const Op& op, GraphNode& node) const {
    require_inputs(node, 3);
    node.attention = attention_shape(op, graph_.length);
    const AttentionShape& s = node.attention;
    node.width = s.heads * s.head_dim;
    const std::int64_t kv = s.kv_heads * s.head_dim;
    if (input(node, 0).width != node.width || input(node, 1).width != kv ||
        input(node, 2).width != kv || s.heads % s.kv_heads != 0) {
      fail(node, fmt::format("has {} heads and {} kv_heads of {}, which do not fit q, k and v of "
                             "widths {}, {} and {}",
                             s.heads, s.kv_heads, s.head_dim, input(node, 0).width,
                             input(node, 1).width, input(node, 2).width));
    }
  }

  void add_top_k(const Op& op, GraphNode& node) {
    require_inputs(node, 1);
    node.width = input(node, 0).width;
    node.gate.k = op.count("k");
    const double score = number_or(op, "score", 0);
    if (score != 0 && score != 1 && score != 2) {
      fail(node, "has an unknown score function; known: 0 softmax, 1 sigmoid, 2 sqrt(softplus)");
    }
    node.gate.score = static_cast<ScoreFunction>(static_cast<int>(score));
    node.gate.renormalize = number_or(op, "renormalize", 1) != 0;
    node.gate.scale = number_or(op, "scale", 1);
    if (op.has(Role::router_bias)) {
      const auto bias = read_finite(recording_.tensor(op, Role::router_bias));
      node.gate.bias.assign(bias.begin(), bias.end());
    }
    if (node.gate.k > node.width ||
        (!node.gate.bias.empty() &&
         static_cast<std::int64_t>(node.gate.bias.size()) != node.width)) {
      fail(node, fmt::format("chooses {} of {} experts with {} biases", node.gate.k, node.width,
                             node.gate.bias.size()));
    }
    graph_.routers.push_back(graph_.nodes.size());
  }

  void add_loss(const Op& op, GraphNode& node) {
    require_inputs(node, 1);
    graph_.logits = node.inputs[0];
    node.width = input(node, 0).width;
    graph_.targets = read_ids(op, Role::targets, node, node.width);
    if (graph_.targets.size() != graph_.tokens.size()) {
      fail(node, fmt::format("has {} targets for {} tokens", graph_.targets.size(),
                             graph_.tokens.size()));
    }
  }

  const Recording& recording_;
  Graph graph_;
  std::map<std::string, std::size_t> index_;
};

}  // namespace

Graph Graph::of(const Recording& recording) { return Builder(recording).run(); }

AttentionShape attention_shape(const Op& op, std::int64_t length) {
  AttentionShape shape;
  shape.heads = op.count("heads");
  shape.head_dim = op.count("head_dim");
  shape.kv_heads = op.numbers.contains("kv_heads") ? op.count("kv_heads") : shape.heads;
  shape.rope_theta = number_or(op, "rope_theta", 0);
  shape.length = length;
  return shape;
}

SwigluClamp swiglu_clamp(const Op& op) {
  SwigluClamp clamp;
  clamp.gate_max = number_or(op, "gate_max", clamp.gate_max);
  clamp.linear_max = number_or(op, "linear_max", clamp.linear_max);
  if (!(clamp.linear_max > 0) || std::isnan(clamp.gate_max)) {
    throw InputError("op \"" + op.id + "\" of the recording needs a linear_max above 0.");
  }
  return clamp;
}

}  // namespace assay::simulator

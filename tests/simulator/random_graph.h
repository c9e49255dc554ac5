// SPDX-License-Identifier: Apache-2.0
#pragma once
// A small mixture-of-experts network with random weights, as the graph of a recording.

#include <cmath>
#include <random>
#include <string>

#include "simulator/graph/graph.h"

namespace assay::simulator {

struct RandomGraphShape {
  int layers = 2, width = 32, heads = 2, kv_heads = 1, experts = 4, expert_width = 16, k = 2;
  int vocabulary = 24, sequences = 2, length = 8;
  ScoreFunction score = ScoreFunction::softmax;
  bool renormalize = true, bias = false, shared = false;
  double clamp = std::numeric_limits<double>::infinity();
  std::uint64_t seed = 1;
};

class RandomGraph {
 public:
  explicit RandomGraph(const RandomGraphShape& shape) : s_(shape), random_(shape.seed) {}

  Graph make() {
    g_.recording = "random";
    g_.length = s_.length;
    std::uniform_int_distribution<int> id(0, s_.vocabulary - 1);
    for (int t = 0; t < s_.sequences * s_.length; ++t) {
      g_.tokens.push_back(id(random_));
      g_.targets.push_back(id(random_));
    }
    GraphNode embed = node("embed", OpKind::embedding, {}, -1, s_.width);
    embed.weight = gaussian(s_.vocabulary, s_.width, 1);
    std::size_t stream = put(std::move(embed));
    for (int l = 0; l < s_.layers; ++l) stream = layer(l, stream);
    const std::size_t norm = norm_of("final_norm", stream, -1);
    g_.logits = linear("head", norm, TensorClass::head, -1, s_.vocabulary);
    put(node("loss", OpKind::loss, {g_.logits}, -1, s_.vocabulary));
    return g_;
  }

 private:
  Matrix gaussian(int rows, int cols, double sd) {
    std::normal_distribution<double> n(0, sd);
    Matrix m(rows, cols);
    // As FP32: what a recording holds.
    for (std::int64_t i = 0; i < m.size(); ++i) m.data()[i] = static_cast<float>(n(random_));
    return m;
  }
  GraphNode node(std::string id, OpKind kind, std::vector<std::size_t> inputs, int l,
                 std::int64_t width) {
    GraphNode n;
    n.id = std::move(id);
    n.kind = kind;
    n.inputs = std::move(inputs);
    n.layer = l;
    n.width = width;
    return n;
  }
  std::size_t put(GraphNode n) {
    g_.nodes.push_back(std::move(n));
    return g_.nodes.size() - 1;
  }
  std::size_t norm_of(const std::string& id, std::size_t x, int l) {
    GraphNode n = node(id, OpKind::rmsnorm, {x}, l, s_.width);
    std::uniform_real_distribution<double> u(0.5, 1.5);
    for (int i = 0; i < s_.width; ++i) n.norm.push_back(u(random_));
    n.eps = 1e-5;
    return put(std::move(n));
  }
  std::size_t linear(const std::string& id, std::size_t x, TensorClass c, int l, int out,
                     int expert = -1, std::size_t top_k = kNone) {
    const int in = static_cast<int>(g_.nodes[x].width);
    GraphNode n = node(id, OpKind::linear, {x}, l, out);
    n.tensor_class = c;
    n.expert = expert;
    n.weight_name = id + ".weight";
    n.weight = gaussian(out, in, 1 / std::sqrt(in));
    n.routing = top_k != kNone ? top_k : g_.nodes[x].routing;
    if (top_k != kNone) n.source = x;
    return put(std::move(n));
  }
  std::size_t expert(const std::string& p, std::size_t x, int l, int e, std::size_t top_k) {
    const std::size_t gate =
        linear(p + "w_gate", x, TensorClass::expert, l, s_.expert_width, e, top_k);
    const std::size_t up = linear(p + "w_up", x, TensorClass::expert, l, s_.expert_width, e, top_k);
    GraphNode n = node(p + "swiglu", OpKind::swiglu, {gate, up}, l, s_.expert_width);
    n.routing = top_k;
    n.expert = e;
    n.clamp = {s_.clamp, s_.clamp};
    const std::size_t hidden = put(std::move(n));
    return linear(p + "w_down", hidden, TensorClass::expert, l, s_.width, e);
  }
  std::size_t layer(int l, std::size_t stream) {
    const std::string p = "layers." + std::to_string(l) + ".";
    const int head_dim = s_.width / s_.heads;
    const std::size_t n = norm_of(p + "attn_norm", stream, l);
    const std::size_t q = linear(p + "q", n, TensorClass::attention, l, s_.width);
    const std::size_t k = linear(p + "k", n, TensorClass::attention, l, head_dim * s_.kv_heads);
    const std::size_t v = linear(p + "v", n, TensorClass::attention, l, head_dim * s_.kv_heads);
    GraphNode a = node(p + "attention", OpKind::attention, {q, k, v}, l, s_.width);
    a.attention = {s_.heads, s_.kv_heads, head_dim, 100.0, s_.length};
    const std::size_t o = linear(p + "o", put(std::move(a)), TensorClass::attention, l, s_.width);
    const std::size_t middle = put(node(p + "attn_add", OpKind::add, {stream, o}, l, s_.width));
    const std::size_t m = norm_of(p + "moe_norm", middle, l);
    const std::size_t r = linear(p + "router", m, TensorClass::router, l, s_.experts);
    GraphNode t = node(p + "top_k", OpKind::top_k, {r}, l, s_.experts);
    t.gate = {s_.k, s_.score, s_.renormalize, 1.5, {}};
    if (s_.bias) {
      std::normal_distribution<double> b(0, 0.1);
      for (int e = 0; e < s_.experts; ++e) t.gate.bias.push_back(b(random_));
    }
    const std::size_t top_k = put(std::move(t));
    g_.routers.push_back(top_k);
    std::vector<std::size_t> parts;
    parts.reserve(static_cast<std::size_t>(s_.experts) + 1);
    for (int e = 0; e < s_.experts; ++e) {
      parts.push_back(expert(p + "experts." + std::to_string(e) + ".", m, l, e, top_k));
    }
    if (s_.shared) parts.push_back(expert(p + "shared.", m, l, -1, kNone));
    const std::size_t c = put(node(p + "combine", OpKind::combine, parts, l, s_.width));
    return put(node(p + "moe_add", OpKind::add, {middle, c}, l, s_.width));
  }

  RandomGraphShape s_;
  std::mt19937_64 random_;
  Graph g_;
};

}  // namespace assay::simulator

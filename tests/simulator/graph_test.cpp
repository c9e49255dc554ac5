// SPDX-License-Identifier: Apache-2.0
// Whole graphs: gradients against finite differences, held routing, partial executions, the control
// recipe, and recordings that do not fit together.
#include "simulator/graph/graph.h"

#include <gtest/gtest.h>

#include "simulator/graph/backward.h"
#include "simulator/graph/measure.h"
#include "tests/simulator/random_graph.h"
#include "tests/simulator/scratch_folder.h"
#include "tests/simulator/tiny_recording.h"

namespace assay::simulator {
namespace {

std::vector<RandomGraphShape> shapes() {
  RandomGraphShape softmax;
  RandomGraphShape sigmoid;
  sigmoid.score = ScoreFunction::sigmoid;
  sigmoid.bias = sigmoid.shared = true;
  sigmoid.seed = 2;
  RandomGraphShape softplus;
  softplus.score = ScoreFunction::sqrt_softplus;
  softplus.renormalize = false;
  softplus.bias = true;
  softplus.clamp = 0.7;  // so that both clamps act
  softplus.seed = 3;
  return {softmax, sigmoid, softplus};
}

class Shifted : public Operands {
 public:
  Shifted(std::size_t node, Matrix weight) : node_(node), weight_(std::move(weight)) {}
  [[nodiscard]] const Matrix& weight(const Graph& graph, std::size_t node) const override {
    return node == node_ ? weight_ : graph.nodes[node].weight;
  }

 private:
  std::size_t node_;
  Matrix weight_;
};

// Central differences of the loss along a random direction of each weight, the routing held. The
// truncation error is h^2/6 of the third derivative: 1e-5 of the gradient's scale at h = 1e-3.
TEST(Graph, GradientsAgreeWithFiniteDifferences) {
  for (const auto& shape : shapes()) {
    const Graph g = RandomGraph(shape).make();
    const Operands plain;
    const Forward clean = run_forward(g, plain);
    const Backward back = run_backward(
        g, plain, clean, {{g.logits, cross_entropy_backward(clean.values[g.logits], g.targets)}});
    std::mt19937_64 random(9);
    std::normal_distribution<double> normal;
    int checked = 0;
    for (std::size_t i = 0; i < g.nodes.size(); ++i) {
      if (g.nodes[i].kind != OpKind::linear || back.weights[i].size() == 0) continue;
      Matrix d(g.nodes[i].weight.rows(), g.nodes[i].weight.cols());
      for (std::int64_t j = 0; j < d.size(); ++j) d.data()[j] = normal(random);
      d *= g.nodes[i].weight.norm() / d.norm();
      const double h = 1e-4;
      const auto loss = [&](double sign) {
        return run_forward(g, Shifted(i, g.nodes[i].weight + sign * h * d), {.held = &clean}).loss;
      };
      const double slope = (loss(1) - loss(-1)) / (2 * h);
      const double want = back.weights[i].cwiseProduct(d).sum();
      EXPECT_NEAR(slope, want, 1e-4 * back.weights[i].norm() * d.norm()) << g.nodes[i].id;
      ++checked;
    }
    EXPECT_GT(checked, 8);
  }
}

TEST(Graph, AnExecutionStartedInTheMiddleIsTheWholeOne) {
  const Graph g = RandomGraph({}).make();
  const Operands plain;
  const Forward whole = run_forward(g, plain);
  const std::size_t middle = g.nodes.size() / 2;
  const ForwardOptions options{.first = middle, .base = &whole};
  const Forward half = run_forward(g, plain, options);
  EXPECT_EQ(half.token_loss, whole.token_loss);
  EXPECT_EQ(value_of(half, options, g.logits), whole.values[g.logits]);
}

TEST(Graph, HeldRoutingIsTheRoutingOfTheOther) {
  const Graph g = RandomGraph({}).make();
  const Forward clean = run_forward(g, {});
  const Recipe recipe = load_recipe("nvfp4-w4a4");
  const RecipeOperands operands(g, recipe, {});
  const Forward held = run_forward(g, operands, {.held = &clean});
  for (const std::size_t i : g.routers) {
    EXPECT_EQ(held.routing[i].choice, clean.routing[i].choice);
    EXPECT_NE(held.routing[i].gate, clean.routing[i].gate);  // the factors follow the logits
  }
}

TEST(Graph, TheControlChangesNothing) {
  const Graph g = RandomGraph({}).make();
  const Forward clean = run_forward(g, {});
  const Measurement m = measure(g, clean, load_recipe("bf16"), {});
  EXPECT_TRUE(m.operands.empty());
  EXPECT_EQ(m.loss.change, 0);
  EXPECT_EQ(m.loss.kl, 0);
  EXPECT_FALSE(m.gradients.empty());
  for (const auto& v : m.gradients) EXPECT_EQ(v.worst, 0) << v.op;
  for (const auto& v : m.values) EXPECT_EQ(v.worst, 0) << v.op;
  for (const auto& r : m.routers) EXPECT_EQ(r.flips, 0U);
}

TEST(Graph, FlipsGivenAnUnflippedPrefixAreASubset) {
  const Graph g = RandomGraph({.layers = 3, .sequences = 8}).make();
  const Forward clean = run_forward(g, {});
  const Measurement m = measure(g, clean, load_recipe("nvfp4-w4a4"), {});
  std::vector<bool> before(g.token_count(), false);
  std::uint64_t all = 0;
  for (const auto& r : m.routers) {
    std::uint64_t tokens = 0;
    std::uint64_t flips = 0;
    for (std::size_t t = 0; t < g.token_count(); ++t) {
      tokens += before[t] ? 0 : 1;
      flips += !before[t] && r.flipped[t] != 0 ? 1 : 0;
    }
    EXPECT_EQ(r.prefix_tokens, tokens);
    EXPECT_EQ(r.prefix_flips, flips);
    for (std::size_t t = 0; t < g.token_count(); ++t) {
      if (r.flipped[t] != 0) before[t] = true;
    }
    all += r.flips;
  }
  EXPECT_GT(all, 0U);
}

TEST(Graph, ARecordingThatIsNotAWholeNetworkIsRefused) {
  TinyRecording tiny;
  const auto recording = Recording::open(tiny.write());
  const std::string message = message_of<InputError>([&] { (void)Graph::of(recording); });
  EXPECT_NE(message.find("op \"embed\" of the recording has no tensor in the role weight"),
            std::string::npos)
      << message;
}

}  // namespace
}  // namespace assay::simulator

// SPDX-License-Identifier: Apache-2.0
// The derivative of whole networks against differences, and what rests on known roundings against
// its definition.
#include "simulator/graph/tangent.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "formats/presets.h"
#include "simulator/graph/measure.h"
#include "simulator/graph/own_errors.h"
#include "simulator/graph/predict.h"
#include "tests/simulator/random_graph.h"

namespace assay::simulator {
namespace {

OperandFormat nvfp4() {
  OperandFormat format;
  format.block = formats::nvfp4;
  return format;
}

/// All weights' and known inputs' rounding errors.
struct Errors {
  explicit Errors(const Graph& g, const Forward& clean) : errors(g, clean), shift(g.nodes.size()) {
    for (std::size_t i = 0; i < g.nodes.size(); ++i) {
      if (g.nodes[i].kind != OpKind::linear) continue;
      shift.weight[i] = &errors.of(i, Role::weight, nvfp4(), 1).error;
      if (errors.known(i, Role::input)) {
        shift.input[i] = &errors.of(i, Role::input, nvfp4(), 1).error;
      }
    }
  }
  OperandErrors errors;
  OperandShift shift;
};

/// Operands moved by h times their errors.
class Moved : public Operands {
 public:
  Moved(const Graph& g, const OperandShift& shift, double h) : shift_(shift), h_(h) {
    for (std::size_t i = 0; i < g.nodes.size(); ++i) {
      weights_.push_back(g.nodes[i].weight);
      if (shift.weight[i] != nullptr) weights_[i] += h * shift.weight[i]->cast<double>();
    }
  }
  [[nodiscard]] const Matrix& weight(const Graph& /*graph*/, std::size_t node) const override {
    return weights_[node];
  }
  void activation(const Graph& /*graph*/, std::size_t node, const std::vector<int>* /*rows*/,
                  Matrix& x) const override {
    if (shift_.input[node] != nullptr) x += h_ * shift_.input[node]->cast<double>();
  }

 private:
  const OperandShift& shift_;
  double h_;
  std::vector<Matrix> weights_;
};

std::vector<RandomGraphShape> shapes() {
  std::vector<RandomGraphShape> all(5);
  all[1].score = ScoreFunction::sigmoid;
  all[1].bias = true;
  all[2].score = ScoreFunction::sqrt_softplus;
  all[2].shared = true;
  all[3].renormalize = false;
  all[4].clamp = 0.5;
  for (std::size_t i = 0; i < all.size(); ++i) all[i].seed = i + 1;
  return all;
}

// (f(h) - f(-h)) / 2h of an execution in double, h = 1e-4 of errors of 10 %: third order is 1e-8 of
// the answer, cancellation 1e-16 / 1e-5 of the value. The tangent is in FP32 over some 30 ops of at
// most 64 terms; 1e-4 of the largest answer is some hundred of its roundings.
TEST(Tangent, IsTheDerivativeOfTheNetwork) {
  for (const auto& shape : shapes()) {
    const Graph g = RandomGraph(shape).make();
    const Forward clean = run_forward(g, {});
    const Errors e(g, clean);
    const Tangent tangent = Linearization(g, clean).along(e.shift);
    const double h = 1e-4;
    const Forward plus = run_forward(g, Moved(g, e.shift, h), {.held = &clean});
    const Forward minus = run_forward(g, Moved(g, e.shift, -h), {.held = &clean});
    int compared = 0;
    for (std::size_t i = 0; i < g.nodes.size(); ++i) {
      if (clean.values[i].size() == 0) continue;
      const Matrix d = (plus.values[i] - minus.values[i]) / (2 * h);
      const double largest = d.cwiseAbs().maxCoeff();
      if (tangent.values[i].size() == 0) {
        EXPECT_EQ(largest, 0) << g.nodes[i].id;
        continue;
      }
      EXPECT_LE((d - tangent.values[i].cast<double>()).cwiseAbs().maxCoeff(), 1e-4 * largest)
          << g.nodes[i].id << " of shape " << shape.seed;
      ++compared;
    }
    EXPECT_GT(compared, 20);
  }
}

TEST(Tangent, OfNothingIsNothing) {
  const Graph g = RandomGraph({}).make();
  const Forward clean = run_forward(g, {});
  const Tangent tangent = Linearization(g, clean).along(OperandShift(g.nodes.size()));
  for (const MatrixF& v : tangent.values) EXPECT_EQ(v.size(), 0);
}

// Known before anything runs: every weight, and what reads the norm of the embedding.
TEST(OperandErrors, KnownAreWeightsAndWhatReadsNoLinear) {
  const Graph g = RandomGraph({.layers = 2}).make();
  const Forward clean = run_forward(g, {});
  const OperandErrors errors(g, clean);
  std::size_t inputs = 0;
  for (std::size_t i = 0; i < g.nodes.size(); ++i) {
    if (g.nodes[i].kind != OpKind::linear) continue;
    EXPECT_TRUE(errors.known(i, Role::weight));
    if (!errors.known(i, Role::input)) continue;
    ++inputs;
    EXPECT_EQ(g.nodes[i].layer, 0) << g.nodes[i].id;
    EXPECT_EQ(g.nodes[i].tensor_class, TensorClass::attention) << g.nodes[i].id;
  }
  EXPECT_EQ(inputs, 3U);  // q, k and v of the first layer
}

// |x dW^T + e W^T|^2 and its product with y, by the definition: element by element, in long double.
// More rows than columns (squares of x) and fewer (products with x); with and without e.
TEST(OwnErrors, AreTheSumsOverTokens) {
  for (const int sequences : {1, 16}) {
    const Graph g = RandomGraph({.sequences = sequences}).make();
    const Forward clean = run_forward(g, {});
    OperandErrors errors(g, clean);
    const OwnErrors own(g, clean);
    int inputs = 0;
    for (std::size_t i = 0; i < g.nodes.size(); ++i) {
      if (g.nodes[i].kind != OpKind::linear || clean.values[i].rows() == 0) continue;
      const OperandError& weight = errors.of(i, Role::weight, nvfp4(), 1);
      const OperandError* input =
          errors.known(i, Role::input) ? &errors.of(i, Role::input, nvfp4(), 1) : nullptr;
      inputs += input != nullptr ? 1 : 0;
      const Matrix x = linear_input(g, clean, i);
      const Matrix& w = g.nodes[i].weight;
      for (const OperandError* e : {static_cast<const OperandError*>(nullptr), input}) {
        long double power = 0;
        long double along = 0;
        for (std::int64_t t = 0; t < x.rows(); ++t) {
          for (std::int64_t r = 0; r < w.rows(); ++r) {
            long double sum = 0;
            for (std::int64_t c = 0; c < w.cols(); ++c) {
              sum += static_cast<long double>(x(t, c)) * weight.error(r, c);
              if (e != nullptr) sum += static_cast<long double>(e->error(t, c)) * w(r, c);
            }
            power += sum * sum;
            along += sum * clean.values[i](t, r);
          }
        }
        const auto size = static_cast<double>(power);
        const OwnError got = own.of(i, &weight, e);
        EXPECT_NEAR(got.power, size, 1e-9 * size) << g.nodes[i].id;
        // The product cancels: its error is that of sqrt(power) times ||y||.
        EXPECT_NEAR(got.along, static_cast<double>(along),
                    1e-9 * std::sqrt(size) * clean.values[i].norm())
            << g.nodes[i].id;
      }
    }
    EXPECT_EQ(inputs, 3);
  }
}

// Where only weights are rounded a linear's output noise is no prediction but a number: that of a
// measurement which rounds the weight and multiplies, up to FP32. Learned scales (article) need
// nothing of their own.
TEST(Prediction, OfLinearsWithRoundedWeightsAloneIsExact) {
  const Graph g = RandomGraph({.layers = 1, .width = 64, .sequences = 8, .length = 16}).make();
  const Forward clean = run_forward(g, {});
  Predictor predictor(g, clean, measure_responses(g, clean, 1, 1));
  for (const char* name : {"nvfp4", "mxfp4-floor", "article"}) {
    const Recipe recipe = load_recipe(name);
    const Prediction p = predictor.predict(recipe, {});
    const Measurement m = measure(g, clean, recipe, {});
    ASSERT_EQ(p.linears.size(), m.linears.size());
    ASSERT_FALSE(p.linears.empty());
    for (std::size_t i = 0; i < p.linears.size(); ++i) {
      ASSERT_EQ(p.linears[i].op, m.linears[i].op);
      EXPECT_NEAR(p.linears[i].nsr / m.linears[i].error.nsr, 1, 1e-4) << p.linears[i].op;
      EXPECT_EQ(p.linears[i].uncertainty, 0) << p.linears[i].op;
    }
  }
}

// Parts of groups are <m_g, m>: they add up to the square whatever the signs, experts held. The
// recipe's weights alone are random in nothing, so at the first router nothing else is left but the
// second order that every draw adds.
TEST(Prediction, PartsOfKnownRoundingsAddUp) {
  const Graph g =
      RandomGraph({.layers = 2, .width = 64, .sequences = 8, .length = 16, .seed = 3}).make();
  const Forward clean = run_forward(g, {});
  Predictor predictor(g, clean, measure_responses(g, clean, 2, 1));
  const Prediction p = predictor.with_contributions(load_recipe("w4a16"), {});
  double kl = 0;
  double variance = 0;
  for (const auto& c : p.contributions) {
    kl += c.kl;
    variance += c.variance[0];
  }
  EXPECT_NEAR(kl / p.loss.held_kl, 1, 1e-4);
  EXPECT_NEAR(std::sqrt(variance) / p.routers[0].noise_sd, 1, 0.03);
}

}  // namespace
}  // namespace assay::simulator

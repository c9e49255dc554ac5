// SPDX-License-Identifier: Apache-2.0
// The sample of tokens on which a prediction takes its derivative, against executions of it alone.
#include "simulator/graph/token_sample.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "simulator/graph/draws.h"
#include "simulator/graph/measure.h"
#include "simulator/graph/predict.h"
#include "tests/simulator/random_graph.h"

namespace assay::simulator {
namespace {

TEST(TokenSample, IsWholeSequencesAtEvenDistances) {
  const Graph g = RandomGraph({.sequences = 10, .length = 8}).make();
  for (const std::size_t most : {0U, 7U, 8U, 31U, 32U, 79U, 80U, 1000U}) {
    const TokenSample s = sample_tokens(g, most);
    const std::size_t sequences = std::clamp<std::size_t>(most / 8, 1, 10);
    ASSERT_EQ(s.rows.size(), sequences * 8) << most;
    ASSERT_TRUE(std::is_sorted(s.rows.begin(), s.rows.end()));
    std::set<int> starts;
    for (std::size_t i = 0; i < s.rows.size(); i += 8) {
      starts.insert(s.rows[i]);
      for (int j = 0; j < 8; ++j) EXPECT_EQ(s.rows[i + static_cast<std::size_t>(j)], s.rows[i] + j);
      EXPECT_EQ(s.rows[i] % 8, 0);
    }
    EXPECT_EQ(starts.size(), sequences);
    for (std::size_t t = 0; t < g.token_count(); ++t) {
      const auto at = std::find(s.rows.begin(), s.rows.end(), static_cast<int>(t));
      EXPECT_EQ(s.place[t], at == s.rows.end() ? -1 : at - s.rows.begin()) << t;
    }
  }
}

// No op joins tokens of two sequences: the sample's rows are what its tokens alone give.
TEST(TokenSample, RestrictedIsTheExecutionOfItsTokens) {
  for (const bool shared : {false, true}) {
    const Graph g = RandomGraph({.sequences = 7, .length = 8, .shared = shared}).make();
    const TokenSample s = sample_tokens(g, 24);
    Graph part = g;
    part.tokens.clear();
    part.targets.clear();
    for (const int row : s.rows) {
      part.tokens.push_back(g.tokens[static_cast<std::size_t>(row)]);
      part.targets.push_back(g.targets[static_cast<std::size_t>(row)]);
    }
    const Forward expected = run_forward(part, {});
    const Forward got = restricted(g, run_forward(g, {}), s);
    for (std::size_t i = 0; i < g.nodes.size(); ++i) {
      ASSERT_EQ(got.values[i].rows(), expected.values[i].rows()) << g.nodes[i].id;
      ASSERT_EQ(got.values[i].cols(), expected.values[i].cols()) << g.nodes[i].id;
      if (expected.values[i].size() > 0) {
        EXPECT_LE((got.values[i] - expected.values[i]).cwiseAbs().maxCoeff(), 1e-12)
            << g.nodes[i].id;
      }
      EXPECT_EQ(got.routing[i].choice, expected.routing[i].choice) << g.nodes[i].id;
      EXPECT_EQ(got.routing[i].rows, expected.routing[i].rows) << g.nodes[i].id;
    }
    EXPECT_EQ(got.token_loss.size(), s.rows.size());
  }
}

TEST(StandIns, AreNearInMarginAndKeepRanks) {
  const Graph g = RandomGraph({.experts = 5, .sequences = 64, .length = 8}).make();
  const Forward clean = run_forward(g, {});
  const Matrix& space = clean.values[g.nodes[g.routers[0]].inputs[0]];
  const TokenSample s = sample_tokens(g, 128);
  const StandIns in = stand_ins(space, 2, s);
  const auto sorted = [&](std::int64_t t) {
    std::vector<double> row(space.row(t).data(), space.row(t).data() + space.cols());
    std::sort(row.rbegin(), row.rend());
    return row;
  };
  const auto margin = [&](std::int64_t t) { return sorted(t)[1] - sorted(t)[2]; };
  std::vector<double> sampled;
  for (const int row : s.rows) sampled.push_back(margin(row));
  std::sort(sampled.begin(), sampled.end());
  const auto rank = [&](double m) {
    return std::lower_bound(sampled.begin(), sampled.end(), m) - sampled.begin();
  };
  // A matrix whose entry is the rank of its expert stays one.
  MatrixF ranks(static_cast<std::int64_t>(s.rows.size()), space.cols());
  for (std::int64_t i = 0; i < ranks.rows(); ++i) {
    const std::int64_t t = s.rows[static_cast<std::size_t>(i)];
    for (std::int64_t e = 0; e < space.cols(); ++e) {
      ranks(i, e) = static_cast<float>((space.row(t).array() > space(t, e)).count());
    }
  }
  const MatrixF spread = in.spread(s, ranks);
  for (std::size_t t = 0; t < g.token_count(); ++t) {
    const auto row = static_cast<std::int64_t>(t);
    if (s.place[t] >= 0) {
      EXPECT_EQ(in.place[t], s.place[t]);
    } else {
      const int who = s.rows[static_cast<std::size_t>(in.place[t])];
      EXPECT_LE(std::abs(rank(margin(row)) - rank(margin(who))), 8) << t;
    }
    for (std::int64_t e = 0; e < space.cols(); ++e) {
      EXPECT_EQ(spread(row, e),
                static_cast<float>((space.row(row).array() > space(row, e)).count()));
    }
  }
}

// Twice as many tokens as are sampled: what is exact stays exact, and what the sample stands for is
// the measured figure: of 8192 tokens some hundred flip, a spread of some percent.
TEST(Prediction, OfMoreTokensThanTheSample) {
  const Graph g =
      RandomGraph({.layers = 1, .width = 64, .experts = 8, .sequences = 512, .length = 16}).make();
  ASSERT_EQ(g.token_count(), 2 * kSampledTokens);
  const Forward clean = run_forward(g, {});
  Predictor predictor(g, clean, measure_responses(g, clean, 1, 1));
  const Recipe recipe = load_recipe("w4a16");
  const Prediction p = predictor.with_contributions(recipe, {});
  const Measurement m = measure(g, clean, recipe, {});
  ASSERT_EQ(p.linears.size(), m.linears.size());
  for (std::size_t i = 0; i < p.linears.size(); ++i) {
    EXPECT_NEAR(p.linears[i].nsr / m.linears[i].error.nsr, 1, 1e-4) << p.linears[i].op;
  }
  EXPECT_NEAR(p.routers[0].noise_sd / m.routers[0].noise_sd, 1, 0.05);
  const double flips =
      static_cast<double>(m.routers[0].flips) / static_cast<double>(m.routers[0].tokens);
  EXPECT_GT(flips, 0.01);
  EXPECT_NEAR(p.routers[0].flip_rate / flips, 1, 0.15);
  EXPECT_NEAR(p.loss.kl / m.loss.kl, 1, 0.2);
  double kl = 0;
  for (const auto& c : p.contributions) kl += c.kl;
  EXPECT_NEAR(kl / p.loss.held_kl, 1, 1e-3);
}

}  // namespace
}  // namespace assay::simulator

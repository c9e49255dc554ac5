// SPDX-License-Identifier: Apache-2.0
#include "simulator/graph/token_sample.h"

#include <algorithm>
#include <random>
#include <span>
#include <utility>

namespace assay::simulator {
namespace {

/// Of `routing` what concerns the tokens of the sample.
Routing restricted(const Routing& routing, const TokenSample& sample) {
  Routing out;
  if (routing.choice.empty()) return out;  // of an op that is no router
  for (const int row : sample.rows) {
    out.choice.push_back(routing.choice[static_cast<std::size_t>(row)]);
    out.gate.push_back(routing.gate[static_cast<std::size_t>(row)]);
  }
  out.rows.resize(routing.rows.size());
  out.row_gate.resize(routing.rows.size());
  for (std::size_t e = 0; e < routing.rows.size(); ++e) {
    for (std::size_t n = 0; n < routing.rows[e].size(); ++n) {
      const int place = sample.place[static_cast<std::size_t>(routing.rows[e][n])];
      if (place < 0) continue;
      out.rows[e].push_back(place);
      out.row_gate[e].push_back(routing.row_gate[e][n]);
    }
  }
  return out;
}

}  // namespace

TokenSample sample_tokens(const Graph& graph, std::size_t tokens) {
  const auto length = static_cast<std::size_t>(graph.length);
  const std::size_t all = graph.token_count() / length;
  const std::size_t taken = std::clamp<std::size_t>(tokens / length, 1, all);
  TokenSample sample;
  sample.place.assign(graph.token_count(), -1);
  for (std::size_t s = 0; s < taken; ++s) {
    const std::size_t first = s * all / taken * length;
    for (std::size_t t = first; t < first + length; ++t) {
      sample.place[t] = static_cast<int>(sample.rows.size());
      sample.rows.push_back(static_cast<int>(t));
    }
  }
  return sample;
}

StandIns stand_ins(const Matrix& space, int k, const TokenSample& sample) {
  StandIns out;
  out.experts = space.cols();
  const auto experts = static_cast<std::size_t>(space.cols());
  std::vector<double> margin;
  for (std::int64_t t = 0; t < space.rows(); ++t) {
    const std::span<const double> row(space.data() + t * space.cols(), experts);
    const auto best = top_k(row, static_cast<int>(experts));
    out.order.insert(out.order.end(), best.begin(), best.end());
    const auto last = static_cast<std::size_t>(k);
    margin.push_back(last < experts ? space(t, best[last - 1]) - space(t, best[last]) : 0);
  }
  std::vector<std::pair<double, int>> sampled;  // margin and place
  for (std::size_t i = 0; i < sample.rows.size(); ++i) {
    sampled.emplace_back(margin[static_cast<std::size_t>(sample.rows[i])], static_cast<int>(i));
  }
  std::sort(sampled.begin(), sampled.end());
  std::mt19937_64 random(20260102);
  const auto near = static_cast<std::int64_t>(std::min<std::size_t>(8, sampled.size()));
  const auto last = static_cast<std::int64_t>(sampled.size()) - near;
  for (std::size_t t = 0; t < margin.size(); ++t) {
    const auto pick = static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(near));
    if (sample.place[t] >= 0) {
      out.place.push_back(sample.place[t]);
      continue;
    }
    const auto at = std::lower_bound(sampled.begin(), sampled.end(), std::pair{margin[t], -1});
    const std::int64_t first = std::clamp<std::int64_t>(at - sampled.begin() - near / 2, 0, last);
    out.place.push_back(sampled[static_cast<std::size_t>(first + pick)].second);
  }
  return out;
}

MatrixF StandIns::spread(const TokenSample& sample, const MatrixF& x) const {
  MatrixF y(static_cast<std::int64_t>(place.size()), x.cols());
  const auto order_of = [&](std::size_t token) {
    return order.data() + static_cast<std::int64_t>(token) * experts;
  };
  for (std::size_t t = 0; t < place.size(); ++t) {
    const auto row = static_cast<std::int64_t>(t);
    if (sample.place[t] >= 0) {
      y.row(row) = x.row(place[t]);
      continue;
    }
    const int* to = order_of(t);
    const int* from =
        order_of(static_cast<std::size_t>(sample.rows[static_cast<std::size_t>(place[t])]));
    for (std::int64_t i = 0; i < experts; ++i) y(row, to[i]) = x(place[t], from[i]);
  }
  return y;
}

Forward restricted(const Graph& graph, const Forward& run, const TokenSample& sample) {
  Forward out;
  out.loss = run.loss;
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    std::vector<int> rows = sample.rows;
    if (const auto* tokens = rows_of(graph, run, i); tokens != nullptr) {
      rows.clear();
      for (std::size_t n = 0; n < tokens->size(); ++n) {
        if (sample.place[static_cast<std::size_t>((*tokens)[n])] >= 0) {
          rows.push_back(static_cast<int>(n));
        }
      }
    }
    const Matrix& value = run.values[i];
    out.values.push_back(value.size() > 0 ? gather(value, rows) : value);
    out.routing.push_back(restricted(run.routing[i], sample));
  }
  for (const int row : sample.rows) {
    out.token_loss.push_back(run.token_loss[static_cast<std::size_t>(row)]);
  }
  return out;
}

}  // namespace assay::simulator

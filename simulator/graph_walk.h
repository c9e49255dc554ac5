// SPDX-License-Identifier: Apache-2.0
#pragma once
// Walks the ops of a recording once, carrying the error of every value from op to op (replay.h says
// how far). Ops whose inputs are done form a wave; the ops of a wave run in parallel and their
// results are merged in the order of the graph, so no sum depends on the number of threads.

#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "simulator/linear_replay.h"
#include "simulator/network.h"
#include "simulator/replay.h"

namespace assay::simulator {

class GraphWalk {
 public:
  GraphWalk(const Recording& recording, const Recipe& recipe, const ReplayOptions& options);
  [[nodiscard]] ReplayResult run();

 private:
  /// What an op leaves behind. Empty matrices stand for zero error.
  struct Value {
    Matrix clean, perturbed;    ///< inside a block: linear, attention, swiglu
    Matrix local, accumulated;  ///< on the residual stream: combine, add
    [[nodiscard]] bool in_block() const { return clean.size() > 0; }
  };
  struct Outcome {
    Value value;
    LinearOutcome linear;
    std::vector<RouterReplay> routers;
    std::vector<Recomputation> recomputations;
    std::vector<std::string> notes;
  };

  void index();
  [[nodiscard]] std::vector<std::vector<std::size_t>> waves() const;
  void run_wave(const std::vector<std::size_t>& wave);
  void merge(std::size_t i, Outcome&& outcome);
  [[nodiscard]] Outcome evaluate(std::size_t i) const;
  void evaluate_linear(const Op& op, Outcome& out) const;
  void evaluate_attention(const Op& op, Outcome& out) const;
  void evaluate_swiglu(const Op& op, Outcome& out) const;
  void evaluate_combine(const Op& op, Outcome& out) const;
  void evaluate_add(const Op& op, Outcome& out) const;
  void evaluate_router(const Op& top_k, Outcome& out) const;

  [[nodiscard]] const Value& value(const std::string& id) const { return values_.at(id); }
  /// The relative MSE of `clean` against the input that the first linear after `op` recorded.
  void compare_with_recording(const Op& op, const Matrix& clean, Outcome& out) const;

  const Recording& recording_;
  const Recipe& recipe_;
  const ReplayOptions& options_;
  std::int64_t sequence_length_ = 0;  ///< 0: not recorded
  std::int64_t tokens_ = 0;           ///< rows of the residual stream; 0: not recorded
  std::map<std::string, Value> values_;
  std::map<std::string, std::vector<std::string>> needs_;  ///< the values that an op reads
  std::map<std::string, int> readers_;                     ///< ops that still need a value
  std::set<std::string> routed_;  ///< stream values that a router has read, through a norm
  std::set<std::string> seen_;    ///< operands already reported
  ReplayResult result_;
};

}  // namespace assay::simulator

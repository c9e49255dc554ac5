// SPDX-License-Identifier: Apache-2.0
#pragma once
// A known error of kernels as a row: what a kernel with this error, and no other, would answer. The
// golden model computes it; nothing is shared with the kernels that are tested.

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "proptests/experiment.h"

namespace assay::proptests::diagnosis {

/// A case that a device has answered, and whether the right model explains the answer.
struct Observation {
  ExperimentPtr experiment;
  Trial trial;
  bool failed = false;
  bool repeats_earlier = false;             ///< the same answer was given to other operands before
  std::vector<ExperimentPtr> earlier = {};  ///< asked of the same entry before, the last first
};

/// An observation as hypotheses look at it. `call` refers to the memory of the experiment.
struct Case {
  Call call;
  const Answer* answer = nullptr;
  bool second = false;             ///< of two equal calls, of which the first was right
  std::vector<Call> earlier = {};  ///< calls of the same entry before this one, the last first
};

struct PredictedArray;
using Prediction = std::vector<PredictedArray>;

struct Hypothesis {
  std::string id;    ///< a slug: stable, the ground truth of mutants refers to it
  std::string name;  ///< what is wrong, in one line
  std::function<bool(const kernels::Claim&)> applies;
  /// What a kernel with this error leaves where the right one leaves `right`; nothing where the
  /// error makes no difference. Weighed slot by slot (weigh.h).
  std::function<std::optional<Prediction>(const Case&, const Prediction& right)> predict = nullptr;
  /// Or, for an error that is not one other computation: whether the answer shows it.
  std::function<bool(const Case&)> explains = nullptr;
  /// Many errors would show like this: said only where nothing else explains as much.
  bool loose = false;
  bool literal = false;  ///< says what an output holds, and nothing of why
  int learned = 0;       ///< an assumption: it is one of very many that differ by a number alone
};

/// Every hypothesis about arithmetic and layout, the most specific first: where two explain the
/// same observations, the one that fewer other errors could imitate comes first.
[[nodiscard]] const std::vector<Hypothesis>& hypotheses();

/// Those that nobody wrote down: stages of the operation crossed with what goes wrong at a stage
/// (edits.h), the fewest assumptions first. Asked where no known error explains everything.
[[nodiscard]] const std::vector<Hypothesis>& generated_hypotheses();

// The parts of the table.
[[nodiscard]] std::vector<Hypothesis> quantize_hypotheses();
[[nodiscard]] std::vector<Hypothesis> dequantize_hypotheses();
[[nodiscard]] std::vector<Hypothesis> gemm_hypotheses();
[[nodiscard]] std::vector<Hypothesis> qat_hypotheses();
[[nodiscard]] std::vector<Hypothesis> number_hypotheses();  ///< convert, transpose, layout
[[nodiscard]] std::vector<Hypothesis> stochastic_hypotheses();
[[nodiscard]] std::vector<Hypothesis> fused_hypotheses();
[[nodiscard]] std::vector<Hypothesis> gated_hypotheses();
[[nodiscard]] std::vector<Hypothesis> grouped_hypotheses();

/// Operands of a call by role and part; empty where the call has none.
[[nodiscard]] std::span<const std::uint8_t> input_bytes(const Call& call, std::uint32_t role,
                                                        std::uint32_t part = 0);
[[nodiscard]] std::vector<float> input_floats(const Call& call, std::uint32_t role);
[[nodiscard]] formats::BlockScaledTensor input_tensor(const Call& call, std::uint32_t role,
                                                      const formats::BlockFormat& format,
                                                      std::int64_t rows, std::int64_t cols);
/// What the device left in the output of this role; empty where the call has none.
[[nodiscard]] std::span<const std::uint8_t> output_bytes(const Case& c, std::uint32_t role,
                                                         std::uint32_t part = 0);

}  // namespace assay::proptests::diagnosis

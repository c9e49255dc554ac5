// SPDX-License-Identifier: Apache-2.0
#pragma once
// One generated case: a call of the device, and the ruling on its answer. The two are apart so that
// the device sees operands and poisoned outputs and nothing else.

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "proptests/device.h"
#include "proptests/verdict.h"

namespace assay::proptests {

struct Ruling {
  bool decided = true;  ///< false: no element of the answer could be judged
  std::optional<Mismatch> mismatch = std::nullopt;
  /// The result that takes the largest share of its bound, where one has a bound above 0.
  std::optional<ErrorPoint> worst = std::nullopt;
};

class Experiment {
 public:
  virtual ~Experiment() = default;
  /// What the device is asked; the experiment owns the memory of its operands. Nothing: the case is
  /// about the library's own host code, which run_host() calls.
  [[nodiscard]] virtual std::optional<Call> call() const { return std::nullopt; }
  /// A second case that is asked along with this one; what it answers follows in the answer that
  /// is judged here. Null: there is none.
  [[nodiscard]] virtual const Experiment* companion() const { return nullptr; }
  /// Outputs hold `poison` bytes when it starts.
  [[nodiscard]] virtual Answer run_host(std::uint8_t poison) const;
  [[nodiscard]] virtual Ruling judge(const Answer& answer) const = 0;
  [[nodiscard]] virtual std::vector<NamedText> describe() const = 0;
};
using ExperimentPtr = std::shared_ptr<const Experiment>;

/// Both runs of each, in order: one request to the device for all of them.
[[nodiscard]] std::vector<Trial> ask(Device& device, std::span<const ExperimentPtr> experiments);

}  // namespace assay::proptests

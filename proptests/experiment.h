// SPDX-License-Identifier: Apache-2.0
#pragma once
// One generated case: operands, a call of the device, and the ruling on its answer. The three are
// apart so that the device sees operands and poisoned outputs and nothing else.

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "kernels/device_under_test.h"
#include "proptests/verdict.h"

namespace assay::proptests {

/// What the device left behind. Outputs are kept as raw bytes: two runs are compared bit by bit.
struct Answer {
  kernels::Status status = kernels::Status::failed;
  std::vector<std::vector<std::uint8_t>> outputs;
  bool inputs_changed = false;
};

struct Ruling {
  bool decided = true;  ///< false: no element of the answer could be judged
  std::optional<Mismatch> mismatch;
};

class Experiment {
 public:
  virtual ~Experiment() = default;
  /// Calls the device once; outputs hold `poison` bytes when it starts.
  [[nodiscard]] virtual Answer ask(const kernels::DeviceUnderTest& dut,
                                   std::uint8_t poison) const = 0;
  [[nodiscard]] virtual Ruling judge(const Answer& answer) const = 0;
  [[nodiscard]] virtual std::vector<NamedText> describe() const = 0;
};
using ExperimentPtr = std::shared_ptr<const Experiment>;

}  // namespace assay::proptests

// SPDX-License-Identifier: Apache-2.0
#pragma once
// A device as the harness sees it: it takes a list of calls and gives back what they left in
// memory, however far away the kernel runs. The transports are rows of devices/.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/device_under_test.h"

namespace assay::proptests {

/// A tensor of a call. The strides describe dense rows; `Call::row_gap` spreads them out.
struct Operand {
  assay_dut_tensor shape{};             ///< data is null
  std::span<const std::uint8_t> bytes;  ///< of an input, dense; empty for an output
  /// Of an output, a flag per row: 0 for rows that must stay as they were (a masked grouped GEMM).
  /// Empty: all are written. Rows that are not come back as zeros.
  std::vector<std::uint8_t> written;
};

/// What a device is asked for. It is nothing but operands: expected values never leave the judge.
struct Call {
  kernels::Claim claim;
  std::int64_t m = 0, n = 0, k = 0, groups = 0;
  float alpha = 1.0F, beta = 0.0F, limit = 0.0F;
  std::uint32_t estimator = 0;
  std::uint64_t seed = 0;
  std::vector<Operand> in, out;
  /// Elements between the rows of every matrix, filled with `pad` (for claims that take strides).
  std::int64_t row_gap = 0;
  std::uint8_t pad = 0;
};

/// A dense row-major tensor of the call, 1 to 3 dimensions. Codes of block formats: the type of
/// their element.
[[nodiscard]] Operand operand(std::uint32_t role, std::uint32_t part,
                              const formats::FormatSpec& type, std::vector<std::int64_t> shape,
                              std::span<const std::uint8_t> bytes = {});
template <class T>
[[nodiscard]] std::span<const std::uint8_t> bytes_of(std::span<const T> x) {
  return {reinterpret_cast<const std::uint8_t*>(x.data()), x.size_bytes()};
}
/// The parts of a block-scaled tensor (which must outlive the call), as inputs or, without their
/// bytes, as outputs; a tensor scale only where the format has one.
void add_input(Call& call, std::uint32_t role, const formats::BlockScaledTensor& t);
void add_output(Call& call, std::uint32_t role, const formats::BlockScaledTensor& t);

enum class Outcome : std::uint8_t { answered, declined, failed, crash, timeout };

/// What the device left behind, as raw bytes: two runs are compared bit by bit.
struct Answer {
  Outcome outcome = Outcome::failed;
  std::vector<std::vector<std::uint8_t>> outputs = {};  ///< dense, in the order of Call::out
  bool inputs_changed = false;
  std::string overrun = {};  ///< where bytes outside every output were written; empty: nowhere
  std::string message = {};  ///< what the device or the transport says of a failure
};

/// The same call twice, with different bytes in the outputs beforehand and memory placed
/// differently.
struct Trial {
  Answer first, second;
};

class Device {
 public:
  virtual ~Device() = default;
  [[nodiscard]] virtual std::string name() const = 0;
  /// Every entry and tactic, in order.
  [[nodiscard]] virtual std::vector<kernels::Claim> claims() const = 0;
  /// A trial per call, in order. What a device does to itself is an outcome, not an exception.
  virtual std::vector<Trial> ask(std::span<const Call> calls) = 0;
};

/// A device in this process: no isolation, for debugging and for kernels that are trusted not to
/// crash. It lives as long as the result.
[[nodiscard]] std::unique_ptr<Device> in_process(
    std::shared_ptr<const kernels::DeviceUnderTest> kernels);

}  // namespace assay::proptests

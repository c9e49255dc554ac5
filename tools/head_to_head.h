// SPDX-License-Identifier: Apache-2.0
#pragma once
// Kernels under the acceptance criteria that public test suites use, on data as those suites draw
// it: Gaussian operands (small integers for CUTLASS), usual shapes. For comparison only; nothing
// here decides a verdict of assay.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "proptests/device.h"

namespace assay::tools {

/// A block format's worth of results of one device.
struct SuiteRun {
  const formats::BlockFormat* format = nullptr;
  std::vector<float> a, b, bias;            ///< the operands before quantization
  formats::BlockScaledTensor qa, qb;        ///< as the device quantized them
  formats::BlockScaledTensor golden_qa;     ///< as they should be
  std::vector<float> dequantized;           ///< of qa, by the device
  std::vector<double> original;             ///< a b'
  std::vector<double> of_codes;             ///< the product of what qa and qb mean
  std::vector<double> of_weight;            ///< a times what qb means, and the bias
  std::vector<float> product, weight_only;  ///< by the device, bf16
  std::vector<double> integers;             ///< exact: alpha sum + beta C on small integers
  std::vector<float> integer_product;
};

struct Criterion {
  const char* suite;      ///< and test file
  const char* statement;  ///< as published
  bool (*passes)(const SuiteRun&);
};
[[nodiscard]] std::span<const Criterion> published_criteria();

/// Draws the workload once; the same for every device.
class HeadToHead {
 public:
  HeadToHead();
  /// Per criterion of published_criteria(), whether the device passes for every format; nothing
  /// where the device does not offer the quantizer, dequantizer and GEMMs that the suites call.
  [[nodiscard]] std::optional<std::vector<bool>> passes(proptests::Device& device) const;

 private:
  std::vector<SuiteRun> workloads_;
};

}  // namespace assay::tools

// SPDX-License-Identifier: Apache-2.0
#pragma once
// The memory of a plugin's device (assay_dut_device): copies the tensors of a call there, runs, and
// copies them back, with margins around each that nobody may write to.

#include <functional>
#include <memory>
#include <string>

#include "kernels/device_under_test.h"

namespace assay::kernels::abi {

class PluginMemory {
 public:
  using Launch = std::function<Status(const assay_dut_call&)>;

  /// allocate, release, to_device, to_host and synchronize are set.
  explicit PluginMemory(const assay_dut_device& device) : device_(device) {}

  [[nodiscard]] bool has_graphs() const;
  /// Tensors of `call` lie in host memory; all of them, inputs too, are what the device left when
  /// it returns. Failed, with the reason in `error`, where a callback fails, where the margins of a
  /// tensor are written to, and where a captured graph gives other bits than the launch.
  Status run(const Claim& claim, const assay_dut_call& call, const Launch& launch,
             std::string& error);

 private:
  assay_dut_device device_;
  void* stream_ = nullptr;  // made by the first call that wants one; lives as long as the process
};

}  // namespace assay::kernels::abi

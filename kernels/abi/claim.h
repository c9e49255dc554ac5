// SPDX-License-Identifier: Apache-2.0
#pragma once
// Claims between C (abi/assay_dut.h) and C++, and the names of operations.

#include <span>
#include <string_view>

#include "kernels/device_under_test.h"

namespace assay::kernels::abi {

struct OperationName {
  std::uint32_t operation;  ///< enum assay_dut_operation
  std::string_view name;
};
[[nodiscard]] std::span<const OperationName> operations();
/// Throws std::invalid_argument for a number or a name that is not an operation.
[[nodiscard]] std::uint32_t operation_of(std::string_view name);
[[nodiscard]] std::string_view name_of_operation(std::uint32_t operation);

/// The defaults that a plugin finds in its claim.
[[nodiscard]] assay_dut_claim default_claim();
[[nodiscard]] assay_dut_claim to_abi(const Claim& claim);
/// Throws std::invalid_argument naming the entry and the field for a claim that names a format,
/// profile, model or enumerator that assay does not have, or lacks one that its operation needs.
[[nodiscard]] Claim from_abi(const assay_dut_claim& claim);

}  // namespace assay::kernels::abi

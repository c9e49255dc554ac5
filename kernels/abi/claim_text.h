// SPDX-License-Identifier: Apache-2.0
#pragma once
// A claim as one line of text: the operation, then the fields of assay_dut_claim that differ from
// the defaults, "gemm a=nvfp4 b=nvfp4 d=bf16 accumulator=truncating fraction_bits=13".

#include <string>
#include <string_view>

#include "kernels/device_under_test.h"

namespace assay::kernels::abi {

/// Fields are separated by spaces or commas, in any order. Throws std::invalid_argument for a field
/// or a value that there is none of, and as from_abi() does.
[[nodiscard]] Claim parse_claim(std::string_view text);
/// What parse_claim() reads as the same claim, without entry and tactic.
[[nodiscard]] std::string text_of(const Claim& claim);

}  // namespace assay::kernels::abi

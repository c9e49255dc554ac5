// SPDX-License-Identifier: Apache-2.0
#pragma once
// Inside the fast exact GEMM: sums of more bits than a double has, rounded to odd to 53 bits, and
// what such a number becomes in an output format.

#include <cstdint>

#include "golden/exact.h"
#include "golden/exact_gemm.h"

namespace assay::golden::exact_parts {

__extension__ using Int128 = __int128;
__extension__ using Uint128 = unsigned __int128;

/// sum * left * right * 2^exponent, the factors below 2^48.
[[nodiscard]] double round_to_odd(Int128 sum, std::uint64_t left, std::uint64_t right,
                                  int exponent);
[[nodiscard]] double round_to_odd(const Integer& sum, int exponent);

/// The code of a number that was rounded to odd, or of a special value, in fp32, bf16 or fp16.
[[nodiscard]] std::uint32_t encode_odd(double x, const ExactGemmOptions& options);
[[nodiscard]] std::uint32_t encode_infinity(bool negative, const ExactGemmOptions& options);
[[nodiscard]] std::uint32_t encode_nan(const ExactGemmOptions& options);

}  // namespace assay::golden::exact_parts

// SPDX-License-Identifier: Apache-2.0
#pragma once
// The normalized randomized Hadamard transform of a block, exactly: y = n^-1/2 H D x, H the
// Sylvester matrix of size n with entries (-1)^popcount(i & j), D the diagonal of the signs. H H^T
// = n I, so that (X D H)(H D W^T) / n = X W^T: applied to both operands of a product along k it
// changes nothing but what a quantizer makes of them. n^-1/2 is 1/4 for n = 16 and irrational for n
// = 32 and 128: the result keeps sum and radicand apart (radical.h) until one rounding of it. Sizes
// in use: 16 (NVFP4 pre-training, arXiv 2509.25149, wgrad operands), 32 (Quartet, arXiv
// 2505.14669), 128 (DeepSeek's indexer, rounded to bf16).

#include <cstdint>
#include <span>
#include <vector>

#include "golden/radical.h"

namespace assay::golden {

/// Entry (row, col) of the Sylvester matrix: 1 or -1.
[[nodiscard]] int hadamard_entry(std::uint32_t row, std::uint32_t col);

/// y of the block x, whose size is a power of two from 1 to 2^16; `negative` (empty: none) says
/// whose sign changes. Values that are not finite spread as IEEE sums of them do. Throws
/// std::invalid_argument for other sizes.
[[nodiscard]] std::vector<Radical> hadamard(std::span<const Value> x,
                                            const std::vector<bool>& negative = {});

}  // namespace assay::golden

// SPDX-License-Identifier: Apache-2.0
#pragma once
// Re-encoding MXFP4 as NVFP4 without losing a bit: E2M1 codes c with one E8M0 scale 2^E per 1x32
// become E2M1 codes q with one UE4M3 scale factor s per 1x16 and one FP32 factor g for the tensor,
//
//   q s g = c 2^E for every element.
//
// Theorem. For a 1x16 half-block with nonzero codes, let C be the set of their magnitudes, i the
// exponents with 2^i C inside E2M1 (0 is one), i_min and i_max the ends of that interval.
//
// 1. g = 2^j (one odd part is enough: 2.) serves the half-block iff E - i_max - 8 <= j <= E - i_min
//    + 9. Proof. q = r c, r = 2^E / (s g). E2M1's magnitudes are powers of two and 3 times such, so
//    r is 2^i, 3 2^i or 2^i / 3. The odd parts of s, g and r multiply to 1; those of s and g are
//    odd integers, so r = 2^i with s = 2^(E-j-i), or r = 2^i / 3 with odd(s) odd(g) = 3. UE4M3 has
//    the powers of two 2^-9 .. 2^8: the first case is -9 <= E-j-i <= 8. The exponents i of a set
//    are an interval, hence so are the j. The second case with odd(s) = 3 needs C inside {1.5, 3,
//    6} and s = 3 2^(E-j-i) with -9 <= E-j-i <= 7, for i with 2^i C / 3 inside E2M1, which reach
//    one further up: the same interval of j.
// 2. g = 3 2^j serves it iff C is inside {1.5, 3, 6} and s = 2^(E-j-i), 2^i C / 3 inside E2M1:
// again
//    an interval of j, E - i_max - 9 <= j <= E - i_min + 9. Any other odd part of g serves only
//    tensors without a nonzero code.
// 3. The tensor re-encodes iff the intervals of all its half-blocks have a common j. Every interval
//    meets [-118, 119], so that FP32 has that g, and as a normal number.
//
// Hence, over half-blocks with a nonzero code: every tensor whose scales span at most 2^17
// re-encodes whatever its codes; one with 2^18 and codes that allow only i = 0 at both ends does
// not; from 2^24 on none does (top all 0.5, bottom all 4: 17 + 3 + 3 = 23). A half-block of zeros
// has no condition and keeps its signs; a NaN scale becomes a NaN scale.
// tests/golden/lossless_nvfp4_test.cpp enumerates all of it, every g included.

#include <cstdint>

#include "formats/presets.h"
#include "formats/tensor.h"

namespace assay::golden {

/// log2 of the spread of scales up to which every choice of codes re-encodes, and beyond which none
/// does.
inline constexpr int nvfp4_spread_always = 17;
inline constexpr int nvfp4_spread_at_most = 23;

struct LosslessNvfp4 {
  bool lossless = false;
  /// Values equal to the input's where `lossless`. Codes are kept
  /// where one g allows that for all half-blocks, and in each half-block where its s does; g is the
  /// smallest normal number of those (for kept codes: largest scale factor 2^8), 1 for zeros.
  formats::BlockScaledTensor tensor;
  /// Else the first half-block (row-major) that has no g in common with those before it: its row
  /// and first column.
  std::int64_t lost_row = -1;
  std::int64_t lost_col = -1;
};

/// Whether `t` re-encodes losslessly into `target`, and the re-encoding. `t` must have E2M1
/// elements, E8M0 scales in 1xN blocks, N a multiple of 16, and no tensor scale; `target` E2M1
/// elements, UE4M3 scales in 1x16 blocks and an FP32 tensor scale. Throws std::invalid_argument
/// otherwise.
[[nodiscard]] LosslessNvfp4 lossless_nvfp4(const formats::BlockScaledTensor& t,
                                           const formats::BlockFormat& target = formats::nvfp4);

}  // namespace assay::golden

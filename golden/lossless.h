// SPDX-License-Identifier: Apache-2.0
#pragma once
// Re-encoding MXFP4 weights for an FP8 GEMM without losing a bit (what DeepSeek-V4 relies on): E2M1
// codes with one E8M0 scale per 1x32 become E4M3 codes with one power-of-two scale per 128x128
// block,
//
//   S = max(scale) / 2^6, the maximum over the sub-blocks that have a nonzero code.
//
// Theorem. Let d = log2(max(scale) / scale of the sub-block), over sub-blocks with a nonzero code,
// and S >= 2^-127. The magnitude c of a code becomes c 2^(6-d). It is never too large: 6 * 2^6 =
// 384 <= 448. It is representable iff its last significant bit is at least E4M3's smallest
// subnormal, 2^-9 (three fraction bits always hold the two significant bits of c). The last bit of
// c 2^(6-d) is
//   2^(5-d) for 0.5 and 1.5,  2^(6-d) for 1 and 3,  2^(7-d) for 2 and 6,  2^(8-d) for 4,
// so the exact limits are d <= 14 for 0.5 and 1.5, 15 for 1 and 3, 16 for 2 and 6, 17 for 4: every
// tensor with max/min <= 2^14 is lossless, at 2^15 one with a 0.5 or 1.5 in the smallest sub-block
// is not, and from 2^18 on none is. (Published kernels assert 2^11, which keeps every value a
// NORMAL E4M3 number: 0.5 * 2^(6-11) = 2^-6.) Range end. E8M0 cannot hold S below 2^-127, that is
// where the largest scale code is below 6. There S is 2^-127 (code 0) and c becomes c 2^(scale
// code), an integer multiple of 0.5 up to 6 * 2^5: lossless without any condition. Zeros keep their
// sign. A sub-block whose scale is NaN becomes NaN codes (0x7F). tests/golden/lossless_test.cpp
// proves all of it by enumeration.

#include <array>
#include <cstdint>

#include "formats/presets.h"
#include "formats/tensor.h"

namespace assay::golden {

/// max/min of the scales up to which every choice of codes is lossless, as a power of two.
inline constexpr int lossless_exponent_difference = 14;
/// The same for one magnitude code of E2M1 (0..7) in the smallest sub-block; code 0 has no limit.
inline constexpr std::array<int, 8> lossless_exponent_difference_of_code{1 << 20, 14, 15, 14,
                                                                         16,      15, 17, 16};

struct LosslessE4m3 {
  bool lossless = false;
  /// Of lossless_e4m3_target, values equal to the input's where `lossless`; else the first element
  /// (row-major) that has no E4M3 code is named below and this is empty.
  formats::BlockScaledTensor tensor;
  std::int64_t lost_row = -1;
  std::int64_t lost_col = -1;
};

/// Whether `t` re-encodes losslessly into `target` by the scale above, and the re-encoding. `t`
/// must have E2M1 elements, E8M0 scales in 1xN blocks and no tensor scale; `target` E4M3 elements
/// and E8M0 scales; every block of t must lie inside one block of the target. Throws
/// std::invalid_argument otherwise.
[[nodiscard]] LosslessE4m3 lossless_e4m3(const formats::BlockScaledTensor& t,
                                         const formats::BlockFormat& target);

}  // namespace assay::golden

// SPDX-License-Identifier: Apache-2.0
#pragma once
// MS-EDEN (Quartet II, arXiv 2601.22813, section 3.3, Algorithm 1): NVFP4 of a rotated tensor,
// elements to nearest, the error's projection on the tensor undone by the scale factors, which
// alone are rounded stochastically. Of a matrix x whose rows are rotated already (golden/hadamard.h
// and one rounding of it, which the caller chooses):
//   g    = FP32(amax / (top * clip)), 1 where amax is 0            one for the tensor
//   s_b  = E4M3 nearest(amax_b / (g * clip)), 1 where that is 0    one for 16 elements of a row
//   u_i  = x_i / (s_b g),  q_i = E2M1 nearest(u_i), saturating
//   S    = sum u_i^2 / sum u_i q_i over a group, 1 where the divisor is 0
//   s'_b = E4M3 stochastic(S s_b), saturating; q_i s'_b g is what x_i becomes.
// Evaluated without rounding but where one is named: this project's definition.
//
// Sources, and where they differ: which elements share S, and top.
//   group 16, top 256: Algorithm 1 as a formalization of version 2 of the paper quotes it (S over
//     the 16 elements of a scale factor, "256.0 instead of 448.0").
//   group 128, top 255.99: the authors' Triton reference (eden_1x16s_fp4_kernel); the sums are of
//     u, so that blocks of different s_b weigh differently. Its nearest rounds ties away from zero,
//     which is not expressed here.
//   The authors' CUDA kernel (eden_fp4_kernel) adds over whole warps, which are 256 elements;
//     group 256 is that.
// clip = 6 * 16/17 / 0.93 in all of them: 6 over their scale_override of 17/16 * 0.93.
//
// What holds exactly: in each group, sum u_i E[x'_i] / (s_b g) = sum u_i^2, the projection that
// nearest alone loses, if S s_b saturates nowhere and the random bits are unlimited. That E[x'] = x
// once the rotation is averaged over its signs as well is a limit for long vectors (EDEN,
// arXiv 2108.08842), not a theorem for any given length.

#include <cstdint>
#include <span>
#include <vector>

#include "formats/tensor.h"
#include "golden/codec.h"

namespace assay::golden {

struct MsEden {
  Rational clip = Rational(9600, 1581);  ///< 6 * 16/17 / 0.93; more than 0
  Rational top = 256;                    ///< the largest s_b; more than 0
  std::int64_t group = 16;               ///< elements of a row that share S: a multiple of 16
};

/// Before the stochastic rounding.
struct MsEdenNearest {
  formats::BlockScaledTensor tensor;  ///< NVFP4 with s_b
  std::vector<Rational> corrected;    ///< S s_b, one for each of its scale factors, row by row
};

/// x is rows x cols, row-major; a row's last block and group hold what is there. Throws
/// std::invalid_argument for sizes that do not agree, elements that are not finite, and members of
/// MsEden outside their range.
[[nodiscard]] MsEdenNearest ms_eden_nearest(std::span<const float> x, std::int64_t rows,
                                            std::int64_t cols, const MsEden& how = {});

/// The whole. Scale factor number b takes the top `random_bits` (1..16) bits of word b of the
/// generator (golden/philox.h).
[[nodiscard]] formats::BlockScaledTensor ms_eden(std::span<const float> x, std::int64_t rows,
                                                 std::int64_t cols, std::uint64_t seed,
                                                 int random_bits, const MsEden& how = {});

}  // namespace assay::golden

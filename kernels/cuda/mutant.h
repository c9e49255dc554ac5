// SPDX-License-Identifier: Apache-2.0
#pragma once
// GPU kernels that are wrong on purpose: a kernel takes the fault as a template argument, so that
// the right ones carry nothing of it. kernels/cuda/mutants.cpp makes devices of them.

#include <cstdint>

namespace assay::kernels::cuda {

enum class Mutant : std::uint8_t {
  none,
  // Quantizers.
  stale_scale,     ///< a thread keeps the scale factor of its first row
  dropped_tail,    ///< the last, partial piece of a row is not written
  lonely_lane,     ///< the exchange of maxima between the lanes of a block is missing
  wrapped_offset,  ///< a row offset in too narrow an integer: 7 bits, where int32 wraps at 2^31
  stale_word,      ///< every group of four elements takes the random words of the first
  // Transposing quantizer.
  missing_barrier,  ///< a tile is read before it is whole; half of the warps come late
  // Products.
  split_sum,     ///< even and odd k have sums of their own, added at the end
  dropped_k,     ///< a last partial step of k is left out
  overtaken,     ///< the next tile is written while the last one is still read, by late warps
  narrow_sum,    ///< sums are kept in bf16 between steps
  no_promotion,  ///< the unit's sum goes on over all of k, with the scale factors of one block
  late_groups,   ///< groups of rows begin a row late
  // QAT.
  rounded_mask,     ///< the mask looks at the dequantized weight
  short_sum,        ///< the last weight of a block is not in its scale gradient
  neighbour_scale,  ///< blocks take the scale factor of the block before them
};

}  // namespace assay::kernels::cuda

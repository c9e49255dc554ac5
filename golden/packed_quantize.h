// SPDX-License-Identifier: Apache-2.0
#pragma once
// The quantizers of packed blocks (formats/tensor.h, PackedRule) as sequences of FP32 operations,
// each computed exactly and then rounded to nearest even.
//
// signed_max (GGML Q4_0): m = the first element of largest magnitude, d = m / -8, r = 1/d (0 if d
// is 0), code = min(15, integer part of (x r + 8.5)); FP16(d) is stored.
//
// search (GGML Q4_K, make_qkx2_quants with rmin -1, rdelta 0.1, nstep 20). For each 32 elements:
// weights w = sqrt(sum x^2 / 32) + |x|; low = min(0, min x), high = max x; codes
// l = nearest(15/(high-low) (x-low)) in 0..15 with scale (high-low)/15 start the search; then for
// the numerators 14, 14.1 .. 16 the codes of the current low, for which the weighted least squares
// give scale and offset (offset at most 0); the one of least sum w (scale l + offset - x)^2 wins,
// and its offset is the current low. Scales and offsets of the eight become 6-bit multiples of
// FP16(max/63), and the codes are computed anew from those.
//
// Outside of GGML's own domain (this project's definition): an element that is NaN or infinite
// gives the scale factor 0x7E00 and zeros; an infinite r gives code 8; a NaN that is to be an
// integer gives 0, and integers beyond +-4194303 saturate.

#include <cstdint>
#include <span>
#include <vector>

#include "formats/tensor.h"

namespace assay::golden {

/// The bytes of one block of `x`, block.elements floats. Throws std::invalid_argument for
/// PackedRule::none and another number of elements.
[[nodiscard]] std::vector<std::uint8_t> quantize_packed(const formats::PackedBlock& block,
                                                        std::span<const float> x);

}  // namespace assay::golden

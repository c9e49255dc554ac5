// SPDX-License-Identifier: Apache-2.0
#pragma once
// Cases that go through a whole domain, a scale code at a time: what uniform random scales leave to
// luck. `index` counts the cases of a claim and wraps at the size of the domain.

#include "proptests/properties/quantize_themes.h"

namespace assay::proptests::domains {

/// The scale codes that a block of the format can get and that FP32 can hold the elements of:
/// UE4M3 1 to 126 (0 belongs to zero blocks alone); E8M0 0 to 252, because 6 * 2^126 overflows.
/// DeepSeek's clamp of amax at 6 * 2^-126 leaves out code 0.
struct CodeRange {
  std::uint32_t first, last;
};
[[nodiscard]] CodeRange scale_codes(const formats::BlockFormat& format);

/// Both signs of all 7 midpoints times the value of every scale code, exactly, in a block whose
/// amax gives that scale. Two-level formats: times a power of two, which is the tensor scale.
void every_tie(Draw& draw, themes::Case& c, std::int64_t index);

/// A row for each block maximum at a threshold between this scale code and the next, and one FP32
/// place below and above it. UE4M3: the midpoint of the codes times 6; E8M0: 4 and 6 times the
/// scale, which are where the rules floor and rceil step.
void every_scale_threshold(Draw& draw, themes::Case& c, std::int64_t index);

/// The values of a tensor of codes that quantizing gives back, codes and scale factors alike. That
/// it does is a theorem for blocks in which the largest element is
/// - 4 or 6 for power-of-two scales 2^e: then amax is 4 or 6 times 2^e, floor(log2 amax) - 2 = e,
/// and
///   4/6 <= amax / (6 * 2^e) <= 1 rounds up to 2^e (also through DeepSeek's FP32 product with
///   FP32(1/6) = (1 + 2^-25) / 6: 1 + 2^-25 is a tie and rounds to 1);
/// - 6, where a tensor scale g that is a power of two meets a largest scale factor of 448: amax =
///   2688 g returns g, amax_b / 6 returns s_b (TransformerEngine: times 1 + 2^-25, which does not
///   move a number of 4 bits), and x / (s_b g) is the element within a relative 2^-23, which no
///   midpoint is near.
/// tests/proptests/domains_test.cpp enumerates it.
void idempotence(Draw& draw, themes::Case& c, std::int64_t index);
/// The tensor that these values came from.
[[nodiscard]] formats::BlockScaledTensor draw_stable(Draw& draw, const formats::BlockFormat& format,
                                                     std::uint32_t scale_code);

/// More rows than the second and third dimension of a CUDA grid count (65,535; CUDA C++ Programming
/// Guide, technical specifications) in every 1024th case, for those take a while; else a few.
[[nodiscard]] std::int64_t many_rows(Draw& draw, std::int64_t index);
void many_rows(Draw& draw, themes::Case& c, std::int64_t index);

}  // namespace assay::proptests::domains

// SPDX-License-Identifier: Apache-2.0
#pragma once
// The SIMD kernels under block.h. Internal: they check nothing.

#include <array>
#include <cstdint>
#include <span>

#include "formats/encode_params.h"
#include "formats/order.h"
#include "formats/tensor.h"

namespace assay::formats {

/// Blocks whose scale factors are computed together, and elements scaled and encoded together.
inline constexpr std::size_t kLanes = 256;
inline constexpr std::size_t kChunk = 4096;
/// Kernels store whole vectors: room to leave after a buffer of element codes or factors.
inline constexpr std::size_t kSlack = 64;

/// The registers of kLanes blocks (or elements), as arrays.
struct Registers {
  alignas(64)
      std::array<std::array<double, kLanes>, static_cast<std::size_t>(Register::constant)> lanes;
  double* of(Register r) { return lanes[static_cast<std::size_t>(r)].data(); }
};

/// A run of elements of one row, beginning at column `first` of its first block.
struct Run {
  const float* x = nullptr;
  std::size_t size = 0;
  std::size_t readable = 0;  ///< elements that may be read from x on; >= size
  std::size_t first = 0;
  std::size_t block_cols = 1;
};

/// Which vector encoder applies.
enum class Encoder : std::uint8_t {
  nearest,  ///< nearest even, saturating, no NaN: the fastest
  stochastic,
  directed,  ///< tells nonzero values from zero, however small
  any,
};

/// How the elements of a run become codes of at most 8 bits with a sign, by the fast paths.
struct ElementJob {
  ElementPath path = ElementPath::multiply;
  Encoder encoder = Encoder::any;
  EncodeParams params{};
};

struct BlockKernels {
  /// amax[b] = max(amax[b], the bits of |x| over the run's elements in its block b); above
  /// 0x7F7FFFFF where one of them is not finite.
  void (*block_amax)(const Run& run, std::uint32_t* amax);
  /// Largest bits of |x| over the finite elements.
  std::uint32_t (*finite_amax)(const float* x, std::size_t n);
  /// Runs the operations on n <= kLanes lanes. Unless any_sign, all values are >= 0: much faster.
  void (*evaluate)(std::span<const Operation> operations, Registers& registers, std::size_t n,
                   bool any_sign);
  /// Codes of values >= 0, rounded as declared.
  void (*encode_scales)(const double* v, std::int64_t* codes, std::size_t n, const Rounding& round);
  /// One code per byte; factor[b] is finite and, for divide, not 0. codes has kSlack bytes after
  /// the run; random holds one Philox word per element (stochastic only), with slack as codes.
  void (*encode_elements)(const ElementJob& job, const Run& run, const float* factor,
                          const std::uint32_t* random, std::uint8_t* codes);
  /// Adds what the run's elements miss (ErrorMeasure) to error[b] where they are rounded by
  /// Encoder::nearest. value = (element * scale[b]) * g: the first product is exact where
  /// exact_in_fp32 says so, the second rounds once.
  void (*nearest_errors)(const ElementJob& job, ErrorMeasure measure, const Run& run,
                         const float* factor, const float* scale, float g, float* error);
  /// Two 4-bit codes to a byte, the first in the low nibble; codes[n] is read as 0 where n is odd.
  void (*pack_nibbles)(const std::uint8_t* codes, std::size_t n, std::uint8_t* packed);
};

/// The kernels of the best instruction set that this CPU has (and hwy::SetSupportedTargetsForTest
/// allows).
const BlockKernels& block_kernels();

}  // namespace assay::formats

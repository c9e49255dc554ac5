// SPDX-License-Identifier: Apache-2.0
#pragma once
// Packed blocks (tensor.h, PackedBlock): GGML's tensors, read and written.
//
//   std::vector<std::uint8_t> bytes = quantize_packed(packed::q4_0, x);
//   dequantize_packed(packed::q4_0, bytes, y);

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "formats/tensor.h"

namespace assay::formats {

/// The row of that name. Throws std::invalid_argument that suggests the nearest name and lists all.
const PackedBlock& find_packed_block(std::string_view name);

/// Bytes of `elements` elements. Throws std::invalid_argument where they are no whole blocks.
std::int64_t packed_block_bytes(const PackedBlock& block, std::int64_t elements);

/// The values of whole blocks, each the exact value times `factor` rounded once to FP32 (to nearest
/// even, overflow to Inf). Where factor is 1 that is what GGML's own FP32 arithmetic gives: every
/// product in it fits 24 bits, so only its subtraction rounds. Throws std::invalid_argument for a
/// part of a block and for out.size() other than the number of elements.
void dequantize_packed(const PackedBlock& block, std::span<const std::uint8_t> bytes,
                       std::span<float> out, float factor = 1.0F);

/// x as whole blocks by the block's PackedRule, every operation rounded to FP32 in GGML's order (as
/// ISO C says it, without contraction to fused multiply-adds; a compiler that contracts may differ
/// in a tie). Where GGML's arithmetic leaves the finite numbers (a conversion that C leaves
/// undefined there), this project defines: NaN or Inf among the elements: NaN scale factor, codes
/// 0; a scale too small for its reciprocal: the code of zero. Throws std::invalid_argument for
/// PackedRule::none and for a part of a block.
std::vector<std::uint8_t> quantize_packed(const PackedBlock& block, std::span<const float> x);

}  // namespace assay::formats

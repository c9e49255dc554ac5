// SPDX-License-Identifier: Apache-2.0
#pragma once
// A given quantizer's scale factors and codes beside what the known block formats make of the same
// tensor.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "formats/tensor.h"

namespace assay::tools {

/// One code of a scale format or element format an entry, little endian.
struct GivenCodes {
  std::vector<std::uint8_t> bytes;
  std::size_t width = 1;
  std::vector<std::int64_t> shape;
  [[nodiscard]] std::uint32_t at(std::int64_t i) const;
};

/// Throws std::invalid_argument, naming the file and `what`, unless it holds uint8, uint16 or
/// float32 entries, and at least one.
GivenCodes read_given(const std::string& path, const char* what);

/// What one format makes of X beside what was given. Learned scale factors (ScaleRule::given) are
/// taken as they are: only codes can tell.
struct Comparison {
  formats::BlockFormat format;
  std::int64_t block = -1;    ///< first whose scale factor differs
  std::int64_t element = -1;  ///< first whose code differs, where the scale factors agree
  std::uint32_t expected = 0, given = 0;
  float amax = 0;
  [[nodiscard]] bool learned() const { return format.rule == formats::ScaleRule::given; }
  [[nodiscard]] bool agrees() const { return block < 0 && element < 0; }
};

/// The formats whose scale factors have the type and number of the given ones for a rows x cols
/// matrix; `block`: columns of a block, 0 for each format's own. `element`: null for the formats
/// that have a user (all_block_formats); else those with this element, rule_matrix.h's among
/// them, whose scale factors seldom tell one element from another.
std::vector<formats::BlockFormat> candidate_formats(const GivenCodes& scales, std::int64_t rows,
                                                    std::int64_t cols, std::int64_t block,
                                                    const formats::FormatSpec* element);

/// `codes`: null where none were given.
Comparison compare(const formats::BlockFormat& format, std::span<const float> x, std::int64_t rows,
                   std::int64_t cols, const GivenCodes& scales, const GivenCodes* codes);

/// Whether two formats are one quantizer on a rows x cols matrix: equal but for blocks that are
/// higher than the matrix.
bool same_quantizer(const formats::BlockFormat& a, const formats::BlockFormat& b,
                    std::int64_t rows);

/// A tensor of one row on which not all of the formats agree, found by walking the bf16 mantissas
/// of the tensor's amax and, in one block each, of the blocks' amax; empty where there is none.
std::vector<float> separating_row(const std::vector<const Comparison*>& agreeing, bool with_codes);

}  // namespace assay::tools

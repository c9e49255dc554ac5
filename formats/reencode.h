// SPDX-License-Identifier: Apache-2.0
#pragma once
// Lossless re-encodings of MXFP4 (E2M1 elements, one E8M0 scale factor per 1xN block), fast and
// tile by tile. When they exist, and why: docs/theorems.md; golden/lossless.h and
// golden/lossless_nvfp4.h are their definitions, bit for bit.
//
// Errors: std::invalid_argument, one sentence, for a tensor that is not MXFP4.

#include <cstdint>
#include <optional>

#include "formats/presets.h"
#include "formats/tensor.h"

namespace assay::formats {

/// An element that has no code in the target format: for NVFP4 the first of its 1x16 half-block.
struct LostElement {
  std::int64_t row = 0;
  std::int64_t col = 0;
};

/// To E2M1 with UE4M3 scale factors per 1x16 and one FP32 factor for the tensor. N must be a
/// multiple of 16. Every tile passes through observe(), then through reencode().
class Nvfp4Reencoder {
 public:
  /// `part` begins at (row, col) of the tensor, at a block's border.
  void observe(const BlockScaledTensor& part, std::int64_t row = 0, std::int64_t col = 0);

  /// The first half-block, in the order observed, that has no tensor scale in common with those
  /// before it; nothing where the re-encoding is lossless.
  [[nodiscard]] std::optional<LostElement> lost() const { return lost_; }

  /// Of everything observed.
  [[nodiscard]] float tensor_scale() const;

  /// Throws std::logic_error where something was lost, or the part was never observed.
  [[nodiscard]] BlockScaledTensor reencode(const BlockScaledTensor& part,
                                           const BlockFormat& target = nvfp4) const;

 private:
  /// Exponents j of g = odd 2^j that serve everything observed.
  struct Window {
    int first = -(1 << 20);
    int last = 1 << 20;
    [[nodiscard]] bool empty() const { return first > last; }
    void meet(int from, int to);
  };
  struct Factor {
    int odd = 1;
    int exponent = 0;
  };
  [[nodiscard]] Factor factor() const;

  Window kept_, ones_, threes_;
  bool constrained_ = false;
  std::optional<LostElement> lost_;
};

/// To E4M3 with one power-of-two scale factor per 128x128.
struct E4m3Reencoded {
  BlockScaledTensor tensor;         ///< where nothing is lost
  std::optional<LostElement> lost;  ///< the first element without a code
};
/// `part` is a tensor, or a part of one that begins and ends at borders of 128x128 blocks.
[[nodiscard]] E4m3Reencoded reencode_e4m3(const BlockScaledTensor& part,
                                          const BlockFormat& target = fp8_deepseek_v4_weight);

}  // namespace assay::formats

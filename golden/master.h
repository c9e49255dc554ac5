// SPDX-License-Identifier: Apache-2.0
#pragma once
// The step that QAT takes on its master weights, and the loss scaling around it.
//
//   w' = round(w - lr g / loss_scale)     exact, then one rounding to the master format
//
// Why the rounding mode matters: BF16 has 8 significant bits, so with nearest_even an update below
// |w| 2^-9 is lost every time; stochastic rounding keeps it in the mean.
//
// Loss scaling (Micikevicius et al., arXiv 1710.03740, section 3.2; the update rule of the scale is
// the one of PyTorch's GradScaler, written down here as this project's definition): gradients
// arrive multiplied by loss_scale. If any of them is not finite, the whole step is skipped and the
// scale is multiplied by `backoff`; after `growth_interval` steps in a row without that it is
// multiplied by `growth`. Both factors are powers of two, so the scale is always exact.

#include <cstdint>
#include <span>
#include <vector>

#include "golden/codec.h"

namespace assay::golden {

struct MasterUpdate {
  const FormatSpec* format = &formats::fp32;  ///< of the masters: fp32 or bf16
  float learning_rate = 0.0F;
  float loss_scale = 1.0F;  ///< positive and finite
  RoundingMode rounding = RoundingMode::nearest_even;
  int random_bits = 0;     ///< of stochastic rounding, 1..16
  std::uint64_t seed = 0;  ///< its Philox key; the counter is the element's index
};

struct MasterStep {
  bool skipped = false;              ///< a gradient was not finite: the codes are the old ones
  std::vector<std::uint32_t> codes;  ///< the new masters
};

/// `masters`: codes of the master format, as many as gradients. A master that leaves the format's
/// range becomes what the `ieee` profile says (Inf): a diverged run must not look like a healthy
/// one.
[[nodiscard]] MasterStep update_masters(std::span<const std::uint32_t> masters,
                                        std::span<const float> gradients,
                                        const MasterUpdate& update);

struct LossScale {
  float scale = 65536.0F;
  int good_steps = 0;  ///< since the last change
};

struct LossScaleRule {
  float growth = 2.0F;
  float backoff = 0.5F;
  int growth_interval = 2000;
};

/// The scale for the next step.
[[nodiscard]] LossScale next(const LossScale& now, bool skipped, const LossScaleRule& rule = {});

}  // namespace assay::golden

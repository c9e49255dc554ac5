// SPDX-License-Identifier: Apache-2.0
#include "golden/master.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "golden/philox.h"

namespace assay::golden {

MasterStep update_masters(std::span<const std::uint32_t> masters, std::span<const float> gradients,
                          const MasterUpdate& update) {
  if (masters.size() != gradients.size()) {
    throw std::invalid_argument("A master-weight update needs one gradient per master.");
  }
  if (!std::isfinite(update.loss_scale) || update.loss_scale <= 0.0F) {
    throw std::invalid_argument("The loss scale must be positive and finite.");
  }
  if (!std::isfinite(update.learning_rate)) {
    throw std::invalid_argument("The learning rate must be finite.");
  }
  MasterStep step;
  step.skipped =
      !std::all_of(gradients.begin(), gradients.end(), [](float g) { return std::isfinite(g); });
  if (step.skipped) {
    step.codes.assign(masters.begin(), masters.end());
    return step;
  }
  const FormatSpec& format = *update.format;
  const Policy policy = policy_of(formats::ieee, format);
  const RationalValue loss_scale = to_rational(value_of(update.loss_scale));
  for (std::size_t i = 0; i < masters.size(); ++i) {
    const Value change = value_of(update.learning_rate) * value_of(gradients[i]);
    const RationalValue updated =
        to_rational(decode(format, masters[i])) + -(to_rational(change) / loss_scale);
    const Random random = update.rounding == RoundingMode::stochastic
                              ? random_of(update.seed, i, update.random_bits)
                              : Random{};
    step.codes.push_back(encode(format, updated, update.rounding, policy, random));
  }
  return step;
}

LossScale next(const LossScale& now, bool skipped, const LossScaleRule& rule) {
  if (skipped) return {now.scale * rule.backoff, 0};
  if (now.good_steps + 1 < rule.growth_interval) return {now.scale, now.good_steps + 1};
  return {now.scale * rule.growth, 0};
}

}  // namespace assay::golden

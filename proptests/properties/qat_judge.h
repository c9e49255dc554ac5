// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a QAT kernel in FP32 arithmetic may answer: golden's exact results and, per number, the
// bound of fp32_any_order over the terms that make it up.

#include <vector>

#include "proptests/properties/qat_case.h"

namespace assay::proptests {

struct QatGradientBits {
  std::vector<float> dx, dw, dscale, dbias;
};

[[nodiscard]] Ruling judge_forward(const QatCase& c, const std::vector<float>& y);
[[nodiscard]] Ruling judge_backward(const QatCase& c, const QatGradientBits& gradients);

}  // namespace assay::proptests

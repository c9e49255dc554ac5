// SPDX-License-Identifier: Apache-2.0
// The quotient of the GPU quantizer, FP32(x/factor) by one Newton step, decides the code as the
// rounded quotient does (kernels/cuda/quantize_orders.cuh, DivideElements): at each end of the
// intervals of quotients that round to a midpoint of E2M1, the two numerators at its sides and one
// more, for the significands of the factor: some of them, and all under the label exhaustive.
#include <gtest/gtest.h>

#include <cstdlib>

#include "kernels/cuda/quantize_orders.cuh"

namespace assay::kernels::cuda {
namespace {

TEST(DivideElements, NewtonStepDecidesAsTheQuotient) {
  constexpr float midpoints[] = {0.25F, 0.75F, 1.25F, 1.75F, 2.5F, 3.5F, 5.0F};
  const std::uint32_t stride = std::getenv("ASSAY_EXHAUSTIVE") != nullptr ? 1 : 37;
  std::int64_t tried = 0;
  for (std::uint32_t significand = 0; significand < 1U << 23U; significand += stride) {
    const float factor = float_of(0x3F800000U | significand);
    const BlockFactors f{0, factor, DivideElements::reciprocal_of(factor)};
    for (const float middle : midpoints)
      for (const int side : {-1, 1}) {
        const double edge =
            double{middle} + 0.5 * (double{float_of(bits_of(middle) + side)} - double{middle});
        const auto near = static_cast<float>(edge * double{factor});
        for (int step = -1; step <= 1; ++step) {
          const float x = float_of(bits_of(near) + step);
          ASSERT_EQ(encode_e2m1_high(DivideElements::stepped(x, f), x) >> 28U,
                    encode_e2m1_high(x / factor) >> 28U)
              << std::hex << bits_of(x) << " / " << bits_of(factor);
          ++tried;
        }
      }
  }
  RecordProperty("quotients", std::to_string(tried));
}

}  // namespace
}  // namespace assay::kernels::cuda

// SPDX-License-Identifier: Apache-2.0
// The quantizer's twin with the conversion instructions of Blackwell in place of arithmetic: the
// same scale factors and scaled elements, the last rounding by the hardware. Compiled for its
// targets in every build, not run on such a GPU.
#include "formats/philox.h"
#include "kernels/cuda/fp4_cvt.cuh"
#include "kernels/cuda/quantize_cvt.cuh"
#include "kernels/cuda/quantize_kernel.cuh"

namespace assay::kernels::cuda {
namespace {

/// 1 for cvt.rn and 2 for cvt.rs, in the machine code that has them.
__constant__ int compiled = ASSAY_HAS_E2M1_CVT + 2 * ASSAY_HAS_E2M1_CVT_RS;

bool compiled_with(int bit) {
  int value = 0;
  check(cudaMemcpyFromSymbol(&value, compiled, sizeof value), "quantize_cvt: its machine code");
  return (value & bit) != 0;
}

template <class Order>
__device__ void scale(const float (&x)[8], const BlockFactors& factors, float (&scaled)[8]) {
#pragma unroll
  for (int i = 0; i < 8; ++i) scaled[i] = Order::scaled(x[i], factors);
}

struct ConvertedCodes {
  template <class Order>
  __device__ std::uint32_t operator()([[maybe_unused]] const float (&x)[8],
                                      [[maybe_unused]] const BlockFactors& factors,
                                      std::int64_t) const {
#if ASSAY_HAS_E2M1_CVT
    float scaled[8];
    scale<Order>(x, factors, scaled);
    return cvt_e2m1(scaled);
#else
    return 0;
#endif
  }
};

/// Two words of Philox4x32-10 under `seed` for each eight elements, counted by the first's index.
struct ConvertedStochasticCodes {
  std::uint64_t seed;

  template <class Order>
  __device__ std::uint32_t operator()([[maybe_unused]] const float (&x)[8],
                                      [[maybe_unused]] const BlockFactors& factors,
                                      [[maybe_unused]] std::int64_t index) const {
#if ASSAY_HAS_E2M1_CVT_RS
    float scaled[8];
    scale<Order>(x, factors, scaled);
    const auto counter = static_cast<std::uint64_t>(index);
    const formats::PhiloxWords words = formats::philox4x32_10(
        {{static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32), 0, 0}},
        static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32));
    return cvt_e2m1_stochastic(scaled, {words.w[0], words.w[1]});
#else
    return 0;
#endif
  }
};

template <class Start>
void for_converted(QuantizeOrder order, const Start& start) {
  if (order == QuantizeOrder::nvfp4_te)
    start.template operator()<NvFp4Te>();
  else if (order == QuantizeOrder::mxfp4_rceil)
    start.template operator()<MxFp4Rceil>();
  else
    throw std::invalid_argument("quantize_cvt: this order has no twin");
}

}  // namespace

bool has_e2m1_cvt() { return compiled_with(1); }
bool has_e2m1_cvt_rs() { return compiled_with(2); }

void launch_quantize_cvt(QuantizeOrder order, const QuantizeTask& task, cudaStream_t stream) {
  for_converted(order,
                [&]<class Order>() { start_quantize_any<Order>(task, ConvertedCodes{}, stream); });
}

void launch_quantize_cvt_stochastic(QuantizeOrder order, const QuantizeTask& task,
                                    std::uint64_t seed, cudaStream_t stream) {
  for_converted(order, [&]<class Order>() {
    start_quantize_any<Order>(task, ConvertedStochasticCodes{seed}, stream);
  });
}

}  // namespace assay::kernels::cuda

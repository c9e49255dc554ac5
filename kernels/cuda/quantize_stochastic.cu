// SPDX-License-Identifier: Apache-2.0
// Quantizers with stochastic rounding. A random word belongs to an element, not to a thread: any
// launch gives the same bytes.
#include "formats/philox.h"
#include "kernels/cuda/quantize_kernel.cuh"

namespace assay::kernels::cuda {
namespace {

__device__ std::uint32_t word_of(const formats::PhiloxWords& words, unsigned which) {
  const std::uint32_t low = (which & 1) == 0 ? words.w[0] : words.w[1];
  const std::uint32_t high = (which & 1) == 0 ? words.w[2] : words.w[3];
  return which < 2 ? low : high;
}

template <Mutant mutant>
struct StochasticCodes {
  RandomSource random;

  __device__ formats::PhiloxWords block(std::int64_t counter) const {
    const auto c = static_cast<std::uint64_t>(counter);
    return formats::philox4x32_10(
        {{static_cast<std::uint32_t>(c), static_cast<std::uint32_t>(c >> 32), 0, 0}},
        static_cast<std::uint32_t>(random.seed), static_cast<std::uint32_t>(random.seed >> 32));
  }

  template <class Order>
  __device__ std::uint32_t operator()(const float (&x)[8], const BlockFactors& factors,
                                      std::int64_t index) const {
    const int drop = 32 - random.bits;
    std::uint32_t codes = 0;
    formats::PhiloxWords words{};
#pragma unroll
    for (int e = 0; e < 8; ++e) {
      std::uint32_t word = 0;
      if (random.words != nullptr) {
        // Elements past a row are +0, whatever the word; past the array there is none.
        word = index + e < random.count ? random.words[index + e] : 0;
      } else {
        const auto which = static_cast<unsigned>(index + e) % 4;
        if (e == 0 || (which == 0 && mutant != Mutant::stale_word)) words = block((index + e) / 4);
        word = word_of(words, which);
      }
      codes |= encode_e2m1_stochastic(Order::scaled(x[e], factors), word >> drop, random.bits)
               << 4 * e;
    }
    return codes;
  }
};

}  // namespace

void launch_quantize_stochastic(QuantizeOrder order, const QuantizeTask& task,
                                const RandomSource& random, cudaStream_t stream) {
  for_order(order, [&]<class Order>() {
    start_quantize_any<Order>(task, StochasticCodes<Mutant::none>{random}, stream);
  });
}

bool launch_quantize_stochastic_mutant(Mutant mutant, const QuantizeTask& task,
                                       const RandomSource& random, cudaStream_t stream) {
  if (mutant != Mutant::stale_word) return false;
  start_quantize<float, NvFp4Te>(task, StochasticCodes<Mutant::stale_word>{random}, stream);
  return true;
}

}  // namespace assay::kernels::cuda

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
    std::uint32_t words[8];
    if (random.words != nullptr) {
#pragma unroll
      for (int e = 0; e < 8; ++e)  // elements past a row are +0, whatever the word; past the array
        words[e] = index + e < random.count ? random.words[index + e] : 0;  // there is none
    } else if (index % 4 == 0) {
      own_words(index / 4, words);
    } else {
      unaligned_words(index, words);
    }
    std::uint32_t high[8];
#pragma unroll
    for (int e = 0; e < 8; ++e)
      high[e] =
          encode_e2m1_stochastic_high(Order::scaled(x[e], factors), words[e] >> drop, random.bits);
    return pack_codes(high);
  }

 private:
  /// Those of two counters.
  __device__ void own_words(std::int64_t counter, std::uint32_t (&words)[8]) const {
    const formats::PhiloxWords low = block(counter);
    const formats::PhiloxWords high = mutant == Mutant::stale_word ? low : block(counter + 1);
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      words[e] = low.w[e];
      words[4 + e] = high.w[e];
    }
  }
  /// Rows that are no multiple of 4.
  __device__ void unaligned_words(std::int64_t index, std::uint32_t (&words)[8]) const {
    formats::PhiloxWords of{};
#pragma unroll 1
    for (int e = 0; e < 8; ++e) {
      const auto which = static_cast<unsigned>(index + e) % 4;
      if (e == 0 || (which == 0 && mutant != Mutant::stale_word)) of = block((index + e) / 4);
      const std::uint32_t word = word_of(of, which);
#pragma unroll
      for (int i = 0; i < 8; ++i)
        if (i == e) words[i] = word;
    }
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

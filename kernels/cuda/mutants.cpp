// SPDX-License-Identifier: Apache-2.0
// The wrong GPU kernels, listed in every build: where there is no GPU they are absent, not killed.
#include <algorithm>
#include <array>
#include <stdexcept>

#include "kernels/cuda/cuda_device.h"

namespace assay::kernels {
namespace {

using cuda::Mutant;

bool nvfp4_quantizer(const Claim& c) { return c.operation == "quantize" && c.a == &formats::nvfp4; }
bool swizzled_quantizer(const Claim& c) {
  return nvfp4_quantizer(c) && c.scale_layout == formats::ScaleLayout::swizzled_128x4;
}
bool philox_quantizer(const Claim& c) {
  return c.operation == "stochastic_quantize" && c.a == &formats::nvfp4 &&
         c.random == ASSAY_DUT_RANDOM_PHILOX;
}
bool transposer(const Claim& c) {
  return c.operation == "transpose_requantize" && c.a == &formats::nvfp4;
}
bool mover(const Claim& c) { return c.operation == "layout"; }
bool ordered_product(const Claim& c) {
  return c.operation == "gemm" && c.accumulator == Accumulator::fp32_fixed_order;
}
bool w4a16_product(const Claim& c) {
  return c.operation == "gemm" && c.a == nullptr && c.accumulator == Accumulator::truncating;
}
bool w4a8_product(const Claim& c) {
  return c.operation == "gemm" && c.a == &formats::fp8_deepseek_v4;
}
bool grouped_product(const Claim& c) { return c.operation == "grouped_gemm"; }
bool learned_backward(const Claim& c) {
  return c.operation == "qat_backward" && c.b == &formats::article_attention;
}

constexpr std::array rows{
    CudaMutant{"stale_scale", "a thread keeps the scale factor of its first row",
               "a factor hoisted out of a loop over rows", Mutant::stale_scale, nvfp4_quantizer},
    CudaMutant{"dropped_tail", "the last, partial piece of a row is not written",
               "a vectorised loop without its remainder", Mutant::dropped_tail, nvfp4_quantizer},
    CudaMutant{"lonely_lane", "lanes that share a block do not exchange their maxima",
               "a missing shuffle", Mutant::lonely_lane, nvfp4_quantizer},
    CudaMutant{"wrapped_offset", "the row of a swizzled scale factor is kept in 7 bits",
               "an int32 offset that wraps, at a size that tests reach", Mutant::wrapped_offset,
               swizzled_quantizer},
    CudaMutant{"stale_word", "two groups of four elements take the same random words",
               "a counter that is not advanced", Mutant::stale_word, philox_quantizer},
    CudaMutant{"transpose_missing_barrier", "a tile is read before all of it was written",
               "a missing __syncthreads()", Mutant::missing_barrier, transposer},
    CudaMutant{"move_missing_barrier", "a tile of codes is read before all of it was written",
               "a missing __syncthreads()", Mutant::missing_barrier, mover},
    CudaMutant{"move_wrapped_offset", "the row of a scale factor is read with 7 bits",
               "an int32 offset that wraps, at a size that tests reach", Mutant::wrapped_offset,
               mover},
    CudaMutant{"split_sum", "even and odd k have sums of their own, added at the end",
               "an unrolled loop that reorders a sum claimed to be in order", Mutant::split_sum,
               ordered_product},
    CudaMutant{"dropped_k", "a last step of k that is not whole is left out",
               "a main loop without its remainder", Mutant::dropped_k, ordered_product},
    CudaMutant{"overtaken", "the next tile is stored while others still read the last one",
               "a missing second __syncthreads()", Mutant::overtaken, ordered_product},
    CudaMutant{"w4a16_stale_scale", "weights of a step share the scale factor of its first",
               "a scale factor loaded once for a tile of two groups", Mutant::stale_scale,
               w4a16_product},
    CudaMutant{"w4a16_dropped_k", "a last step of k that is not whole is left out",
               "a main loop without its remainder", Mutant::dropped_k, w4a16_product},
    CudaMutant{"w4a16_narrow_sum", "sums are kept in bf16 between steps of 32",
               "promotion to the wrong format", Mutant::narrow_sum, w4a16_product},
    CudaMutant{"w4a16_overtaken", "the next tile is stored while others still read the last one",
               "a missing second __syncthreads()", Mutant::overtaken, w4a16_product},
    CudaMutant{"w4a8_no_promotion", "the unit's sum runs over all of k, scaled once",
               "a promotion that is left out", Mutant::no_promotion, w4a8_product},
    CudaMutant{"grouped_late", "groups of rows begin a row late", "an offset of groups off by one",
               Mutant::late_groups, grouped_product},
    CudaMutant{"rounded_mask", "the estimator's mask looks at the dequantized weight",
               "the rounded weight saved for the backward pass", Mutant::rounded_mask,
               learned_backward},
    CudaMutant{"short_sum", "the last weight of a row is not in its scale gradient",
               "a reduction without its remainder", Mutant::short_sum, learned_backward},
    CudaMutant{"neighbour_scale", "a block's estimator sees the scale factor before its own",
               "a scale index off by one", Mutant::neighbour_scale, learned_backward}};

}  // namespace

std::span<const CudaMutant> cuda_mutants() { return rows; }

std::unique_ptr<TypedDevice> make_cuda_mutant(std::string_view id, std::string& reason) {
  const auto* row =
      std::find_if(rows.begin(), rows.end(), [&](const CudaMutant& m) { return m.id == id; });
  if (row == rows.end())
    throw std::invalid_argument("no GPU mutant is called '" + std::string(id) +
                                "'; `assay mutants cuda` lists them");
  return make_cuda_device(reason, row);
}

}  // namespace assay::kernels

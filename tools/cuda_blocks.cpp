// SPDX-License-Identifier: Apache-2.0
#include "tools/cuda_blocks.h"

#include <cuda_fp4.h>
#include <cuda_fp8.h>
#include <math.h>
#include <string.h>

#include <cstddef>

#include "tools/cuda_rules-inl.h"

namespace assay::tools::cuda_baseline {
namespace {

template <class Element, int block_rows, int block_cols, class Rule>
void loop(BlockCall& call) {
  Rule rule;
  if constexpr (Rule::has_tensor) rule.tensor(amax_of(call.x, call.rows * call.cols), call);
  std::int64_t b = 0;
  for (std::int64_t row = 0; row < call.rows; row += block_rows) {
    const std::int64_t last_row = row + block_rows < call.rows ? row + block_rows : call.rows;
    for (std::int64_t col = 0; col < call.cols; col += block_cols, ++b) {
      const std::int64_t last = col + block_cols < call.cols ? col + block_cols : call.cols;
      float most = 0;
      for (std::int64_t r = row; r < last_row; ++r)
        most = fmaxf(most, amax_of(call.x + r * call.cols + col, last - col));
      rule.block(most, call, b);
      for (std::int64_t r = row; r < last_row; ++r) {
        const float* x = call.x + r * call.cols;
        std::uint8_t* codes = call.codes + r * Element::bytes(call.cols);
        for (std::int64_t c = col; c < last; c += 2)
          Element::pair(codes, c, rule.element(x[c]), rule.element(x[c + 1]));
      }
    }
  }
}

enum class Error { squared, absolute, largest };

// 4over6: both scale factors, the codes of the lesser error.
template <class Element, class T, Error measure>
void four_over_six(BlockCall& call) {
  constexpr std::int64_t width = 16;
  const float encode = 256 * T::max / amax_of(call.x, call.rows * call.cols);
  const float g = call.tensor_scale = 1 / encode;
  for (std::int64_t b = 0; b < call.rows * call.cols / width; ++b) {
    const float* x = call.x + b * width;
    const float amax = amax_of(x, width);
    float least = 0;
    for (const bool second : {false, true}) {
      const std::uint8_t scale =
          encode_e4m3(second ? T::second(amax, encode) : amax / T::max * encode);
      const float step = decode_e4m3(scale) * g;
      const float factor = 1 / step;
      std::uint8_t codes[width];
      for (std::int64_t i = 0; i < width; i += 2)
        Element::pair(codes, i, x[i] * factor, x[i + 1] * factor);
      float error = 0;
      for (std::int64_t i = 0; i < width; ++i) {
        // The product of all three rounds once: in FP64 it is exact.
        const auto value = static_cast<float>(static_cast<double>(Element::value(codes, i)) *
                                              (static_cast<double>(decode_e4m3(scale)) * g));
        const float e = fabsf(value - x[i]);
        error = measure == Error::largest ? fmaxf(error, e)
                                          : error + (measure == Error::squared ? e * e : e);
      }
      if (second && !(error < least)) continue;
      least = error;
      call.scales[b] = scale;
      memcpy(call.codes + b * Element::bytes(width), codes,
             static_cast<std::size_t>(Element::bytes(width)));
    }
  }
}

struct Row {
  const char* name;
  BlockLoop run;
};

constexpr Row rows[] = {
    {"nvfp4", loop<E2m1, 1, 16, Te>},
    {"nvfp4-divide", loop<E2m1, 1, 16, Divides>},
    {"nvfp4-2d", loop<E2m1, 16, 16, Te>},
    {"nvfp4-pretraining", loop<E2m1, 16, 16, Paper<TopE2m1>>},
    {"nvfp4-paper", loop<E2m1, 1, 16, Paper<TopE2m1>>},
    {"nvfp4-4over6", four_over_six<E2m1, TopE2m1, Error::squared>},
    {"nvfp4-4over6-mae", four_over_six<E2m1, TopE2m1, Error::absolute>},
    {"nvfp4-4over6-max", four_over_six<E2m1, TopE2m1, Error::largest>},
    {"nvfp4-up", loop<E2m1, 1, 16, RoundsUp<TopE2m1>>},
    {"nvfp4-reciprocal", loop<E2m1, 1, 16, Reciprocal>},
    {"nvfp4-torchao", loop<E2m1, 1, 16, Torchao>},
    {"nvfp4-compressed-tensors", loop<E2m1, 1, 16, Compressed>},
    {"nvfp4-modelopt", loop<E2m1, 1, 16, Modelopt>},
    {"nvfp4-modelopt-clamp", loop<E2m1, 1, 16, ModeloptClamp>},
    {"nvfp4-sr", loop<E2m1, 1, 16, SixteenSeventeenths>},
    {"nvfp4-single", loop<E2m1, 1, 16, Single>},
    {"nvfp4-single-multiply", loop<E2m1, 1, 16, SingleMultiply>},
    {"mxfp4-floor", loop<E2m1, 1, 32, Down<4>>},
    {"mxfp4-ceil", loop<E2m1, 1, 32, Up<4>>},
    {"mxfp4-rceil", loop<E2m1, 1, 32, Up<6>>},
    {"mxfp4-even", loop<E2m1, 1, 32, Down<7, 2>>},
    {"mxfp4-sr", loop<E2m1, 1, 32, ThreeQuarters>},
    {"deepseek-v4", loop<E2m1, 1, 32, DeepseekV4>},
    {"mxfp6-e2m3-floor", loop<E2m3, 1, 32, Down<4>>},
    {"mxfp6-e2m3-ceil", loop<E2m3, 1, 32, Up<4>>},
    {"mxfp6-e2m3-rceil", loop<E2m3, 1, 32, Up<15, 2>>},
    {"mxfp6-e2m3-even", loop<E2m3, 1, 32, Down<31, 8>>},
    {"mxfp6-e3m2-floor", loop<E3m2, 1, 32, Down<16>>},
    {"mxfp6-e3m2-ceil", loop<E3m2, 1, 32, Up<16>>},
    {"mxfp6-e3m2-rceil", loop<E3m2, 1, 32, Up<28>>},
    {"mxfp6-e3m2-even", loop<E3m2, 1, 32, Down<15>>},
    {"mxfp8-e4m3-floor", loop<E4m3, 1, 32, Down<256>>},
    {"mxfp8-e4m3-ceil", loop<E4m3, 1, 32, Up<256>>},
    {"mxfp8-e4m3-rceil", loop<E4m3, 1, 32, Up<448>>},
    {"mxfp8-e4m3-even", loop<E4m3, 1, 32, Down<248>>},
    {"mxfp8-e5m2-floor", loop<E5m2, 1, 32, Down<32768>>},
    {"mxfp8-e5m2-ceil", loop<E5m2, 1, 32, Up<32768>>},
    {"mxfp8-e5m2-rceil", loop<E5m2, 1, 32, Up<57344>>},
    {"mxfp8-e5m2-even", loop<E5m2, 1, 32, Down<30720>>},
    {"fp8-deepseek-v3", loop<E4m3, 1, 128, OverTop<TopE4m3>>},
    {"fp8-deepseek-v3-weight", loop<E4m3, 128, 128, OverTop<TopE4m3>>},
    {"fp8-deepseek-v4", loop<E4m3, 1, 128, Fp8DeepseekV4>},
    {"fp8-deepseek-v4-weight", loop<E4m3, 128, 128, Fp8DeepseekV4>},
    {"article", loop<E2m1, 1, 32, Given>},
    {"article-attention", loop<E2m1, 1, 16, Given>},
    {"fp4-fp32", loop<E2m1, 1, 32, OverTop<TopE2m1>>},
    {"fp4-bf16", loop<E2m1, 1, 32, OverTopBf16<TopE2m1>>},
    {"int4-g32", loop<Int4, 1, 32, OverTop<TopInt4>>},
    {"int4-g128", loop<Int4, 1, 128, OverTop<TopInt4>>},
    {"nvfp6-e2m3", loop<E2m3, 1, 16, Paper<TopE2m3>>},
    {"nvfp6-e2m3-up", loop<E2m3, 1, 16, RoundsUp<TopE2m3>>},
    {"nvfp6-e2m3-4over6", four_over_six<E2m3, TopE2m3, Error::squared>},
    {"nvfp6-e2m3-4over6-mae", four_over_six<E2m3, TopE2m3, Error::absolute>},
    {"nvfp6-e2m3-4over6-max", four_over_six<E2m3, TopE2m3, Error::largest>},
    {"nvfp6-e3m2", loop<E3m2, 1, 16, Paper<TopE3m2>>},
    {"nvfp6-e3m2-up", loop<E3m2, 1, 16, RoundsUp<TopE3m2>>},
    {"nvfp6-e3m2-4over6", four_over_six<E3m2, TopE3m2, Error::squared>},
    {"nvfp6-e3m2-4over6-mae", four_over_six<E3m2, TopE3m2, Error::absolute>},
    {"nvfp6-e3m2-4over6-max", four_over_six<E3m2, TopE3m2, Error::largest>},
    {"nvfp8-e4m3", loop<E4m3, 1, 16, Paper<TopE4m3>>},
    {"nvfp8-e4m3-up", loop<E4m3, 1, 16, RoundsUp<TopE4m3>>},
    {"nvfp8-e4m3-4over6", four_over_six<E4m3, TopE4m3, Error::squared>},
    {"nvfp8-e4m3-4over6-mae", four_over_six<E4m3, TopE4m3, Error::absolute>},
    {"nvfp8-e4m3-4over6-max", four_over_six<E4m3, TopE4m3, Error::largest>},
    {"nvfp8-e5m2", loop<E5m2, 1, 16, Paper<TopE5m2>>},
    {"nvfp8-e5m2-up", loop<E5m2, 1, 16, RoundsUp<TopE5m2>>},
    {"nvfp8-e5m2-4over6", four_over_six<E5m2, TopE5m2, Error::squared>},
    {"nvfp8-e5m2-4over6-mae", four_over_six<E5m2, TopE5m2, Error::absolute>},
    {"nvfp8-e5m2-4over6-max", four_over_six<E5m2, TopE5m2, Error::largest>},
    {"nvint4", loop<Int4, 1, 16, Paper<TopInt4>>},
    {"nvint4-up", loop<Int4, 1, 16, RoundsUp<TopInt4>>},
    {"nvint4-4over6", four_over_six<Int4, TopInt4, Error::squared>},
    {"nvint4-4over6-mae", four_over_six<Int4, TopInt4, Error::absolute>},
    {"nvint4-4over6-max", four_over_six<Int4, TopInt4, Error::largest>},
    {"fp6-e2m3-bf16", loop<E2m3, 1, 32, OverTopBf16<TopE2m3>>},
    {"fp6-e2m3-fp32", loop<E2m3, 1, 32, OverTop<TopE2m3>>},
    {"fp6-e3m2-bf16", loop<E3m2, 1, 32, OverTopBf16<TopE3m2>>},
    {"fp6-e3m2-fp32", loop<E3m2, 1, 32, OverTop<TopE3m2>>},
    {"fp8-e4m3-bf16", loop<E4m3, 1, 32, OverTopBf16<TopE4m3>>},
    {"fp8-e4m3-fp32", loop<E4m3, 1, 32, OverTop<TopE4m3>>},
    {"fp8-e5m2-bf16", loop<E5m2, 1, 32, OverTopBf16<TopE5m2>>},
    {"fp8-e5m2-fp32", loop<E5m2, 1, 32, OverTop<TopE5m2>>},
    {"int4-bf16", loop<Int4, 1, 32, OverTopBf16<TopInt4>>},
    {"mxint4-floor", loop<Int4, 1, 32, Down<4>>},
    {"mxint4-ceil", loop<Int4, 1, 32, Up<4>>},
    {"mxint4-rceil", loop<Int4, 1, 32, Up<7>>},
    {"mxint4-even", loop<Int4, 1, 32, Down<15, 4>>},
};

}  // namespace

BlockLoop block_loop(const char* name) {
  for (const Row& row : rows)
    if (strcmp(row.name, name) == 0) return row.run;
  return nullptr;
}

}  // namespace assay::tools::cuda_baseline

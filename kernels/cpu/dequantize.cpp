// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "kernels/cpu/element.h"
#include "kernels/cpu/kernels.h"

namespace assay::kernels::cpu {
namespace {

float block_scale(const formats::BlockScaledTensor& in, std::int64_t row, std::int64_t block,
                  std::int64_t blocks) {
  const std::int64_t index = scale_index(in.scale_layout, row, block, blocks);
  if (in.format->scale == &formats::e8m0) return decode_e8m0(in.scales[index]);
  if (in.format->scale == &formats::ue4m3) return decode_ue4m3(in.scales[index]);
  float scale = 0.0F;
  std::memcpy(&scale, &in.scales[index * 4], sizeof scale);
  return scale;
}

float e2m1_at(const std::uint8_t* row, std::int64_t c) {
  const std::uint8_t pair = row[c / 2];
  return e2m1_values[c % 2 == 0 ? pair & 15 : pair >> 4];
}
float e4m3_at(const std::uint8_t* row, std::int64_t c) { return decode_e4m3(row[c]); }

/// Calls store(index, element, scale) for every element. The scale factor of a block is read once.
template <float (*Element)(const std::uint8_t*, std::int64_t), class Store>
void for_each_element_of(const formats::BlockScaledTensor& in, std::int64_t bytes,
                         const Store& store) {
  const std::int64_t block = in.format->block.cols;
  const std::int64_t blocks = blocks_per_row(in.cols, block);
#pragma omp parallel for if (in.rows * in.cols > 65536)
  for (std::int64_t r = 0; r < in.rows; ++r)
    for (std::int64_t b = 0; b < blocks; ++b) {
      const float scale = block_scale(in, r, b, blocks);
      for (std::int64_t c = b * block; c < std::min(in.cols, (b + 1) * block); ++c)
        store(r * in.cols + c, Element(&in.codes[r * bytes], c), scale);
    }
}

template <class Store>
void for_each_element(const formats::BlockScaledTensor& in, const Store& store) {
  if (in.format->element == &formats::e4m3)
    for_each_element_of<e4m3_at>(in, in.cols, store);
  else
    for_each_element_of<e2m1_at>(in, row_bytes(in.cols), store);
}

}  // namespace

std::vector<float> decode_blocks(const formats::BlockScaledTensor& in) {
  std::vector<float> out(in.rows * in.cols);
  for_each_element(in,
                   [&](std::int64_t i, float element, float scale) { out[i] = element * scale; });
  return out;
}

std::vector<float> decode_elements(const formats::BlockScaledTensor& in) {
  std::vector<float> out(in.rows * in.cols);
  for_each_element(in, [&](std::int64_t i, float element, float) { out[i] = element; });
  return out;
}

void dequantize(const formats::BlockScaledTensor& in, std::span<float> out) {
  // At most 4 significant bits times 24 (an FP32 scale) or 4 (UE4M3), times 24 of the tensor scale,
  // which only the latter has: at most 32 bits. The double product is exact and the cast rounds
  // once.
  const double tensor_scale = in.tensor_scale;
  for_each_element(in, [&](std::int64_t i, float element, float scale) {
    out[i] = static_cast<float>(static_cast<double>(element) * scale * tensor_scale);
  });
}

}  // namespace assay::kernels::cpu

// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/matrix.h"

#include <algorithm>
#include <bit>

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/rows.h"

namespace assay::kernels::cpu {

formats::BlockScaledTensor matrix(std::span<const assay_dut_tensor> tensors, std::uint32_t role,
                                  const formats::BlockFormat* format, std::int64_t index) {
  formats::BlockScaledTensor t;
  const assay_dut_tensor* values = abi::find(tensors, role);
  const assay_dut_tensor* scales = abi::find(tensors, role, ASSAY_DUT_SCALES);
  if (values == nullptr || scales == nullptr) return t;
  t.format = format;
  t.rows = values->shape[values->ndim - 2];
  t.cols = values->shape[values->ndim - 1];
  t.scale_layout = static_cast<formats::ScaleLayout>(scales->layout);
  t.codes = gather<std::uint8_t>(values, index * t.rows, t.rows);
  const std::int64_t down = scales->shape[scales->ndim - 2];
  if (t.scale_layout == formats::ScaleLayout::row_major) {
    t.scales = gather<std::uint8_t>(scales, index * down, down);
  } else {
    const std::int64_t count = scale_count(t.scale_layout, down, scales->shape[scales->ndim - 1]);
    const auto* from = static_cast<const std::uint8_t*>(scales->data) + index * count;
    t.scales.assign(from, from + count);
  }
  const auto g = abi::data_of<const float>(abi::find(tensors, role, ASSAY_DUT_TENSOR_SCALE));
  if (!g.empty()) t.tensor_scale = g[std::min(static_cast<std::size_t>(index), g.size() - 1)];
  return t;
}

formats::BlockScaledTensor output_shape(const assay_dut_call& call, std::uint32_t role,
                                        const formats::BlockFormat* format) {
  formats::BlockScaledTensor t;
  const assay_dut_tensor* values = abi::find(abi::outputs(call), role);
  const assay_dut_tensor* scales = abi::find(abi::outputs(call), role, ASSAY_DUT_SCALES);
  if (values == nullptr || scales == nullptr) return t;
  t.format = format;
  t.rows = values->shape[0];
  t.cols = values->shape[1];
  t.scale_layout = static_cast<formats::ScaleLayout>(scales->layout);
  return t;
}

void store_matrix(const formats::BlockScaledTensor& t, const assay_dut_call& call,
                  std::uint32_t role) {
  const auto outputs = abi::outputs(call);
  scatter(t.codes, *abi::find(outputs, role));
  const assay_dut_tensor& scales = *abi::find(outputs, role, ASSAY_DUT_SCALES);
  if (scales.layout == ASSAY_DUT_STRIDED)
    scatter(t.scales, scales);
  else
    std::copy(t.scales.begin(), t.scales.end(), static_cast<std::uint8_t*>(scales.data));
  const auto g = abi::data_of<float>(abi::find(outputs, role, ASSAY_DUT_TENSOR_SCALE));
  if (!g.empty()) g[0] = t.tensor_scale;
}

void store_numbers(const formats::FormatSpec& format, const std::vector<float>& numbers,
                   const assay_dut_tensor& to, std::int64_t first_row) {
  if (&format == &formats::fp32) {
    scatter(numbers, to, first_row);
    return;
  }
  std::vector<std::uint16_t> narrow(numbers.size());
  std::transform(numbers.begin(), numbers.end(), narrow.begin(), [](float x) {
    return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(x) >> 16U);
  });
  scatter(narrow, to, first_row);
}

std::vector<float> transposed(const std::vector<float>& x, std::int64_t rows, std::int64_t cols) {
  std::vector<float> out(x.size());
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < cols; ++c) out[c * rows + r] = x[r * cols + c];
  return out;
}

}  // namespace assay::kernels::cpu

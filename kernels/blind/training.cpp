// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "kernels/blind/blind.h"

namespace blind {
namespace {

/// The fake-quantized weights, n x k.
std::vector<float> fake(Format format, const View& w, const Codes& q, Fault fault) {
  std::vector<float> out(w.rows * w.cols);
  for (std::int64_t i = 0; i < w.rows; ++i)
    for (std::int64_t j = 0; j < w.cols; ++j)
      out[i * w.cols + j] = fault == Fault::odd_weight_rows_unquantized && i % 2 == 1
                                ? w.number(i, j)
                                : dequantized(format, q, i, j, fault);
  return out;
}

/// Whether the gradient of w[j, l] passes a clip at the largest element.
bool passes(Format format, const View& w, const Codes& q, const std::vector<float>& w_hat,
            std::int64_t j, std::int64_t l, Fault fault) {
  const double scale = scale_value(format, q.scales[j * q.blocks + l / block_of(format)]);
  const double limit = 6 * scale * q.tensor_scale;
  const double x = fault == Fault::mask_of_rounded ? w_hat[j * w.cols + l] : w.number(j, l);
  if (fault == Fault::mask_one_sided) return x <= limit;
  if (fault == Fault::mask_strict) return std::fabs(x) < limit;
  return std::fabs(x) <= limit;
}

}  // namespace

std::int32_t run_forward(Format format, const assay_dut_call& call, Fault fault) {
  const View x = find(call, ASSAY_DUT_X);
  const View w = find(call, ASSAY_DUT_W);
  const View bias = find(call, ASSAY_DUT_BIAS);
  const View y = find(call, ASSAY_DUT_Y);
  const Codes q = quantize(format, w, fault);
  const std::vector<float> w_hat = fake(format, w, q, fault);
  for (std::int64_t i = 0; i < call.m; ++i)
    for (std::int64_t j = 0; j < call.n; ++j) {
      float sum = 0;
      for (std::int64_t l = 0; l < call.k; ++l) sum += x.number(i, l) * w_hat[j * call.k + l];
      y.put_number(i, j, bias.there() ? sum + bias.number(0, j) : sum);
    }
  return ASSAY_DUT_OK;
}

std::int32_t run_backward(Format format, const assay_dut_call& call, Fault fault) {
  if (call.estimator != ASSAY_DUT_IDENTITY && call.estimator != ASSAY_DUT_CLIP_MASK)
    return ASSAY_DUT_DECLINED;
  const View x = find(call, ASSAY_DUT_X);
  const View w = find(call, ASSAY_DUT_W);
  const View dy = find(call, ASSAY_DUT_DY);
  const View dx = find(call, ASSAY_DUT_DX);
  const View dw = find(call, ASSAY_DUT_DW);
  const View dbias = find(call, ASSAY_DUT_DBIAS);
  const Codes q = quantize(format, w, fault);
  const std::vector<float> w_hat = fake(format, w, q, fault);
  for (std::int64_t i = 0; i < call.m; ++i)
    for (std::int64_t l = 0; l < call.k; ++l) {
      float sum = 0;
      for (std::int64_t j = 0; j < call.n; ++j)
        sum += dy.number(i, j) *
               (fault == Fault::dx_from_master ? w.number(j, l) : w_hat[j * call.k + l]);
      dx.put_number(i, l, sum);
    }
  const std::int64_t tokens = fault == Fault::last_odd_token_dropped ? call.m / 2 * 2 : call.m;
  for (std::int64_t j = 0; j < call.n; ++j)
    for (std::int64_t l = 0; l < call.k; ++l) {
      float sum = 0;
      for (std::int64_t i = 0; i < tokens; ++i) sum += dy.number(i, j) * x.number(i, l);
      const bool open =
          call.estimator == ASSAY_DUT_IDENTITY || passes(format, w, q, w_hat, j, l, fault);
      dw.put_number(j, l, open ? sum : 0.0F);
    }
  for (std::int64_t j = 0; dbias.there() && j < call.n; ++j) {
    float sum = 0;
    for (std::int64_t i = 0; i < call.m; ++i) sum += dy.number(i, j);
    if (fault == Fault::dbias_mean) sum /= static_cast<float>(call.m);
    dbias.put_number(0, j, sum);
  }
  return ASSAY_DUT_OK;
}

}  // namespace blind

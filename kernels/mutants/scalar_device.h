// SPDX-License-Identifier: Apache-2.0
#pragma once
// A slow, plain kernel made of replaceable steps. As it stands it is right; a mutant is the same
// kernel with one step replaced. That the unchanged one passes certification shows that a mutant
// dies of its fault and of nothing else.

#include <functional>
#include <memory>
#include <string>

#include "kernels/typed_device.h"

namespace assay::kernels::mutants {

/// What the epilogue of a GEMM sees.
struct EpilogueInput {
  float sum = 0;  ///< of products of elements and scale factors
  float a_tensor_scale = 1, b_tensor_scale = 1, alpha = 1;
  float beta = 0, c = 0;  ///< c is 0 where C is not read
  float bias = 0;
};

/// One weight as an estimator sees it: s is scale factor * tensor scale.
struct WeightView {
  double w = 0, q = 0, s = 0;
  Estimator estimator = Estimator::identity;
  double parameter = 0;  ///< delta of ewgs, T of trust_mask
};

/// The steps, each right by default. A mutant's row says which one it replaces.
struct Steps {
  // Quantizer.
  float (*magnitude)(float x);
  std::uint8_t (*encode_element)(float scaled);
  std::uint8_t (*encode_ue4m3)(float scale);
  std::uint8_t (*scale_floor)(float amax);
  std::uint8_t (*scale_rceil)(float amax);
  float (*divide)(float x, float scale);      ///< x / scale, 0 where scale is 0
  float (*tensor_scale)(float tensor_scale);  ///< what is stored
  bool keep_nan_block;                        ///< a NaN spoils its block
  // Layout, for writing and for reading.
  std::uint8_t (*pack)(std::uint8_t even, std::uint8_t odd);
  std::int64_t (*scale_index)(formats::ScaleLayout, std::int64_t row, std::int64_t block,
                              std::int64_t blocks);
  // Dequantizer and operands of products.
  float (*decode_element)(std::uint8_t code);
  float (*decode_scale)(const formats::FormatSpec& format, std::uint8_t code);
  double (*dequantized)(float element, float scale, float tensor_scale);
  int (*nibble)(std::uint8_t pair, std::int64_t column);
  // GEMM.
  float (*decode_bf16)(std::uint16_t code);
  std::int64_t (*last_k)(std::int64_t k);
  float (*scaled)(float element, float scale);
  float (*accumulate)(float sum, float product);
  float (*epilogue)(const EpilogueInput&);
  float (*round_output)(const formats::FormatSpec& output, float x);
  void (*after_gemm)(const GemmCall& call);
  // QAT.
  bool (*passes)(const WeightView&);                 ///< whether dW keeps G
  double (*difference)(const WeightView&);           ///< what ewgs multiplies with delta
  double (*ewgs_sign)(const WeightView&, double g);  ///< and with what sign
  double (*dge_slope)(const WeightView&);
  double (*scale_derivative)(const WeightView&);
  bool quantized_weights_in_dx;
  bool dbias_over_rows;  ///< over m, as it should be
  double (*scale_gain)(std::int64_t count);
};

/// Every step as it should be.
[[nodiscard]] Steps right_steps();

[[nodiscard]] std::unique_ptr<TypedDevice> make_scalar_device(std::string name, Steps steps);

}  // namespace assay::kernels::mutants

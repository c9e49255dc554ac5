// SPDX-License-Identifier: Apache-2.0
// Quantizers with a twist, and codes and scale factors that only move.
#include <algorithm>
#include <array>

#include "formats/layout.h"
#include "formats/philox.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/matrix.h"
#include "kernels/cpu/operations.h"
#include "kernels/cpu/rows.h"

namespace assay::kernels::cpu {
namespace {

using formats::BlockScaledTensor;
using formats::ScaleLayout;

std::vector<Claim> quantizer_claims(const char* operation) {
  std::vector<Claim> claims;
  for (const formats::BlockFormat* format :
       {&formats::nvfp4, &formats::nvfp4_divide, &formats::mxfp4_floor, &formats::mxfp4_rceil,
        &formats::deepseek_v4})
    for (const auto layout : {ScaleLayout::row_major, ScaleLayout::swizzled_128x4}) {
      Claim claim{operation, format};
      claim.scale_layout = layout;
      claim.name = name_of(claim);
      claims.push_back(claim);
    }
  return claims;
}

struct RandomRow {
  std::uint32_t random;
  int bits;
  const char* suffix;
};
constexpr std::array random_rows{RandomRow{ASSAY_DUT_RANDOM_PHILOX, 16, ".philox"},
                                 RandomRow{ASSAY_DUT_RANDOM_PHILOX, 8, ".philox8"},
                                 RandomRow{ASSAY_DUT_RANDOM_WORDS, 16, ".words"},
                                 RandomRow{ASSAY_DUT_RANDOM_WORDS, 3, ".words3"},
                                 RandomRow{ASSAY_DUT_RANDOM_OPAQUE, 16, ".opaque"}};

/// The generator of the opaque entries: splitmix64 (Steele, Lea and Flood, OOPSLA 2014).
std::uint32_t splitmix(std::uint64_t seed, std::int64_t index) {
  std::uint64_t x =
      seed * 0xD1342543DE82EF95U + static_cast<std::uint64_t>(index + 1) * 0x9E3779B97F4A7C15U;
  x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9U;
  x = (x ^ (x >> 27U)) * 0x94D049BB133111EBU;
  return static_cast<std::uint32_t>((x ^ (x >> 31U)) >> 32U);
}

}  // namespace

std::vector<Claim> stochastic_quantize_claims() {
  std::vector<Claim> claims;
  for (const Claim& plain : quantizer_claims("stochastic_quantize"))
    for (const RandomRow& row : random_rows) {
      Claim claim = plain;
      claim.rounding = formats::RoundingMode::stochastic;
      claim.random = row.random;
      claim.random_bits = row.bits;
      claim.name += row.suffix;
      claims.push_back(claim);
    }
  return claims;
}

Status stochastic_quantize(const Claim& claim, const assay_dut_call& call) {
  BlockScaledTensor q = output_shape(call, ASSAY_DUT_Q, claim.a);
  RandomWords random;
  random.bits = claim.random_bits;
  const auto words = gather<std::uint32_t>(abi::find(abi::inputs(call), ASSAY_DUT_RANDOM));
  if (claim.random == ASSAY_DUT_RANDOM_WORDS)
    random.word = [&](std::int64_t i) { return words[i]; };
  else if (claim.random == ASSAY_DUT_RANDOM_PHILOX)
    random.word = [&](std::int64_t i) { return formats::philox_word(call.seed, i); };
  else
    random.word = [&](std::int64_t i) { return splitmix(call.seed, i); };
  if (!quantize_stochastic(gather<float>(abi::find(abi::inputs(call), ASSAY_DUT_X)), random, q))
    return Status::not_supported;
  store_matrix(q, call, ASSAY_DUT_Q);
  return Status::ok;
}

std::vector<Claim> transpose_requantize_claims() {
  return quantizer_claims("transpose_requantize");
}

Status transpose_requantize(const Claim& claim, const assay_dut_call& call) {
  const assay_dut_tensor* x = abi::find(abi::inputs(call), ASSAY_DUT_X);
  std::vector<float> numbers = gather<float>(x);
  if (x == nullptr) {
    const BlockScaledTensor q = matrix(abi::inputs(call), ASSAY_DUT_Q, claim.a);
    numbers.resize(q.rows * q.cols);
    dequantize(q, numbers);
  }
  BlockScaledTensor qt = output_shape(call, ASSAY_DUT_QT, claim.a);
  if (!quantize(transposed(numbers, qt.cols, qt.rows), qt)) return Status::not_supported;
  store_matrix(qt, call, ASSAY_DUT_QT);
  return Status::ok;
}

std::vector<Claim> layout_claims() {
  std::vector<Claim> claims;
  for (const formats::BlockFormat* format : {&formats::nvfp4, &formats::mxfp4_rceil})
    claims.push_back(Claim{"layout", format});
  return claims;
}

Status layout(const Claim&, const assay_dut_call& call) {
  const auto find = [](std::span<const assay_dut_tensor> from, std::uint32_t role,
                       std::uint32_t part) { return abi::find(from, role, part); };
  const auto* values = find(abi::inputs(call), ASSAY_DUT_Q, ASSAY_DUT_VALUES);
  const auto* moved = find(abi::outputs(call), ASSAY_DUT_QT, ASSAY_DUT_VALUES);
  if (values != nullptr) {
    scatter(formats::transpose_codes(gather<std::uint8_t>(values), values->shape[0],
                                     values->shape[1], values->type_bits),
            *moved);
    return Status::ok;
  }
  const auto* from = find(abi::inputs(call), ASSAY_DUT_Q, ASSAY_DUT_SCALES);
  const auto* to = find(abi::outputs(call), ASSAY_DUT_QT, ASSAY_DUT_SCALES);
  const std::int64_t rows = from->shape[0];
  const std::int64_t cols = from->shape[1];
  if (from->layout == to->layout) return Status::not_supported;
  if (to->layout == ASSAY_DUT_STRIDED) {
    scatter(formats::unswizzle(abi::data_of<const std::uint8_t>(from), rows, cols), *to);
  } else {
    const auto swizzled = formats::swizzle(gather<std::uint8_t>(from), rows, cols);
    std::copy(swizzled.begin(), swizzled.end(), static_cast<std::uint8_t*>(to->data));
  }
  return Status::ok;
}

}  // namespace assay::kernels::cpu

// SPDX-License-Identifier: Apache-2.0
// The known errors of conversions, of transposes that quantize, and of layout transforms.
#include <cstring>

#include "golden/layout.h"
#include "golden/relayout.h"
#include "golden/requantize.h"
#include "proptests/diagnosis/quantizer_model.h"
#include "proptests/judge.h"
#include "proptests/properties/convert_expected.h"
#include "proptests/properties/quantized_output.h"

namespace assay::proptests::diagnosis {
namespace {

using formats::BlockScaledTensor;
using formats::RoundingMode;

std::uint32_t code_at(std::span<const std::uint8_t> out, const formats::FormatSpec& code,
                      std::int64_t cols, std::int64_t i) {
  const std::int64_t row_bytes = (cols * code.storage_bits + 7) / 8;
  const std::int64_t bit = i / cols * row_bytes * 8 + i % cols * code.storage_bits;
  std::uint32_t bits = 0;
  for (int b = 0; b < code.storage_bits; b += 8)
    bits |= static_cast<std::uint32_t>(out[(bit + b) / 8]) << b;
  return code.storage_bits == 4 ? bits >> (bit % 8) & 0xFU : bits;
}

struct ConvertError {
  const char* id;
  const char* name;
  void (*spoil)(kernels::Claim& claim, std::vector<std::uint32_t>& source);
};

template <RoundingMode mode>
void rounds(kernels::Claim& claim, std::vector<std::uint32_t>&) {
  claim.rounding = mode;
}

const std::vector<ConvertError>& convert_errors() {
  static const std::vector<ConvertError> rows{
      {"zero_sign_lost", "-0 becomes +0",
       [](kernels::Claim& claim, std::vector<std::uint32_t>& source) {
         const std::uint32_t negative_zero = golden::sign_mask(*claim.output);
         for (std::uint32_t& x : source) x = x == negative_zero ? 0 : x;
       }},
      {"ties_away", "ties round away from zero", rounds<RoundingMode::nearest_away>},
      {"ties_to_even", "ties round to even", rounds<RoundingMode::nearest_even>},
      {"elements_truncated", "numbers are truncated", rounds<RoundingMode::toward_zero>},
      {"input_rounded_bf16", "FP32 numbers pass through bf16",
       [](kernels::Claim& claim, std::vector<std::uint32_t>& source) {
         if (claim.output != &formats::fp32) return;
         for (std::uint32_t& x : source)
           x = golden::encode(formats::bf16, golden::decode(formats::fp32, x),
                              RoundingMode::nearest_even,
                              golden::policy_of(formats::ieee, formats::bf16))
               << 16U;
       }},
  };
  return rows;
}

bool explains(const ConvertError& row, const Case& c) {
  const auto bytes = input_bytes(c.call, ASSAY_DUT_X);
  const auto out = output_bytes(c, ASSAY_DUT_Q);
  const std::int64_t width = c.call.claim.output->storage_bits / 8;
  std::vector<std::uint32_t> source(bytes.size() / width);
  for (std::size_t i = 0; i < source.size(); ++i)
    std::memcpy(&source[i], bytes.data() + i * width, width);
  kernels::Claim claim = c.call.claim;
  row.spoil(claim, source);
  for (std::size_t i = 0; i < source.size(); ++i)
    if (converted(claim, source[i]) !=
        code_at(out, *claim.code, c.call.k, static_cast<std::int64_t>(i)))
      return false;
  return true;
}

BlockScaledTensor observed_transpose(const Case& c) {
  return observed_tensor(
      empty_tensor(*c.call.claim.a, c.call.k, c.call.m, c.call.claim.scale_layout),
      c.answer->outputs);
}

bool requantized_twice(const Case& c) {
  const kernels::Claim& claim = c.call.claim;
  formats::QuantizeOptions options;
  options.rounding = claim.rounding;
  options.scale_layout = claim.scale_layout;
  const std::vector<float> x = input_floats(c.call, ASSAY_DUT_X);
  const BlockScaledTensor q = x.empty()
                                  ? input_tensor(c.call, ASSAY_DUT_Q, *claim.a, c.call.m, c.call.k)
                                  : golden::quantize(x, c.call.m, c.call.k, *claim.a, options);
  return !compare(golden::transpose_requantize(q, *claim.a, options), observed_transpose(c));
}

bool transposed_with(const QuantizerError& row, const Case& c) {
  std::vector<float> x = input_floats(c.call, ASSAY_DUT_X);
  if (x.empty())
    x = golden::dequantize_to_fp32(
        input_tensor(c.call, ASSAY_DUT_Q, *c.call.claim.a, c.call.m, c.call.k));
  QuantizerModel model = quantizer_of(c.call);
  model.x = golden::transpose(x, c.call.m, c.call.k);
  std::swap(model.rows, model.cols);
  row.spoil(model);
  return !compare(model.run(), observed_transpose(c));
}

/// What a layout call moves, and the right result of it.
struct Moved {
  BlockScaledTensor right;
  bool codes = false;  ///< otherwise scale factors
  std::vector<std::uint8_t> observed;
  [[nodiscard]] bool swizzled() const {
    return !codes && right.scale_layout == formats::ScaleLayout::swizzled_128x4;
  }
  [[nodiscard]] std::vector<std::uint8_t>& bytes() { return codes ? right.codes : right.scales; }
};
Moved moved(const Case& c) {
  const formats::BlockFormat& format = *c.call.claim.a;
  const Operand& from = c.call.in.at(0);
  BlockScaledTensor t = empty_tensor(format, c.call.m, c.call.k,
                                     static_cast<formats::ScaleLayout>(from.shape.layout));
  Moved m;
  m.codes = from.shape.part == ASSAY_DUT_VALUES;
  if (m.codes) t.scale_layout = formats::ScaleLayout::row_major;
  t.codes.resize(golden::code_bytes(*format.element, t.rows, t.cols, t.layout));
  t.scales.resize(golden::scale_bytes(format, t.rows, t.cols, t.scale_layout));
  (m.codes ? t.codes : t.scales).assign(from.bytes.begin(), from.bytes.end());
  m.right = golden::relayout(
      t, m.codes ? formats::Layout::column_major : t.layout,
      m.codes ? t.scale_layout : static_cast<formats::ScaleLayout>(c.call.out.at(0).shape.layout));
  m.observed = c.answer->outputs.at(0);
  return m;
}

bool swizzle_transposed(const Case& c) {
  Moved m = moved(c);
  const std::vector<std::uint8_t> from = m.bytes();
  if (m.swizzled())
    for (std::size_t i = 0; i < from.size(); ++i)
      m.bytes()[i] = from[i / 16 * 16 + i % 4 * 4 + i / 4 % 4];
  return m.bytes() == m.observed;
}

bool padding_left(const Case& c) {
  Moved m = moved(c);
  if (!m.swizzled() || m.observed.size() != m.bytes().size()) return m.bytes() == m.observed;
  BlockScaledTensor seen = m.right;
  seen.scales = m.observed;
  const golden::BlockGrid grid = golden::block_grid(*seen.format, seen.rows, seen.cols);
  for (std::int64_t r = 0; r < grid.down; ++r)
    for (std::int64_t b = 0; b < grid.across; ++b)
      if (golden::load_scale(seen, r, b) != golden::load_scale(m.right, r, b)) return false;
  return true;
}

bool nibbles_swapped(const Case& c) {
  Moved m = moved(c);
  if (m.codes)
    for (std::uint8_t& byte : m.bytes()) byte = static_cast<std::uint8_t>(byte >> 4 | byte << 4);
  return m.bytes() == m.observed;
}

/// Codes of the last row of what is transposed stay zero, all others are right.
bool last_row_dropped(const Case& c) {
  Moved m = moved(c);
  if (!m.codes || c.call.m == 0 || c.call.k == 0) return m.bytes() == m.observed;
  for (std::int64_t j = 0; j < c.call.k; ++j) golden::store_code(m.right, c.call.m - 1, j, 0);
  return m.bytes() == m.observed;
}

}  // namespace

std::vector<Hypothesis> number_hypotheses() {
  std::vector<Hypothesis> out;
  for (const ConvertError& row : convert_errors())
    out.push_back({row.id, row.name,
                   [](const kernels::Claim& c) { return c.operation == "convert"; },
                   [&row](const Case& c) { return explains(row, c); }});
  const auto transposes = [](const kernels::Claim& c) {
    return c.operation == "transpose_requantize";
  };
  out.push_back({"requantized_twice", "the transpose is made from the quantized tensor", transposes,
                 requantized_twice});
  for (const QuantizerError& row : quantizer_errors())
    out.push_back({row.id, row.name,
                   [&row, transposes](const kernels::Claim& c) {
                     return transposes(c) && (row.applies == nullptr || row.applies(*c.a));
                   },
                   [&row](const Case& c) { return transposed_with(row, c); }});
  const auto moves = [](const kernels::Claim& c) { return c.operation == "layout"; };
  out.push_back({"swizzle_transposed",
                 "rows and columns are exchanged within 16 bytes of the 128x4 layout", moves,
                 swizzle_transposed});
  out.push_back(
      {"padding_not_zero", "padding of the scale factors is not zero", moves, padding_left});
  out.push_back(
      {"nibbles_swapped", "the even element is in the high nibble", moves, nibbles_swapped});
  out.push_back({"last_row_dropped", "codes of the last row are left out when codes are transposed",
                 moves, last_row_dropped});
  return out;
}

}  // namespace assay::proptests::diagnosis

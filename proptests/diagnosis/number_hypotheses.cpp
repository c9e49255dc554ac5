// SPDX-License-Identifier: Apache-2.0
// The known errors of conversions, of transposes that quantize, and of layout transforms.
#include "golden/layout.h"
#include "golden/relayout.h"
#include "golden/requantize.h"
#include "proptests/diagnosis/operations.h"

namespace assay::proptests::diagnosis {
namespace {

using formats::BlockScaledTensor;
using formats::RoundingMode;

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

/// Q(Q(X)'): the codes in between are what the transpose is made from.
void requantized(TransposeModel& m, const Case& c) {
  const kernels::Claim& claim = c.call.claim;
  formats::QuantizeOptions options;
  options.rounding = claim.rounding;
  const std::vector<float> x = input_floats(c.call, ASSAY_DUT_X);
  if (x.empty()) return;
  m.quantizer.x = golden::transpose(
      golden::dequantize_to_fp32(golden::quantize(x, c.call.m, c.call.k, *claim.a, options)),
      c.call.m, c.call.k);
}

using Stored = void (*)(std::vector<std::uint8_t>&, const BlockScaledTensor&);
struct MoveError {
  const char* id;
  const char* name;
  bool codes;  ///< of moving codes; otherwise of scale factors
  Stored stored;
};
constexpr MoveError move_errors[] = {
    {"swizzle_transposed", "rows and columns are exchanged within 16 bytes of the 128x4 layout",
     false,
     [](std::vector<std::uint8_t>& bytes, const BlockScaledTensor& t) {
       if (t.scale_layout != formats::ScaleLayout::swizzled_128x4) return;
       const std::vector<std::uint8_t> from = bytes;
       for (std::size_t i = 0; i < from.size(); ++i)
         bytes[i] = from[i / 16 * 16 + i % 4 * 4 + i / 4 % 4];
     }},
    {"nibbles_swapped", "the even element is in the high nibble", true,
     [](std::vector<std::uint8_t>& bytes, const BlockScaledTensor&) {
       for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(byte >> 4 | byte << 4);
     }},
    {"last_row_dropped", "codes of the last row are left out when codes are transposed", true,
     [](std::vector<std::uint8_t>& bytes, const BlockScaledTensor& t) {
       BlockScaledTensor out = t;
       for (std::int64_t j = 0; j < t.cols; ++j) golden::store_code(out, t.rows - 1, j, 0);
       bytes = out.codes;
     }},
};

/// Scale factors are right and the bytes between them are not zero.
bool padding_left(const Case& c) {
  const MovedModel m = moving.of(c);
  if (m.codes || m.to != formats::ScaleLayout::swizzled_128x4) return false;
  const BlockScaledTensor right = golden::relayout(m.from, m.from.layout, m.to);
  BlockScaledTensor observed = right;
  observed.scales = c.answer->outputs.at(0);
  if (observed.scales.size() != right.scales.size()) return false;
  const golden::BlockGrid grid = golden::block_grid(*right.format, right.rows, right.cols);
  for (std::int64_t r = 0; r < grid.down; ++r)
    for (std::int64_t b = 0; b < grid.across; ++b)
      if (golden::load_scale(observed, r, b) != golden::load_scale(right, r, b)) return false;
  return true;
}

}  // namespace

std::vector<Hypothesis> number_hypotheses() {
  std::vector<Hypothesis> out;
  for (const ConvertError& row : convert_errors())
    out.push_back(edited(converting, row.id, row.name,
                         [&row](ConvertModel& m, const Case&) { row.spoil(m.claim, m.source); }));
  out.push_back(edited(transposing, "requantized_twice",
                       "the transpose is made from the quantized tensor", requantized));
  for (const QuantizerError& row : quantizer_errors())
    out.push_back(edited(
        transposing, row.id, row.name,
        [&row](TransposeModel& m, const Case&) { row.spoil(m.quantizer); },
        [&row](const kernels::Claim& c) { return row.applies == nullptr || row.applies(*c.a); }));
  for (const MoveError& row : move_errors)
    out.push_back(edited(moving, row.id, row.name, [&row](MovedModel& m, const Case&) {
      if (m.codes != row.codes) return false;
      m.stored = row.stored;
      return true;
    }));
  Hypothesis padding;
  padding.id = "padding_not_zero";
  padding.name = "padding of the scale factors is not zero";
  padding.applies = moving.is;
  padding.explains = padding_left;
  out.push_back(std::move(padding));
  return out;
}

}  // namespace assay::proptests::diagnosis

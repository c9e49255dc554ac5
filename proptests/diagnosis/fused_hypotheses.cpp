// SPDX-License-Identifier: Apache-2.0
// The known errors of fused quantize and multiply: those of the quantizer, or of the product.
#include <cmath>

#include "golden/fp32_order.h"
#include "proptests/diagnosis/operations.h"

namespace assay::proptests::diagnosis {
namespace {

/// The product meets the numbers of A and not their codes.
void unquantized(FusedModel& m, const Case&) {
  m.product.edit_operands = [x = m.quantizer.x](golden::FactoredMatrix& a, auto&) {
    for (std::size_t i = 0; i < x.size(); ++i) {
      a.elements[i] = golden::value_of(x[i]);
      a.scales[i] = golden::Value::finite(1);
    }
    a.tensor_scale = 1.0F;
  };
}

/// The product meets the codes of other numbers than those that are shown.
void of_others(FusedModel& m, const std::function<float(float)>& other) {
  QuantizerModel q = m.quantizer;
  for (float& x : q.x) x = other(x);
  m.between = [q](formats::BlockScaledTensor& t) { t = q.run(); };
}
bool alpha_first(FusedModel& m, const Case&) {
  const float alpha = m.product.alpha;
  if (alpha == 1.0F) return false;
  of_others(m, [alpha](float x) { return x * alpha; });
  m.product.alpha = 1.0F;
  return true;
}
void quantized_twice(FusedModel& m, const Case&) {
  m.between = [q = m.quantizer](formats::BlockScaledTensor& t) {
    ReaderModel reader;
    reader.t = t;
    const golden::FactoredMatrix f = reader.run();
    QuantizerModel again = q;
    for (std::size_t i = 0; i < f.elements.size(); ++i) {
      const golden::Value x =
          golden::fl(f.elements[i] * f.scales[i] * golden::value_of(f.tensor_scale));
      again.x[i] = x.is_nan()        ? NAN
                   : x.is_infinite() ? (x.negative ? -INFINITY : INFINITY)
                                     : static_cast<float>(golden::approximate(x.number));
    }
    t = again.run();
  };
}
/// A block that holds NaN.
void nan_blocks_lost(FusedModel& m, const Case&) {
  m.product.a->scale = [](const formats::FormatSpec& f, std::uint32_t code) {
    const golden::Value v = golden::decode(f, code);
    return v.is_nan() ? golden::Value::zero(false) : v;
  };
}

}  // namespace

std::vector<Hypothesis> fused_hypotheses() {
  std::vector<Hypothesis> out;
  out.push_back(edited(fusing, "a_unquantized", "the product meets A as it came, not quantized",
                       unquantized));
  out.push_back(edited(fusing, "alpha_before_quantizing",
                       "A is multiplied by alpha before it is quantized for the product",
                       alpha_first));
  out.push_back(edited(fusing, "a_quantized_twice",
                       "the product meets A quantized, dequantized and quantized again",
                       quantized_twice));
  out.push_back(edited(fusing, "nan_blocks_lost_in_product",
                       "blocks of A with the NaN scale factor count as 0 in the product",
                       nan_blocks_lost));
  for (const ProductError& row : product_errors())
    out.push_back(edited(fusing, row.id, row.name,
                         [&row](FusedModel& m, const Case&) { row.spoil(m.product); }));
  for (const QuantizerError& row : quantizer_errors())
    out.push_back(edited(
        fusing, row.id, row.name, [&row](FusedModel& m, const Case&) { row.spoil(m.quantizer); },
        [&row](const kernels::Claim& c) { return row.applies == nullptr || row.applies(*c.a); }));
  return out;
}

}  // namespace assay::proptests::diagnosis

// SPDX-License-Identifier: Apache-2.0
// The known errors of fused quantize and multiply: those of the quantizer, or of the product.
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

}  // namespace

std::vector<Hypothesis> fused_hypotheses() {
  std::vector<Hypothesis> out;
  out.push_back(edited(fusing, "a_unquantized", "the product meets A as it came, not quantized",
                       unquantized));
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

// SPDX-License-Identifier: Apache-2.0
// The known errors of fused quantize and multiply: those of the quantizer, or of the product.
#include "proptests/diagnosis/product_model.h"
#include "proptests/diagnosis/quantizer_model.h"
#include "proptests/judge.h"

namespace assay::proptests::diagnosis {
namespace {

/// The product meets the numbers of A and not their codes.
void unquantized(ProductModel& p, const Case& c) {
  p.edit_operands = [x = input_floats(c.call, ASSAY_DUT_A)](golden::FactoredMatrix& a, auto&) {
    for (std::size_t i = 0; i < x.size(); ++i) {
      a.elements[i] = golden::value_of(x[i]);
      a.scales[i] = golden::Value::finite(1);
    }
    a.tensor_scale = 1.0F;
  };
}

bool explains(const Case& c, const QuantizerError* quantizer, const ProductError* product,
              bool quantized = true) {
  QuantizerModel model = quantizer_of(c.call);
  model.x = input_floats(c.call, ASSAY_DUT_A);
  if (quantizer != nullptr) quantizer->spoil(model);
  ProductModel p = product_of(c);
  p.a->t = model.run();
  if (const auto codes = output_bytes(c, ASSAY_DUT_Q); !codes.empty()) {
    const auto scales = output_bytes(c, ASSAY_DUT_Q, ASSAY_DUT_SCALES);
    if (!std::equal(codes.begin(), codes.end(), p.a->t.codes.begin(), p.a->t.codes.end()) ||
        !std::equal(scales.begin(), scales.end(), p.a->t.scales.begin(), p.a->t.scales.end()))
      return false;
  }
  if (product != nullptr) product->spoil(p);
  if (!quantized) unquantized(p, c);
  const ProductModel::Result r = p.run();
  return matches(*p.claim.output, p.observed, r.reference, r.bounds);
}

}  // namespace

std::vector<Hypothesis> fused_hypotheses() {
  std::vector<Hypothesis> out;
  const auto fused = [](const kernels::Claim& c) {
    return c.operation == "quantize_gemm" && c.a != nullptr && c.b != nullptr;
  };
  out.push_back({"a_unquantized", "the product meets A as it came, not quantized", fused,
                 [](const Case& c) { return explains(c, nullptr, nullptr, false); }});
  for (const ProductError& row : product_errors())
    out.push_back(
        {row.id, row.name, fused, [&row](const Case& c) { return explains(c, nullptr, &row); }});
  for (const QuantizerError& row : quantizer_errors())
    out.push_back({row.id, row.name,
                   [&row, fused](const kernels::Claim& c) {
                     return fused(c) && (row.applies == nullptr || row.applies(*c.a));
                   },
                   [&row](const Case& c) { return explains(c, &row, nullptr); }});
  return out;
}

}  // namespace assay::proptests::diagnosis

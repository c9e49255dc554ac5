// SPDX-License-Identifier: Apache-2.0
// The known errors of quantizers, as edits of the model.
#include "proptests/diagnosis/operations.h"

namespace assay::proptests::diagnosis {

const std::vector<QuantizerError>& quantizer_errors() {
  static const std::vector<QuantizerError> rows = [] {
    std::vector<QuantizerError> all;
    for (auto* part : {element_errors, store_errors, exponent_errors, scale_errors, special_errors,
                       other_exponent_errors})
      for (QuantizerError& row : part()) all.push_back(std::move(row));
    return all;
  }();
  return rows;
}

std::vector<Hypothesis> quantize_hypotheses() {
  std::vector<Hypothesis> out;
  // Whatever it holds: the scale factors themselves are right.
  Hypothesis padding;
  padding.id = "padding_not_zero";
  padding.name = "bytes that pad the scale factors are not zero";
  padding.applies = [](const kernels::Claim& c) {
    return quantizing.is(c) && c.scale_layout == formats::ScaleLayout::swizzled_128x4;
  };
  padding.explains = [](const Case& c) {
    const Prediction right = quantizing.predict(quantizing.of(c));
    const Seen observed = seen(c);
    return observed[0].codes == right[0].codes && observed[2].codes == right[2].codes;
  };
  out.push_back(std::move(padding));
  for (const QuantizerError& row : quantizer_errors())
    out.push_back(edited(
        quantizing, row.id, row.name, [&row](QuantizerModel& m, const Case&) { row.spoil(m); },
        [&row](const kernels::Claim& c) { return row.applies == nullptr || row.applies(*c.a); }));
  return out;
}

}  // namespace assay::proptests::diagnosis

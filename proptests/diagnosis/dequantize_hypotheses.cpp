// SPDX-License-Identifier: Apache-2.0
// The known errors of dequantizers: errors of reading, and of the one rounding at the end.
#include "golden/quantize.h"
#include "proptests/diagnosis/operations.h"

namespace assay::proptests::diagnosis {
namespace {

using golden::Value;

/// The numbers with two roundings where one is claimed.
Prediction rounded_twice(const ReaderModel& m, Prediction right, bool scales_first) {
  const golden::FactoredMatrix f = m.run();
  const Value g = golden::value_of(f.tensor_scale);
  for (std::size_t i = 0; i < f.elements.size(); ++i) {
    const Value inner = scales_first ? f.scales[i] * g : f.elements[i] * f.scales[i];
    const Value v = golden::decode(formats::fp32,
                                   golden::encode(formats::fp32, golden::to_rational(inner),
                                                  formats::RoundingMode::nearest_even,
                                                  golden::policy_of(formats::ieee, formats::fp32)));
    right[0].numbers[i] = golden::to_rational(scales_first ? f.elements[i] * v : v * g);
  }
  return right;
}

}  // namespace

std::vector<Hypothesis> dequantize_hypotheses() {
  std::vector<Hypothesis> out;
  for (const ReaderError& row : reader_errors())
    out.push_back(edited(
        dequantizing, row.id, row.name, [&row](ReaderModel& m, const Case&) { row.spoil(m); },
        [&row](const kernels::Claim& c) { return row.applies == nullptr || row.applies(*c.a); }));
  for (const OutputError& row : output_errors())
    out.push_back(rounding_hypothesis(row, dequantizing.is));
  for (const bool scales_first : {true, false})
    out.push_back({"product_rounded_twice",
                   "element * scale factor * tensor scale is rounded twice", dequantizing.is,
                   [scales_first](const Case& c, const Prediction& right) {
                     return std::optional(rounded_twice(dequantizing.of(c), right, scales_first));
                   }});
  return out;
}

}  // namespace assay::proptests::diagnosis

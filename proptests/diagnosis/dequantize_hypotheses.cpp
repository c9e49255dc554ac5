// SPDX-License-Identifier: Apache-2.0
// The known errors of dequantizers: errors of reading, and of the one rounding at the end.
#include <cmath>

#include "golden/quantize.h"
#include "proptests/diagnosis/partly.h"
#include "proptests/diagnosis/reader_model.h"
#include "proptests/judge.h"

namespace assay::proptests::diagnosis {
namespace {

using golden::RationalValue;
using golden::Value;

struct Products {
  std::vector<Value> exact;  ///< element * scale factor * tensor scale
  std::vector<RationalValue> reference;
};
Products products(const golden::FactoredMatrix& m) {
  Products p;
  const Value g = golden::value_of(m.tensor_scale);
  for (std::size_t i = 0; i < m.elements.size(); ++i) {
    p.exact.push_back(m.elements[i] * (m.scales[i] * g));
    p.reference.push_back(golden::to_rational(p.exact.back()));
  }
  return p;
}

ReaderModel reader_of(const Call& call) {
  return {input_tensor(call, ASSAY_DUT_Q, *call.claim.a, call.m, call.k), {}, {}, {}, {}, {}, {}};
}

/// One rounding of each, and the sign of zero.
bool bit_exact(const Products& p, std::span<const float> observed) {
  if (observed.size() != p.exact.size()) return false;
  for (std::size_t i = 0; i < observed.size(); ++i) {
    if (judge_number(formats::fp32, observed[i], p.reference[i], {}) != golden::Judgement::within)
      return false;
    if (p.exact[i].is_zero() && std::signbit(observed[i]) != p.exact[i].negative) return false;
  }
  return true;
}

std::vector<float> observed_of(const Case& c) { return to_floats(output_bytes(c, ASSAY_DUT_X)); }

bool is_dequantize(const kernels::Claim& c) {
  return c.operation == "dequantize" && c.a != nullptr && c.a->element == &formats::e2m1;
}

}  // namespace

std::vector<Hypothesis> dequantize_hypotheses() {
  std::vector<Hypothesis> out;
  for (const ReaderError& row : reader_errors())
    out.push_back({row.id, row.name,
                   [&row](const kernels::Claim& c) {
                     return is_dequantize(c) && (row.applies == nullptr || row.applies(*c.a));
                   },
                   [&row](const Case& c) {
                     ReaderModel model = reader_of(c.call);
                     row.spoil(model);
                     return bit_exact(products(model.run()), observed_of(c));
                   },
                   [&row](const Case& c) {
                     ReaderModel model = reader_of(c.call);
                     const Products right = products(model.run());
                     row.spoil(model);
                     const Products wrong = products(model.run());
                     const std::vector<golden::Bound> none(right.reference.size());
                     return spread_of(formats::fp32, observed_of(c), {wrong.reference, none},
                                      {right.reference, none});
                   }});
  for (const OutputError& row : output_errors())
    out.push_back({row.id, row.name, is_dequantize, [&row](const Case& c) {
                     const std::vector<float> observed = observed_of(c);
                     const Products p = products(reader_of(c.call).run());
                     return observed.size() == p.reference.size() &&
                            matches(row, formats::fp32, observed, p.reference,
                                    std::vector<golden::Bound>(observed.size()));
                   }});
  // The scale factors are multiplied first, in FP32: two roundings where one is claimed.
  out.push_back(
      {"product_rounded_twice", "element * scale factor * tensor scale is rounded twice",
       is_dequantize, [](const Case& c) {
         golden::FactoredMatrix m = reader_of(c.call).run();
         const Value g = golden::value_of(m.tensor_scale);
         const auto once = [&](bool scales_first) {
           Products p;
           for (std::size_t i = 0; i < m.elements.size(); ++i) {
             const Value inner = scales_first ? m.scales[i] * g : m.elements[i] * m.scales[i];
             const RationalValue r = rounded_to(formats::fp32, formats::RoundingMode::nearest_even,
                                                golden::to_rational(inner));
             const Value v = golden::decode(
                 formats::fp32,
                 golden::encode(formats::fp32, r, formats::RoundingMode::nearest_even,
                                golden::policy_of(formats::ieee, formats::fp32)));
             p.exact.push_back(scales_first ? m.elements[i] * v : v * g);
             p.reference.push_back(golden::to_rational(p.exact.back()));
           }
           return p;
         };
         return bit_exact(once(true), observed_of(c)) || bit_exact(once(false), observed_of(c));
       }});
  return out;
}

}  // namespace assay::proptests::diagnosis

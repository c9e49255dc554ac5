// SPDX-License-Identifier: Apache-2.0
// The known errors of products: of reading either operand or both, of the product itself, of the
// rounding to the output, and patterns in the answer.
#include "proptests/diagnosis/operations.h"

namespace assay::proptests::diagnosis {
namespace {

/// Errors of reading: made for both operands, for B or for A.
enum class Spoiled : std::uint8_t { both, b, a };

Hypothesis reading(const ReaderError& row, Spoiled which, const char* suffix) {
  return edited(
      multiplying, row.id, row.name + suffix,
      [&row, which](ProductModel& p, const Case&) {
        if (which != Spoiled::a) row.spoil(p.b);
        if (which != Spoiled::b && p.a) row.spoil(*p.a);
      },
      [&row, which](const kernels::Claim& c) {
        if (which != Spoiled::b && c.a == nullptr) return false;
        return row.applies == nullptr || ((which == Spoiled::a || row.applies(*c.b)) &&
                                          (which == Spoiled::b || row.applies(*c.a)));
      });
}

}  // namespace

Hypothesis rounding_hypothesis(const OutputError& row, bool (*applies)(const kernels::Claim&)) {
  return {row.id, row.name, applies, [&row](const Case&, const Prediction& right) {
            Prediction p = right;
            for (PredictedArray& a : p)
              if (a.format != nullptr) a.rounded = &row;
            return std::optional(std::move(p));
          }};
}

std::vector<Hypothesis> gemm_hypotheses() {
  std::vector<Hypothesis> out;
  for (const ReaderError& row : reader_errors()) {
    out.push_back(reading(row, Spoiled::both, ", in both operands"));
    out.push_back(reading(row, Spoiled::b, ", in operand B"));
    out.push_back(reading(row, Spoiled::a, ", in operand A"));
  }
  for (const ProductError& row : product_errors())
    out.push_back(edited(multiplying, row.id, row.name,
                         [&row](ProductModel& p, const Case&) { row.spoil(p); }));
  for (const OutputError& row : output_errors())
    out.push_back(rounding_hypothesis(row, multiplying.is));
  for (const PatternError& row : pattern_errors()) {
    Hypothesis h;
    h.id = row.id;
    h.name = row.name;
    h.applies = multiplying.is;
    h.explains = [&row](const Case& c) {
      const ProductModel p = product_of(c);
      return row.found(p, p.run());
    };
    h.loose = true;
    out.push_back(std::move(h));
  }
  return out;
}

}  // namespace assay::proptests::diagnosis

// SPDX-License-Identifier: Apache-2.0
// The known errors of products: of reading either operand or both, of the product itself, of the
// rounding to the output, and patterns in the answer.
#include "proptests/diagnosis/partly.h"
#include "proptests/diagnosis/product_model.h"

namespace assay::proptests::diagnosis {
namespace {

bool is_product(const kernels::Claim& c) { return c.operation == "gemm" && c.b != nullptr; }
bool is_block_product(const kernels::Claim& c) {
  return is_product(c) && (c.a == nullptr || c.a->element == &formats::e2m1) &&
         c.b->element == &formats::e2m1;
}

bool explains(const ProductModel& p) {
  const ProductModel::Result r = p.run();
  return matches(*p.claim.output, p.observed, r.reference, r.bounds);
}

std::optional<Spread> explains_partly(const ProductModel& wrong, const Case& c) {
  const ProductModel right = product_of(c);
  const ProductModel::Result w = wrong.run();
  const ProductModel::Result r = right.run();
  return spread_of(*right.claim.output, right.observed, {w.reference, w.bounds},
                   {r.reference, r.bounds});
}

/// Errors of reading: made for both operands, for B or for A.
enum class Spoiled : std::uint8_t { both, b, a };

Hypothesis reading(const ReaderError& row, Spoiled which, const char* suffix) {
  const auto spoiled = [&row, which](const Case& c) {
    ProductModel p = product_of(c);
    if (which != Spoiled::a) row.spoil(p.b);
    if (which != Spoiled::b && p.a) row.spoil(*p.a);
    return p;
  };
  return {row.id, row.name + suffix,
          [&row, which](const kernels::Claim& c) {
            if (!is_block_product(c)) return false;
            if (which != Spoiled::b && c.a == nullptr) return false;
            const formats::BlockFormat& format = which == Spoiled::a ? *c.a : *c.b;
            return row.applies == nullptr || row.applies(format);
          },
          [spoiled](const Case& c) { return explains(spoiled(c)); },
          [spoiled](const Case& c) { return explains_partly(spoiled(c), c); }};
}

}  // namespace

std::vector<Hypothesis> gemm_hypotheses() {
  std::vector<Hypothesis> out;
  for (const ReaderError& row : reader_errors()) {
    out.push_back(reading(row, Spoiled::both, ", in both operands"));
    out.push_back(reading(row, Spoiled::b, ", in operand B"));
    out.push_back(reading(row, Spoiled::a, ", in operand A"));
  }
  for (const ProductError& row : product_errors())
    out.push_back({row.id, row.name, is_product,
                   [&row](const Case& c) {
                     ProductModel p = product_of(c);
                     row.spoil(p);
                     return explains(p);
                   },
                   [&row](const Case& c) {
                     ProductModel p = product_of(c);
                     row.spoil(p);
                     return explains_partly(p, c);
                   }});
  for (const OutputError& row : output_errors())
    out.push_back({row.id, row.name, is_product, [&row](const Case& c) {
                     const ProductModel p = product_of(c);
                     const ProductModel::Result r = p.run();
                     return p.observed.size() == r.reference.size() &&
                            matches(row, *p.claim.output, p.observed, r.reference, r.bounds);
                   }});
  for (const PatternError& row : pattern_errors())
    out.push_back({row.id, row.name, is_product, [&row](const Case& c) {
                     const ProductModel p = product_of(c);
                     return row.found(p, p.run());
                   }});
  return out;
}

}  // namespace assay::proptests::diagnosis

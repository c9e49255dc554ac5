// SPDX-License-Identifier: Apache-2.0
// Patterns in the answer of a product that many errors leave.
#include <algorithm>
#include <cmath>

#include "proptests/diagnosis/product_model.h"
#include "proptests/judge.h"

namespace assay::proptests::diagnosis {
namespace {

using golden::FactoredMatrix;
using golden::Rational;
using golden::RationalValue;
using golden::Value;
using Model = ProductModel;
using Result = ProductModel::Result;

bool within(const Model& p, const Result& right, std::size_t observed_at, std::size_t expected_at) {
  return judge_number(*p.claim.output, p.observed[observed_at], right.reference[expected_at],
                      right.bounds[expected_at]) != golden::Judgement::outside;
}

/// All right but for elements that `excused` explains.
template <class Excuse>
bool all_but(const Model& p, const Result& right, const Excuse& excused) {
  if (p.observed.size() != right.reference.size()) return false;
  for (std::size_t i = 0; i < p.observed.size(); ++i)
    if (!within(p, right, i, i) && !excused(i)) return false;
  return true;
}

/// The values of c for which c * product + addends (within the bound) rounds to what was observed,
/// intersected over all elements: an error by one constant factor leaves something, nothing else
/// does.
bool constant_factor(const Model& p, const Result& right) {
  if (p.observed.size() != right.reference.size()) return false;
  Model bare = p;
  bare.beta = 0.0F;
  bare.bias.clear();
  const Result products = bare.run();
  Rational low = -1;
  Rational high = -1;
  std::int64_t informative = 0;
  for (std::size_t i = 0; i < p.observed.size(); ++i) {
    const RationalValue& exact = right.reference[i];
    if (!exact.is_finite()) {
      if (!within(p, right, i, i)) return false;
      continue;
    }
    if (!right.bounds[i].judgeable) continue;
    if (!std::isfinite(p.observed[i])) return false;
    const RationalValue& dot = products.reference[i];
    if (!dot.is_finite()) return false;
    const Rational result = golden::value_of(p.observed[i]).number.rational();
    const Rational seen = result - (exact.number - dot.number);
    if (dot.number == 0) {
      if (!within(p, right, i, i)) return false;
      continue;
    }
    const int bits = p.claim.output == &formats::fp32 ? 23 : 8;
    const Rational magnitude = boost::multiprecision::abs(result);
    const Rational slack =
        magnitude / (1 << bits) + 4 * right.bounds[i].error + magnitude / (1 << 20);
    if (boost::multiprecision::abs(dot.number) <= 2 * right.bounds[i].error) continue;
    Rational from = (seen - slack) / dot.number;
    Rational to = (seen + slack) / dot.number;
    if (to < from) std::swap(from, to);
    if (from < 0 && to < 0) return false;
    low = informative == 0 ? from : std::max(low, from);
    high = informative == 0 ? to : std::min(high, to);
    ++informative;
  }
  // Where no product counts, any factor gives the right answer.
  return informative == 0 || (low <= high && high > 0);
}

}  // namespace

const std::vector<PatternError>& pattern_errors() {
  static const std::vector<PatternError> rows{
      {"order_depends_on_shape", "sums are added in another order than claimed, in some calls",
       [](const Model& p, const Result&) {
         if (p.claim.accumulator != kernels::Accumulator::fp32_fixed_order &&
             p.claim.accumulator != kernels::Accumulator::fp32_any_order)
           return false;
         Model any = p;
         any.claim.accumulator = kernels::Accumulator::fp32_any_order;
         const Result free = any.run();
         return matches(*p.claim.output, p.observed, free.reference, free.bounds);
       }},
      {"result_transposed", "the result is stored transposed",
       [](const Model& p, const Result& right) {
         if (p.observed.size() != right.reference.size()) return false;
         for (std::int64_t i = 0; i < p.m; ++i)
           for (std::int64_t j = 0; j < p.n; ++j)
             if (!within(p, right, j * p.m + i, i * p.n + j)) return false;
         return true;
       }},
      {"rows_permuted", "rows of the result are in each other's place",
       [](const Model& p, const Result& right) {
         if (p.observed.size() != right.reference.size()) return false;
         for (std::int64_t i = 0; i < p.m; ++i) {
           bool found = false;
           for (std::int64_t from = 0; from < p.m && !found; ++from) {
             found = true;
             for (std::int64_t j = 0; j < p.n && found; ++j)
               found = within(p, right, i * p.n + j, from * p.n + j);
           }
           if (!found) return false;
         }
         return true;
       }},
      {"columns_permuted", "columns of the result are in each other's place",
       [](const Model& p, const Result& right) {
         if (p.observed.size() != right.reference.size()) return false;
         for (std::int64_t j = 0; j < p.n; ++j) {
           bool found = false;
           for (std::int64_t from = 0; from < p.n && !found; ++from) {
             found = true;
             for (std::int64_t i = 0; i < p.m && found; ++i)
               found = within(p, right, i * p.n + j, i * p.n + from);
           }
           if (!found) return false;
         }
         return true;
       }},
      {"rows_repeated", "some rows of the result are copies of others",
       [](const Model& p, const Result& right) {
         if (p.m < 2 || p.observed.size() != right.reference.size()) return false;
         for (std::int64_t i = 0; i < p.m; ++i) {
           bool found = false;
           for (std::int64_t r = 0; r < p.m && !found; ++r) {
             found = true;
             for (std::int64_t j = 0; j < p.n && found; ++j)
               found = within(p, right, i * p.n + j, r * p.n + j);
           }
           if (!found) return false;
         }
         return true;
       }},
      {"results_zero", "some results are zero, the others right",
       [](const Model& p, const Result& right) {
         return all_but(p, right, [&](std::size_t i) { return p.observed[i] == 0.0F; });
       }},
      {"results_nan", "some results are NaN, the others right",
       [](const Model& p, const Result& right) {
         return all_but(p, right, [&](std::size_t i) { return std::isnan(p.observed[i]); });
       }},
      {"scaled_by_a_constant", "results are off by one constant factor", constant_factor},
      {"narrow_accumulator", "errors are those of an accumulator narrower than claimed",
       [](const Model& p, const Result& right) {
         // Each result within the roundings of k additions to 8 bits, relative to the sum of
         // magnitudes: what bf16, fp16 and truncating accumulators stay below.
         Model magnitudes = p;
         magnitudes.edit_operands = [](FactoredMatrix& a, FactoredMatrix& b) {
           for (auto* m : {&a, &b})
             for (auto* values : {&m->elements, &m->scales})
               for (Value& v : *values)
                 if (v.negative) v = -v;
         };
         magnitudes.bias.clear();
         magnitudes.beta = 0.0F;
         const Result sums = magnitudes.run();
         return all_but(p, right, [&](std::size_t i) {
           if (!std::isfinite(p.observed[i]) || !right.reference[i].is_finite() ||
               !sums.reference[i].is_finite())
             return false;
           const Rational error = boost::multiprecision::abs(
               golden::value_of(p.observed[i]).number.rational() - right.reference[i].number);
           return error <= boost::multiprecision::abs(sums.reference[i].number) * p.k / 256;
         });
       }},
  };
  return rows;
}

}  // namespace assay::proptests::diagnosis

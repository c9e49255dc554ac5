// SPDX-License-Identifier: Apache-2.0
// What may go wrong in every output, whatever the operation: its last rounding, the numbers that
// are stored, and where they are stored.
#include <algorithm>

#include "proptests/arena.h"
#include "proptests/diagnosis/stages.h"

namespace assay::proptests::diagnosis {
namespace {

using golden::RationalValue;

bool any(const kernels::Claim&) { return true; }
bool numbers_rounded(const kernels::Claim& c) {
  return fusing.is(c) || gating.is(c) || grouping.is(c) || training.is(c);
}

struct NumberEdit {
  const char* id;
  const char* text;
  RationalValue (*of)(const RationalValue&);
};
RationalValue times(const RationalValue& x, int n, int d) {
  if (!x.is_finite()) return x;
  RationalValue y = RationalValue::finite(x.number * n / d);
  if (y.is_zero()) y.negative = x.negative;
  return y;
}
constexpr NumberEdit numbers[] = {
    {"results_zero", "results are 0", [](const auto&) { return RationalValue::zero(false); }},
    {"output_doubled", "results are twice what they should be",
     [](const auto& x) { return times(x, 2, 1); }},
    {"output_halved", "results are half of what they should be",
     [](const auto& x) { return times(x, 1, 2); }},
    {"sign_inverted", "the sign of results is inverted", [](const auto& x) { return -x; }},
    {"sign_lost", "the sign of results is lost", [](const auto& x) { return x.negative ? -x : x; }},
    {"output_negative_lost", "negative results become 0",
     [](const auto& x) { return x.negative && !x.is_nan() ? RationalValue::zero(false) : x; }},
    {"results_nan", "results are NaN", [](const auto&) { return RationalValue::nan(); }},
    {"nan_masked", "NaN results become 0",
     [](const auto& x) { return x.is_nan() ? RationalValue::zero(false) : x; }},
    {"nan_as_infinity", "NaN results become infinite",
     [](const auto& x) { return x.is_nan() ? RationalValue::infinity(false) : x; }},
    {"infinity_is_nan", "infinite results become NaN",
     [](const auto& x) { return x.is_infinite() ? RationalValue::nan() : x; }},
    {"infinity_masked", "infinite results become 0",
     [](const auto& x) { return x.is_infinite() ? RationalValue::zero(false) : x; }},
    {"zero_sign_lost", "-0 becomes +0",
     [](const auto& x) { return x.is_zero() ? RationalValue::zero(false) : x; }},
    {"zero_sign_inverted", "zeros have the other sign",
     [](const auto& x) { return x.is_zero() ? -x : x; }},
};

std::optional<Prediction> edited_numbers(const NumberEdit& edit, const Prediction& right) {
  Prediction p = right;
  for (PredictedArray& a : p) {
    if (a.format == nullptr) continue;
    for (std::size_t i = 0; i < a.numbers.size(); ++i) {
      a.numbers[i] = edit.of(a.numbers[i]);
      a.bounds[i].error *= 2;
      if (!a.negative_zero.empty()) a.negative_zero[i] = a.numbers[i].negative;
    }
  }
  return p;
}

std::optional<Prediction> moved(const MapEdit& edit, bool wrap, const Prediction& right) {
  Prediction p = right;
  bool changed = false;
  for (PredictedArray& a : p) {
    const std::size_t size = slots(a);
    if (size == 0 || a.rows * a.cols != static_cast<std::int64_t>(size)) continue;
    std::vector<std::uint32_t> index(size);
    for (std::size_t i = 0; i < size; ++i) index[i] = static_cast<std::uint32_t>(i);
    Grid g = grid_of(index, a.rows, a.cols);
    if (!apply(edit, g, wrap)) continue;
    changed = true;
    const PredictedArray from = a;
    for (std::size_t i = 0; i < size; ++i) {
      if (a.format == nullptr) {
        a.codes[i] = from.codes[index[i]];
        continue;
      }
      a.numbers[i] = from.numbers[index[i]];
      a.bounds[i] = from.bounds[index[i]];
      if (!a.negative_zero.empty()) a.negative_zero[i] = from.negative_zero[index[i]];
    }
  }
  return changed ? std::optional(std::move(p)) : std::nullopt;
}

/// Rows or columns that only change places have one name, however they do.
std::string id_of(const MapEdit& edit) {
  const std::string id = edit.id;
  if (id == "row_pairs_swapped" || id == "rows_reversed" || id == "rows_interleaved")
    return "rows_permuted";
  if (id == "column_pairs_swapped" || id == "columns_reversed" || id == "columns_interleaved")
    return "columns_permuted";
  return id == "transposed" ? "result_transposed" : "output_" + id;
}

/// What was in the output is added to.
std::optional<Prediction> accumulated(const Case& c, const Prediction& right) {
  Prediction p = right;
  const std::uint8_t poison = (c.second ? second_run : first_run).poison;
  for (PredictedArray& a : p) {
    if (a.format == nullptr) continue;
    const std::uint32_t bits = poison * (a.format->storage_bits == 16 ? 0x0101U : 0x01010101U);
    const RationalValue there = golden::to_rational(golden::decode(*a.format, bits));
    for (RationalValue& x : a.numbers) x = x + there;
  }
  return p;
}

}  // namespace

std::vector<Hypothesis> generated_of_outputs() {
  std::vector<Hypothesis> out;
  for (const OutputError& row : output_errors())
    out.push_back(rounding_hypothesis(row, numbers_rounded));
  for (const NumberEdit& edit : numbers)
    out.push_back(
        {edit.id, edit.text, any,
         [&edit](const Case&, const Prediction& right) { return edited_numbers(edit, right); },
         nullptr, false, true});
  for (const MapEdit& edit : map_edits())
    for (const bool wrap : {false, true})
      out.push_back({id_of(edit), said(edit.text, "what an output holds"), any,
                     [&edit, wrap](const Case&, const Prediction& right) {
                       return moved(edit, wrap, right);
                     }});
  out.push_back(
      {"output_accumulated", "results are added to what the output held before", any, accumulated});
  return out;
}

}  // namespace assay::proptests::diagnosis

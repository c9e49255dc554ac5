// SPDX-License-Identifier: Apache-2.0
// Over which numbers the maxima of blocks and of the tensor are taken, and how.
#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>

#include "golden/layout.h"
#include "proptests/diagnosis/quantizer_edits.h"

namespace assay::proptests::diagnosis {
namespace {

using Number = golden::RationalValue;
using Region = QuantizerModel::Region;

/// Members of a block, rows, columns and flat indices of the tensor: which a maximum misses.
enum class Range : std::uint8_t { block, rows, columns, flat };
struct Ranges {
  Range range;
  const char* id;
  const char* text;
};
constexpr Ranges ranges[] = {
    {Range::block, "amax", "the amax of a block"},
    {Range::rows, "tensor_amax", "the amax of the tensor (rows)"},
    {Range::columns, "tensor_amax", "the amax of the tensor (columns)"},
    {Range::flat, "tensor_amax", "the amax of the tensor (elements in their order)"}};

bool in_range(Range range, const Some& which, const QuantizerModel& q, std::int64_t r,
              std::int64_t c, std::int64_t first) {
  switch (range) {
    case Range::block:
      return which.holds(c - first, std::min(q.cols - first, q.format.block.cols));
    case Range::rows:
      return which.holds(r, q.rows);
    case Range::columns:
      return which.holds(c, q.cols);
    case Range::flat:
      return which.holds(r * q.cols + c, q.rows * q.cols);
  }
  return false;
}

/// How a maximum takes one of its elements.
struct Taking {
  const char* id;
  const char* text;
  float (*magnitude)(float);  ///< null: not at all
};
constexpr Taking takings[] = {
    {"skips", "does not count", nullptr},
    {"without_abs", "counts with its sign", [](float v) { return std::max(v, 0.0F); }},
    {"of_negatives", "counts where it is negative", [](float v) { return std::max(-v, 0.0F); }},
    {"doubled", "counts twice as large", [](float v) { return 2 * std::fabs(v); }},
    {"halved", "counts half as large", [](float v) { return std::fabs(v) / 2; }},
};

void of_members(std::vector<QuantizerEdit>& out) {
  for (const Ranges& range : ranges)
    for (const Taking& taking : takings)
      for (const Some& which : some())
        out.push_back(
            {std::string(range.id) + "_" + taking.id + "_" + which.id,
             std::string(range.text) + ": " + which.text + " " + taking.text,
             [&range, &taking, &which](QuantizerModel& q, const Case&) {
               const bool block = range.range == Range::block;
               if (!block && q.format.tensor_scale != formats::TensorScale::fp32) return false;
               const auto copy = std::make_shared<QuantizerModel>(q);
               const auto in = [&which, range = range.range, copy](auto r, auto c, auto first) {
                 return in_range(range, which, *copy, r, c, first);
               };
               if (taking.magnitude == nullptr && block)
                 q.counts_in_block = [in](auto r, auto c, auto first) { return !in(r, c, first); };
               else if (taking.magnitude == nullptr)
                 q.counts_in_tensor = [in](auto r, auto c) { return !in(r, c, 0); };
               else if (block)
                 q.magnitude_at = [in, f = taking.magnitude, width = q.format.block.cols](
                                      float v, auto r, auto c) {
                   return in(r, c, c / width * width) ? f(v) : std::fabs(v);
                 };
               else
                 return false;
               return true;
             }});
}

void of_numbers(std::vector<QuantizerEdit>& out) {
  for (const ValueEdit& edit : value_edits()) {
    out.push_back({std::string("amax_") + edit.id, said(edit.text, "the amax of a block"),
                   [&edit](QuantizerModel& q, const Case&) {
                     q.block_amax = [&edit](const Number& a) { return edited_number(edit, a); };
                     return true;
                   }});
    out.push_back({std::string("tensor_amax_") + edit.id, said(edit.text, "the amax of the tensor"),
                   [&edit](QuantizerModel& q, const Case&) {
                     if (q.format.tensor_scale != formats::TensorScale::fp32) return false;
                     q.tensor_amax = [&edit](const Number& a) { return edited_number(edit, a); };
                     return true;
                   }});
    out.push_back({std::string("divisor_") + edit.id,
                   said(edit.text, "the scale factor that divides elements"),
                   [&edit](QuantizerModel& q, const Case&) {
                     q.scale_used = [&edit](const Number& s) { return edited_number(edit, s); };
                     return true;
                   }});
    out.push_back({std::string("scaled_element_") + edit.id, said(edit.text, "each scaled element"),
                   [&edit](QuantizerModel& q, const Case&) {
                     q.scaled = [&edit](const Number& x) { return edited_number(edit, x); };
                     return true;
                   }});
    out.push_back({std::string("stored_tensor_scale_") + edit.id,
                   said(edit.text, "the tensor scale that is stored"),
                   [&edit](QuantizerModel& q, const Case&) {
                     if (q.format.tensor_scale != formats::TensorScale::fp32) return false;
                     q.stored_tensor_scale = edit.value;
                     return true;
                   }});
  }
}

/// Whether it is a neighbour, or one that a loop has kept: not any other order of the blocks.
bool is_near(const MapEdit& edit) {
  const std::string id = edit.id;
  return id.starts_with("of_") || id.ends_with("_pairs_swapped") || id.starts_with("shared_by_");
}

/// Of another block: rows and columns are those of blocks here.
void of_other_blocks(std::vector<QuantizerEdit>& out) {
  for (const MapEdit& edit : map_edits())
    for (const bool wrap : {false, true})
      for (const bool too : {false, true}) {
        if (too && !is_near(edit)) continue;
        out.push_back(
            {std::string(too ? "amax_with_that_" : "amax_") + edit.id,
             said(edit.text, too ? "the amax of another block, which counts too where it is larger "
                                   "(a column is a block),"
                                 : "the amax (a column is a block)"),
             [&edit, wrap, too](QuantizerModel& q, const Case&) {
               if (q.rows == 0 || q.cols == 0) return false;
               const golden::BlockGrid g = golden::block_grid(q.format, q.rows, q.cols);
               std::vector<std::uint32_t> index(static_cast<std::size_t>(g.down * g.across));
               for (std::size_t i = 0; i < index.size(); ++i)
                 index[i] = static_cast<std::uint32_t>(i);
               Grid grid = grid_of(index, g.down, g.across);
               if (!apply(edit, grid, wrap)) return false;
               const auto from = [index, across = g.across](std::int64_t& r, std::int64_t& b) {
                 const std::uint32_t at = index[static_cast<std::size_t>(r * across + b)];
                 r = at / across;
                 b = at % across;
               };
               if (!too) {
                 q.amax_of = from;
                 return true;
               }
               q.amax_more = [from](const QuantizerModel& m, std::int64_t r, std::int64_t b) {
                 from(r, b);
                 return m.amax(m.region(r, b), true);
               };
               return true;
             }});
      }
}

// --- Candidates ------------------------------------------------------------------------------

void of_candidates(std::vector<QuantizerEdit>& out) {
  using golden::Value;
  struct Choice {
    const char* id;
    const char* text;
    bool (*better)(const Value& error, const Value& least);
  };
  static constexpr Choice choices[] = {
      {"candidate_tie_to_later", "of two scale factors with equal errors the later is taken",
       [](const Value& e, const Value& least) { return !golden::less(least, e); }},
      {"candidate_first_always", "the first candidate is always taken: amax stands at 6",
       [](const Value&, const Value&) { return false; }},
      {"candidate_last_always", "the last candidate is always taken: amax stands at 4",
       [](const Value&, const Value&) { return true; }},
      {"candidate_worse", "the candidate with the larger error is taken",
       [](const Value& e, const Value& least) { return golden::less(least, e); }},
  };
  const auto has = [](const formats::BlockFormat& f) { return f.candidates != nullptr; };
  for (const Choice& c : choices)
    out.push_back({c.id, c.text,
                   [&c](QuantizerModel& q, const Case&) {
                     q.better = c.better;
                     return true;
                   },
                   has});
  for (const auto& [measure, text] :
       {std::pair(formats::ErrorMeasure::squared, "candidates are compared by their squared error"),
        {formats::ErrorMeasure::absolute, "candidates are compared by their absolute error"},
        {formats::ErrorMeasure::largest, "candidates are compared by their largest error"}})
    out.push_back({"candidate_error_otherwise", text,
                   [measure](QuantizerModel& q, const Case&) {
                     if (q.format.candidates->measure == measure) return false;
                     q.measure = measure;
                     return true;
                   },
                   has});
}

}  // namespace

Number edited_number(const ValueEdit& edit, const Number& x) {
  const float v = x.is_nan()        ? NAN
                  : x.is_infinite() ? (x.negative ? -INFINITY : INFINITY)
                                    : static_cast<float>(x.number.convert_to<double>());
  return golden::to_rational(golden::value_of(edit.value(v)));
}

std::vector<QuantizerEdit> maximum_edits() {
  std::vector<QuantizerEdit> out = amax_of_more_edits();
  of_candidates(out);
  of_members(out);
  of_numbers(out);
  of_other_blocks(out);
  return out;
}

}  // namespace assay::proptests::diagnosis

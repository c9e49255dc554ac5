// SPDX-License-Identifier: Apache-2.0
// What may go wrong at the stages of a quantizer: its input, the maxima, the scale factor, the
// elements, storing. Quantizing, transposing, stochastic and fused kernels have them in common.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "golden/layout.h"
#include "proptests/diagnosis/fraction.h"
#include "proptests/diagnosis/stages.h"
#include "proptests/diagnosis/swizzles.h"

namespace assay::proptests::diagnosis {
namespace {

using Number = golden::RationalValue;
template <class Model>
using QuantizerOf = QuantizerModel& (*)(Model&);

Number edited_number(const ValueEdit& edit, const Number& x) {
  const float v = x.is_nan()        ? NAN
                  : x.is_infinite() ? (x.negative ? -INFINITY : INFINITY)
                                    : static_cast<float>(x.number.convert_to<double>());
  return golden::to_rational(golden::value_of(edit.value(v)));
}

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

template <class Model>
void of_maxima(std::vector<Hypothesis>& out, const Operation<Model>& op, QuantizerOf<Model> of) {
  for (const Ranges& range : ranges)
    for (const Taking& taking : takings)
      for (const Some& which : some())
        out.push_back(edited(
            op, std::string(range.id) + "_" + taking.id + "_" + which.id,
            std::string(range.text) + ": " + which.text + " " + taking.text,
            [&range, &taking, &which, of](Model& m, const Case&) {
              QuantizerModel& q = of(m);
              const bool block = range.range == Range::block;
              if (!block && q.format.tensor_scale != formats::TensorScale::fp32) return false;
              const auto in = [&which, range = range.range, copy = q](auto r, auto c, auto first) {
                return in_range(range, which, copy, r, c, first);
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
            }));
  for (const ValueEdit& edit : value_edits()) {
    out.push_back(edited(op, std::string("amax_") + edit.id, said(edit.text, "the amax of a block"),
                         [&edit, of](Model& m, const Case&) {
                           of(m).block_amax = [&edit](const Number& a) {
                             return edited_number(edit, a);
                           };
                         }));
    out.push_back(
        edited(op, std::string("tensor_amax_") + edit.id, said(edit.text, "the amax of the tensor"),
               [&edit, of](Model& m, const Case&) {
                 of(m).tensor_amax = [&edit](const Number& a) { return edited_number(edit, a); };
               }));
    out.push_back(edited(op, std::string("divisor_") + edit.id,
                         said(edit.text, "the scale factor that divides elements"),
                         [&edit, of](Model& m, const Case&) {
                           of(m).scale_used = [&edit](const Number& s) {
                             return edited_number(edit, s);
                           };
                         }));
    out.push_back(
        edited(op, std::string("scaled_element_") + edit.id, said(edit.text, "each scaled element"),
               [&edit, of](Model& m, const Case&) {
                 of(m).scaled = [&edit](const Number& x) { return edited_number(edit, x); };
               }));
    out.push_back(
        edited(op, std::string("stored_tensor_scale_") + edit.id,
               said(edit.text, "the tensor scale that is stored"),
               [&edit, of](Model& m, const Case&) { of(m).stored_tensor_scale = edit.value; }));
  }
  // Of another block: rows and columns are those of blocks here.
  for (const MapEdit& edit : map_edits())
    for (const bool wrap : {false, true})
      out.push_back(edited(
          op, std::string("amax_") + edit.id, said(edit.text, "the amax (a column is a block)"),
          [&edit, wrap, of](Model& m, const Case&) {
            QuantizerModel& q = of(m);
            if (q.rows == 0 || q.cols == 0) return false;
            const golden::BlockGrid g = golden::block_grid(q.format, q.rows, q.cols);
            std::vector<std::uint32_t> index(static_cast<std::size_t>(g.down * g.across));
            for (std::size_t i = 0; i < index.size(); ++i) index[i] = static_cast<std::uint32_t>(i);
            Grid grid = grid_of(index, g.down, g.across);
            if (!apply(edit, grid, wrap)) return false;
            q.amax_of = [index, across = g.across](auto& r, auto& b) {
              const std::uint32_t from = index[static_cast<std::size_t>(r * across + b)];
              r = from / across;
              b = from % across;
            };
            return true;
          }));
  for (const bool largest : {true, false})
    out.push_back(edited(
        op, "tensor_amax_of_earlier_call",
        largest ? "the amax of the tensor is the largest since earlier calls: it is not reset"
                : "the amax of the tensor is that of an earlier call",
        [largest, &op, of](Model& m, const Case& c) {
          if (c.earlier.empty()) return false;
          float before = 0;
          for (const Call& call : c.earlier) {
            if (largest && (call.m != c.call.m || call.k != c.call.k)) continue;
            Model earlier = op.of(Case{call, c.answer});
            float own = 0;
            for (const float v : of(earlier).x)
              if (std::isfinite(v)) own = std::max(own, std::fabs(v));
            before = std::max(before, own);
            if (!largest) break;
          }
          of(m).tensor_amax = [before, largest](const Number& a) {
            const Number b = golden::to_rational(golden::value_of(before));
            return largest && golden::less(b, a) ? a : b;
          };
          return true;
        }));
}

/// The scale factor's code.
struct CodeEdit {
  const char* id;
  const char* text;
  std::uint32_t (*code)(std::uint32_t);
};
constexpr CodeEdit scale_codes[] = {
    {"scale_one_low", "codes of scale factors are one too small",
     [](std::uint32_t c) { return c > 0 ? c - 1 : c; }},
    {"scale_one_high", "codes of scale factors are one too large",
     [](std::uint32_t c) { return c + 1; }},
    {"scale_zero_clamped", "the scale factor 0 becomes the smallest one",
     [](std::uint32_t c) { return std::max(c, 1U); }},
    {"scale_limited", "scale factors stop at code 0x7D",
     [](std::uint32_t c) { return std::min(c, 0x7DU); }},
    {"scale_limited", "scale factors stop at code 0x77 (240)",
     [](std::uint32_t c) { return std::min(c, 0x77U); }},
    {"scale_limited", "scale factors stop at code 253",
     [](std::uint32_t c) { return std::min(c, 253U); }},
    {"scale_limited", "scale factors stop at code 127",
     [](std::uint32_t c) { return std::min(c, 127U); }},
    {"scale_limited", "scale factors begin at code 127",
     [](std::uint32_t c) { return std::max(c, 127U); }},
    {"scale_mantissa_even", "the last bit of scale factors is lost",
     [](std::uint32_t c) { return c & ~1U; }},
    {"scale_wraps", "scale factors keep seven bits", [](std::uint32_t c) { return c & 0x7FU; }},
};
constexpr CodeEdit element_codes[] = {
    {"element_code_bit_lost", "the lowest bit of codes is lost",
     [](std::uint32_t c) { return c & ~1U; }},
    {"element_limited", "codes stop at 3",
     [](std::uint32_t c) { return (c & 7U) > 5 ? (c & 8U) | 5U : c; }},
    {"element_limited", "codes stop at 4",
     [](std::uint32_t c) { return (c & 7U) > 6 ? (c & 8U) | 6U : c; }},
    {"positive_zero_negative", "+0 becomes -0", [](std::uint32_t c) { return c == 0 ? 8U : c; }},
    {"negative_zero_lost", "-0 becomes +0", [](std::uint32_t c) { return c == 8 ? 0U : c; }},
    {"element_wraps", "the code 7 becomes 0",
     [](std::uint32_t c) { return (c & 7U) == 7 ? c & 8U : c; }},
    {"element_largest", "codes are those of the largest element",
     [](std::uint32_t c) { return c | 7U; }},
    {"element_zeroed", "codes are 0", [](std::uint32_t) { return 0U; }},
};

template <class Model>
void of_codes(std::vector<Hypothesis>& out, const Operation<Model>& op, QuantizerOf<Model> of) {
  for (const CodeEdit& edit : scale_codes)
    out.push_back(edited(op, edit.id, edit.text,
                         [&edit, of](Model& m, const Case&) { of(m).scale_code = edit.code; }));
  for (const CodeEdit& edit : scale_codes)
    out.push_back(
        edited(op, std::string("stored_") + edit.id,
               std::string(edit.text) + ", as they are stored; elements know the right ones",
               [&edit, of](Model& m, const Case&) {
                 of(m).store = [&edit](formats::BlockScaledTensor& t) {
                   Grid g = scales_of(t);
                   for (std::int64_t r = 0; r < g.rows; ++r)
                     for (std::int64_t b = 0; b < g.cols; ++b)
                       g.set(r, b, edit.code(g.get(r, b)) & 0xFFU);
                 };
               }));
  for (const CodeEdit& edit : element_codes)
    out.push_back(edited(op, edit.id, edit.text, [&edit, of](Model& m, const Case&) {
      of(m).code = [&edit](const Number&, std::uint32_t c) { return edit.code(c); };
    }));
  for (const FractionRule& rule : fraction_rules())
    out.push_back(edited(op, rule.id, rule.text, [&rule, of](Model& m, const Case&) {
      QuantizerModel& q = of(m);
      q.code = [&rule, element = q.format.element](const Number& x, std::uint32_t right) {
        return rounded_by(rule, *element, x, right);
      };
    }));
  for (const formats::RoundingMode mode :
       {formats::RoundingMode::toward_zero, formats::RoundingMode::toward_positive,
        formats::RoundingMode::nearest_away, formats::RoundingMode::nearest_even})
    out.push_back(edited(
        op, "scale_rounded_otherwise",
        std::string("scale factors are ") +
            (mode == formats::RoundingMode::toward_zero       ? "truncated"
             : mode == formats::RoundingMode::toward_positive ? "rounded up"
             : mode == formats::RoundingMode::nearest_away    ? "rounded with ties away from zero"
                                                              : "rounded to nearest even"),
        [mode, of](Model& m, const Case&) {
          for (auto& o : of(m).block_order)
            if (o.dst == formats::Register::scale) o.round.mode = mode;
        }));
  for (const MapEdit& edit : map_edits())
    for (const bool scales : {false, true})
      for (const bool wrap : {false, true})
        out.push_back(edited(op, std::string(scales ? "stored_scale_" : "stored_code_") + edit.id,
                             said(edit.text, scales ? "each scale factor that is stored"
                                                    : "each code that is stored"),
                             [&edit, scales, wrap, of](Model& m, const Case&) {
                               of(m).store = [&edit, scales, wrap](formats::BlockScaledTensor& t) {
                                 Grid g = scales ? scales_of(t) : codes_of(t);
                                 apply(edit, g, wrap);
                               };
                             }));
}

template <class Model>
void of_quantizer(std::vector<Hypothesis>& out, const Operation<Model>& op, QuantizerOf<Model> of) {
  cross(out, op, Stage<Model>{"x", "the input", [of](Model& m) {
                                QuantizerModel& q = of(m);
                                return std::vector{grid_of(q.x, q.rows, q.cols)};
                              }});
  cross(out, op,
        Stage<Model>{"given_scale", "the given scale factors",
                     [of](Model& m) {
                       QuantizerModel& q = of(m);
                       if (q.given.empty()) return std::vector<Grid>{};
                       const auto rows = std::max<std::int64_t>(q.rows, 1);
                       return std::vector{grid_of(q.given, rows, std::ssize(q.given) / rows)};
                     },
                     true});
  of_codes(out, op, of);
  of_maxima(out, op, of);
  for (const Swizzle& row : swizzles())
    out.push_back(edited(
        op, row.id, row.text,
        [&row, of](Model& m, const Case&) {
          of(m).store = [&row](formats::BlockScaledTensor& t) {
            const golden::BlockGrid g = golden::block_grid(*t.format, t.rows, t.cols);
            const formats::BlockScaledTensor from = t;
            std::fill(t.scales.begin(), t.scales.end(), 0);
            for (std::int64_t r = 0; r < g.down; ++r)
              for (std::int64_t b = 0; b < g.across; ++b)
                if (const std::int64_t at = row.at(g, r, b); at < std::ssize(t.scales))
                  t.scales[at] = static_cast<std::uint8_t>(golden::load_scale(from, r, b));
          };
        },
        is_swizzled));
}

}  // namespace

std::vector<Hypothesis> generated_of_quantizers() {
  std::vector<Hypothesis> out;
  of_quantizer<QuantizerModel>(out, quantizing,
                               [](QuantizerModel& m) -> QuantizerModel& { return m; });
  of_quantizer<TransposeModel>(out, transposing,
                               [](TransposeModel& m) -> QuantizerModel& { return m.quantizer; });
  of_quantizer<StochasticModel>(out, drawing,
                                [](StochasticModel& m) -> QuantizerModel& { return m.quantizer; });
  of_quantizer<FusedModel>(out, fusing,
                           [](FusedModel& m) -> QuantizerModel& { return m.quantizer; });
  of_maxima<QatModel>(out, training, [](QatModel& m) -> QuantizerModel& { return m.weights; });
  of_codes<QatModel>(out, training, [](QatModel& m) -> QuantizerModel& { return m.weights; });
  for (const QuantizerError& row : quantizer_errors())
    out.push_back(edited(
        drawing, row.id, row.name,
        [&row](StochasticModel& m, const Case&) { row.spoil(m.quantizer); },
        [&row](const kernels::Claim& c) { return row.applies == nullptr || row.applies(*c.a); }));
  // Codes come with a tensor scale of their own.
  out.push_back(edited(transposing, "tensor_scale_kept",
                       "the tensor scale is the one that came in, not that of the numbers",
                       [](TransposeModel& m, const Case& c) {
                         const auto g = input_bytes(c.call, ASSAY_DUT_Q, ASSAY_DUT_TENSOR_SCALE);
                         if (g.empty()) return false;
                         float scale = 0;
                         std::memcpy(&scale, g.data(), sizeof scale);
                         m.quantizer.tensor_scale_taken = scale;
                         return true;
                       }));
  // A dequantizer, and what else reads the layout.
  for (const Swizzle& row : swizzles())
    out.push_back(edited(
        dequantizing, row.id, row.text,
        [&row](ReaderModel& m, const Case&) {
          m.load_scale = [&row](const formats::BlockScaledTensor& t, std::int64_t r,
                                std::int64_t c) {
            const golden::BlockGrid g = golden::block_grid(*t.format, t.rows, t.cols);
            const std::int64_t at = row.at(g, r, c / g.block_cols);
            return static_cast<std::uint32_t>(
                t.scales[static_cast<std::size_t>(at) % t.scales.size()]);
          };
        },
        is_swizzled));
  cross(out, dequantizing, Stage<ReaderModel>{"codes", "the codes", [](ReaderModel& m) {
                                                return std::vector{codes_of(m.t)};
                                              }});
  cross(out, dequantizing, Stage<ReaderModel>{"scale", "the scale factors", [](ReaderModel& m) {
                                                return std::vector{scales_of(m.t)};
                                              }});
  cross(out, dequantizing,
        scalar<ReaderModel>("tensor_scale", "the tensor scale",
                            [](ReaderModel& m) { return &m.t.tensor_scale; }));
  for (const ValueEdit& edit : value_edits())
    out.push_back(
        edited(dequantizing, std::string("scale_") + edit.id, said(edit.text, "each scale factor"),
               [&edit](ReaderModel& m, const Case&) {
                 m.factor = [&edit](const golden::Value& s) {
                   const Number x = edited_number(edit, golden::to_rational(s));
                   return x.is_nan()        ? golden::Value::nan()
                          : x.is_infinite() ? golden::Value::infinity(x.negative)
                                            : golden::value_of(x.number.convert_to<double>());
                 };
               }));
  return out;
}

}  // namespace assay::proptests::diagnosis

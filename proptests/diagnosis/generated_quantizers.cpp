// SPDX-License-Identifier: Apache-2.0
// What may go wrong in quantizers (quantizer_edits.h), crossed with the operations that have one.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "golden/layout.h"
#include "golden/requantize.h"
#include "proptests/diagnosis/quantizer_edits.h"
#include "proptests/diagnosis/stages.h"

namespace assay::proptests::diagnosis {
namespace {

using Number = golden::RationalValue;
template <class Model>
using QuantizerOf = QuantizerModel& (*)(Model&);

template <class Model>
void edit_all(std::vector<Hypothesis>& out, const Operation<Model>& op, QuantizerOf<Model> of,
              const std::vector<QuantizerEdit>& edits) {
  for (const QuantizerEdit& e : edits) {
    std::function<bool(const kernels::Claim&)> applies = nullptr;
    if (e.applies)
      applies = [f = e.applies](const kernels::Claim& c) {
        const formats::BlockFormat* format = c.operation.starts_with("qat") ? c.b : c.a;
        return format != nullptr && f(*format);
      };
    out.push_back(edited(
        op, e.id, e.text,
        [spoil = e.spoil, of](Model& m, const Case& c) { return spoil(of(m), c); }, applies));
    out.back().learned = e.learned ? 2 : 0;
  }
}

/// An amax that is kept between calls.
template <class Model>
void of_earlier_amax(std::vector<Hypothesis>& out, const Operation<Model>& op,
                     QuantizerOf<Model> of) {
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
  edit_all(out, op, of, code_edits());
  edit_all(out, op, of, maximum_edits());
  edit_all(out, op, of, step_edits());
  edit_all(out, op, of, store_edits());
  of_earlier_amax(out, op, of);
}

/// Codes that are transposed come with scale factors of their own.
void of_what_came_in(std::vector<Hypothesis>& out) {
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
  struct Kept {
    const char* id;
    const char* text;
    bool largest;
  };
  static constexpr Kept rows[] = {
      {"scale_of_source_codes",
       "the scale factor of a block is the largest of those that its elements came with", true},
      {"scale_of_source_codes",
       "the scale factor of a block is that which its first element came with", false}};
  for (const Kept& row : rows)
    out.push_back(edited(transposing, row.id, row.text, [&row](TransposeModel& m, const Case& c) {
      if (input_bytes(c.call, ASSAY_DUT_Q).empty()) return false;
      const formats::BlockScaledTensor q =
          input_tensor(c.call, ASSAY_DUT_Q, *c.call.claim.a, c.call.m, c.call.k);
      const golden::BlockGrid g = golden::block_grid(*q.format, q.rows, q.cols);
      // Of row r of the transpose (a column here), the scale factor codes along it.
      m.quantizer.amax_of = nullptr;
      const auto at = std::make_shared<std::pair<std::int64_t, std::int64_t>>();
      m.quantizer.amax_more = [at](const QuantizerModel&, std::int64_t r, std::int64_t b) {
        *at = {r, b};
        return 0.0F;
      };
      m.quantizer.scale_code = [q, g, at, largest = row.largest](std::uint32_t) {
        std::uint32_t most = 0;
        const std::int64_t width = g.block_cols;
        for (std::int64_t i = at->second * width; i < std::min(q.rows, (at->second + 1) * width);
             ++i) {
          most = std::max(most, golden::load_scale(q, i, at->first / width));
          if (!largest) break;
        }
        return most;
      };
      return true;
    }));
}

/// Codes that come in, read as a dequantizer with some error reads them.
void of_misread_codes(std::vector<Hypothesis>& out) {
  for (const ReaderError& row : reader_errors())
    out.push_back(edited(
        transposing, row.id, row.name + ", in the codes that come in",
        [&row](TransposeModel& m, const Case& c) {
          if (input_bytes(c.call, ASSAY_DUT_Q).empty()) return false;
          ReaderModel reader;
          reader.t = input_tensor(c.call, ASSAY_DUT_Q, *c.call.claim.a, c.call.m, c.call.k);
          row.spoil(reader);
          const golden::FactoredMatrix f = reader.run();
          const golden::Value g = golden::value_of(f.tensor_scale);
          std::vector<float> x;
          for (std::size_t i = 0; i < f.elements.size(); ++i) {
            const Number v = rounded_to(formats::fp32, formats::RoundingMode::nearest_even,
                                        golden::to_rational(f.elements[i] * (f.scales[i] * g)));
            x.push_back(v.is_nan()        ? NAN
                        : v.is_infinite() ? (v.negative ? -INFINITY : INFINITY)
                        : v.is_zero()     ? (v.negative ? -0.0F : 0.0F)
                                          : static_cast<float>(v.number.convert_to<double>()));
          }
          m.quantizer.x = golden::transpose(x, c.call.m, c.call.k);
          return true;
        },
        [&row](const kernels::Claim& c) { return row.applies == nullptr || row.applies(*c.a); }));
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
  const QuantizerOf<QatModel> weights = [](QatModel& m) -> QuantizerModel& { return m.weights; };
  edit_all(out, training, weights, code_edits());
  edit_all(out, training, weights, maximum_edits());
  edit_all(out, training, weights, step_edits());
  of_earlier_amax(out, training, weights);
  for (const QuantizerError& row : quantizer_errors())
    out.push_back(edited(
        drawing, row.id, row.name,
        [&row](StochasticModel& m, const Case&) { row.spoil(m.quantizer); },
        [&row](const kernels::Claim& c) { return row.applies == nullptr || row.applies(*c.a); }));
  of_what_came_in(out);
  of_misread_codes(out);
  return out;
}

}  // namespace assay::proptests::diagnosis

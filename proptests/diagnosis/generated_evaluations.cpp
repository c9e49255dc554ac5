// SPDX-License-Identifier: Apache-2.0
// Other evaluations of the same formulas: the orders in which kernels divide by a scale factor and
// a tensor scale, and find these, each step rounded to FP32.
#include <fmt/format.h>

#include <algorithm>

#include "formats/orders.h"
#include "proptests/diagnosis/quantizer_edits.h"

namespace assay::proptests::diagnosis {
namespace {

using formats::Constant;
using formats::OpCode;
using formats::Operation;
using formats::Register;
using formats::Rounding;
using Operations = std::vector<Operation>;

constexpr Rounding exact{};
constexpr Rounding to_f32 = formats::orders::to_f32;
/// Steps of FP32, in registers that no order uses later.
Operation f32(OpCode op, Register dst, Register a, Register b, Constant c = {}) {
  return {op, dst, a, b, c, to_f32};
}
struct Evaluation {
  const char* text;
  Operations steps;  ///< to x, from x, scale, tensor_scale and t3 = 1 / tensor_scale
};
/// Elements of formats with a tensor scale g = 1 / S: the ways that kernels scale them.
std::vector<Evaluation> element_evaluations() {
  using enum OpCode;
  using R = Register;
  const R x = R::x;
  const R s = R::scale;
  const R g = R::tensor_scale;
  const Operation encode = f32(divide, R::t3, R::constant, g, {1});  // S, from the stored g
  return {
      {"x / (s * g)", {f32(multiply, R::t3, s, g), f32(divide, x, x, R::t3)}},
      {"x * (1 / (s * g))",
       {f32(multiply, R::t3, s, g), f32(divide, R::t3, R::constant, R::t3, {1}),
        f32(multiply, x, x, R::t3)}},
      {"(x / s) / g", {f32(divide, x, x, s), f32(divide, x, x, g)}},
      {"(x / g) / s", {f32(divide, x, x, g), f32(divide, x, x, s)}},
      {"(x * (1 / g)) / s", {encode, f32(multiply, x, x, R::t3), f32(divide, x, x, s)}},
      {"(x / s) * (1 / g)", {encode, f32(divide, x, x, s), f32(multiply, x, x, R::t3)}},
      {"x * ((1 / g) / s)", {encode, f32(divide, R::t3, R::t3, s), f32(multiply, x, x, R::t3)}},
      {"x * ((1 / s) / g)",
       {f32(divide, R::t3, R::constant, s, {1}), f32(divide, R::t3, R::t3, g),
        f32(multiply, x, x, R::t3)}},
      {"x * ((1 / s) * (1 / g))",
       {encode, f32(divide, R::t2, R::constant, s, {1}), f32(multiply, R::t3, R::t2, R::t3),
        f32(multiply, x, x, R::t3)}},
      {"(x * (1 / s)) * (1 / g)",
       {encode, f32(divide, R::t2, R::constant, s, {1}), f32(multiply, x, x, R::t2),
        f32(multiply, x, x, R::t3)}},
      {"(x * (1 / g)) * (1 / s)",
       {encode, f32(divide, R::t2, R::constant, s, {1}), f32(multiply, x, x, R::t3),
        f32(multiply, x, x, R::t2)}},
      {"x / s / g without a rounding in between",
       {{multiply, R::t3, s, g, {}, exact}, f32(divide, x, x, R::t3)}},
      {"x / s / g exactly", {{multiply, R::t3, s, g, {}, exact}, {divide, x, x, R::t3, {}, exact}}},
  };
}
/// The same of orders that keep S_enc = 2688 / amax in t0, which is 1 / g before its rounding.
std::vector<Evaluation> encoded_evaluations() {
  using enum OpCode;
  using R = Register;
  const R x = R::x;
  const R s = R::scale;
  const R e = R::t0;
  const Operation inverse = f32(divide, R::t2, R::constant, s, {1});
  return {
      {"x * (S * (1 / s))", {inverse, f32(multiply, R::t2, e, R::t2), f32(multiply, x, x, R::t2)}},
      {"x * (S / s)", {f32(divide, R::t2, e, s), f32(multiply, x, x, R::t2)}},
      {"(x * S) / s", {f32(multiply, x, x, e), f32(divide, x, x, s)}},
      {"(x / s) * S", {f32(divide, x, x, s), f32(multiply, x, x, e)}},
      {"(x * S) * (1 / s)", {inverse, f32(multiply, x, x, e), f32(multiply, x, x, R::t2)}},
      {"(x * (1 / s)) * S", {inverse, f32(multiply, x, x, R::t2), f32(multiply, x, x, e)}},
      {"x / (s / S)", {f32(divide, R::t2, s, e), f32(divide, x, x, R::t2)}},
  };
}
bool keeps_encode(const formats::BlockFormat& f) {
  const auto tensor = f.order->tensor;
  const auto in_t0 = [](const Operation& o) { return o.dst == Register::t0; };
  return !tensor.empty() && tensor[0].op == OpCode::divide && in_t0(tensor[0]) &&
         std::none_of(f.order->block.begin(), f.order->block.end(), in_t0);
}
/// The scale factor before its rounding, to t2.
std::vector<Evaluation> scale_evaluations() {
  using enum OpCode;
  using R = Register;
  const R a = R::amax_block;
  const R g = R::tensor_scale;
  const R c = R::constant;
  const Operation encode = f32(divide, R::t3, c, g, {1});
  const Operation sixth{copy, R::t2, c, c, {1, 6}, to_f32};
  return {
      {"(amax / 6) / g", {f32(divide, R::t2, a, c, {6}), f32(divide, R::t2, R::t2, g)}},
      {"(amax / g) / 6", {f32(divide, R::t2, a, g), f32(divide, R::t2, R::t2, c, {6})}},
      {"amax / (6 * g)", {f32(multiply, R::t2, c, g, {6}), f32(divide, R::t2, a, R::t2)}},
      {"(amax / 6) * (1 / g)",
       {encode, f32(divide, R::t2, a, c, {6}), f32(multiply, R::t2, R::t2, R::t3)}},
      {"(amax * (1 / 6)) / g",
       {sixth, f32(multiply, R::t2, a, R::t2), f32(divide, R::t2, R::t2, g)}},
      {"(amax * (1 / 6)) * (1 / g)",
       {encode, sixth, f32(multiply, R::t2, a, R::t2), f32(multiply, R::t2, R::t2, R::t3)}},
      {"(amax * (1 / g)) / 6",
       {encode, f32(multiply, R::t2, a, R::t3), f32(divide, R::t2, R::t2, c, {6})}},
      {"(amax * (1 / g)) * (1 / 6)",
       {encode, sixth, f32(multiply, R::t3, a, R::t3), f32(multiply, R::t2, R::t2, R::t3)}},
      {"amax * ((1 / g) * (1 / 6))",
       {encode, sixth, f32(multiply, R::t2, R::t3, R::t2), f32(multiply, R::t2, a, R::t2)}},
      {"amax * ((1 / g) / 6)",
       {encode, f32(divide, R::t2, R::t3, c, {6}), f32(multiply, R::t2, a, R::t2)}},
      {"amax / 6 / g exactly",
       {{divide, R::t2, a, c, {6}, exact}, {divide, R::t2, R::t2, g, {}, exact}}},
  };
}
/// The tensor scale.
std::vector<Evaluation> tensor_evaluations() {
  using enum OpCode;
  using R = Register;
  const R a = R::amax_tensor;
  const R g = R::tensor_scale;
  const R c = R::constant;
  return {
      {"amax / 2688", {f32(divide, g, a, c, {2688})}},
      {"(amax / 448) / 6", {f32(divide, g, a, c, {448}), f32(divide, g, g, c, {6})}},
      {"(amax / 6) / 448", {f32(divide, g, a, c, {6}), f32(divide, g, g, c, {448})}},
      {"amax * (1 / 2688)", {{copy, g, c, c, {1, 2688}, to_f32}, f32(multiply, g, a, g)}},
      {"1 / (2688 / amax)", {f32(divide, g, c, a, {2688}), f32(divide, g, c, g, {1})}},
  };
}

}  // namespace

std::vector<QuantizerEdit> evaluation_edits() {
  std::vector<QuantizerEdit> out;
  const auto two_level = [](const formats::BlockFormat& f) {
    return f.tensor_scale == formats::TensorScale::fp32 && f.candidates == nullptr;
  };
  const auto elements = [&out](const Evaluation& e, const char* factor,
                               const std::function<bool(const formats::BlockFormat&)>& applies) {
    // FLT_MAX limits no factor, each of them, or the last.
    for (const int guarded : {0, 1, 2}) {
      Operations steps;
      for (const Operation& o : e.steps) {
        steps.push_back(o);
        const bool last = &o + 2 >= e.steps.data() + e.steps.size();
        if ((guarded == 1 || (guarded == 2 && last)) && o.dst != Register::x)
          steps.push_back({OpCode::minimum, o.dst, o.dst, Register::constant,
                           formats::orders::float_max, exact});
      }
      out.push_back({"elements_scaled_otherwise",
                     fmt::format("elements are computed as {} (s: the scale factor, {}), each step "
                                 "rounded to FP32",
                                 e.text, factor),
                     [steps](QuantizerModel& m, const Case&) {
                       Operations guards;
                       for (const Operation& o : m.element_order)
                         if (o.op == OpCode::if_zero) guards.push_back(o);
                       m.element_order = steps;
                       m.element_order.insert(m.element_order.end(), guards.begin(), guards.end());
                       return true;
                     },
                     applies});
    }
  };
  for (const Evaluation& e : encoded_evaluations())
    elements(e, "S: 2688 / amax of the tensor", keeps_encode);
  for (const Evaluation& e : element_evaluations()) elements(e, "g: the tensor scale", two_level);
  for (const Evaluation& e : scale_evaluations())
    out.push_back({"scale_computed_otherwise",
                   std::string("scale factors are computed as ") + e.text +
                       " (g: the tensor scale), each step rounded to FP32",
                   [steps = e.steps](QuantizerModel& m, const Case&) {
                     const auto at =
                         std::find_if(m.block_order.begin(), m.block_order.end(),
                                      [](const Operation& o) { return o.dst == Register::scale; });
                     if (at == m.block_order.end()) return false;
                     Operation store = *at;
                     store.op = OpCode::copy;
                     store.a = Register::t2;
                     const Operations rest(at + 1, m.block_order.end());
                     m.block_order = steps;
                     m.block_order.push_back(store);
                     m.block_order.insert(m.block_order.end(), rest.begin(), rest.end());
                     return true;
                   },
                   two_level});
  for (const Evaluation& e : tensor_evaluations())
    out.push_back({"tensor_scale_computed_otherwise",
                   std::string("the tensor scale is computed as ") + e.text + ", in FP32",
                   [steps = e.steps](QuantizerModel& m, const Case&) {
                     m.tensor_order.insert(m.tensor_order.end(), steps.begin(), steps.end());
                     m.tensor_order.push_back({OpCode::if_zero,
                                               Register::tensor_scale,
                                               Register::amax_tensor,
                                               Register::constant,
                                               {1},
                                               exact});
                     return true;
                   },
                   two_level});
  out.push_back({"zero_scale_zeroes", "elements are 0 where the scale factor is 0",
                 [](QuantizerModel& m, const Case&) {
                   m.element_order.push_back(
                       {OpCode::if_zero, Register::x, Register::scale, Register::constant, {0}});
                   return true;
                 }});
  return out;
}

}  // namespace assay::proptests::diagnosis

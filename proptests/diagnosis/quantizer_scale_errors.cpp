// SPDX-License-Identifier: Apache-2.0
// The known errors of quantizers: maxima, scale factors, the tensor scale and their arithmetic.
#include <algorithm>
#include <cmath>

#include "golden/layout.h"
#include "proptests/diagnosis/quantizer_model.h"
#include "proptests/diagnosis/reader_model.h"

namespace assay::proptests::diagnosis {
namespace {

using formats::BlockFormat;
using formats::BlockScaledTensor;
using formats::OpCode;
using formats::Register;
using formats::RoundingMode;
using golden::RationalValue;
using Model = QuantizerModel;

bool has_e8m0(const BlockFormat& f) { return f.scale == &formats::e8m0; }
bool has_ue4m3(const BlockFormat& f) { return f.scale == &formats::ue4m3; }
bool two_level(const BlockFormat& f) { return f.tensor_scale == formats::TensorScale::fp32; }
auto amax_through(const formats::FormatSpec& format, RoundingMode mode) {
  return [&format, mode](Model& m) {
    m.block_amax = [&format, mode](const RationalValue& a) { return rounded_to(format, mode, a); };
  };
}
/// The rounding of the operation that makes the scale factor.
auto scale_rounding(RoundingMode mode) {
  return [mode](Model& m) {
    for (auto& o : m.block_order)
      if (o.dst == Register::scale) o.round.mode = mode;
  };
}
auto shifted(int by) {
  return [by](Model& m) {
    m.scale_code = [by](std::uint32_t code) {
      return static_cast<std::uint32_t>(std::clamp(static_cast<int>(code) + by, 0, 254));
    };
  };
}
/// amax / 4 or amax / 6, rounded in some mode to a power of two.
auto power_of_two_rule(std::int64_t divisor, RoundingMode mode) {
  return [divisor, mode](Model& m) {
    m.block_order = {{OpCode::divide,
                      Register::scale,
                      Register::amax_block,
                      Register::constant,
                      {divisor},
                      {&formats::e8m0, mode, formats::Overflow::saturate}}};
  };
}
/// Every constant n of the orders becomes another one.
auto constant_replaced(std::int64_t num, std::int64_t den, formats::Constant by) {
  return [num, den, by](Model& m) {
    for (auto* order : {&m.tensor_order, &m.block_order})
      for (auto& o : *order)
        if (o.constant.num == num && o.constant.den == den) o.constant = by;
  };
}
auto other_order(const BlockFormat& other) {
  return [&other](Model& m) {
    m.tensor_order.assign(other.order->tensor.begin(), other.order->tensor.end());
    m.block_order.assign(other.order->block.begin(), other.order->block.end());
    m.element_order.assign(other.order->element.begin(), other.order->element.end());
  };
}
/// x / d as x * (1 / d), or the other way round, in FP32.
void reciprocal_for_divide(Model& m) {
  std::vector<formats::Operation> order;
  for (const auto& o : m.element_order) {
    if (o.op != OpCode::divide) {
      order.push_back(o);
      continue;
    }
    formats::Operation inverse = o;
    inverse.dst = Register::t3;
    inverse.a = Register::constant;
    inverse.constant = {1};
    inverse.round = formats::orders::to_f32;
    order.push_back(inverse);
    order.push_back({OpCode::multiply, o.dst, o.a, Register::t3, {}, formats::orders::to_f32});
  }
  m.element_order = std::move(order);
}

// --- Storing -------------------------------------------------------------------------------
}  // namespace

std::vector<QuantizerError> scale_errors() {
  return {
      // Power-of-two scale factors.
      {"e8m0_one_low", "power-of-two scale factors are one exponent too small", shifted(-1),
       has_e8m0},
      {"e8m0_one_high", "power-of-two scale factors are one exponent too large", shifted(1),
       has_e8m0},
      {"e8m0_bias_off", "the bias of E8M0 is off by one",
       [](Model& m) {
         m.store = [](BlockScaledTensor& t) {
           for (auto& s : t.scales) s = static_cast<std::uint8_t>(s == 0 || s == 255 ? s : s - 1);
         };
       },
       has_e8m0},
      {"floor_for_rceil", "the scale exponent follows the OCP floor rule",
       power_of_two_rule(4, RoundingMode::toward_zero), has_e8m0},
      {"rceil_for_floor", "the scale exponent follows the round-up rule",
       power_of_two_rule(6, RoundingMode::toward_positive), has_e8m0},
      {"e8m0_floor_of_sixth", "the scale exponent is floor(log2(amax / 6))",
       power_of_two_rule(6, RoundingMode::toward_zero), has_e8m0},
      {"e8m0_ceil_of_fourth", "the scale exponent is ceil(log2 amax) - 2",
       power_of_two_rule(4, RoundingMode::toward_positive), has_e8m0},
      {"e8m0_nearest", "the scale exponent is rounded to nearest",
       power_of_two_rule(6, RoundingMode::nearest_even), has_e8m0},
      {"e8m0_nearest", "the scale exponent is rounded to nearest, of amax / 4",
       power_of_two_rule(4, RoundingMode::nearest_even), has_e8m0},
      {"e8m0_even_rule", "amax is rounded to E2M1's significand before its exponent is read",
       [](Model& m) {
         m.block_amax = [](const RationalValue& a) {
           constexpr formats::FormatSpec wide{"one fraction bit",      32, 1, 8, 1, 127, true,
                                              formats::Specials::ieee, ""};
           return golden::to_rational(golden::decode(
               wide, golden::encode(wide, a, RoundingMode::nearest_away,
                                    {formats::Overflow::saturate, formats::NanRule::canonical,
                                     formats::UnsignedRule::clamp})));
         };
         power_of_two_rule(4, RoundingMode::toward_zero)(m);
       },
       has_e8m0},
      {"scale_double_rounding", "amax is rounded to bf16 before the scale factor is computed",
       amax_through(formats::bf16, RoundingMode::nearest_even)},
      {"scale_double_rounding", "amax is rounded to fp16 before the scale factor is computed",
       amax_through(formats::fp16, RoundingMode::nearest_even)},
      {"scale_double_rounding",
       "amax is rounded to bf16 before the scale factor is computed, and saturates",
       [](Model& m) {
         m.block_amax = [](const RationalValue& a) {
           const RationalValue b = rounded_to(formats::bf16, RoundingMode::nearest_even, a);
           return b.is_infinite() ? a : b;
         };
       }},
      // E4M3 scale factors.
      {"e4m3_scale_up", "E4M3 scale factors are rounded up",
       scale_rounding(RoundingMode::toward_positive), has_ue4m3},
      {"e4m3_scale_truncated", "E4M3 scale factors are truncated",
       scale_rounding(RoundingMode::toward_zero), has_ue4m3},
      {"e4m3_scale_ties_away", "E4M3 scale factors round ties away",
       scale_rounding(RoundingMode::nearest_away), has_ue4m3},
      {"e4m3_subnormals_flushed", "subnormal E4M3 scale factors become 0",
       [](Model& m) { m.scale_code = [](std::uint32_t c) { return c < 8 ? 0U : c; }; }, has_ue4m3},
      {"e4m3_scale_clamped", "E4M3 scale factors are clamped to the smallest normal one",
       [](Model& m) { m.scale_code = [](std::uint32_t c) { return std::max(c, 8U); }; }, has_ue4m3},
      {"e4m3_scale_clamped", "E4M3 scale factors are clamped to the smallest positive one",
       [](Model& m) { m.scale_code = [](std::uint32_t c) { return std::max(c, 1U); }; }, has_ue4m3},
      {"scale_zero_as_one", "the scale factor of a zero block is 1",
       [](Model& m) {
         m.scale_code = [ue4m3 = m.format.scale == &formats::ue4m3](std::uint32_t c) {
           return c == 0 ? (ue4m3 ? 0x38U : 127U) : c;
         };
       }},
      {"e4m3_scale_overflow_nan", "E4M3 scale factors that overflow become NaN",
       [](Model& m) {
         for (auto& o : m.block_order)
           if (o.dst == Register::scale) o.round.overflow = formats::Overflow::to_nan;
       },
       has_ue4m3},
      {"e4m3_scale_power_of_two", "the mantissa of E4M3 scale factors is dropped",
       [](Model& m) { m.scale_code = [](std::uint32_t c) { return c & 0x78U; }; }, has_ue4m3},
      // amax.
      {"amax_without_abs", "the largest value stands in for the largest magnitude",
       [](Model& m) { m.magnitude = [](float v) { return std::max(v, 0.0F); }; }},
      {"amax_skips_last", "the last element of a block does not count in its amax",
       [](Model& m) { m.amax_last = 1; }},
      {"amax_skips_first", "the first element of a block does not count in its amax",
       [](Model& m) { m.amax_first = 1; }},
      {"amax_half_block", "only the first half of a block counts in its amax",
       [](Model& m) { m.amax_last = m.format.block.cols / 2; }},
      {"amax_half_block", "only the second half of a block counts in its amax",
       [](Model& m) { m.amax_first = m.format.block.cols / 2; }},
      {"amax_double_block", "two blocks share an amax",
       [](Model& m) { m.amax_cols = 2 * m.format.block.cols; }},
      {"amax_whole_row", "a row shares one amax",
       [](Model& m) { m.amax_cols = std::max<std::int64_t>(m.cols, 1); }},
      {"not_finite_in_amax", "infinities count in amax",
       [](Model& m) { m.counts = [](float v) { return !std::isnan(v); }; }},
      // Tensor scale.
      {"tensor_scale_inverted", "the tensor scale is stored as a divisor",
       [](Model& m) { m.stored_tensor_scale = [](float g) { return 1.0F / g; }; }, two_level},
      {"tensor_scale_omitted", "the tensor scale is stored as 1",
       [](Model& m) { m.stored_tensor_scale = [](float) { return 1.0F; }; }, two_level},
      {"tensor_scale_omitted", "the tensor scale is left out altogether",
       [](Model& m) {
         m.tensor_order = {
             {OpCode::copy, Register::t0, Register::constant, Register::constant, {1}},
             {OpCode::copy,
              Register::t1,
              Register::constant,
              Register::constant,
              {1, 6},
              formats::orders::to_f32},
             {OpCode::copy, Register::tensor_scale, Register::constant, Register::constant, {1}}};
       },
       two_level},
      {"tensor_scale_twice", "the tensor scale is stored squared",
       [](Model& m) { m.stored_tensor_scale = [](float g) { return g * g; }; }, two_level},
      {"scale_without_tensor_scale", "block scale factors are computed without the tensor scale",
       [](Model& m) {
         for (auto& o : m.block_order) {
           if (o.dst != Register::scale && o.b == Register::tensor_scale && o.op == OpCode::divide)
             o = {OpCode::copy, o.dst, o.a, Register::constant, {}, o.round};
           if (o.a == Register::amax_block && o.b == Register::t1)
             o = {OpCode::multiply, o.dst, o.a, Register::constant, {1, 6}, o.round};
         }
       },
       two_level},
      {"tensor_divisor_6x256", "the tensor scale is computed for 6 * 256 instead of 6 * 448",
       constant_replaced(2688, 1, {1536}), two_level},
      {"tensor_divisor_448", "the tensor scale is computed for 448 instead of 6 * 448",
       constant_replaced(2688, 1, {448}), two_level},
      {"tensor_divisor_6", "the tensor scale is computed for 6 instead of 6 * 448",
       constant_replaced(2688, 1, {6}), two_level},
      {"amax_divisor_4", "amax is divided by 4 instead of 6",
       [](Model& m) {
         constant_replaced(6, 1, {4})(m);
         constant_replaced(1, 6, {1, 4})(m);
       }},
      {"amax_divisor_7", "amax is divided by 7 or 8, as for integers, instead of 6",
       [](Model& m) {
         constant_replaced(6, 1, {7})(m);
         constant_replaced(1, 6, {1, 7})(m);
       }},
      {"amax_divisor_7", "amax is divided by 8 instead of the largest element",
       [](Model& m) {
         constant_replaced(6, 1, {8})(m);
         constant_replaced(1, 6, {1, 8})(m);
         constant_replaced(4, 1, {8})(m);
       }},
      {"amax_divisor_6_for_4", "amax is divided by 6 instead of 4", constant_replaced(4, 1, {6})},
      // Arithmetic.
      {"unrounded_scale", "elements are divided by the scale factor before it was rounded",
       [](Model& m) { m.unrounded_scale = true; }},
      {"reciprocal_for_divide", "x / s is computed as x * (1 / s)", reciprocal_for_divide},
      {"divide_for_reciprocal",
       "a division stands for the claimed multiplication with a reciprocal",
       other_order(formats::nvfp4_divide), two_level},
      {"order_of_te", "the operation order is TransformerEngine's", other_order(formats::nvfp4),
       two_level},
      {"order_of_deepseek", "the operation order is DeepSeek-V4's",
       other_order(formats::deepseek_v4), has_e8m0},
      {"amax_clamped", "amax is clamped to 1e-4",
       [](Model& m) {
         m.block_amax = [](const RationalValue& a) {
           const RationalValue least = golden::to_rational(golden::value_of(1e-4F));
           return golden::less(a, least) ? least : a;
         };
       }},
      {"scale_not_applied", "elements are not divided by their scale factor",
       [](Model& m) { m.element_order.clear(); }},
      {"scale_inverted", "elements are multiplied by their scale factor",
       [](Model& m) {
         for (auto& o : m.element_order)
           if (o.op == OpCode::divide) o.op = OpCode::multiply;
       }},
  };
}

}  // namespace assay::proptests::diagnosis

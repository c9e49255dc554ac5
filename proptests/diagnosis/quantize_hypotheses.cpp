// SPDX-License-Identifier: Apache-2.0
// The known errors of quantizers, as edits of the model.
#include <algorithm>
#include <bit>
#include <cmath>

#include "golden/layout.h"
#include "proptests/diagnosis/operations.h"

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

std::uint32_t sign_of(const RationalValue& x) { return x.negative ? 8U : 0U; }

/// Codes by a rule for numbers between two codes: true takes the higher magnitude.
auto by_rule(bool (*higher)(const Neighbours&, bool negative)) {
  return [higher](Model& m) {
    m.code = [higher, element = m.format.element](const RationalValue& x, std::uint32_t right) {
      if (x.is_nan()) return right;
      const Neighbours n = neighbours(*element, x);
      return (n.low != n.high && higher(n, x.negative) ? n.high : n.low) | sign_of(x);
    };
  };
}

/// Numbers pass through another format before they are rounded.
RationalValue through(const formats::FormatSpec& format, RoundingMode mode,
                      const RationalValue& x) {
  return golden::to_rational(golden::decode(
      format, golden::encode(format, x, mode, golden::policy_of(formats::ieee, format))));
}
auto element_through(const formats::FormatSpec& format, RoundingMode mode) {
  return [&format, mode](Model& m) {
    m.scaled = [&format, mode](const RationalValue& x) {
      return x.is_finite() ? through(format, mode, x) : x;
    };
  };
}
/// fp16 truncation that keeps magnitudes outside fp16's normal range, as a cast by masking does.
auto element_masked_to_fp16(Model& m) {
  m.scaled = [](const RationalValue& x) {
    constexpr formats::FormatSpec wide{"fp16 significand",      32, 1, 8, 10, 127, true,
                                       formats::Specials::ieee, ""};
    if (!x.is_finite()) return x;
    return golden::to_rational(golden::decode(
        wide, golden::encode(wide, x, RoundingMode::toward_zero,
                             {formats::Overflow::saturate, formats::NanRule::canonical,
                              formats::UnsignedRule::clamp})));
  };
}
auto input_through(const formats::FormatSpec& format) {
  return [&format](Model& m) {
    for (float& x : m.x)
      if (std::isfinite(x)) {
        const RationalValue v =
            through(format, RoundingMode::nearest_even, golden::to_rational(golden::value_of(x)));
        x = v.is_infinite() ? (v.negative ? -INFINITY : INFINITY)
                            : std::copysign(static_cast<float>(v.number.convert_to<double>()), x);
      }
  };
}
auto amax_through(const formats::FormatSpec& format, RoundingMode mode) {
  return [&format, mode](Model& m) {
    m.block_amax = [&format, mode](const RationalValue& a) { return through(format, mode, a); };
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

void swap_nibbles(BlockScaledTensor& t) {
  for (std::uint8_t& b : t.codes) b = static_cast<std::uint8_t>((b >> 4) | (b << 4));
}
/// GGML: element j in the low nibble of byte j of a block, j + half in the high one.
void split_blocks(BlockScaledTensor& t) {
  const BlockScaledTensor from = t;
  const std::int64_t half = t.format->block.cols / 2;
  std::fill(t.codes.begin(), t.codes.end(), 0);
  for (std::int64_t r = 0; r < t.rows; ++r)
    for (std::int64_t c = 0; c < t.cols; ++c) {
      const std::int64_t in_block = c % (2 * half);
      const std::int64_t to =
          c - in_block + (in_block < half ? 2 * in_block : 2 * (in_block - half) + 1);
      if (to < t.cols) golden::store_code(t, r, to, golden::load_code(from, r, c));
    }
}
/// Scale factors where `place` puts them instead; those that fall outside are lost.
auto scales_placed(std::int64_t (*place)(const golden::BlockGrid&, std::int64_t r,
                                         std::int64_t b)) {
  return [place](Model& m) {
    m.store = [place](BlockScaledTensor& t) {
      const golden::BlockGrid grid = golden::block_grid(*t.format, t.rows, t.cols);
      const BlockScaledTensor from = t;
      std::fill(t.scales.begin(), t.scales.end(), 0);
      for (std::int64_t r = 0; r < grid.down; ++r)
        for (std::int64_t b = 0; b < grid.across; ++b) {
          const std::int64_t at = place(grid, r, b);
          if (at >= 0 && at < static_cast<std::int64_t>(t.scales.size()))
            t.scales[at] = static_cast<std::uint8_t>(golden::load_scale(from, r, b));
        }
    };
  };
}
std::int64_t swizzled(const golden::BlockGrid& g, std::int64_t r, std::int64_t b) {
  return golden::scale_index(formats::ScaleLayout::swizzled_128x4, g.down, g.across, r, b);
}
auto pad_scales(std::uint8_t value) {
  return [value](Model& m) {
    m.store = [value](BlockScaledTensor& t) {
      BlockScaledTensor used = t;
      const golden::BlockGrid grid = golden::block_grid(*t.format, t.rows, t.cols);
      std::fill(t.scales.begin(), t.scales.end(), value);
      for (std::int64_t r = 0; r < grid.down; ++r)
        for (std::int64_t b = 0; b < grid.across; ++b)
          golden::store_scale(t, r, b, golden::load_scale(used, r, b));
    };
  };
}

void zero_block_codes(Model& m, std::uint32_t code_for_zero) {
  // 0 / 0 in the element phase: what the order protects with if_zero is left bare.
  std::erase_if(m.element_order, [](const auto& o) { return o.op == OpCode::if_zero; });
  m.code = [code_for_zero](const RationalValue& x, std::uint32_t right) {
    return x.is_nan() ? code_for_zero : right;
  };
}

std::vector<QuantizerError> make_rows() {
  std::vector<QuantizerError> rows{
      // Rounding of elements.
      {"ties_away", "midpoints round away from zero instead of to the even code",
       by_rule([](const Neighbours& n, bool) { return n.side >= 0; })},
      {"ties_to_zero", "midpoints round toward zero instead of to the even code",
       by_rule([](const Neighbours& n, bool) { return n.side > 0; })},
      {"ties_up", "midpoints round toward plus infinity instead of to the even code",
       by_rule([](const Neighbours& n, bool negative) {
         return n.side > 0 || (n.side == 0 && !negative);
       })},
      {"ties_down", "midpoints round toward minus infinity instead of to the even code",
       by_rule([](const Neighbours& n, bool negative) {
         return n.side > 0 || (n.side == 0 && negative);
       })},
      {"ties_to_odd", "midpoints round to the odd code", by_rule([](const Neighbours& n, bool) {
         return n.side > 0 || (n.side == 0 && n.high % 2 == 1);
       })},
      {"elements_truncated", "elements are truncated instead of rounded",
       by_rule([](const Neighbours&, bool) { return false; })},
      {"elements_rounded_up", "elements round away from zero wherever they are inexact",
       by_rule([](const Neighbours&, bool) { return true; })},
      {"elements_ceiled", "elements round toward plus infinity",
       by_rule([](const Neighbours&, bool negative) { return !negative; })},
      {"elements_floored", "elements round toward minus infinity",
       by_rule([](const Neighbours&, bool negative) { return negative; })},
      {"double_rounding_bf16", "elements are rounded to bf16 before they are rounded",
       element_through(formats::bf16, RoundingMode::nearest_even)},
      {"double_rounding_fp16", "elements pass through fp16 before they are rounded",
       element_masked_to_fp16},
      {"double_rounding_fp16", "elements are rounded to fp16 before they are rounded",
       element_through(formats::fp16, RoundingMode::nearest_even)},
      {"double_rounding_fp16", "elements are truncated to fp16 before they are rounded",
       element_through(formats::fp16, RoundingMode::toward_zero)},
      {"double_rounding_e4m3", "elements are rounded to E4M3 before they are rounded",
       [](Model& m) {
         m.scaled = [](const RationalValue& x) {
           if (!x.is_finite()) return x;
           return golden::to_rational(golden::decode(
               formats::e4m3,
               golden::encode(formats::e4m3, x, RoundingMode::nearest_even,
                              golden::policy_of(formats::saturating, formats::e4m3))));
         };
       }},
      {"input_rounded_bf16", "the input is rounded to bf16 before anything else",
       input_through(formats::bf16)},
      {"input_rounded_fp16", "the input is rounded to fp16 before anything else",
       input_through(formats::fp16)},
      // Codes.
      {"element_subnormal_flushed", "the code 0.5 is never produced: what rounds to it becomes 0",
       [](Model& m) {
         m.code = [](const RationalValue&, std::uint32_t c) { return (c & 7U) == 1 ? c & 8U : c; };
       }},
      {"element_subnormal_flushed", "elements below 1 become 0",
       [](Model& m) {
         m.code = [](const RationalValue& x, std::uint32_t c) {
           return x.is_finite() && x.number > -1 && x.number < 1 ? c & 8U : c;
         };
       }},
      {"negative_zero_lost", "-0, and what rounds to it, becomes +0",
       [](Model& m) {
         m.code = [](const RationalValue&, std::uint32_t c) { return c == 8 ? 0 : c; };
       }},
      {"sign_lost", "the sign of elements is lost",
       [](Model& m) { m.code = [](const RationalValue&, std::uint32_t c) { return c & 7U; }; }},
      {"sign_inverted", "the sign of elements is inverted",
       [](Model& m) { m.code = [](const RationalValue&, std::uint32_t c) { return c ^ 8U; }; }},
      {"saturation_missing", "magnitudes beyond the largest code wrap instead of saturating",
       [](Model& m) {
         m.code = [](const RationalValue& x, std::uint32_t c) {
           return x.is_infinite() || x.number >= 7 || x.number <= -7 ? c & 8U : c;
         };
       }},
      {"saturation_missing", "magnitudes that round beyond the largest code wrap to zero",
       [](Model& m) {
         m.code = [](const RationalValue& x, std::uint32_t c) {
           return x.is_infinite() || x.number >= 8 || x.number <= -8 ? c & 8U : c;
         };
       }},
      {"saturates_at_four", "magnitudes beyond 4 saturate at 4",
       [](Model& m) {
         m.code = [](const RationalValue&, std::uint32_t c) { return (c & 7U) == 7 ? c - 1 : c; };
       }},
      {"codes_twos_complement", "negative codes are stored in two's complement",
       [](Model& m) {
         m.code = [](const RationalValue&, std::uint32_t c) {
           return (c & 8U) != 0 ? (16U - (c & 7U)) & 15U : c;
         };
       }},
      // Packing and layout.
      {"nibbles_swapped", "the even element is put in the high nibble of its byte",
       [](Model& m) { m.store = swap_nibbles; }},
      {"nibbles_split", "codes are packed as GGML does: the halves of a block in the two nibbles",
       [](Model& m) { m.store = split_blocks; }},
      {"codes_reversed", "pairs of bytes are exchanged",
       [](Model& m) {
         m.store = [](BlockScaledTensor& t) {
           for (std::size_t i = 0; i + 1 < t.codes.size(); i += 2)
             std::swap(t.codes[i], t.codes[i + 1]);
         };
       }},
      {"swizzle_ignored", "scale factors are written row-major where 128x4 is claimed",
       [](Model& m) {
         if (m.scale_layout == formats::ScaleLayout::swizzled_128x4)
           scales_placed([](const golden::BlockGrid& g, std::int64_t r, std::int64_t b) {
             return r * g.across + b;
           })(m);
       }},
      {"swizzle_unasked", "scale factors are written swizzled 128x4 where row-major is claimed",
       [](Model& m) {
         if (m.scale_layout == formats::ScaleLayout::row_major)
           scales_placed([](const golden::BlockGrid& g, std::int64_t r, std::int64_t b) {
             return swizzled(g, r, b);
           })(m);
       }},
      {"swizzle_unpadded", "the swizzle counts blocks without padding them to a multiple of 4",
       [](Model& m) {
         if (m.scale_layout == formats::ScaleLayout::swizzled_128x4)
           scales_placed([](const golden::BlockGrid& g, std::int64_t r, std::int64_t b) {
             return (r / 128 * g.across + b / 4 * 4) * 128 + r % 32 * 16 + r % 128 / 32 * 4 + b % 4;
           })(m);
       }},
      {"swizzle_rows_interleaved", "the swizzle exchanges the row-in-32 and the row-by-32 indices",
       [](Model& m) {
         if (m.scale_layout == formats::ScaleLayout::swizzled_128x4)
           scales_placed([](const golden::BlockGrid& g, std::int64_t r, std::int64_t b) {
             return (r / 128 * ((g.across + 3) / 4) + b / 4) * 512 + r % 128 / 4 * 16 + r % 4 * 4 +
                    b % 4;
           })(m);
       }},
      {"scales_transposed", "scale factors are stored column-major",
       [](Model& m) {
         scales_placed([](const golden::BlockGrid& g, std::int64_t r, std::int64_t b) {
           return b * g.down + r;
         })(m);
       }},
      {"scale_row_off_by_one", "scale factors are stored one row too late",
       [](Model& m) {
         m.store = [](BlockScaledTensor& t) {
           const BlockScaledTensor from = t;
           const golden::BlockGrid grid = golden::block_grid(*t.format, t.rows, t.cols);
           for (std::int64_t r = 0; r < grid.down; ++r)
             for (std::int64_t b = 0; b < grid.across; ++b)
               golden::store_scale(t, (r + 1) % grid.down, b, golden::load_scale(from, r, b));
         };
       }},
      {"scale_block_off_by_one", "scale factors are stored one block too late",
       [](Model& m) {
         m.store = [](BlockScaledTensor& t) {
           const BlockScaledTensor from = t;
           const golden::BlockGrid grid = golden::block_grid(*t.format, t.rows, t.cols);
           for (std::int64_t r = 0; r < grid.down; ++r)
             for (std::int64_t b = 0; b < grid.across; ++b)
               golden::store_scale(t, r, (b + 1) % grid.across, golden::load_scale(from, r, b));
         };
       }},
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
      {"scale_by_logarithm", "the scale exponent comes from a float logarithm",
       [](Model& m) {
         m.block_amax = [](const RationalValue& a) {
           if (a.is_zero()) return a;
           // The first steps below 2^k have a logarithm that FP32 rounds to k.
           const auto v = static_cast<float>(a.number.convert_to<double>());
           const float e = std::log2f(v);
           return e == std::floor(e)
                      ? golden::to_rational(golden::value_of(std::exp2(static_cast<double>(e))))
                      : a;
         };
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
           const RationalValue b = through(formats::bf16, RoundingMode::nearest_even, a);
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
      // Special numbers.
      {"zero_block_not_a_number", "a zero block divides 0 by 0, and the NaN becomes a code",
       [](Model& m) { zero_block_codes(m, 7); }},
      {"zero_block_not_a_number", "a zero block divides 0 by 0, and the NaN becomes a code",
       [](Model& m) {
         m.scaled = [](const RationalValue& x) { return x; };
         zero_block_codes(m, 15);
       }},
      {"nan_block_lost", "a NaN element does not spoil its block; it becomes a number",
       [](Model& m) { m.spoil_blocks = false; }},
      {"nan_block_lost", "a NaN element becomes 0",
       [](Model& m) {
         m.spoil_blocks = false;
         for (float& x : m.x)
           if (std::isnan(x)) x = 0.0F;
       }},
      {"nan_block_lost", "NaN and infinite elements become 0",
       [](Model& m) {
         m.spoil_blocks = false;
         for (float& x : m.x)
           if (!std::isfinite(x)) x = 0.0F;
       }},
      {"infinity_clamped",
       "an infinity becomes the largest FP32 number instead of spoiling its block",
       [](Model& m) {
         for (float& x : m.x)
           if (std::isinf(x)) x = std::copysign(0x1.fffffep127F, x);
       }},
      {"nan_codes_kept", "a spoiled block keeps element codes",
       [](Model& m) {
         m.spoil_blocks = false;
         m.store = [x = m.x](BlockScaledTensor& t) {
           const golden::BlockGrid grid = golden::block_grid(*t.format, t.rows, t.cols);
           for (std::int64_t i = 0; i < t.rows * t.cols; ++i)
             if (!std::isfinite(x[i]))
               golden::store_scale(t, i / t.cols, i % t.cols / grid.block_cols,
                                   golden::canonical_nan(*t.format->scale));
         };
       }},
      {"input_subnormals_flushed", "subnormal inputs count as zero",
       [](Model& m) {
         for (float& x : m.x)
           if (std::fabs(x) < 0x1p-126F) x = std::copysign(0.0F, x);
       }},
  };
  for (const int value : {0xFF, 0x7F, 0x38, 0x01})
    rows.push_back({"padding_not_zero", "padding of the scale factors is not zero",
                    pad_scales(static_cast<std::uint8_t>(value))});
  return rows;
}

}  // namespace

const std::vector<QuantizerError>& quantizer_errors() {
  static const std::vector<QuantizerError> rows = make_rows();
  return rows;
}

std::vector<Hypothesis> quantize_hypotheses() {
  std::vector<Hypothesis> out;
  // Whatever it holds: the scale factors themselves are right.
  Hypothesis padding;
  padding.id = "padding_not_zero";
  padding.name = "bytes that pad the scale factors are not zero";
  padding.applies = [](const kernels::Claim& c) {
    return quantizing.is(c) && c.scale_layout == formats::ScaleLayout::swizzled_128x4;
  };
  padding.explains = [](const Case& c) {
    const Prediction right = quantizing.predict(quantizing.of(c));
    const Seen observed = seen(c);
    return observed[0].codes == right[0].codes && observed[2].codes == right[2].codes;
  };
  out.push_back(std::move(padding));
  for (const QuantizerError& row : quantizer_errors())
    out.push_back(edited(
        quantizing, row.id, row.name, [&row](QuantizerModel& m, const Case&) { row.spoil(m); },
        [&row](const kernels::Claim& c) { return row.applies == nullptr || row.applies(*c.a); }));
  return out;
}

}  // namespace assay::proptests::diagnosis

// SPDX-License-Identifier: Apache-2.0
#include "formats/order.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <stdexcept>
#include <string>

namespace assay::formats {
namespace {

/// What is known of a register's value before any data is seen.
struct Known {
  bool set = false;
  bool quotient = false;
  bool power_of_two = false;
  int bits = 0;                         ///< significant bits at most
  int range = 0;                        ///< |log2| at most, of a nonzero value
  bool fp32 = false;                    ///< is an FP32 value
  const FormatSpec* rounded = nullptr;  ///< the format of the last rounding
};

constexpr int kOperandBits = 24;  // of a and b in a quotient a / b
constexpr int kDoubleBits = 53;
constexpr int kFormatRange = 150;  // FP32 reaches from 2^-149 to 2^128, and no format here further
constexpr int kDoubleRange = 1000;

struct Checker {
  const BlockFormat& format;
  const OperationOrder& order;
  std::array<Known, static_cast<std::size_t>(Register::constant)> known{};
  const char* phase = "";
  std::size_t number = 0;

  [[noreturn]] void fail(const std::string& why) const {
    throw std::invalid_argument("operation order '" + std::string(order.name) + "', " + phase +
                                " operation " + std::to_string(number) + ": " + why);
  }
  Known& at(Register r) { return known[static_cast<std::size_t>(r)]; }

  Known operand(Register r, const Constant& c) {
    if (r != Register::constant) {
      if (!at(r).set) fail("it reads a register that nothing has set");
      return at(r);
    }
    if (c.num < 0 || c.den <= 0) fail("its constant must not be negative");
    const auto num = static_cast<std::uint64_t>(c.num);
    const auto den = static_cast<std::uint64_t>(c.den);
    const int bits = std::max(1, static_cast<int>(std::bit_width(num)));
    if (std::max<int>(bits, std::bit_width(den)) > kOperandBits) {
      fail("its constant needs numerator and denominator below 2^24");
    }
    const bool dyadic = std::has_single_bit(den);
    const int last = c.exponent - std::bit_width(den) + 1;  // exponent of the last bit, if dyadic
    return {true,
            !dyadic,
            dyadic && std::has_single_bit(num),
            bits,
            std::abs(c.exponent) + kOperandBits,
            dyadic && last >= -149 && last + bits <= 128};
  }

  Known result(const Operation& o) {
    const Known a = operand(o.a, o.constant);
    if (o.op == OpCode::copy) return a;
    const Known b = operand(o.b, o.constant);
    const bool arithmetic = o.op == OpCode::multiply || o.op == OpCode::divide;
    if (arithmetic && (a.quotient || b.quotient)) {
      fail("it computes with a quotient that was not rounded; round it to a format first");
    }
    const int range = a.range + b.range;
    switch (o.op) {
      case OpCode::multiply: {
        const int bits = a.power_of_two ? b.bits : b.power_of_two ? a.bits : a.bits + b.bits;
        if (bits > kDoubleBits) fail("its exact product exceeds 53 bits; round an operand first");
        return {true, false, a.power_of_two && b.power_of_two, bits, range};
      }
      case OpCode::divide:
        if (b.power_of_two) return {true, false, a.power_of_two, a.bits, range};
        if (std::max(a.bits, b.bits) > kOperandBits) {
          fail("it divides values of more than 24 bits; round them to a format first");
        }
        return {true, true, false, kDoubleBits, range};
      case OpCode::minimum:
      case OpCode::maximum:
        if (a.quotient ? b.quotient || b.bits > kOperandBits
                       : b.quotient && a.bits > kOperandBits) {
          fail("it compares a quotient with more than 24 bits; round one to a format first");
        }
        return merge(a, b);
      default:
        return at(o.dst).set ? merge(at(o.dst), b) : b;
    }
  }

  static Known merge(const Known& a, const Known& b) {
    return {true,
            a.quotient || b.quotient,
            a.power_of_two && b.power_of_two,
            std::max(a.bits, b.bits),
            std::max(a.range, b.range),
            a.fp32 && b.fp32,
            a.rounded == b.rounded ? a.rounded : nullptr};
  }

  void run(std::span<const Operation> operations, const char* name) {
    phase = name;
    number = 0;
    for (const Operation& o : operations) {
      ++number;
      if (o.dst == Register::constant) fail("it writes to the constant");
      if (o.op == OpCode::if_zero && !at(o.dst).set) fail("it changes a register nothing has set");
      Known r = result(o);
      if (r.range > kDoubleRange)
        fail("its exponent range exceeds double's; round an operand first");
      const FormatSpec* f = o.round.format;
      if (f != nullptr) {
        if (f->mantissa_bits + 1 > kOperandBits || o.round.mode == RoundingMode::stochastic) {
          fail("it rounds stochastically or to more than 24 bits");
        }
        r = {true, false, f->mantissa_bits == 0, f->mantissa_bits + 1, kFormatRange, true, f};
      } else if (o.op == OpCode::if_zero && o.b == Register::constant) {
        // A constant 1 in place of 0 leaves a value of every format that has a 1.
        if (o.constant.num == 1 && o.constant.den == 1) r.rounded = at(o.dst).rounded;
      }
      at(o.dst) = r;
    }
  }
};

bool is_f32(const Rounding& r) {
  return r.format == &fp32 && r.mode == RoundingMode::nearest_even &&
         r.overflow == Overflow::to_infinity;
}

ElementPlan classify(Checker& checker, const Known& x) {
  const std::span<const Operation> e = checker.order.element;
  ElementPlan plan{ElementPath::general, Register::constant, false, x.quotient};
  if (e.empty() || e[0].dst != Register::x || e[0].a != Register::x ||
      e[0].b == Register::constant || e[0].b == Register::x) {
    return plan;
  }
  const Known& factor = checker.at(e[0].b);
  if (!factor.fp32) return plan;
  plan.factor = e[0].b;
  if (e.size() == 1 && e[0].op == OpCode::multiply && is_f32(e[0].round)) {
    plan.path = ElementPath::multiply;
  } else if (e.size() == 1 && e[0].op == OpCode::divide && e[0].round.format == nullptr &&
             factor.power_of_two && factor.rounded == &e8m0) {
    plan.path = ElementPath::power_of_two;
  } else if (e[0].op == OpCode::divide && is_f32(e[0].round) &&
             (e.size() == 1 ||
              (e.size() == 2 && e[1].op == OpCode::if_zero && e[1].dst == Register::x &&
               e[1].a == e[0].b && e[1].b == Register::constant && e[1].constant.num == 0))) {
    plan.path = ElementPath::divide;
    plan.zero_guarded = e.size() == 2;
  }
  return plan;
}

}  // namespace

ElementPlan plan_order(const BlockFormat& format, const OperationOrder& order) {
  Checker checker{format, order};
  const Known f32_value{true, false, false, fp32.mantissa_bits + 1, kFormatRange, true, &fp32};
  checker.at(Register::amax_tensor) = f32_value;
  checker.run(order.tensor, "tensor");
  if (format.tensor_scale == TensorScale::fp32 &&
      checker.at(Register::tensor_scale).rounded != &fp32) {
    checker.fail("the tensor phase must set tensor_scale, rounded to FP32");
  }
  checker.at(Register::amax_block) = f32_value;
  if (format.rule == ScaleRule::given) {
    const FormatSpec& s = *format.scale;
    checker.at(Register::scale) = {
        true, false, s.mantissa_bits == 0, s.mantissa_bits + 1, kFormatRange, true, &s};
  }
  checker.run(order.block, "block");
  if (checker.at(Register::scale).rounded != format.scale) {
    checker.fail("the block phase must set scale, rounded to the scale format");
  }
  checker.at(Register::x) = f32_value;
  checker.run(order.element, "element");
  return classify(checker, checker.at(Register::x));
}

}  // namespace assay::formats

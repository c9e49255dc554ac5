// SPDX-License-Identifier: Apache-2.0
#include "golden/order.h"

#include <stdexcept>
#include <string>

namespace assay::golden {
namespace {

using formats::OpCode;
using formats::Register;

RationalValue exact_constant(const formats::Constant& c) {
  return RationalValue::finite(Rational(Integer(c.num), Integer(c.den)) *
                               Exact::power_of_two(c.exponent).rational());
}

RationalValue rounded(const RationalValue& x, const formats::Rounding& rounding) {
  if (rounding.format == nullptr) return x;
  Policy policy = policy_of(formats::saturating, *rounding.format);
  policy.overflow = rounding.overflow;
  return to_rational(decode(*rounding.format, encode(*rounding.format, x, rounding.mode, policy)));
}

RationalValue smaller(const RationalValue& a, const RationalValue& b) {
  if (a.is_nan() || b.is_nan()) return RationalValue::nan();
  return less(b, a) ? b : a;
}

RationalValue larger(const RationalValue& a, const RationalValue& b) {
  if (a.is_nan() || b.is_nan()) return RationalValue::nan();
  return less(a, b) ? b : a;
}

}  // namespace

RationalValue& Registers::operator[](Register r) {
  if (r == Register::constant)
    throw std::invalid_argument(
        "an operation order writes Register::constant; name a real register");
  return values_[static_cast<std::size_t>(r)];
}

const RationalValue& Registers::operator[](Register r) const {
  return values_.at(static_cast<std::size_t>(r));
}

RationalValue Registers::operand(Register r, const formats::Constant& constant) const {
  return r == Register::constant ? exact_constant(constant) : (*this)[r];
}

void Registers::run(std::span<const formats::Operation> operations) {
  for (const formats::Operation& operation : operations) {
    const RationalValue a = operand(operation.a, operation.constant);
    const RationalValue b = operand(operation.b, operation.constant);
    RationalValue& dst = (*this)[operation.dst];
    RationalValue result;
    switch (operation.op) {
      case OpCode::copy:
        result = a;
        break;
      case OpCode::multiply:
        result = a * b;
        break;
      case OpCode::divide:
        result = a / b;
        break;
      case OpCode::minimum:
        result = smaller(a, b);
        break;
      case OpCode::maximum:
        result = larger(a, b);
        break;
      case OpCode::if_zero:
        result = a.is_zero() ? b : dst;
        break;
    }
    dst = rounded(result, operation.round);
  }
}

std::uint32_t scale_code(const formats::BlockFormat& format, const Value& amax_block,
                         const Value& amax_tensor) {
  if (format.candidates != nullptr)
    throw std::invalid_argument("the scale factors of " + std::string(format.name) +
                                " depend on more than amax: quantize the elements");
  Registers registers;
  registers[Register::amax_tensor] = to_rational(amax_tensor);
  registers.run(format.order->tensor);
  registers[Register::amax_block] = to_rational(amax_block);
  registers.run(format.order->block);
  return encode(*format.scale, registers[Register::scale], RoundingMode::nearest_even,
                policy_of(formats::saturating, *format.scale));
}

}  // namespace assay::golden

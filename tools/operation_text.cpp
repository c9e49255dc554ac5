// SPDX-License-Identifier: Apache-2.0
#include "tools/operation_text.h"

#include <fmt/format.h>

#include <array>
#include <string_view>

#include "formats/names.h"

namespace assay::tools {
namespace {

using formats::Constant;
using formats::OpCode;
using formats::Operation;
using formats::Register;

std::string text(const Constant& constant) {
  std::string out = std::to_string(constant.num);
  if (constant.den != 1) out += fmt::format("/{}", constant.den);
  if (constant.exponent != 0) out += fmt::format("*2^{}", constant.exponent);
  return out;
}

std::string operand(Register r, const Constant& constant) {
  constexpr std::array<std::string_view, 10> names{
      "x", "amax_tensor", "amax_block", "tensor_scale", "scale", "t0", "t1", "t2", "t3", ""};
  return r == Register::constant ? text(constant) : std::string(names[static_cast<std::size_t>(r)]);
}

std::string text(const Operation& op) {
  const std::string dst = operand(op.dst, op.constant);
  const std::string a = operand(op.a, op.constant);
  const std::string b = operand(op.b, op.constant);
  std::string value;
  switch (op.op) {
    case OpCode::copy:
      value = a;
      break;
    case OpCode::multiply:
      value = fmt::format("{} * {}", a, b);
      break;
    case OpCode::divide:
      value = fmt::format("{} / {}", a, b);
      break;
    case OpCode::minimum:
      value = fmt::format("min({}, {})", a, b);
      break;
    case OpCode::maximum:
      value = fmt::format("max({}, {})", a, b);
      break;
    case OpCode::if_zero:
      value = fmt::format("{} == 0 ? {} : {}", a, b, dst);
      break;
  }
  if (op.round.format == nullptr) return fmt::format("{} = {}", dst, value);
  return fmt::format("{} = {}({}, {})", dst, op.round.format->name, value,
                     formats::name_of(op.round.mode));
}

}  // namespace

std::vector<std::string> operations_text(std::span<const Operation> operations) {
  std::vector<std::string> lines;
  for (const Operation& operation : operations) lines.push_back(text(operation));
  return lines;
}

}  // namespace assay::tools

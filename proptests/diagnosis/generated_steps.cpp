// SPDX-License-Identifier: Apache-2.0
// Every step by which a format's scale factors and elements are computed, replaced by others: its
// rounding, a narrower one before it, its operands, its constant, the step left out.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "formats/presets.h"
#include "proptests/diagnosis/quantizer_edits.h"

namespace assay::proptests::diagnosis {
namespace {

using formats::Constant;
using formats::OpCode;
using formats::Operation;
using formats::OperationOrder;
using formats::Register;
using formats::Rounding;
using formats::RoundingMode;
using Operations = std::vector<Operation>;

enum class Phase : std::uint8_t { tensor, block, element };
/// A step of an order, and what it computes in words.
struct Step {
  const OperationOrder* order;
  Phase phase;
  std::size_t at;
  Operation operation;
  std::string text;
};

std::string shown(const Constant& c) {
  if (c.num == (1 << 24) - 1 && c.exponent == 104) return "FLT_MAX";
  std::string text = fmt::format("{}", c.num);
  if (c.den != 1) text += fmt::format("/{}", c.den);
  if (c.exponent != 0) text += fmt::format(" * 2^{}", c.exponent);
  return text;
}

/// What a register holds, as an expression in those that have a name.
class Words {
 public:
  std::string operator()(const Operation& o) {
    const std::string a = of(o.a, o.constant);
    const std::string b = of(o.b, o.constant);
    switch (o.op) {
      case OpCode::copy:
        return a;
      case OpCode::multiply:
        return in(a) + " * " + in(b);
      case OpCode::divide:
        return in(a) + " / " + in(b);
      case OpCode::minimum:
        return fmt::format("min({}, {})", a, b);
      case OpCode::maximum:
        return fmt::format("max({}, {})", a, b);
      case OpCode::if_zero:
        return fmt::format("{} where {} is 0", b, a);
    }
    return "";
  }
  void set(const Operation& o, const std::string& text) {
    if (o.op == OpCode::if_zero || o.op == OpCode::minimum) return;  // a guard: the name stays
    const bool named = o.dst == Register::scale || o.dst == Register::tensor_scale;
    held_[o.dst] = named ? name(o.dst) : text;
  }

 private:
  static std::string name(Register r) {
    switch (r) {
      case Register::x:
        return "the element";
      case Register::amax_tensor:
        return "the amax of the tensor";
      case Register::amax_block:
        return "the amax of the block";
      case Register::tensor_scale:
        return "the tensor scale";
      case Register::scale:
        return "the scale factor";
      default:
        return "an intermediate";
    }
  }
  static std::string in(const std::string& text) {
    return text.find(' ') == std::string::npos ||
                   (text.starts_with("the ") && text.find_first_of("*/") == std::string::npos)
               ? text
               : "(" + text + ")";
  }
  std::string of(Register r, const Constant& c) {
    if (r == Register::constant) return shown(c);
    const auto at = held_.find(r);
    return at != held_.end() ? at->second : name(r);
  }
  std::map<Register, std::string> held_;
};

std::vector<Step> steps_of(const OperationOrder& order) {
  std::vector<Step> out;
  Words words;
  const auto phase = [&](Phase which, std::span<const Operation> operations) {
    for (std::size_t i = 0; i < operations.size(); ++i) {
      const std::string text = words(operations[i]);
      out.push_back({&order, which, i, operations[i], text});
      words.set(operations[i], text);
    }
  };
  phase(Phase::tensor, order.tensor);
  phase(Phase::block, order.block);
  phase(Phase::element, order.element);
  return out;
}

/// The steps that stand for one of them.
QuantizerEdit instead(const Step& s, std::string id, std::string text, Operations by) {
  return {std::move(id), std::move(text),
          [s, by = std::move(by)](QuantizerModel& m, const Case&) {
            Operations& list = s.phase == Phase::tensor  ? m.tensor_order
                               : s.phase == Phase::block ? m.block_order
                                                         : m.element_order;
            if (s.at >= list.size()) return false;
            list.erase(list.begin() + static_cast<std::ptrdiff_t>(s.at));
            list.insert(list.begin() + static_cast<std::ptrdiff_t>(s.at), by.begin(), by.end());
            return true;
          },
          [order = s.order](const formats::BlockFormat& f) { return f.order == order; }};
}

struct Mode {
  RoundingMode mode;
  const char* text;
};
constexpr Mode modes[] = {
    {RoundingMode::toward_zero, "is truncated"},
    {RoundingMode::toward_positive, "is rounded up"},
    {RoundingMode::nearest_away, "is rounded with ties away from zero"},
    {RoundingMode::nearest_even, "is rounded to nearest even"},
};
struct Narrow {
  const char* name;
  Rounding round;
};
constexpr Narrow narrow[] = {
    {"FP32", {&formats::fp32, RoundingMode::nearest_even}},
    {"FP32, truncated", {&formats::fp32, RoundingMode::toward_zero}},
    {"bf16", {&formats::bf16, RoundingMode::nearest_even}},
    {"bf16, truncated", {&formats::bf16, RoundingMode::toward_zero}},
    {"fp16", {&formats::fp16, RoundingMode::nearest_even}},
    {"fp16, truncated", {&formats::fp16, RoundingMode::toward_zero}},
    {"TF32", {&formats::tf32, RoundingMode::nearest_even}},
};
constexpr Rounding exact{};

void of_rounding(std::vector<QuantizerEdit>& out, const Step& s) {
  const Operation& o = s.operation;
  if (o.op == OpCode::if_zero) return;
  const bool scale = o.dst == Register::scale;
  const char* id = scale ? "scale_rounded_otherwise" : "step_rounded_otherwise";
  if (o.round.format != nullptr)
    for (const Mode& m : modes) {
      if (m.mode == o.round.mode) continue;
      Operation other = o;
      other.round.mode = m.mode;
      out.push_back(instead(s, id, s.text + " " + m.text, {other}));
    }
  if (o.round.format != nullptr && !scale) {
    Operation other = o;
    other.round = exact;
    out.push_back(
        instead(s, "step_not_rounded", s.text + " is not rounded before it is used", {other}));
  }
  for (const Narrow& n : narrow) {
    const bool same = o.round.format == n.round.format && o.round.mode == n.round.mode;
    if (same) continue;
    Operation first = o;
    first.dst = Register::t3;
    first.round = n.round;
    Operation second{OpCode::copy, o.dst, Register::t3, Register::constant, {}, o.round};
    out.push_back(instead(s, "step_narrowed", fmt::format("{} passes through {}", s.text, n.name),
                          {first, second}));
  }
}

void of_operands(std::vector<QuantizerEdit>& out, const Step& s) {
  const Operation& o = s.operation;
  if (o.op == OpCode::minimum || o.op == OpCode::maximum || o.op == OpCode::if_zero) {
    Operations nothing;
    if (o.dst != o.a && o.op != OpCode::if_zero)
      nothing = {{OpCode::copy, o.dst, o.a, Register::constant, {}, o.round}};
    out.push_back(instead(s, "guard_missing", "the guard is missing: " + s.text, nothing));
    return;
  }
  if (o.op != OpCode::multiply && o.op != OpCode::divide) return;
  const auto alone = [&](Register r) {
    return Operations{{OpCode::copy, o.dst, r, Register::constant, o.constant, o.round}};
  };
  out.push_back(
      instead(s, "factor_left_out", "the second factor is left out of " + s.text, alone(o.a)));
  if (o.op == OpCode::multiply)
    out.push_back(
        instead(s, "factor_left_out", "the first factor is left out of " + s.text, alone(o.b)));
  Operation other = o;
  other.op = o.op == OpCode::multiply ? OpCode::divide : OpCode::multiply;
  out.push_back(instead(s, "step_inverted",
                        o.op == OpCode::multiply ? s.text + " divides instead of multiplying"
                                                 : s.text + " multiplies instead of dividing",
                        {other}));
  other = o;
  std::swap(other.a, other.b);
  if (o.op == OpCode::divide)
    out.push_back(instead(s, "step_inverted", s.text + " is upside down", {other}));
  for (const auto& [from, to, text] :
       {std::tuple(Register::amax_block, Register::amax_tensor, "the amax of the tensor"),
        {Register::amax_tensor, Register::amax_block, "the amax of the block"}}) {
    other = o;
    if (o.a == from) other.a = to;
    if (o.b == from) other.b = to;
    if (other.a != o.a || other.b != o.b)
      out.push_back(instead(s, "amax_of_the_other_level",
                            fmt::format("{} is computed of {}", s.text, text), {other}));
  }
  // a / b by the reciprocal of b, which is rounded once more, to FP32 or to less.
  if (o.op == OpCode::divide)
    for (const Narrow& n : narrow) {
      const Operation inverse{OpCode::divide, Register::t3, Register::constant, o.b, {1}, n.round};
      Operation product{OpCode::multiply, o.dst, o.a, Register::t3, o.constant, o.round};
      if (o.a == Register::constant && o.b == Register::constant) continue;
      Operations by{inverse, product};
      if (o.b == Register::constant)
        by[0] = {OpCode::copy,
                 Register::t3,
                 Register::constant,
                 Register::constant,
                 {o.constant.den, o.constant.num, -o.constant.exponent},
                 n.round};
      out.push_back(instead(
          s, std::string(n.name) == "FP32" ? "reciprocal_for_divide" : "reciprocal_narrowed",
          fmt::format("{} is a product with the reciprocal, rounded to {}", s.text, n.name), by));
    }
}

bool operator==(const Constant& a, const Constant& b) {
  return a.num * b.den == b.num * a.den && a.exponent == b.exponent;
}

void of_constants(std::vector<QuantizerEdit>& out, const Step& s) {
  const Operation& o = s.operation;
  if (o.a != Register::constant && o.b != Register::constant) return;
  if (o.op == OpCode::copy && o.a != Register::constant) return;
  const bool reciprocal = o.constant == Constant{1, 6};
  std::vector<Constant> others{{1}, {2}, {3}, {4}, {5}, {6}, {7}, {8}, {12}, {448}, {2688}};
  if (o.constant.num >= 256)
    others = {{1},       {6},       {240},     {256},     {448},       {480},   {464},  {512},
              {1440},    {1536},    {1792},    {2240},    {2688},      {2880},  {3072}, {3584},
              {6 * 512}, {4 * 256}, {6 * 127}, {6 * 464}, {57344 * 6}, {65504}, {57344}};
  if (reciprocal)
    others = {{1, 4},      {1, 8},    {1, 7},          {1, 3},        {1, 5},
              {1},         {6},       {16667, 100000}, {1667, 10000}, {167, 1000},
              {166, 1000}, {17, 100}, {16666, 100000}, {1666, 10000}};
  if (o.op == OpCode::minimum) others = {{448}, {240}, {65504}, {57344}, {1}, {255, 1, 120}};
  if (o.op == OpCode::maximum || o.op == OpCode::if_zero)
    others = {{0},
              {1},
              {1, 1, -126},
              {1, 1, -127},
              {1, 1, -149},
              {1, 1000},
              {1, 10000},
              {1, 100000},
              {1, 1000000},
              {1, 100000000},
              {1, 10000000000},
              {1, 1000000000000},
              {448},
              {6},
              {1, 6},
              {1, 448},
              {1, 2688},
              {1, 1, -6},
              {1, 1, -9},
              {(1 << 24) - 1, 1, 104}};
  others.push_back({o.constant.num * 2, o.constant.den, o.constant.exponent});
  others.push_back({o.constant.num, o.constant.den * 2, o.constant.exponent});
  for (const Constant& c : others) {
    if (c == o.constant || (c.num == 0 && o.op == OpCode::divide)) continue;
    Operation other = o;
    other.constant = c;
    out.push_back(instead(
        s, "constant_replaced",
        fmt::format("{} stands in the place of {} in {}", shown(c), shown(o.constant), s.text),
        {other}));
  }
}

}  // namespace

std::vector<QuantizerEdit> step_edits() {
  std::vector<QuantizerEdit> out = evaluation_edits();
  std::set<const OperationOrder*> seen;
  for (const formats::BlockFormat* format : formats::all_block_formats) {
    if (format->element != &formats::e2m1 || !seen.insert(format->order).second) continue;
    for (const Step& s : steps_of(*format->order)) {
      of_rounding(out, s);
      of_operands(out, s);
      of_constants(out, s);
    }
  }
  return out;
}

}  // namespace assay::proptests::diagnosis

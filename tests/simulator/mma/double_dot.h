// SPDX-License-Identifier: Apache-2.0
#pragma once
// A model's dot product in FP64 numbers, every operation of which is exact: the definition of
// golden/fused_sum.h at a few million cases a second, so that 10^9 can be compared. It reads codes
// through golden's decoder, and truncates by converting to an integer, where the interpreter
// shifts; the two share the row of parameters and nothing else. mma_dot_test holds it equal to
// the same in big integers (golden_dot.h).
//
// Why exact. Products: significands of at most 24 bits each, exponents within +-300. A group of
// `grouped`: |4 P| <= 2304 times two significands below 16, below 2^20. Dividing by 2^unit is
// scaling by a power of two, |unit| < 400, and the smallest nonzero term is above 2^-700: no
// underflow. A truncated term is below 2^(F + 2) units (below 2^(F + 12) for a group, whose
// significand is not normalised), F <= 35; 65 of them add to less than 2^53.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "golden/codec.h"
#include "golden/fused_sum.h"
#include "simulator/mma/dot.h"

namespace assay::simulator::tests {

class DoubleDot {
 public:
  explicit DoubleDot(const MmaModel& model) : model_(model) {
    fill(*model.a, a_);
    fill(*model.b, b_);
    fill(*model.d, d_);
    if (model.scale != nullptr) fill(*model.scale, scale_);
    if (model.arithmetic != Arithmetic::lowered) return;
    for (auto* table : {&a_, &b_})
      for (Operand& x : *table)
        if (std::isfinite(x.value) && x.value != 0) x.exponent = std::max(std::ilogb(x.value), -14);
  }

  /// Sums that are rounded once from all of their bits do not fit FP64.
  [[nodiscard]] static bool takes(const MmaModel& model) {
    return model.arithmetic != Arithmetic::rounded && model.arithmetic != Arithmetic::flushed &&
           model.fraction_bits <= 35;
  }

  [[nodiscard]] std::uint32_t operator()(const DotOperands& o) {
    std::uint32_t c = o.c;
    const auto step = static_cast<std::size_t>(model_.step);
    for (std::size_t k = 0; k < o.a.size(); k += step) {
      const std::size_t end = std::min(k + step, o.a.size());
      if (model_.arithmetic == Arithmetic::lowered) {
        const std::uint32_t t = lowered(o, k, end, lowered(o, k, end, 0, 0), 2);
        c = code(number(c) + number(t), model_.d == &formats::fp16 ? 10 : 23, true, true);
        continue;
      }
      start(c);
      if (model_.arithmetic == Arithmetic::grouped)
        for (std::size_t i = k; i < end; i += 16) group(o, i);
      else
        for (std::size_t i = k; i < end; ++i) product(o, i);
      if (o.a.size() < step) term(0, 0, true);  // the products that a short instruction lacks
      c = finish();
    }
    return c;
  }

 private:
  struct Operand {
    double value = 0;
    int exponent = 0;  ///< of the encoding
  };
  using Table = std::vector<Operand>;

  static Operand of_float(float x) {
    return {x, x == 0 || !std::isfinite(x) ? -126 : std::max(std::ilogb(x), -126)};
  }

  /// |e| < 1000.
  static double power_of_two(int e) {
    return std::bit_cast<double>(static_cast<std::uint64_t>(e + 1023) << 52);
  }

  static double to_double(const golden::Value& x) {
    if (x.is_nan()) return std::numeric_limits<double>::quiet_NaN();
    double magnitude = std::numeric_limits<double>::infinity();
    if (x.is_finite())
      magnitude = std::ldexp(static_cast<double>(abs(x.number).significand),
                             static_cast<int>(x.number.exponent));
    return x.negative ? -magnitude : magnitude;
  }

  static void fill(const formats::FormatSpec& spec, Table& table) {
    if (spec.storage_bits > 16) return;
    for (std::uint32_t x = 0; x >> spec.storage_bits == 0; ++x) {
      const golden::FusedOperand operand = golden::fused_operand(spec, x);
      table.push_back({to_double(operand.value), static_cast<int>(operand.exponent)});
    }
  }

  /// FP32, and TF32 as an FP32 word whose low bits are not read.
  static Operand read(const formats::FormatSpec& spec, const Table& table, std::uint32_t x) {
    if (!table.empty()) return table[x];
    return of_float(std::bit_cast<float>(x >> spec.storage_shift << spec.storage_shift));
  }
  [[nodiscard]] double number(std::uint32_t d) const { return read(*model_.d, d_, d).value; }
  [[nodiscard]] Operand scale(std::span<const std::uint32_t> codes, std::size_t k) const {
    return scale_[codes[k / static_cast<std::size_t>(model_.scale_block)]];
  }

  void term(double value, int exponent, bool zero) {
    terms_[count_++] = value;
    specials_ += std::isfinite(value) ? 0 : value;
    const bool takes = !zero || model_.zero_rule == ZeroRule::term;
    if (takes && std::isfinite(value))
      e_max_ = std::max(e_max_, zero ? model_.zero_exponent : exponent);
  }

  void start(std::uint32_t c) {
    count_ = 0;
    specials_ = 0;
    e_max_ = model_.zero_rule == ZeroRule::floor ? model_.zero_exponent : -100000;
    const Operand x = read(*model_.d, d_, c);
    term(x.value, x.exponent, x.value == 0);
  }

  void product(const DotOperands& o, std::size_t i) {
    const Operand x = read(*model_.a, a_, o.a[i]);
    const Operand y = read(*model_.b, b_, o.b[i]);
    Operand p{x.value * y.value, x.exponent + y.exponent};
    const bool zero = x.value == 0 || y.value == 0;
    if (model_.scale != nullptr)
      for (const Operand& s : {scale(o.scale_a, i), scale(o.scale_b, i)})
        p = {p.value * s.value, p.exponent + s.exponent};
    term(p.value, p.exponent, zero);
  }

  void group(const DotOperands& o, std::size_t k) {
    double sum = 0;
    bool zero = true;
    for (std::size_t i = k; i < k + 16; ++i) {
      const double p = a_[o.a[i]].value * b_[o.b[i]].value;
      sum += p;
      zero = zero && p == 0;
    }
    const Operand sa = scale(o.scale_a, k);
    const Operand sb = scale(o.scale_b, k);
    term(sum * sa.value * sb.value, sa.exponent + sb.exponent,
         zero || sa.value == 0 || sb.value == 0);
  }

  std::uint32_t lowered(const DotOperands& o, std::size_t k, std::size_t end, std::uint32_t c,
                        std::size_t first) {
    start(c);
    for (std::size_t i = k; i < end; ++i)
      if (i % 4 == first || i % 4 == first + 1) product(o, i);
    return finish();
  }

  [[nodiscard]] std::uint32_t finish() const {
    const bool half = model_.d == &formats::fp16;
    const int kept = half ? 10 : model_.conversion == Conversion::rz_e8m13 ? 13 : 23;
    if (specials_ != 0) return code(specials_, kept, half, true);
    const int unit = e_max_ - model_.fraction_bits;
    std::int64_t sum = 0;
    for (int i = 0; i < count_; ++i)
      sum += static_cast<std::int64_t>(terms_[i] * power_of_two(-unit));  // toward zero
    return code(static_cast<double>(sum) * power_of_two(unit), kept, half, model_.signed_underflow);
  }

  /// x in D's format with `kept` fraction bits.
  [[nodiscard]] std::uint32_t code(double x, int kept, bool nearest, bool signed_underflow) const {
    const bool half = model_.d == &formats::fp16;
    const int width = half ? 10 : 23;
    const int bias = half ? 15 : 127;
    const std::uint32_t infinity = (2U * static_cast<std::uint32_t>(bias) + 1) << width;
    if (std::isnan(x)) return infinity | ((1U << width) - 1);
    const std::uint32_t sign = std::signbit(x) ? 1U << (half ? 15 : 31) : 0;
    if (std::isinf(x)) return sign | infinity;
    if (x == 0) return sign;
    const int e = std::max(std::ilogb(x), 1 - bias);
    const double steps = std::fabs(x) * power_of_two(kept - e);
    const double whole = nearest ? std::nearbyint(steps) : std::trunc(steps);
    if (whole == 0 && !signed_underflow) return 0;
    // Counting on from the smallest number of the binade, over its end too.
    const std::uint32_t magnitude = (static_cast<std::uint32_t>(e - 1 + bias) << width) +
                                    (static_cast<std::uint32_t>(whole) << (width - kept));
    return sign | std::min(magnitude, infinity);
  }

  const MmaModel& model_;
  Table a_, b_, d_, scale_;
  double terms_[1025];
  int count_ = 0, e_max_ = 0;
  double specials_ = 0;
};

}  // namespace assay::simulator::tests

// SPDX-License-Identifier: Apache-2.0
#pragma once
// A model's dot product in exact numbers: golden/fused_sum.h step by step. It shares with the
// interpreter the row of parameters and nothing else.

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "golden/bounds.h"
#include "golden/fused_sum.h"
#include "simulator/mma/dot.h"

namespace assay::simulator::tests {

/// Caches what codes of at most 16 bits mean: decoding in big integers is most of the time.
class GoldenDot {
 public:
  explicit GoldenDot(const MmaModel& model) : model_(model) {
    fill(*model.a, a_);
    fill(*model.b, b_);
    if (model.scale != nullptr) fill(*model.scale, scale_);
  }

  [[nodiscard]] std::uint32_t operator()(const DotOperands& o) const {
    std::uint32_t c = o.c;
    const auto step = static_cast<std::size_t>(model_.step);
    for (std::size_t k = 0; k < o.a.size(); k += step) {
      const std::size_t end = std::min(k + step, o.a.size());
      switch (model_.arithmetic) {
        case Arithmetic::fused:
          c = fused(o, k, end, c);
          break;
        case Arithmetic::grouped:
          c = grouped(o, k, end, c);
          break;
        case Arithmetic::lowered:
          c = lowered(o, k, end, c);
          break;
        case Arithmetic::rounded:
          c = rounded(o, k, end, c);
          break;
        case Arithmetic::flushed:
          c = flushed(o, k, end, c);
          break;
      }
    }
    return c;
  }

 private:
  using Operand = golden::FusedOperand;
  using Term = golden::FusedTerm;
  using Table = std::vector<Operand>;

  static void fill(const formats::FormatSpec& spec, Table& table) {
    if (spec.storage_bits > 16) return;
    for (std::uint32_t code = 0; code >> spec.storage_bits == 0; ++code)
      table.push_back(golden::fused_operand(spec, code));
  }
  [[nodiscard]] static Operand read(const formats::FormatSpec& spec, const Table& table,
                                    std::uint32_t code) {
    if (!table.empty()) return table[code];
    return golden::fused_operand(spec, code >> spec.storage_shift);
  }
  [[nodiscard]] Operand a(std::uint32_t code) const { return read(*model_.a, a_, code); }
  [[nodiscard]] Operand b(std::uint32_t code) const { return read(*model_.b, b_, code); }
  [[nodiscard]] golden::FusedStep step() const {
    return {model_.fraction_bits, model_.zero_exponent, model_.zero_rule == ZeroRule::floor};
  }
  [[nodiscard]] Term accumulator(std::uint32_t c) const {
    return golden::fused_accumulator(golden::fused_operand(*model_.d, c));
  }

  [[nodiscard]] std::uint32_t convert(const golden::Value& x) const {
    if (x.is_nan()) return golden::magnitude_mask(*model_.d);
    const std::uint32_t code = rounded(x);
    const bool underflow = (code & golden::magnitude_mask(*model_.d)) == 0;
    return underflow && !model_.signed_underflow ? 0 : code;
  }
  [[nodiscard]] std::uint32_t rounded(const golden::Value& x) const {
    if (model_.conversion == Conversion::rz_e8m13) return golden::truncate_to(*model_.d, 13, x);
    if (model_.conversion == Conversion::rz_fp32) return golden::truncate_to(*model_.d, 23, x);
    return golden::encode(*model_.d, x, formats::RoundingMode::nearest_even,
                          golden::policy_of(formats::ieee, *model_.d));
  }

  static Term times(Term t, const Operand& s) {
    if (s.value.is_nan()) return {golden::Value::nan(), 0, false};
    // A power of two beside the product; its own zero exponent is the product's.
    t.value = t.value * s.value;
    t.exponent += s.exponent;
    t.takes_zero_exponent = t.takes_zero_exponent || s.value.is_zero();
    return t;
  }
  [[nodiscard]] Operand scale(std::span<const std::uint32_t> codes, std::size_t k) const {
    return scale_[codes[k / static_cast<std::size_t>(model_.scale_block)]];
  }

  [[nodiscard]] std::uint32_t fused(const DotOperands& o, std::size_t k, std::size_t end,
                                    std::uint32_t c) const {
    std::vector<Term> terms{accumulator(c)};
    for (; k < end; ++k) {
      Term t = golden::fused_product(a(o.a[k]), b(o.b[k]));
      if (model_.scale != nullptr) t = times(times(t, scale(o.scale_a, k)), scale(o.scale_b, k));
      terms.push_back(t);
    }
    if (terms.size() <=
        static_cast<std::size_t>(model_.step))  // the products that a short one lacks
      terms.push_back({golden::Value::zero(false), 0, true});
    return convert(golden::fused_sum(terms, step()));
  }

  [[nodiscard]] std::uint32_t grouped(const DotOperands& o, std::size_t k, std::size_t end,
                                      std::uint32_t c) const {
    std::vector<Term> terms{accumulator(c)};
    for (; k < end; k += 16) {
      Term group{golden::Value::zero(false), 0, true};
      for (std::size_t i = k; i < k + 16; ++i) {
        const Term product = golden::fused_product(a(o.a[i]), b(o.b[i]));
        group.value = group.value + product.value;
        group.takes_zero_exponent = group.takes_zero_exponent && product.takes_zero_exponent;
      }
      terms.push_back(times(times(group, scale(o.scale_a, k)), scale(o.scale_b, k)));
    }
    return convert(golden::fused_sum(terms, step()));
  }

  [[nodiscard]] std::uint32_t lowered(const DotOperands& o, std::size_t k, std::size_t end,
                                      std::uint32_t c) const {
    const auto half = [](const Operand& x) -> Operand {
      if (!x.value.is_finite()) return x;
      return {x.value, golden::undecoded_exponent(formats::fp16, x.value.number)};
    };
    std::uint32_t t = 0;
    for (const std::size_t first : {0, 2}) {
      std::vector<Term> terms{accumulator(t)};
      for (std::size_t i = k; i < end; ++i)
        if (i % 4 == first || i % 4 == first + 1)
          terms.push_back(golden::fused_product(half(a(o.a[i])), half(b(o.b[i]))));
      t = convert(golden::fused_sum(terms, step()));
    }
    const golden::Value sum = golden::decode(*model_.d, c) + golden::decode(*model_.d, t);
    if (sum.is_nan()) return golden::magnitude_mask(*model_.d);
    return golden::encode(*model_.d, sum, formats::RoundingMode::nearest_even,
                          golden::policy_of(formats::ieee, *model_.d));
  }

  [[nodiscard]] std::uint32_t rounded(const DotOperands& o, std::size_t k, std::size_t end,
                                      std::uint32_t c) const {
    golden::Value sum = golden::decode(*model_.d, c);
    for (; k < end; ++k) sum = sum + a(o.a[k]).value * b(o.b[k]).value;
    return golden::encode(*model_.d, sum, formats::RoundingMode::nearest_even,
                          golden::policy_of(formats::ieee, *model_.d));
  }

  /// One FP32 operation: the exact value rounded, and flushed.
  [[nodiscard]] static golden::Value once(const golden::Value& exact) {
    const auto& f = formats::fp32;
    const std::uint32_t code = golden::encode(f, exact, formats::RoundingMode::nearest_even,
                                              golden::policy_of(formats::ieee, f));
    const bool subnormal = (code & golden::magnitude_mask(f)) >> f.mantissa_bits == 0;
    return golden::decode(f, subnormal ? code & golden::sign_mask(f) : code);
  }
  /// What is subnormal in the input's own format, and -0, is +0.
  [[nodiscard]] static golden::Value input(const formats::FormatSpec& spec, std::uint32_t code) {
    const bool none = (code & golden::magnitude_mask(spec)) >> spec.mantissa_bits == 0;
    return none ? golden::Value::zero(false) : golden::decode(spec, code);
  }
  [[nodiscard]] std::uint32_t flushed(const DotOperands& o, std::size_t k, std::size_t end,
                                      std::uint32_t c) const {
    std::vector<golden::Value> terms;
    for (; k < end; ++k) terms.push_back(once(input(*model_.a, o.a[k]) * input(*model_.b, o.b[k])));
    while (terms.size() > 1) {
      std::vector<golden::Value> sums;
      for (std::size_t i = 0; i < terms.size(); i += 2)
        sums.push_back(once(terms[i] + terms[i + 1]));
      terms = std::move(sums);
    }
    // C is flushed where it enters; what a step leaves keeps the sign of its zero.
    const golden::Value sum =
        once((k == static_cast<std::size_t>(model_.step) ? input(*model_.d, c)
                                                         : golden::decode(*model_.d, c)) +
             terms[0]);
    if (sum.is_nan()) return golden::magnitude_mask(*model_.d);
    return golden::encode(*model_.d, sum, formats::RoundingMode::nearest_even,
                          golden::policy_of(formats::ieee, *model_.d));
  }

  const MmaModel& model_;
  Table a_, b_, scale_;
};

}  // namespace assay::simulator::tests

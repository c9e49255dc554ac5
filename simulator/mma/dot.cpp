// SPDX-License-Identifier: Apache-2.0
#include "simulator/mma/dot.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

#include "golden/codec.h"

namespace assay::simulator {
namespace {

using formats::FormatSpec;
using formats::Specials;
__extension__ typedef unsigned __int128 Wide;
__extension__ typedef __int128 SignedWide;

enum class Kind : std::uint8_t { finite, infinite, nan };

/// significand * 2^(exponent - fraction_bits), not normalised; `exponent` is that of the encoding.
struct Number {
  Kind kind = Kind::finite;
  bool negative = false;
  std::uint64_t significand = 0;
  int fraction_bits = 0;
  int exponent = 0;
  bool zero = false;  ///< takes `zero_exponent`; a group that cancels has significand 0 and is not
};

Number read(const FormatSpec& spec, std::uint32_t code) {
  const int m = spec.mantissa_bits;
  const std::uint32_t mantissa = code & ((1U << m) - 1);
  const std::uint32_t field_mask = (1U << spec.exponent_bits) - 1;
  const std::uint32_t field = code >> m & field_mask;
  Number x;
  x.negative = spec.sign_bits != 0 && (code >> (m + spec.exponent_bits) & 1U) != 0;
  x.fraction_bits = m;
  if (field == field_mask) {
    const std::uint32_t all_ones = (1U << m) - 1;
    if (spec.specials == Specials::ieee) x.kind = mantissa == 0 ? Kind::infinite : Kind::nan;
    if (spec.specials == Specials::nan_all_ones && mantissa == all_ones) x.kind = Kind::nan;
    if (x.kind != Kind::finite) return x;
  }
  const bool subnormal = field == 0 && spec.subnormals;
  x.significand = mantissa | (subnormal ? 0 : std::uint64_t{1} << m);
  x.exponent = static_cast<int>(subnormal ? 1 : field) - spec.bias;
  x.zero = x.significand == 0;
  return x;
}

Number product(const Number& a, const Number& b) {
  Number p;
  p.negative = a.negative != b.negative;
  p.fraction_bits = a.fraction_bits + b.fraction_bits;
  p.exponent = a.exponent + b.exponent;
  p.significand = a.significand * b.significand;
  p.zero = a.zero || b.zero;
  const bool infinite = a.kind == Kind::infinite || b.kind == Kind::infinite;
  if (a.kind == Kind::nan || b.kind == Kind::nan || (infinite && p.zero))
    p.kind = Kind::nan;
  else if (infinite)
    p.kind = Kind::infinite;
  return p;
}

std::uint32_t canonical_nan(const FormatSpec& d) {
  return (1U << (d.exponent_bits + d.mantissa_bits)) - 1;
}
std::uint32_t infinity(const FormatSpec& d, bool negative) {
  const std::uint32_t magnitude = ((1U << d.exponent_bits) - 1) << d.mantissa_bits;
  return magnitude | (negative ? 1U << (d.exponent_bits + d.mantissa_bits) : 0);
}

int top_bit(Wide x) {
  const auto high = static_cast<std::uint64_t>(x >> 64);
  return high != 0 ? 127 - std::countl_zero(high)
                   : 63 - std::countl_zero(static_cast<std::uint64_t>(x));
}

struct Output {
  const FormatSpec& spec;
  int kept_bits;  ///< of the fraction
  bool nearest;
  bool signed_underflow = true;
};
Output output_of(const FormatSpec& d, Conversion conversion, bool signed_underflow = true) {
  const bool nearest = conversion == Conversion::rne_fp16 || conversion == Conversion::rne_fp32;
  return {d, conversion == Conversion::rz_e8m13 ? 13 : d.mantissa_bits, nearest, signed_underflow};
}

/// The one conversion of +-magnitude * 2^unit.
std::uint32_t convert(bool negative, Wide magnitude, int unit, const Output& out) {
  const FormatSpec& d = out.spec;
  const std::uint32_t sign = negative ? 1U << (d.exponent_bits + d.mantissa_bits) : 0;
  if (magnitude == 0) return sign;
  const int smallest = 1 - d.bias;
  int exponent = std::max(top_bit(magnitude) + unit, smallest);
  const int shift = exponent - out.kept_bits - unit;
  Wide kept = 0;
  if (shift <= 0) {
    kept = magnitude << -shift;
  } else if (shift < 128) {
    kept = magnitude >> shift;
    const Wide half = Wide{1} << (shift - 1);
    const Wide rest = magnitude & ((half << 1) - 1);
    if (out.nearest && (rest > half || (rest == half && (kept & 1) != 0))) ++kept;
  }
  if (kept == 0 && !out.signed_underflow) return 0;
  if (kept >> (out.kept_bits + 1) != 0) {  // rounding carried into the next binade
    kept >>= 1;
    ++exponent;
  }
  if (exponent > d.bias) return infinity(d, negative);
  const auto fraction = static_cast<std::uint32_t>(kept) << (d.mantissa_bits - out.kept_bits);
  // A normal significand's leading one adds the exponent field 1 that `exponent - smallest` lacks.
  return sign | ((static_cast<std::uint32_t>(exponent - smallest) << d.mantissa_bits) + fraction);
}

/// Specials first: true where they decide, the result in `code`.
bool special(std::span<const Number> terms, const FormatSpec& d, std::uint32_t& code) {
  bool positive = false;
  bool negative = false;
  for (const Number& t : terms) {
    if (t.kind == Kind::nan) {
      code = canonical_nan(d);
      return true;
    }
    if (t.kind == Kind::infinite) (t.negative ? negative : positive) = true;
  }
  if (positive && negative) code = canonical_nan(d);
  if (positive != negative) code = infinity(d, negative);
  return positive || negative;
}

/// Below every exponent that terms can have.
constexpr int lowest = -100000;

/// Aligns, truncates, adds, converts: one step over its terms, c among them.
std::uint32_t add(const MmaModel& model, std::span<const Number> terms, const Output& out) {
  std::uint32_t code = 0;
  if (special(terms, out.spec, code)) return code;
  int e_max = model.zero_rule == ZeroRule::floor ? model.zero_exponent : lowest;
  for (const Number& t : terms) {
    if (!t.zero)
      e_max = std::max(e_max, t.exponent);
    else if (model.zero_rule == ZeroRule::term)
      e_max = std::max(e_max, model.zero_exponent);
  }
  const int unit = e_max - model.fraction_bits;
  SignedWide sum = 0;
  for (const Number& t : terms) {
    if (t.significand == 0) continue;
    // At most fraction_bits: t.exponent <= e_max.
    const int shift = t.exponent - t.fraction_bits - unit;
    const Wide magnitude = t.significand;
    const Wide aligned = shift >= 0 ? magnitude << shift : shift > -64 ? magnitude >> -shift : 0;
    sum += t.negative ? -static_cast<SignedWide>(aligned) : static_cast<SignedWide>(aligned);
  }
  const bool negative = sum < 0;
  return convert(negative, static_cast<Wide>(negative ? -sum : sum), unit, out);
}

Number scaled(Number p, const Number& sa, const Number& sb) {
  if (sa.kind == Kind::nan || sb.kind == Kind::nan) p.kind = Kind::nan;
  p.exponent += sa.exponent + sb.exponent;
  return p;
}

class Chain {
 public:
  Chain(const MmaModel& model, const DotOperands& o) : model_(model), o_(o) {}

  std::uint32_t fused() const {
    const Output out = output_of(*model_.d, model_.conversion, model_.signed_underflow);
    std::uint32_t c = o_.c;
    for (std::size_t k = 0; k < o_.a.size(); k += step()) {
      std::vector<Number> terms;
      terms.reserve(step() + 1);
      for (std::size_t i = k; i < std::min(k + step(), o_.a.size()); ++i) {
        const Number p = product(element(*model_.a, o_.a[i]), element(*model_.b, o_.b[i]));
        terms.push_back(model_.scale == nullptr ? p : scaled(p, scale_a(i), scale_b(i)));
      }
      terms.push_back(read(*model_.d, c));
      c = add(model_, terms, out);
    }
    return c;
  }

  std::uint32_t grouped() const {
    constexpr std::size_t group = 16;
    const Output out = output_of(*model_.d, model_.conversion, model_.signed_underflow);
    std::uint32_t c = o_.c;
    for (std::size_t k = 0; k < o_.a.size(); k += step()) {
      std::vector<Number> terms;
      for (std::size_t g = k; g < k + step(); g += group) terms.push_back(group_term(g, g + group));
      terms.push_back(read(*model_.d, c));
      c = add(model_, terms, out);
    }
    return c;
  }

  std::uint32_t lowered() const {
    const Output out = output_of(*model_.d, model_.conversion, model_.signed_underflow);
    std::uint32_t c = o_.c;
    for (std::size_t k = 0; k < o_.a.size(); k += step()) {
      std::uint32_t t = 0;
      for (const std::size_t half : {0, 2}) {
        std::vector<Number> terms;
        terms.reserve(step() / 2 + 1);
        for (std::size_t i = k; i < k + step(); i += 4)
          for (std::size_t j = i + half; j < i + half + 2; ++j)
            terms.push_back(product(widened(*model_.a, o_.a[j]), widened(*model_.b, o_.b[j])));
        terms.push_back(read(*model_.d, t));
        t = add(model_, terms, out);
      }
      c = nearest_sum(c, t);
    }
    return c;
  }

  /// FP32 as this machine has it; subnormal inputs become +0, subnormal results a zero of their
  /// sign.
  std::uint32_t flushed() const {
    const auto plus_zero = [](float x) {
      return std::fabs(x) < std::numeric_limits<float>::min() ? 0.0F : x;
    };
    const auto signed_zero = [](float x) {
      return std::fabs(x) < std::numeric_limits<float>::min() ? std::copysign(0.0F, x) : x;
    };
    const auto input = [](const FormatSpec& spec, std::uint32_t code) {
      const Number x = read(spec, code);
      const float sign = x.negative ? -1.0F : 1.0F;
      if (x.kind == Kind::nan) return std::numeric_limits<float>::quiet_NaN();
      if (x.kind == Kind::infinite) return sign * std::numeric_limits<float>::infinity();
      if (x.significand >> x.fraction_bits == 0) return 0.0F;  // subnormal, or a zero of any sign
      return sign * std::ldexp(static_cast<float>(x.significand), x.exponent - x.fraction_bits);
    };
    float c = plus_zero(std::bit_cast<float>(o_.c));
    for (std::size_t k = 0; k < o_.a.size(); k += step()) {
      float pair[2] = {};
      for (std::size_t i = 0; i < step(); i += 2) {
        float product[2];
        for (std::size_t j = 0; j < 2; ++j)
          product[j] =
              signed_zero(input(*model_.a, o_.a[k + i + j]) * input(*model_.b, o_.b[k + i + j]));
        pair[i / 2] = signed_zero(product[0] + product[1]);
      }
      c = signed_zero(c + (step() == 4 ? signed_zero(pair[0] + pair[1]) : pair[0]));
    }
    return std::isnan(c) ? canonical_nan(*model_.d) : std::bit_cast<std::uint32_t>(c);
  }

  /// Exact sums of a step and c in golden's arithmetic, one rounding each.
  std::uint32_t rounded() const {
    const formats::Policy policy = golden::policy_of(formats::ieee, *model_.d);
    std::uint32_t c = o_.c;
    for (std::size_t k = 0; k < o_.a.size(); k += step()) {
      golden::Value sum = golden::decode(*model_.d, c);
      for (std::size_t i = k; i < k + step(); ++i)
        sum = golden::decode(*model_.a, o_.a[i]) * golden::decode(*model_.b, o_.b[i]) + sum;
      c = golden::encode(*model_.d, sum, formats::RoundingMode::nearest_even, policy);
    }
    return c;
  }

 private:
  [[nodiscard]] std::size_t step() const { return static_cast<std::size_t>(model_.step); }
  [[nodiscard]] static Number element(const FormatSpec& spec, std::uint32_t code) {
    return read(spec, code >> spec.storage_shift);
  }
  [[nodiscard]] Number scale_a(std::size_t k) const {
    return read(*model_.scale, o_.scale_a[k / static_cast<std::size_t>(model_.scale_block)]);
  }
  [[nodiscard]] Number scale_b(std::size_t k) const {
    return read(*model_.scale, o_.scale_b[k / static_cast<std::size_t>(model_.scale_block)]);
  }

  /// FP8 as FP16, exact: the number as FP16 encodes it.
  static Number widened(const FormatSpec& spec, std::uint32_t code) {
    Number x = read(spec, code);
    const int smallest = 1 - formats::fp16.bias;
    if (x.kind != Kind::finite || x.zero) return x;
    while (x.significand >> x.fraction_bits == 0 && x.exponent > smallest) {
      x.significand <<= 1;
      --x.exponent;
    }
    return x;
  }

  /// One ordinary addition in D's format.
  [[nodiscard]] std::uint32_t nearest_sum(std::uint32_t x, std::uint32_t y) const {
    const FormatSpec& d = *model_.d;
    const Number terms[] = {read(d, x), read(d, y)};
    std::uint32_t code = 0;
    if (special(terms, d, code)) return code;
    if (&d == &formats::fp32)
      return std::bit_cast<std::uint32_t>(std::bit_cast<float>(x) + std::bit_cast<float>(y));
    // FP16 numbers are multiples of 2^-24 below 2^16: their sum is exact in 64 bits.
    constexpr int unit = -24;
    std::int64_t sum = 0;
    for (const Number& t : terms) {
      const auto magnitude =
          static_cast<std::int64_t>(t.significand << (t.exponent - t.fraction_bits - unit));
      sum += t.negative ? -magnitude : magnitude;
    }
    const bool minus_zero = terms[0].negative && terms[1].negative;
    const bool negative = sum < 0 || (sum == 0 && minus_zero);
    return convert(negative, static_cast<Wide>(sum < 0 ? -sum : sum), unit,
                   output_of(d, Conversion::rne_fp16));
  }

  [[nodiscard]] Number group_term(std::size_t first, std::size_t end) const {
    const Number sa = scale_a(first);
    const Number sb = scale_b(first);
    std::int64_t sum = 0;  // of products, in units of the last bit of an E2M1 product
    bool all_zero = true;
    for (std::size_t i = first; i < end; ++i) {
      const Number p = product(element(*model_.a, o_.a[i]), element(*model_.b, o_.b[i]));
      all_zero = all_zero && p.zero;
      const auto magnitude = static_cast<std::int64_t>(p.significand << p.exponent);
      sum += p.negative ? -magnitude : magnitude;
    }
    Number t;
    t.negative = sum < 0;
    t.fraction_bits = 2 * model_.a->mantissa_bits + sa.fraction_bits + sb.fraction_bits;
    t.exponent = sa.exponent + sb.exponent;
    t.significand =
        static_cast<std::uint64_t>(sum < 0 ? -sum : sum) * sa.significand * sb.significand;
    t.zero = all_zero || sa.zero || sb.zero;
    if (sa.kind == Kind::nan || sb.kind == Kind::nan) t.kind = Kind::nan;
    return t;
  }

  const MmaModel& model_;
  const DotOperands& o_;
};

void require_codes(std::span<const std::uint32_t> codes, const FormatSpec& spec, const char* what) {
  const int bits = spec.storage_bits;
  if (bits == 32) return;
  for (std::size_t i = 0; i < codes.size(); ++i)
    if (codes[i] >> bits != 0)
      throw std::invalid_argument(
          fmt::format("{} code {} is {:#x}, which {} bits do not hold", what, i, codes[i], bits));
}

void require_fit(const MmaModel& model, const DotOperands& o) {
  const auto k = static_cast<std::int64_t>(o.a.size());
  if (o.b.size() != o.a.size())
    throw std::invalid_argument(fmt::format("a has {} codes and b {}", k, o.b.size()));
  require_chain(model, k);
  const std::int64_t scales = model.scale == nullptr ? 0 : k / model.scale_block;
  for (const auto& s : {o.scale_a, o.scale_b})
    if (static_cast<std::int64_t>(s.size()) != scales)
      throw std::invalid_argument(fmt::format("{} takes {} scale codes for k = {}, not {}",
                                              model.name, scales, k, s.size()));
  require_codes(o.a, *model.a, "a");
  require_codes(o.b, *model.b, "b");
  require_codes({&o.c, 1}, *model.d, "c");
  if (model.scale == nullptr) return;
  require_codes(o.scale_a, *model.scale, "scale_a");
  require_codes(o.scale_b, *model.scale, "scale_b");
}

}  // namespace

void require_chain(const MmaModel& model, std::int64_t k) {
  if (k > 0 && (k % model.step == 0 || k == model.shortest_k)) return;
  const std::string shorter =
      model.shortest_k < model.step ? fmt::format(", or k = {}", model.shortest_k) : "";
  throw std::invalid_argument(
      fmt::format("{} adds {} products at a time: k must be a multiple of {}{}, not {}", model.name,
                  model.step, model.step, shorter, k));
}

std::uint32_t dot(const MmaModel& model, const DotOperands& operands) {
  require_fit(model, operands);
  const Chain chain(model, operands);
  switch (model.arithmetic) {
    case Arithmetic::fused:
      return chain.fused();
    case Arithmetic::grouped:
      return chain.grouped();
    case Arithmetic::lowered:
      return chain.lowered();
    case Arithmetic::flushed:
      return chain.flushed();
    default:
      return chain.rounded();
  }
}

}  // namespace assay::simulator

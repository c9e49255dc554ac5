// SPDX-License-Identifier: Apache-2.0
#include "proptests/judge.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "golden/codec.h"
#include "golden/layout.h"

namespace assay::proptests {
namespace {

using golden::RationalValue;

double approximate(const golden::Rational& x) { return x.convert_to<double>(); }

/// Position of a code on the number line of its format, so that neighbours differ by one.
std::int64_t ordinal(const formats::FormatSpec& spec, std::uint32_t code) {
  const auto magnitude = static_cast<std::int64_t>(golden::magnitude_of(spec, code));
  return (code & golden::sign_mask(spec)) != 0 ? -magnitude : magnitude;
}

std::string distance(const formats::FormatSpec& spec, std::uint32_t a, std::uint32_t b) {
  if (!golden::decode(spec, a).is_finite() || !golden::decode(spec, b).is_finite())
    return "not defined (NaN or Inf)";
  return fmt::format("{} ulp of {}", ordinal(spec, b) - ordinal(spec, a), spec.name);
}

Mismatch code_mismatch(const formats::FormatSpec& spec, std::string where, std::uint32_t expected,
                       std::uint32_t observed) {
  return {std::move(where),          "bit exact", show_code(spec, expected),
          show_code(spec, observed), {},          distance(spec, expected, observed)};
}

/// Bytes that hold no element: the unused nibble of a row, the padding of a swizzle.
std::optional<Mismatch> compare_bytes(const char* name, const std::vector<std::uint8_t>& expected,
                                      const std::vector<std::uint8_t>& observed) {
  if (expected.size() != observed.size())
    return Mismatch{name,
                    "bit exact",
                    fmt::format("{} bytes", expected.size()),
                    fmt::format("{} bytes", observed.size()),
                    {},
                    {}};
  for (std::size_t i = 0; i < expected.size(); ++i)
    if (expected[i] != observed[i])
      return Mismatch{fmt::format("{} byte {} (padding)", name, i),
                      "bit exact",
                      fmt::format("{:#04x}", expected[i]),
                      fmt::format("{:#04x}", observed[i]),
                      {},
                      {}};
  return std::nullopt;
}

/// In doubles, for reports: no verdict depends on it.
std::optional<ErrorPoint> error_point(const formats::FormatSpec& output, float observed,
                                      const RationalValue& exact, const golden::Bound& bound) {
  if (!bound.judgeable || bound.error == 0 || !exact.is_finite() || !std::isfinite(observed))
    return std::nullopt;
  const double truth = std::fabs(approximate(exact.number));
  const double t = approximate(bound.error);
  const int exponent = std::max(std::ilogb(truth + t), 1 - output.bias);
  const double half_ulp = std::ldexp(1.0, exponent - output.mantissa_bits - 1);
  const golden::Rational difference = golden::Rational(observed) - exact.number;
  return ErrorPoint{truth, t + half_ulp, std::fabs(approximate(difference))};
}

/// The upper half alone would turn a NaN whose payload is below it into an infinity.
std::uint32_t code_of(const formats::FormatSpec& output, std::uint32_t fp32_bits) {
  if (&output == &formats::fp32) return fp32_bits;
  const bool nan = (fp32_bits & 0x7FFFFFFFU) > 0x7F800000U;
  return fp32_bits >> 16U | (nan ? 0x40U : 0U);
}

}  // namespace

std::vector<std::uint8_t> to_bytes(std::span<const float> x) {
  std::vector<std::uint8_t> bytes(x.size_bytes());
  if (!x.empty()) std::memcpy(bytes.data(), x.data(), bytes.size());
  return bytes;
}

std::vector<float> to_floats(std::span<const std::uint8_t> bytes) {
  std::vector<float> x(bytes.size() / sizeof(float));
  if (!x.empty()) std::memcpy(x.data(), bytes.data(), x.size() * sizeof(float));
  return x;
}

std::vector<float> to_floats(const formats::FormatSpec& format,
                             std::span<const std::uint8_t> bytes) {
  if (&format == &formats::fp32) return to_floats(bytes);
  std::vector<float> x(bytes.size() / 2);
  for (std::size_t i = 0; i < x.size(); ++i)
    x[i] = std::bit_cast<float>(static_cast<std::uint32_t>(bytes[2 * i]) << 16U |
                                static_cast<std::uint32_t>(bytes[2 * i + 1]) << 24U);
  return x;
}

std::string show_code(const formats::FormatSpec& spec, std::uint32_t code) {
  const int digits = (spec.storage_bits + 3) / 4;
  return fmt::format("0x{:0{}x} ({})", code, digits,
                     show(golden::to_rational(golden::decode(spec, code))));
}

std::string show(float x) { return show_code(formats::fp32, std::bit_cast<std::uint32_t>(x)); }

std::string show(const RationalValue& x) {
  if (x.is_nan()) return "NaN";
  const char* sign = x.negative ? "-" : "";
  if (x.is_infinite()) return fmt::format("{}Inf", sign);
  if (x.is_zero()) return fmt::format("{}0", sign);
  return fmt::format("{:.17g}", approximate(x.number));
}

std::optional<Mismatch> compare(const formats::BlockScaledTensor& expected,
                                const formats::BlockScaledTensor& observed) {
  const auto bits = [](float x) { return std::bit_cast<std::uint32_t>(x); };
  if (bits(expected.tensor_scale) != bits(observed.tensor_scale))
    return code_mismatch(formats::fp32, "tensor_scale", bits(expected.tensor_scale),
                         bits(observed.tensor_scale));
  const formats::BlockFormat& format = *expected.format;
  if (expected.scales.size() == observed.scales.size()) {
    const golden::BlockGrid grid = golden::block_grid(format, expected.rows, expected.cols);
    for (std::int64_t r = 0; r < grid.down; ++r)
      for (std::int64_t b = 0; b < grid.across; ++b) {
        const std::uint32_t want = golden::load_scale(expected, r, b);
        const std::uint32_t got = golden::load_scale(observed, r, b);
        if (want != got)
          return code_mismatch(*format.scale, fmt::format("scale[{},{}]", r, b), want, got);
      }
  }
  if (expected.codes.size() == observed.codes.size())
    for (std::int64_t r = 0; r < expected.rows; ++r)
      for (std::int64_t c = 0; c < expected.cols; ++c) {
        const std::uint32_t want = golden::load_code(expected, r, c);
        const std::uint32_t got = golden::load_code(observed, r, c);
        if (want != got)
          return code_mismatch(*format.element, fmt::format("code[{},{}]", r, c), want, got);
      }
  if (auto scales = compare_bytes("scales", expected.scales, observed.scales)) return scales;
  return compare_bytes("codes", expected.codes, observed.codes);
}

golden::Judgement judge_number(const formats::FormatSpec& output, float observed,
                               const RationalValue& exact, const golden::Bound& bound) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(observed);
  // A bf16 result arrives widened: what the format cannot hold is not a result of this kernel.
  const bool representable =
      &output == &formats::fp32 || (bits & 0xFFFFU) == 0 || observed != observed;
  if (!representable) return golden::Judgement::outside;
  return golden::judge(output, code_of(output, bits), exact, bound);
}

Ruling judge_array(const std::string& name, std::int64_t cols, const formats::FormatSpec& output,
                   std::span<const float> observed, std::span<const RationalValue> exact,
                   std::span<const golden::Bound> bounds) {
  Ruling ruling;
  if (observed.size() != exact.size()) {
    ruling.mismatch = Mismatch{name,
                               "shape",
                               fmt::format("{} numbers", exact.size()),
                               fmt::format("{} numbers", observed.size()),
                               {},
                               {}};
    return ruling;
  }
  ruling.decided = exact.empty();
  const auto note = [&ruling](const ErrorPoint& point) {
    if (!ruling.worst || point.share() > ruling.worst->share()) ruling.worst = point;
  };
  for (std::size_t i = 0; i < exact.size(); ++i) {
    const golden::Judgement judgement = judge_number(output, observed[i], exact[i], bounds[i]);
    ruling.decided = ruling.decided || judgement != golden::Judgement::not_judgeable;
    if (const auto point = error_point(output, observed[i], exact[i], bounds[i])) note(*point);
    if (judgement != golden::Judgement::outside || ruling.mismatch) continue;
    const std::uint32_t nearest =
        golden::encode(output, exact[i], formats::RoundingMode::nearest_even,
                       golden::policy_of(formats::ieee, output));
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(observed[i]);
    Mismatch m;
    m.where = fmt::format("{}[{},{}]", name, static_cast<std::int64_t>(i) / cols,
                          static_cast<std::int64_t>(i) % cols);
    m.criterion = bounds[i].error == 0
                      ? "correctly rounded (T = 0)"
                      : fmt::format("derived bound: |c - exact| <= T + half an ulp, T = {:.6g}",
                                    approximate(bounds[i].error));
    m.expected = show_code(output, nearest);
    m.observed = show(observed[i]);
    m.exact = show(exact[i]);
    m.distance = distance(output, nearest, code_of(output, bits));
    ruling.mismatch = m;
  }
  return ruling;
}

}  // namespace assay::proptests

// SPDX-License-Identifier: Apache-2.0
#include "golden/intervals.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

namespace assay::golden {
namespace {

constexpr std::uint32_t sign_bit = 0x80000000;
constexpr std::uint32_t infinity_bits = 0x7F800000;

// Where the inputs of one magnitude code end and those of the next begin: every magnitude above
// `threshold` belongs to the upper code, and the threshold itself if `inclusive`.
struct Boundary {
  Exact threshold;
  bool inclusive;
};

// The boundary between the grid points `code` and `code + 1` follows from the mode's definition.
// Towards odd, an even code holds its own value only, and an odd code the open gaps on both sides
// of its value.
Boundary boundary(const Exact& lower, const Exact& upper, std::uint32_t code, RoundingMode mode,
                  bool negative) {
  const Exact middle = (lower + upper) * Exact::power_of_two(-1);
  const bool code_is_odd = (code & 1) != 0;
  Boundary truncate{upper, true};
  Boundary grow{lower, false};
  switch (mode) {
    case RoundingMode::nearest_even:
      return {middle, code_is_odd};
    case RoundingMode::nearest_away:
      return {middle, true};
    case RoundingMode::toward_zero:
      return truncate;
    case RoundingMode::toward_positive:
      return negative ? truncate : grow;
    case RoundingMode::toward_negative:
      return negative ? grow : truncate;
    case RoundingMode::to_odd:
      return code_is_odd ? truncate : grow;
    case RoundingMode::stochastic:
      break;
  }
  throw std::invalid_argument("decision_intervals needs a deterministic rounding mode");
}

// The bits of the first nonnegative FP32 number that is at least (above, if not inclusive) the
// threshold.
std::uint32_t first_above(const Boundary& b) {
  const Policy policy = policy_of(formats::ieee, formats::fp32);
  const Value threshold = Value::finite(b.threshold);
  const std::uint32_t bits =
      encode(formats::fp32, threshold, RoundingMode::toward_positive, policy);
  const bool on_threshold = decode(formats::fp32, bits) == threshold;
  return on_threshold && !b.inclusive ? bits + 1 : bits;
}

std::uint32_t encode_bits(const FormatSpec& spec, std::uint32_t bits, RoundingMode mode,
                          const Policy& policy) {
  return encode(spec, decode(formats::fp32, bits), mode, policy);
}

// Collects intervals in ascending order, joins neighbours of equal code, and trusts nothing: the
// ends of every interval must encode to its code.
class Cover {
 public:
  Cover(const FormatSpec& spec, RoundingMode mode, const Policy& policy)
      : spec_(spec), mode_(mode), policy_(policy) {}

  /// The next interval ends before `end` (64 bits: the last one ends at 2^32). Empty ones are
  /// dropped.
  void until(std::uint64_t end) {
    if (end <= next_) return;
    const auto first = static_cast<std::uint32_t>(next_);
    const auto last = static_cast<std::uint32_t>(end - 1);
    const std::uint32_t code = encode_bits(spec_, first, mode_, policy_);
    if (code != encode_bits(spec_, last, mode_, policy_))
      throw std::logic_error("decision_intervals: a derived threshold of " +
                             std::string(spec_.name) + " contradicts encode");
    if (!intervals_.empty() && intervals_.back().code == code)
      intervals_.back().last_bits = last;
    else
      intervals_.push_back({first, last, code});
    next_ = end;
  }

  [[nodiscard]] std::vector<Interval> take() { return std::move(intervals_); }

 private:
  const FormatSpec& spec_;
  RoundingMode mode_;
  Policy policy_;
  std::uint64_t next_ = 0;
  std::vector<Interval> intervals_;
};

// All patterns of one sign. Why two equal ends prove the inside: among nonnegative (and among
// negative) FP32 numbers the bit patterns are ordered like the magnitudes, and for one sign every
// deterministic mode is monotone in the magnitude (a larger magnitude never gets a smaller grid
// point), and so is what follows: overflow happens from some magnitude on. What is not a magnitude
// has intervals of its own: zero, infinity, NaN; and between thresholds no other special case
// begins.
void cover_sign(Cover& cover, const FormatSpec& spec, RoundingMode mode, bool negative) {
  const std::uint64_t base = negative ? sign_bit : 0;
  cover.until(base + 1);  // zero
  const bool mirrored = negative && spec.sign_bits == 0;
  const bool sign_of_mode = negative && !mirrored;
  const std::uint32_t top = max_finite_code(spec);
  for (std::uint32_t code = 0; code <= top; ++code) {
    const Exact lower = decode(spec, code).number;
    const Exact upper = code < top ? decode(spec, code + 1).number : lower + spacing_at_max(spec);
    const std::uint32_t start = first_above(boundary(lower, upper, code, mode, sign_of_mode));
    cover.until(base + std::clamp<std::uint32_t>(start, 1, infinity_bits));
  }
  cover.until(base + infinity_bits);      // the finite numbers that overflow
  cover.until(base + infinity_bits + 1);  // infinity
  cover.until(base + sign_bit);           // NaNs
}

}  // namespace

std::vector<Interval> decision_intervals(const FormatSpec& spec, RoundingMode mode,
                                         const Policy& policy) {
  if (spec.storage_bits > 16)
    throw std::invalid_argument("decision_intervals: format " + std::string(spec.name) +
                                " has a code per input; use formats of at most 16 bits");
  if (mode == RoundingMode::stochastic)
    throw std::invalid_argument("decision_intervals needs a deterministic rounding mode");
  Cover cover(spec, mode, policy);
  cover_sign(cover, spec, mode, false);
  cover_sign(cover, spec, mode, true);
  return cover.take();
}

std::vector<Interval> monotone_intervals(
    const std::function<std::uint32_t(std::uint32_t bits)>& code_of_bits, std::uint32_t first_bits,
    std::uint32_t last_bits) {
  if (first_bits > last_bits)
    throw std::invalid_argument("monotone_intervals: first_bits is above last_bits; swap them");
  std::vector<Interval> intervals;
  for (std::uint64_t first = first_bits; first <= last_bits;) {
    const std::uint32_t code = code_of_bits(static_cast<std::uint32_t>(first));
    std::uint64_t same = first;                          // the last input known to get `code`
    std::uint64_t other = std::uint64_t{last_bits} + 1;  // the first known not to, or the end
    while (other - same > 1) {
      const std::uint64_t middle = same + (other - same) / 2;
      (code_of_bits(static_cast<std::uint32_t>(middle)) == code ? same : other) = middle;
    }
    intervals.push_back(
        {static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(same), code});
    first = other;
  }
  return intervals;
}

}  // namespace assay::golden

// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <cstring>
#include <random>

#include "exhaustive/sweep.h"
#include "formats/array.h"
#include "golden/codec.h"

namespace assay::exhaustive {
namespace {

using formats::FormatSpec;
using formats::RoundingMode;
using golden::Rational;

constexpr int max_bits = 16;

// The random words r = 0, 1, ... of n bits in the top of a 32-bit word.
std::vector<std::uint32_t> words_of(int bits) {
  std::vector<std::uint32_t> words(std::size_t{1} << bits);
  for (std::uint32_t r = 0; r < words.size(); ++r) words[r] = r << (32 - bits);
  return words;
}

Rational magnitude_of(const FormatSpec& spec, std::uint32_t code) {
  return golden::decode(spec, code).number.rational();
}

float nearest_float(const Rational& x) { return static_cast<float>(x.convert_to<double>()); }

// FP32 inputs in [low, high): the ends' neighbourhood, those of the midpoint and quarters, the rest
// random. All from a fixed seed.
std::vector<float> inputs_between(const Rational& low, const Rational& high, int count,
                                  std::mt19937_64& random) {
  std::vector<float> inputs;
  const float from = nearest_float(low);
  const float to = nearest_float(high);
  for (const int quarter : {0, 1, 2, 3}) {
    const float x = nearest_float(low + (high - low) * quarter / 4);
    inputs.push_back(x);
    inputs.push_back(std::nextafter(x, to));
    if (quarter != 0) inputs.push_back(std::nextafter(x, from));
  }
  inputs.push_back(std::nextafter(to, from));
  std::uniform_int_distribution<std::uint32_t> patterns(__builtin_bit_cast(std::uint32_t, from),
                                                        __builtin_bit_cast(std::uint32_t, to) - 1);
  while (inputs.size() < static_cast<std::size_t>(count)) {
    inputs.push_back(__builtin_bit_cast(float, patterns(random)));
  }
  inputs.resize(static_cast<std::size_t>(count));
  return inputs;
}

struct Expectation {
  std::uint32_t low;  // codes with the sign
  std::uint32_t high;
  std::uint64_t ups;  // of 2^n words
};

// floor(f 2^n) in exact arithmetic, and golden's codes on both sides of the step.
Expectation expect(const FormatSpec& spec, const formats::Policy& policy, float x,
                   const Rational& low, const Rational& high, int bits) {
  const Rational magnitude = golden::Exact::from_float(std::fabs(x)).rational();
  const Rational scaled = (magnitude - low) / (high - low) * Rational(1U << bits);
  const auto ups = static_cast<std::uint64_t>(numerator(scaled) / denominator(scaled));
  const auto at = [&](std::uint64_t word) {
    return golden::encode(spec, golden::value_of(x), RoundingMode::stochastic, policy,
                          {bits, static_cast<std::uint32_t>(word)});
  };
  const std::uint64_t all = std::uint64_t{1} << bits;
  return {at(all - ups - 1), ups == 0 ? 0 : at(all - ups), ups};
}

void store(int storage_bits, std::vector<std::uint8_t>& out, std::size_t i, std::uint32_t code) {
  if (storage_bits == 4) {
    out[i / 2] = static_cast<std::uint8_t>(i % 2 == 0 ? code : out[i / 2] | code << 4);
  } else {
    std::memcpy(&out[i * storage_bits / 8], &code, storage_bits / 8);
  }
}

// All words of all n on one input. Returns the number of roundings that differ.
std::uint64_t check_input(const FormatSpec& spec, const formats::Policy& policy, float x,
                          const Rational& low, const Rational& high,
                          const std::vector<std::vector<std::uint32_t>>& words) {
  std::uint64_t differences = 0;
  for (int bits = 1; bits <= max_bits; ++bits) {
    const Expectation e = expect(spec, policy, x, low, high, bits);
    const std::size_t count = std::size_t{1} << bits;
    const std::vector<float> in(count, x);
    std::vector<std::uint8_t> got(formats::packed_size(spec, count));
    formats::encode_array(spec, std::span<const float>(in), words[static_cast<std::size_t>(bits)],
                          {.mode = RoundingMode::stochastic, .policy = policy, .random_bits = bits},
                          got);
    std::vector<std::uint8_t> expected(got.size());
    for (std::size_t r = 0; r < count; ++r) {
      store(spec.storage_bits, expected, r, r >= count - e.ups ? e.high : e.low);
    }
    if (got == expected) continue;
    for (std::size_t i = 0; i < got.size(); ++i) differences += got[i] != expected[i] ? 1 : 0;
  }
  return differences;
}

}  // namespace

Outcome sweep_stochastic(const FormatSpec& spec, int per_interval, int intervals, int threads) {
  const auto start = std::chrono::steady_clock::now();
  const formats::Policy policy = profile_row(formats::ieee, spec).policy;
  std::vector<std::vector<std::uint32_t>> words(max_bits + 1);
  for (int bits = 1; bits <= max_bits; ++bits) {
    words[static_cast<std::size_t>(bits)] = words_of(bits);
  }
  // Interval `code` lies between that code's value and the next; the last one, above the largest
  // finite value, ends where the next step of that binade would.
  const auto pairs = static_cast<std::int64_t>(golden::max_finite_code(spec)) + 1;
  const std::int64_t step = std::max<std::int64_t>(1, (pairs + intervals - 1) / intervals);
  Outcome outcome;
  std::uint64_t differences = 0;
  std::uint64_t inputs = 0;
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads) \
    reduction(+ : differences, inputs)
  for (std::int64_t p = 0; p < pairs; p += step) {
    // Always the last pair: that is where the overflow is.
    const auto code = static_cast<std::uint32_t>(p + step >= pairs ? pairs - 1 : p);
    const Rational low = magnitude_of(spec, code);
    const Rational high = code + 1 < pairs ? magnitude_of(spec, code + 1)
                                           : low + (low - magnitude_of(spec, code - 1));
    if (high.convert_to<double>() > 3.0e38) continue;  // no FP32 input lies above the bound
    std::mt19937_64 random(code);
    for (const float x : inputs_between(low, high, per_interval, random)) {
      for (const float with_sign : {x, -x}) {
        if (spec.sign_bits == 0 && std::signbit(with_sign)) continue;
        differences += check_input(spec, policy, with_sign, low, high, words);
        inputs += (std::uint64_t{2} << max_bits) - 2;
      }
    }
  }
  outcome.inputs = inputs;
  outcome.differences = differences;
  if (differences != 0) outcome.first = fmt::format("{} stochastic differs", spec.name);
  outcome.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return outcome;
}

}  // namespace assay::exhaustive

// SPDX-License-Identifier: Apache-2.0
#include "tools/probe_questions.h"

#include <fmt/format.h>

namespace assay::tools {
namespace {

using formats::FormatSpec;
using formats::Specials;
using simulator::MmaModel;

std::uint32_t sign_of(const FormatSpec& f) { return 1U << (f.exponent_bits + f.mantissa_bits); }
/// 2^exponent, subnormal where it must be; 0 where the format has no such number.
std::uint32_t power(const FormatSpec& f, int exponent) {
  const int field = exponent + f.bias;
  if (field >= 1) return static_cast<std::uint32_t>(field) << f.mantissa_bits;
  const int bit = f.mantissa_bits + field - 1;
  return bit < 0 ? 0 : 1U << bit;
}
/// The integer n < 2^(m + 1), times 2^exponent.
std::uint32_t times_power(const FormatSpec& f, std::uint32_t n, int exponent) {
  int top = 31;
  while (n >> top == 0) --top;
  const std::uint32_t fraction = n << (f.mantissa_bits - top) & ((1U << f.mantissa_bits) - 1);
  return power(f, exponent + top) | fraction;
}
std::uint32_t infinity(const FormatSpec& f) {
  return ((1U << f.exponent_bits) - 1) << f.mantissa_bits;
}
std::uint32_t all_ones(const FormatSpec& f) { return sign_of(f) - 1; }

void zeros(const MmaModel& m, int k, std::vector<ProbeQuestion>& out) {
  const std::vector<std::uint32_t> minus(static_cast<std::size_t>(k), sign_of(*m.a));
  const std::vector<std::uint32_t> ones(static_cast<std::size_t>(k), power(*m.b, 0));
  out.push_back({"zero.all_negative", "the sign of a sum of -0 products and c = -0", minus, ones,
                 sign_of(*m.d)});
  out.push_back({"zero.products_negative", "the sign of -0 products and c = +0", minus, ones, 0});
  out.push_back({"zero.c_negative", "the sign of +0 products and c = -0", {}, {}, sign_of(*m.d)});
  out.push_back({"zero.cancels",
                 "the sign of 1 - 1 with c = -0",
                 {power(*m.a, 0), power(*m.a, 0) | sign_of(*m.a)},
                 {power(*m.b, 0), power(*m.b, 0)},
                 sign_of(*m.d)});
}

void not_numbers(const MmaModel& m, std::vector<ProbeQuestion>& out) {
  const std::uint32_t one = power(*m.b, 0);
  const std::uint32_t quiet = all_ones(*m.a);
  out.push_back({"nan.of_a", "what a NaN in A becomes", {quiet}, {one}, 0});
  out.push_back(
      {"nan.negative", "what a negative NaN in A becomes", {quiet | sign_of(*m.a)}, {one}, 0});
  out.push_back({"nan.of_c", "what a NaN in C becomes", {}, {}, infinity(*m.d) | 1U});
  if (m.a->specials != Specials::ieee) return;
  const std::uint32_t inf = infinity(*m.a);
  out.push_back(
      {"nan.payload", "what a NaN with the lowest payload bit becomes", {inf | 1U}, {one}, 0});
  out.push_back({"infinity.times_zero", "Inf * 0", {inf}, {0}, 0});
  out.push_back({"infinity.both_signs", "Inf - Inf", {inf, inf | sign_of(*m.a)}, {one, one}, 0});
  out.push_back(
      {"infinity.with_c", "Inf and c = -Inf", {inf}, {one}, infinity(*m.d) | sign_of(*m.d)});
}

/// Largest finite, and what lies a little above it.
void overflow(const MmaModel& m, std::vector<ProbeQuestion>& out) {
  const std::uint32_t largest = infinity(*m.d) - 1;
  const std::uint32_t one = power(*m.b, 0);
  for (const int below : {0, 1, 2, 3}) {
    // Half an ulp of the largest number is 2^(bias - m - 1).
    const int exponent = m.d->bias - m.d->mantissa_bits - below;
    const int half = exponent / 2;
    const std::uint32_t x = power(*m.a, exponent - half);
    const std::uint32_t y = power(*m.b, half);
    const int top = (1 << m.a->exponent_bits) - 2 - m.a->bias;
    if (x == 0 || y == 0 || exponent - half > top || half > top) continue;
    out.push_back({fmt::format("overflow.ulp_over_{}", 1 << below),
                   fmt::format("the largest number plus 2^-{} ulp", below),
                   {x},
                   {y},
                   largest});
  }
  out.push_back({"overflow.largest", "the largest number stays", {}, {one}, largest});
}

/// What `zero_exponent` is, of f32 results: t1 + t2 = 2^-149 exactly, t1 = (2^s - 1) 2^(-149 - s).
/// The answer is 1 while 2^(-149 - s) is a multiple of 2^(e_max - F), and c = 0 raises e_max to
/// `zero_exponent`.
void zero_exponent_f32(const MmaModel& m, std::vector<ProbeQuestion>& out) {
  if (m.a->exponent_bits != 8 || m.b->exponent_bits != 8) return;
  struct Factors {
    int s;
    std::uint32_t x, y;
  };
  for (const Factors f : {Factors{4, 15, 1},
                          {5, 31, 1},
                          {6, 63, 1},
                          {7, 127, 1},
                          {8, 255, 1},
                          {9, 73, 7},
                          {10, 33, 31},
                          {11, 89, 23},
                          {12, 65, 63},
                          {14, 129, 127}}) {
    const int low = -149 - f.s;
    const int half = low / 2;
    out.push_back({fmt::format("zero_exponent.f32.{}", f.s),
                   fmt::format("1: bits down to 2^{} count beside c = 0", low),
                   {times_power(*m.a, f.x, half), times_power(*m.a, 1, half)},
                   {times_power(*m.b, f.y, low - half), times_power(*m.b, 1, low - half)},
                   0});
  }
}

/// The same of f16 results: 2^-25 + 2^-n rounds to 2^-24 where 2^-n counts, to 0 where it is cut.
void zero_exponent_f16(const MmaModel& m, std::vector<ProbeQuestion>& out) {
  if (m.d != &formats::fp16) return;
  for (int n = 26; n <= 48; ++n) {
    const int half = n / 2;
    const std::uint32_t x = power(*m.a, -half);
    const std::uint32_t y = power(*m.b, half - n);
    const std::uint32_t tie_a = power(*m.a, -15);
    const std::uint32_t tie_b = power(*m.b, -10);
    if (x == 0 || y == 0 || tie_a == 0 || tie_b == 0) continue;
    out.push_back({fmt::format("zero_exponent.f16.{}", n),
                   fmt::format("1: 2^-{} counts beside 2^-25 and c = 0", n),
                   {tie_a, x},
                   {tie_b, y},
                   0});
  }
}

/// What rounds to zero: -2^-(last bit + 3).
void underflow(const MmaModel& m, std::vector<ProbeQuestion>& out) {
  const int exponent = 1 - m.d->bias - m.d->mantissa_bits - 3;
  const std::uint32_t x = power(*m.a, exponent / 2);
  const std::uint32_t y = power(*m.b, exponent - exponent / 2);
  if (x == 0 || y == 0) return;
  out.push_back({"underflow.negative",
                 "the sign of a negative product that rounds to zero",
                 {x | sign_of(*m.a)},
                 {y},
                 0});
  out.push_back(
      {"underflow.negative_c", "the same with c = -0", {x | sign_of(*m.a)}, {y}, sign_of(*m.d)});
}

void small(const MmaModel& m, std::vector<ProbeQuestion>& out) {
  const std::uint32_t one = power(*m.b, 0);
  out.push_back({"subnormal.operand", "the smallest number of A counts", {1U}, {one}, 0});
  out.push_back({"subnormal.c", "the smallest number of C stays", {}, {}, 1});
  out.push_back({"subnormal.c_negative",
                 "the smallest negative number of C stays",
                 {},
                 {},
                 1U | sign_of(*m.d)});
}

}  // namespace

std::vector<ProbeQuestion> probe_questions(const MmaModel& model, int k) {
  std::vector<ProbeQuestion> out;
  zeros(model, k, out);
  not_numbers(model, out);
  overflow(model, out);
  underflow(model, out);
  small(model, out);
  zero_exponent_f32(model, out);
  zero_exponent_f16(model, out);
  for (ProbeQuestion& q : out) {
    q.a.resize(static_cast<std::size_t>(k));
    q.b.resize(static_cast<std::size_t>(k));
    for (std::uint32_t& code : q.a) code <<= model.a->storage_shift;
    for (std::uint32_t& code : q.b) code <<= model.b->storage_shift;
  }
  if (model.a->storage_shift != 0) {
    ProbeQuestion q{"nan.payload_below", "what a NaN becomes whose payload is not read",
                    std::vector<std::uint32_t>(static_cast<std::size_t>(k)),
                    std::vector<std::uint32_t>(static_cast<std::size_t>(k))};
    q.a[0] = infinity(*model.a) << model.a->storage_shift | 1U;
    q.b[0] = power(*model.b, 0) << model.b->storage_shift;
    out.push_back(std::move(q));
  }
  return out;
}

}  // namespace assay::tools

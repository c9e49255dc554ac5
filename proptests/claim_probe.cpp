// SPDX-License-Identifier: Apache-2.0
#include "proptests/claim_probe.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <optional>
#include <stdexcept>

#include "golden/codec.h"
#include "golden/layout.h"
#include "kernels/abi/assay_dut.h"

namespace assay::proptests {
namespace {

using formats::BlockFormat;
using formats::BlockScaledTensor;
using kernels::Claim;

constexpr std::uint32_t one_code = 0x2;             // E2M1: 1
constexpr std::uint32_t one_and_a_half_code = 0x3;  // E2M1: 1.5

/// A product of the dot product (0, 0): sign * factor * 2^exponent, factor 1 or 1.5.
struct Product {
  std::int64_t slot = 0;  ///< its block along k; each block has one product at most
  int exponent = 0;
  bool negative = false;
  bool one_and_a_half = false;
  std::optional<std::uint16_t> bf16 = {};  ///< in place of the power of two, in A
};

std::int64_t up(std::int64_t extent, std::int64_t multiple) {
  return (extent + multiple - 1) / multiple * multiple;
}

/// Exponents of scale factors that are powers of two.
std::pair<int, int> scale_range(const BlockFormat& f) {
  if (f.scale == &formats::e8m0) return {-127, 127};
  if (f.scale == &formats::ue4m3) return {-6, 8};
  return {-126, 127};
}
std::uint32_t scale_code(const BlockFormat& f, int exponent) {
  return static_cast<std::uint32_t>(exponent + f.scale->bias) << f.scale->mantissa_bits;
}

class Asker {
 public:
  Asker(Device& device, const Claim& claim) : device_(device), claim_(claim) {
    if (!can_infer(claim))
      throw std::invalid_argument(
          "claim infer asks gemm entries with E2M1 operands in blocks along "
          "k, and A in bf16 or such blocks; '" +
          name_of(claim) + "' is not one");
    block_ = std::max(claim.b->block.cols, claim.a == nullptr ? 1 : claim.a->block.cols);
  }

  [[nodiscard]] std::int64_t block() const { return block_; }
  /// Largest and smallest exponent of a product.
  [[nodiscard]] std::pair<int, int> range() const {
    const auto b = scale_range(*claim_.b);
    const auto a = claim_.a == nullptr ? std::pair{-120, 120} : scale_range(*claim_.a);
    return {std::max(a.first + b.first, -120), std::min(a.second + b.second, 120)};
  }

  /// D(0, 0) for the sum of these products; the second run's where the first differs is an error.
  [[nodiscard]] double operator()(const std::vector<Product>& products) const {
    std::int64_t slots = 1;
    for (const Product& p : products) slots = std::max(slots, p.slot + 1);
    Call call;
    call.claim = claim_;
    call.m = up(1, claim_.m_multiple);
    call.n = up(1, claim_.n_multiple);
    call.k = up(slots * block_, claim_.k_multiple);
    BlockScaledTensor b = zeros(*claim_.b, call.n, call.k);
    BlockScaledTensor a;
    std::vector<std::uint16_t> a_bf16;
    if (claim_.a == nullptr)
      a_bf16.resize(static_cast<std::size_t>(call.m * call.k));
    else
      a = zeros(*claim_.a, call.m, call.k);
    for (const Product& p : products) place(p, a, a_bf16, b);
    if (claim_.a == nullptr)
      call.in.push_back(operand(ASSAY_DUT_A, ASSAY_DUT_VALUES, formats::bf16, {call.m, call.k},
                                bytes_of(std::span<const std::uint16_t>(a_bf16))));
    else
      add_input(call, ASSAY_DUT_A, a);
    add_input(call, ASSAY_DUT_B, b);
    call.out.push_back(operand(ASSAY_DUT_D, ASSAY_DUT_VALUES, *claim_.output, {call.m, call.n}));
    const std::vector<Trial> trials = device_.ask({&call, 1});
    const Answer& answer = trials.at(0).first;
    if (answer.outcome != Outcome::answered)
      throw std::runtime_error("the device did not answer a product of 1 x 1 x " +
                               std::to_string(call.k) + ": " + answer.message);
    std::uint32_t code = 0;
    std::memcpy(&code, answer.outputs.at(0).data(),
                static_cast<std::size_t>(claim_.output->storage_bits / 8));
    const golden::Value d = golden::decode(*claim_.output, code);
    if (d.is_nan()) return std::nan("");
    if (d.is_infinite()) return d.negative ? -INFINITY : INFINITY;
    return golden::approximate(d.number);
  }

 private:
  static BlockScaledTensor zeros(const BlockFormat& f, std::int64_t rows, std::int64_t cols) {
    BlockScaledTensor t;
    t.format = &f;
    t.rows = rows;
    t.cols = cols;
    t.codes.resize(static_cast<std::size_t>(
        golden::code_bytes(*f.element, rows, cols, formats::Layout::row_major)));
    t.scales.resize(static_cast<std::size_t>(
        golden::scale_bytes(f, rows, cols, formats::ScaleLayout::row_major)));
    return t;
  }

  void place(const Product& p, BlockScaledTensor& a, std::vector<std::uint16_t>& a_bf16,
             BlockScaledTensor& b) const {
    const std::int64_t k = p.slot * block_;
    const std::uint32_t sign = p.negative ? 0x8 : 0;
    const auto [low, high] = scale_range(*claim_.b);
    int b_exponent = std::clamp(p.exponent / 2, low, high);
    if (claim_.a != nullptr) {
      const auto [a_low, a_high] = scale_range(*claim_.a);
      const int a_exponent = std::clamp(p.exponent - b_exponent, a_low, a_high);
      b_exponent = p.exponent - a_exponent;
      golden::store_code(a, 0, k, one_code | sign);
      golden::store_scale(a, 0, k / claim_.a->block.cols, scale_code(*claim_.a, a_exponent));
    } else {
      const std::uint32_t power =
          static_cast<std::uint32_t>(p.exponent - b_exponent + formats::bf16.bias)
          << formats::bf16.mantissa_bits;
      a_bf16[static_cast<std::size_t>(k)] =
          p.bf16.value_or(static_cast<std::uint16_t>(power | sign << 12));
    }
    golden::store_code(b, 0, k, p.one_and_a_half ? one_and_a_half_code : one_code);
    golden::store_scale(b, 0, k / claim_.b->block.cols, scale_code(*claim_.b, b_exponent));
  }

  Device& device_;
  const Claim& claim_;
  std::int64_t block_ = 1;
};

/// The largest s for which 2^0 + 2^-s is exact, up to 23; the output must hold that sum.
int kept_bits(const Asker& ask, int top) {
  int kept = 0;
  for (int s = 1; s <= 23; ++s) {
    if (ask({{0, top}, {1, top - s}}) != std::ldexp(1 + std::ldexp(1, -s), top)) break;
    kept = s;
  }
  return kept;
}

/// 0: a small product that the accumulator loses beside a large one is lost at any distance.
std::int64_t promotion(const Asker& ask, int top, int lost) {
  for (std::int64_t slot = 1; slot * ask.block() <= 2048; ++slot)
    if (ask({{0, top}, {slot, top - lost}}) != std::ldexp(1, top)) return slot * ask.block();
  return 0;
}

void infer_accumulator(const Asker& ask, InferredClaim& out) {
  const auto say = [&out](std::string question, std::string answer, bool decided = true) {
    out.answers.push_back({std::move(question), std::move(answer), decided});
  };
  const auto [low, high] = ask.range();
  if (out.claim.output->mantissa_bits < 23) {
    say("bits that the accumulator keeps",
        "undecided: the output holds " + std::to_string(out.claim.output->mantissa_bits) +
            " of them; ask the same kernel with FP32 output",
        false);
    return;
  }
  if (low + 24 > high) {
    say("bits that the accumulator keeps",
        "undecided: products of these formats span too few binades", false);
    return;
  }
  const int top = std::clamp(10, low + 24, high);
  const int kept = kept_bits(ask, top);
  say("bits that the accumulator keeps",
      fmt::format("2^0 + 2^-{} is exact, 2^0 + 2^-{} {}", kept, kept + 1,
                  kept == 23 ? "does not fit FP32" : "is not"));
  if (kept == 23) {
    out.claim.accumulator = kernels::Accumulator::fp32_any_order;
    const double d = ask({{0, top}, {1, top - 24, false, true}});
    const bool nearest = d == std::ldexp(1 + std::ldexp(1, -23), top);
    say("rounding of the accumulator",
        nearest ? "1 + 1.5 * 2^-24 rounds up: to nearest" : "1 + 1.5 * 2^-24 stays 1: truncation");
    if (!nearest) {
      out.claim.accumulator = kernels::Accumulator::truncating;
      // Which of 24 and 25 it is does not show in a result of 24 bits; the smaller one permits
      // more.
      out.claim.fraction_bits = 24;
      out.claim.promotion = 0;
    }
    return;
  }
  out.claim.accumulator = kernels::Accumulator::truncating;
  out.claim.fraction_bits = kept;
  out.claim.promotion = 0;
  const int lost = std::min(kept + 3, 22);
  const std::int64_t interval = promotion(ask, top, lost);
  out.claim.promotion = static_cast<int>(interval);
  say("promotion to FP32",
      interval == 0 ? fmt::format("2^-{} is lost beside 1 up to 2048 products away: none", lost)
                    : fmt::format("2^-{} survives from {} products away", lost, interval));
}

void ask_output(const Asker& ask, InferredClaim& out) {
  const int m = out.claim.output->mantissa_bits;
  if (m >= 23) return;
  const double up_even = ask({{0, 0}, {1, -m}, {2, -m - 1}});    // 1 + 1.5 ulp: even is 1 + 2 ulp
  const double down_even = ask({{0, 0}, {1, -m - 1}});           // 1 + 0.5 ulp: even is 1
  const double above = ask({{0, 0}, {1, -m - 1, false, true}});  // 1 + 0.75 ulp
  const double ulp = std::ldexp(1, -m);
  std::string answer = "undecided";
  if (above == 1)
    answer = "toward zero";
  else if (up_even == 1 + 2 * ulp && down_even == 1)
    answer = "to nearest, ties to even";
  else if (up_even == 1 + 2 * ulp && down_even == 1 + ulp)
    answer = "to nearest, ties away from zero";
  out.answers.push_back({"rounding of the output", answer, answer != "undecided"});
}

void ask_specials(const Asker& ask, InferredClaim& out) {
  if (out.claim.a != nullptr) return;
  const double subnormal = ask({{0, 0, false, false, std::uint16_t{0x0010}}});  // 2^-130
  out.answers.push_back({"subnormal elements of A", subnormal == 0 ? "flushed to zero" : "count"});
  const double nan = ask({{0, 0, false, false, std::uint16_t{0x7FC0}}, {1, 0}});
  out.answers.push_back({"a NaN in A", std::isnan(nan) ? "gives NaN" : "is lost"});
}

}  // namespace

bool can_infer(const Claim& claim) {
  const auto fits = [](const BlockFormat* f) {
    return f == nullptr ||
           (f->element == &formats::e2m1 && f->block.rows == 1 && f->block.cols > 0);
  };
  return claim.operation == "gemm" && claim.b != nullptr && fits(claim.a) && fits(claim.b);
}

InferredClaim infer_claim(Device& device, const Claim& claim) {
  InferredClaim out{claim, {}};
  out.claim.accumulator = kernels::Accumulator::fp32_any_order;
  out.claim.fraction_bits = 0;
  out.claim.promotion = 0;
  const Asker ask(device, claim);
  infer_accumulator(ask, out);
  ask_output(ask, out);
  ask_specials(ask, out);
  return out;
}

}  // namespace assay::proptests

// SPDX-License-Identifier: Apache-2.0
// The operations of cpu/operations.h, each with one fault around the right kernel. They claim FP32
// in any order, so that it is the bound that rejects them and not the bits of a fixed order.
#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "formats/philox.h"
#include "kernels/cpu/element.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/matrix.h"
#include "kernels/cpu/operations.h"
#include "kernels/mutants/changed_call.h"
#include "kernels/mutants/wrong_steps.h"

namespace assay::kernels::mutants {
namespace {

template <class Change>
ChangedCall with_x(const assay_dut_call& call, std::uint32_t role, const Change& change) {
  ChangedCall changed(call);
  changed.replace<float>(changed.in(role), [&](std::vector<float>& x) {
    for (float& value : x) value = change(value);
  });
  return changed;
}

bool from_fp32(const Claim& c) { return c.output == &formats::fp32; }
bool nearest(const Claim& c) { return c.rounding == formats::RoundingMode::nearest_even; }
bool opaque(const Claim& c) { return c.random == ASSAY_DUT_RANDOM_OPAQUE; }
bool words(const Claim& c) { return c.random == ASSAY_DUT_RANDOM_WORDS; }

float silu(float x) { return x / (1.0F + std::exp(-x)); }
float clamp(float x, float limit) {
  if (limit == 0.0F) return x;
  return x > limit ? limit : x < -limit ? -limit : x;
}
float above(float x, float limit) { return limit != 0.0F && x > limit ? limit : x; }

/// A WORDS call in the place of an opaque one.
Status with_words(const Claim& claim, const assay_dut_call& call,
                  std::uint32_t (*word)(std::uint64_t seed, std::int64_t index)) {
  ChangedCall changed(call);
  assay_dut_tensor random = *changed.in(ASSAY_DUT_X);
  random.role = ASSAY_DUT_RANDOM;
  random.type_code = ASSAY_DUT_UINT;
  std::vector<std::uint32_t> all(call.m * call.k);
  for (std::size_t i = 0; i < all.size(); ++i)
    all[i] = word(call.seed, static_cast<std::int64_t>(i));
  changed.put(random, all);
  changed.add(random);
  Claim known = claim;
  known.random = ASSAY_DUT_RANDOM_WORDS;
  return cpu::stochastic_quantize(known, changed.call());
}

Status seed_ignored(const Claim& claim, const assay_dut_call& call) {
  assay_dut_call same = call;
  same.seed = 0;
  return cpu::stochastic_quantize(claim, same);
}

Status next_word(const Claim& claim, const assay_dut_call& call) {
  ChangedCall changed(call);
  changed.replace<std::uint32_t>(changed.in(ASSAY_DUT_RANDOM), [](auto& all) {
    std::rotate(all.begin(), all.begin() + 1, all.end());
  });
  return cpu::stochastic_quantize(claim, changed.call());
}

Status low_bits(const Claim& claim, const assay_dut_call& call) {
  ChangedCall changed(call);
  changed.replace<std::uint32_t>(changed.in(ASSAY_DUT_RANDOM), [&](auto& all) {
    for (std::uint32_t& word : all) word <<= static_cast<unsigned>(32 - claim.random_bits);
  });
  return cpu::stochastic_quantize(claim, changed.call());
}

Status few_bits(const Claim& claim, const assay_dut_call& call) {
  Claim few = claim;
  few.random_bits = 3;
  return cpu::stochastic_quantize(few, call);
}

Status shared_word(const Claim& claim, const assay_dut_call& call) {
  return with_words(claim, call, [](std::uint64_t seed, std::int64_t i) {
    return formats::philox_word(seed, static_cast<std::uint64_t>(i / 2));
  });
}

Status row_words(const Claim& claim, const assay_dut_call& call) {
  return with_words(claim, call, [](std::uint64_t seed, std::int64_t i) {
    return formats::philox_word(seed, static_cast<std::uint64_t>(i % 128));
  });
}

/// Q(DQ(Q(X))') for Q(X').
Status twice_quantized(const Claim& claim, const assay_dut_call& call) {
  ChangedCall changed(call);
  changed.replace<float>(changed.in(ASSAY_DUT_X), [&](std::vector<float>& x) {
    formats::BlockScaledTensor q;
    q.format = claim.a;
    q.rows = call.m;
    q.cols = call.k;
    static_cast<void>(cpu::quantize(x, q));
    cpu::dequantize(q, x);
  });
  return cpu::transpose_requantize(claim, changed.call());
}

Status bias_times_alpha(const Claim& claim, const assay_dut_call& call) {
  return cpu::quantize_gemm(
      claim, with_x(call, ASSAY_DUT_BIAS, [&](float b) { return b * call.alpha; }).call());
}
Status fused_through_bf16(const Claim& claim, const assay_dut_call& call) {
  return cpu::quantize_gemm(claim, with_x(call, ASSAY_DUT_A, cpu::round_to_bf16).call());
}

Status convert_through_bf16(const Claim& claim, const assay_dut_call& call) {
  return cpu::convert(claim, with_x(call, ASSAY_DUT_X, cpu::round_to_bf16).call());
}
Status convert_zero_sign(const Claim& claim, const assay_dut_call& call) {
  return cpu::convert(
      claim, with_x(call, ASSAY_DUT_X, [](float x) { return x == 0.0F ? 0.0F : x; }).call());
}
Status convert_away(const Claim& claim, const assay_dut_call& call) {
  Claim away = claim;
  away.rounding = formats::RoundingMode::nearest_away;
  return cpu::convert(away, call);
}

bool swizzles(const assay_dut_call& call, assay_dut_tensor& to) {
  const assay_dut_tensor* t = abi::find(abi::outputs(call), ASSAY_DUT_QT, ASSAY_DUT_SCALES);
  if (t == nullptr || t->layout == ASSAY_DUT_STRIDED) return false;
  to = *t;
  return true;
}

/// Calls visit(byte of the 128x4 array, row, column) for every place that it allocates.
template <class Visit>
void for_each_place(const assay_dut_tensor& to, const Visit& visit) {
  const std::int64_t rows = (to.shape[0] + 127) / 128 * 128;
  const std::int64_t cols = (to.shape[1] + 3) / 4 * 4;
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < cols; ++c)
      visit(static_cast<std::uint8_t*>(
                to.data)[cpu::scale_index(formats::ScaleLayout::swizzled_128x4, r, c, to.shape[1])],
            r, c);
}

Status swizzle_transposed(const Claim& claim, const assay_dut_call& call) {
  const Status status = cpu::layout(claim, call);
  assay_dut_tensor to{};
  if (!swizzles(call, to)) return status;
  // Within 16 bytes: four rows 32 apart by four columns, the wrong one first.
  auto* bytes = static_cast<std::uint8_t*>(to.data);
  for (std::uint64_t at = 0; at < to.bytes; at += 16)
    for (std::uint64_t i = 0; i < 4; ++i)
      for (std::uint64_t j = 0; j < i; ++j) std::swap(bytes[at + 4 * i + j], bytes[at + 4 * j + i]);
  return status;
}

Status swizzle_padding(const Claim& claim, const assay_dut_call& call) {
  const Status status = cpu::layout(claim, call);
  assay_dut_tensor to{};
  if (!swizzles(call, to)) return status;
  for_each_place(to, [&](std::uint8_t& byte, std::int64_t r, std::int64_t c) {
    if (r >= to.shape[0] || c >= to.shape[1]) byte = 0x7F;
  });
  return status;
}

Status nibbles_exchanged(const Claim& claim, const assay_dut_call& call) {
  const Status status = cpu::layout(claim, call);
  const assay_dut_tensor* to = abi::find(abi::outputs(call), ASSAY_DUT_QT);
  for (std::int64_t r = 0; to != nullptr && r < cpu::row_count(*to); ++r)
    for (std::uint8_t& byte : cpu::row_bytes_of(*to, r))
      byte = static_cast<std::uint8_t>(byte >> 4 | byte << 4);
  return status;
}

template <float (*Epilogue)(float, float, float)>
Status gated(const Claim& claim, const assay_dut_call& call) {
  return cpu::gated_gemm_with(claim, call, Epilogue);
}
float exchanged(float g, float u, float l) { return silu(above(u, l)) * clamp(g, l); }
float gate_limited_below(float g, float u, float l) { return silu(clamp(g, l)) * clamp(u, l); }
float up_limited_above(float g, float u, float l) { return silu(above(g, l)) * above(u, l); }
float limit_after_silu(float g, float u, float l) { return above(silu(g), l) * clamp(u, l); }
float nan_clamped(float g, float u, float l) {
  return l == 0.0F ? silu(g) * u : silu(std::fmin(g, l)) * std::fmax(-l, std::fmin(u, l));
}
float tanh_gelu(float g, float u, float l) {
  const float x = above(g, l);
  return 0.5F * x * (1.0F + std::tanh(0.7978846F * (x + 0.044715F * x * x * x))) * clamp(u, l);
}

Status interleave_misread(const Claim& claim, const assay_dut_call& call) {
  Claim other = claim;
  other.gate_layout = 1 - claim.gate_layout;
  return cpu::gated_gemm(other, call);
}

constexpr Fault faults[] = {
    {"convert_ties_away", "ties_away", "ties go away from zero", "aiter#974", ASSAY_DUT_CONVERT,
     convert_away, nearest},
    {"convert_through_bf16", "input_rounded_bf16", "FP32 numbers pass through bf16 on the way",
     "any path that casts to bf16 before quantizing", ASSAY_DUT_CONVERT, convert_through_bf16,
     from_fp32},
    {"convert_zero_sign_lost", "zero_sign_lost", "-0 becomes +0", "microxcaling: -0 to +0",
     ASSAY_DUT_CONVERT, convert_zero_sign, from_fp32},
    {"seed_ignored", "seed_ignored", "every call draws from the same seed", "seeds not forwarded",
     ASSAY_DUT_STOCHASTIC_QUANTIZE, seed_ignored,
     [](const Claim& c) { return c.random != ASSAY_DUT_RANDOM_WORDS; }},
    {"random_word_of_next", "random_word_of_next", "an element takes the word of the next one",
     "index off by one", ASSAY_DUT_STOCHASTIC_QUANTIZE, next_word, words},
    {"random_low_bits", "random_low_bits", "the lowest bits of the word are used, not the top ones",
     "bit order", ASSAY_DUT_STOCHASTIC_QUANTIZE, low_bits, words},
    {"stochastic_biased", "stochastic_biased", "chances are truncated to eighths",
     "too few random bits", ASSAY_DUT_STOCHASTIC_QUANTIZE, few_bits, opaque},
    {"random_word_shared", "random_word_shared", "two neighbours share a word",
     "cvt.rs: one word for several values", ASSAY_DUT_STOCHASTIC_QUANTIZE, shared_word, opaque},
    {"random_words_per_row", "random_words_per_row", "every row draws the same words",
     "thread-local generators", ASSAY_DUT_STOCHASTIC_QUANTIZE, row_words, opaque},
    {"requantized_twice", "requantized_twice", "the transpose is made from the quantized tensor",
     "double quantization", ASSAY_DUT_TRANSPOSE_REQUANTIZE, twice_quantized},
    {"fused_bias_before_alpha", "bias_before_alpha", "the bias is added before alpha multiplies",
     "vllm#37135", ASSAY_DUT_QUANTIZE_GEMM, bias_times_alpha},
    {"fused_through_bf16", "input_rounded_bf16", "A is rounded to bf16 before it is quantized",
     "double rounding", ASSAY_DUT_QUANTIZE_GEMM, fused_through_bf16},
    {"gate_and_up_exchanged", "gate_and_up_exchanged", "silu is taken of the ups",
     "ATOM#885, sglang#26884", ASSAY_DUT_GATED_GEMM, gated<exchanged>},
    {"interleave_misread", "interleave_misread",
     "interleaved rows are read as concatenated, and the other way round", "vllm#22951, vllm#52240",
     ASSAY_DUT_GATED_GEMM, interleave_misread},
    {"gate_limited_below", "gate_limited_below", "the gate is clamped from below too",
     "swiglu_limit", ASSAY_DUT_GATED_GEMM, gated<gate_limited_below>},
    {"up_limited_above_only", "up_limited_above_only", "the up is not clamped from below",
     "swiglu_limit", ASSAY_DUT_GATED_GEMM, gated<up_limited_above>},
    {"limit_after_silu", "limit_after_silu", "the gate's limit acts behind silu", "swiglu_limit",
     ASSAY_DUT_GATED_GEMM, gated<limit_after_silu>},
    {"clamp_swallows_nan", "nan_clamped", "fmin and fmax replace NaN by the limit",
     "TE's exact GEMM test masks NaN", ASSAY_DUT_GATED_GEMM, gated<nan_clamped>},
    {"gelu_for_silu", "gelu_for_silu", "GELU by tanh in the place of silu", "activation mixed up",
     ASSAY_DUT_GATED_GEMM, gated<tanh_gelu>},
    {"swizzle_transposed", "swizzle_transposed",
     "rows and columns exchanged within 16 bytes of the 128x4 layout", "transposed scale tiles",
     ASSAY_DUT_LAYOUT, swizzle_transposed},
    {"swizzle_padding_left", "padding_not_zero", "padding of the 128x4 layout is not zeroed",
     "TE: padding of scale factors", ASSAY_DUT_LAYOUT, swizzle_padding},
    {"transposed_nibbles_exchanged", "nibbles_swapped", "the even element goes to the high nibble",
     "imp#567", ASSAY_DUT_LAYOUT, nibbles_exchanged},
};

std::vector<Fault> all_faults() {
  std::vector<Fault> all(std::begin(faults), std::end(faults));
  const auto groups = group_faults();
  all.insert(all.end(), groups.begin(), groups.end());
  return all;
}

class WrongOperation final : public DeviceUnderTest {
 public:
  explicit WrongOperation(const Fault& fault) : fault_(fault) {}
  [[nodiscard]] std::string name() const override { return "mutants." + std::string(fault_.id); }
  [[nodiscard]] std::vector<Claim> claims() const override {
    std::vector<Claim> kept = cpu::find_operation(fault_.operation)->claims();
    std::erase_if(kept, [&](const Claim& c) { return fault_.keeps && !fault_.keeps(c); });
    for (Claim& claim : kept) claim.accumulator = Accumulator::fp32_any_order;
    return kept;
  }
  Status run(const Claim& claim, const assay_dut_call& call) const override {
    return fault_.run(claim, call);
  }

 private:
  Fault fault_;
};

std::unique_ptr<DeviceUnderTest> make(std::string_view id) {
  for (const Fault& fault : all_faults())
    if (fault.id == id) return std::make_unique<WrongOperation>(fault);
  throw std::invalid_argument("no operation has the fault '" + std::string(id) + "'");
}

}  // namespace

std::span<const Mutant> operation_mutants() {
  static const std::vector<Mutant> all = [] {
    std::vector<Mutant> rows;
    for (const Fault& fault : all_faults())
      rows.push_back({fault.id, fault.description, fault.source, fault.fault, nullptr, make});
    return rows;
  }();
  return all;
}

}  // namespace assay::kernels::mutants

// SPDX-License-Identifier: Apache-2.0
#include "simulator/bf16_statistics.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "formats/codec.h"
#include "formats/fields.h"

namespace assay::simulator {
namespace {

constexpr std::uint16_t kInfinity = 0x7F80;     // BF16's bits, also of
constexpr std::uint16_t kUnreachable = 0x7FFF;  // what no finite magnitude reaches
constexpr std::size_t kBinade = 128;            // magnitudes of one exponent

float value_of(std::uint16_t bits) { return std::bit_cast<float>(std::uint32_t{bits} << 16); }

}  // namespace

std::unique_ptr<Bf16Statistics> Bf16Statistics::of(const formats::BlockFormat& format,
                                                   const formats::QuantizeOptions& options,
                                                   std::int64_t cols, float tensor_amax) {
  const formats::BlockShape block = format.block;
  const formats::Fields element = formats::fields_of(*format.element);
  if (!bf16_kernels_apply() || options.rounding != formats::RoundingMode::nearest_even ||
      format.candidates != nullptr || format.rule == formats::ScaleRule::given || block.rows != 1 ||
      (block.cols != 16 && block.cols != 32) || cols % block.cols != 0 ||
      format.scale->storage_bits != 8 || format.element->storage_bits != 4 ||
      element.sign_bits != 1 || element.is_twos_complement() || element.max_finite() != 7)
    return nullptr;
  std::unique_ptr<Bf16Statistics> s(new Bf16Statistics(format, options, tensor_amax));
  return s->probe_.usable() && s->find_elements() ? std::move(s) : nullptr;
}

Bf16Statistics::Bf16Statistics(const formats::BlockFormat& format,
                               const formats::QuantizeOptions& options, float tensor_amax)
    : probe_(format, options, tensor_amax),
      format_(format),
      powers_of_two_(format.scale == &formats::e8m0 && format.element == &formats::e2m1 &&
                     format.tensor_scale == formats::TensorScale::none),
      rules_(kZero + 1),
      rule_of_(std::make_unique<RuleOf>()) {
  for (std::size_t bits = 0; bits <= kTop; ++bits)
    entry(bits).store(bits < kInfinity ? kUnknown : kNone, std::memory_order_relaxed);
  rules_[kZero].value.fill(0);
  rules_[kZero].step.fill(kUnreachable);
}

/// False where the magnitudes do not ascend from zero or the sign does not mirror them.
bool Bf16Statistics::find_elements() {
  for (std::uint32_t c = 0; c < 8; ++c) {
    element_[c] = formats::decode(*format_.element, c);
    if (c == 0 ? element_[c] != 0 : !(element_[c] > element_[c - 1])) return false;
    if (formats::decode(*format_.element, c + 8) != -element_[c]) return false;
  }
  return true;
}

/// A block of zeros has codes 0 and -0 and adds nothing. Its scale factor does not matter.
bool Bf16Statistics::zero_block() const {
  const float zero = 0;
  std::uint32_t code = 0;
  float factor = 0;
  if (!probe_.scales(std::span(&zero, 1), std::span(&code, 1), std::span(&factor, 1))) return false;
  if (!std::isfinite(static_cast<float>(formats::decode(*format_.scale, code)))) return false;
  const std::array<float, 2> x{0.0F, -0.0F};
  std::array<std::uint8_t, 2 + formats::kSlack> codes{};
  probe_.encode(factor, x, codes);
  return codes[0] == 0 && codes[1] == 8;
}

/// The rule of a scale factor's code, which came with this factor for a block of that largest
/// magnitude; false where it has none.
bool Bf16Statistics::add_rule(std::uint32_t code, float factor, float amax) const {
  const double scale =
      static_cast<double>(formats::decode(*format_.scale, code)) * probe_.tensor_scale();
  if (amax > 0x1p10 * scale) return false;
  if (known_[code]) return factor_[code] == factor;
  // Then what elements are scaled by is an ordinary number, and so are their products.
  if (!(scale >= 0x1p-100 && scale <= 0x1p100)) return false;
  // Scaling by a positive factor, rounding to FP32 and rounding to the element format keep the
  // order, so codes ascend with the magnitudes. They begin to between scale / 8, which is nearer to
  // zero than to the smallest element or half of it, and the largest element: see codes.front().
  const auto bits = [](double v) {
    return std::bit_cast<std::uint32_t>(static_cast<float>(v)) >> 16;
  };
  const std::uint32_t first = bits(scale * element_[1] / 8);
  const std::uint32_t last = bits(scale * element_[7] * 2);
  std::vector<float> x(last - first + 1);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = value_of(static_cast<std::uint16_t>(first + i));
  std::vector<std::uint8_t> codes(x.size() + formats::kSlack);
  probe_.encode(factor, x, codes);
  codes.resize(x.size());
  if (codes.front() != 0 || codes.back() != 7 || !std::is_sorted(codes.begin(), codes.end()))
    return false;
  ElementRule& rule = rules_[code];
  const auto place = [&](auto at) {
    return static_cast<std::uint16_t>(first + static_cast<std::size_t>(at));
  };
  for (std::uint8_t c = 1; c < 8; ++c)
    rule.step[c] = place(std::lower_bound(codes.begin(), codes.end(), c) - codes.begin());
  const double limit = scale * element_[7];
  rule.step[0] = place(std::upper_bound(x.begin(), x.end(), limit) - x.begin());
  for (std::size_t c = 0; c < 8; ++c) rule.value[c] = std::ldexp(element_[c] * scale, -kDown);
  factor_[code] = factor;
  known_[code] = true;
  return true;
}

/// Finds the rules of all blocks whose largest magnitude has the exponent of this one.
void Bf16Statistics::add_binade(std::uint16_t amax) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto first = static_cast<std::uint16_t>(amax / kBinade * kBinade);
  if (entry(first).load(std::memory_order_relaxed) != kUnknown) return;
  std::array<float, kBinade> most{};
  std::array<std::uint32_t, kBinade> codes{};
  std::array<float, kBinade> factors{};
  for (std::size_t i = 0; i < kBinade; ++i)
    most[i] = value_of(static_cast<std::uint16_t>(first + i));
  const bool usual = probe_.scales(most, codes, factors);
  for (std::size_t i = kBinade; i-- > 0;) {
    std::uint16_t rule = kNone;
    if (first + i == 0) {
      if (zero_block()) rule = kZero;
    } else if (usual && add_rule(codes[i], factors[i], most[i])) {
      rule = static_cast<std::uint16_t>(codes[i]);
      if (first + i >= rules_[rule].step[0]) rule |= kClips;
    }
    entry(first + i).store(rule, std::memory_order_release);
  }
}

/// Finds the rules of a run's blocks and what is known of its elements; false where a block has
/// none.
bool Bf16Statistics::find_rules(BlockRun& run, std::size_t blocks, std::uint16_t* which) const {
  FoundRules found = find_rules_bf16(run.x, run.width, blocks, *rule_of_, which);
  if ((found.any & kUnknown) != 0) {
    std::array<std::uint16_t, kRunElements / 16> amax;
    block_amax_bf16(run.x, run.width, blocks, amax.data());
    for (std::size_t b = 0; b < blocks; ++b)
      if (entry(amax[b]).load(std::memory_order_acquire) == kUnknown) add_binade(amax[b]);
    found = find_rules_bf16(run.x, run.width, blocks, *rule_of_, which);
  }
  run.normal = found.least >= kBinade;
  run.clips = (found.any & kClips) != 0;
  return (found.any & kNone) == 0;
}

std::optional<BlockRunSums> Bf16Statistics::tile(std::span<const std::uint16_t> x,
                                                 std::int64_t first) const {
  const auto width = static_cast<std::size_t>(format_.block.cols);
  std::array<std::uint16_t, kRunElements / 16> which;
  BlockRunSums sums;
  for (std::size_t at = 0; at < x.size(); at += kRunElements) {
    const auto elements = x.subspan(at, std::min(kRunElements, x.size() - at));
    const std::size_t blocks = elements.size() / width;
    BlockRun run{elements.data(), width, blocks / kBlocksTogether * kBlocksTogether, which.data()};
    if (!find_rules(run, blocks, which.data())) return std::nullopt;
    run.first = first + static_cast<std::int64_t>(at / width);
    run.powers_of_two = powers_of_two_;
    add_blocks_bf16(run, rules_.data(), sums);
    const std::size_t whole = run.blocks;
    if (whole == blocks) continue;
    // The rest, and blocks of zeros behind it: they add zeros, and leave the counts again.
    std::array<std::uint16_t, kBlocksTogether * 32> rest{};
    std::copy(elements.begin() + static_cast<std::ptrdiff_t>(whole * width), elements.end(),
              rest.begin());
    std::fill(which.begin() + static_cast<std::ptrdiff_t>(blocks), which.end(), kZero);
    run.x = rest.data();
    run.blocks = kBlocksTogether;
    run.which = which.data() + whole;
    run.first += static_cast<std::int64_t>(whole);
    run.normal = false;
    add_blocks_bf16(run, rules_.data(), sums);
    const std::size_t more = (kBlocksTogether - (blocks - whole)) * width;
    sums.codes[0] -= more;
    sums.zeros -= more;
  }
  return sums;
}

}  // namespace assay::simulator

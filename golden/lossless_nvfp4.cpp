// SPDX-License-Identifier: Apache-2.0
#include "golden/lossless_nvfp4.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <utility>

#include "golden/codec.h"
#include "golden/layout.h"

namespace assay::golden {
namespace {

using formats::BlockFormat;
using formats::BlockScaledTensor;
using formats::e2m1;
using formats::ue4m3;

constexpr std::uint32_t nan_scale = 0xFF;  // E8M0
constexpr std::uint32_t magnitude_of_e2m1 = 0x7;
constexpr std::uint32_t last_scale = 0x7E;  // UE4M3: 448
constexpr int normal = -126;                // exponent of FP32's smallest normal number

void require(bool ok, const char* sentence) {
  if (!ok) throw std::invalid_argument(sentence);
}

void validate(const BlockScaledTensor& t, const BlockFormat& target) {
  require_consistent(t);
  const BlockFormat& source = *t.format;
  require(
      source.element->name == e2m1.name && source.scale->name == formats::e8m0.name &&
          source.tensor_scale == formats::TensorScale::none && source.block.rows == 1 &&
          source.block.cols > 0 && source.block.cols % 16 == 0,
      "Re-encoding as NVFP4 takes E2M1 elements with one E8M0 scale factor for a row of 16 or a "
      "multiple of it, and no tensor scale.");
  require(
      target.element->name == e2m1.name && target.scale->name == ue4m3.name &&
          target.tensor_scale == formats::TensorScale::fp32 && target.block.rows == 1 &&
          target.block.cols == 16,
      "Re-encoding as NVFP4 gives E2M1 elements, UE4M3 scale factors of 1x16 and an FP32 tensor "
      "scale.");
}

/// g = odd 2^exponent, the exponent less the E of a half-block.
using Factor = std::pair<int, int>;

/// The magnitudes of E2M1 by code.
const std::array<Rational, 8>& magnitudes() {
  static const std::array<Rational, 8> values = [] {
    std::array<Rational, 8> all;
    for (std::uint32_t code = 0; code < 8; ++code) all[code] = decode(e2m1, code).number.rational();
    return all;
  }();
  return values;
}

Rational value(const Factor& g) { return g.first * Exact::power_of_two(g.second).rational(); }

/// Codes of c 2^E / (s g) for the magnitudes of `mask` (bit m: magnitude code m); E = 0.
std::optional<std::array<std::uint32_t, 8>> requantized(unsigned mask, const Rational& s_g) {
  std::array<std::uint32_t, 8> codes{};
  for (std::uint32_t m = 1; m < 8; ++m) {
    if ((mask >> m & 1U) == 0) continue;
    const auto& all = magnitudes();
    const auto found = std::find(all.begin(), all.end(), Rational(all[m] / s_g));
    if (found == all.end()) return std::nullopt;
    codes[m] = static_cast<std::uint32_t>(found - all.begin());
  }
  return codes;
}

/// What serves a set of magnitudes: for every g the best scale factor.
struct Choice {
  std::uint32_t scale = 0;
  bool kept = false;  ///< s g = 2^E
  std::array<std::uint32_t, 8> codes{};
};
const std::map<Factor, Choice>& choices(unsigned mask) {
  static std::map<unsigned, std::map<Factor, Choice>> known;
  const auto [at, is_new] = known.try_emplace(mask);
  if (!is_new) return at->second;
  for (const int odd : {1, 3}) {
    for (int exponent = -16; exponent <= 16; ++exponent) {
      const Rational g = value({odd, exponent});
      for (std::uint32_t scale = last_scale; scale > 0; --scale) {
        const Rational s_g = decode(ue4m3, scale).number.rational() * g;
        const bool kept = s_g == 1;
        const auto found = at->second.find({odd, exponent});
        if (found != at->second.end() && (found->second.kept || !kept)) continue;
        const auto codes = requantized(mask, s_g);
        if (codes) at->second[{odd, exponent}] = {scale, kept, *codes};
      }
    }
  }
  return at->second;
}

struct HalfBlock {
  std::int64_t row, col, end;
  unsigned mask = 0;
  std::uint32_t scale = 0;  ///< E8M0
  [[nodiscard]] int exponent() const { return static_cast<int>(scale) - 127; }
  [[nodiscard]] bool constrains() const { return scale != nan_scale && mask != 0; }
};

std::vector<HalfBlock> half_blocks(const BlockScaledTensor& t) {
  std::vector<HalfBlock> result;
  for (std::int64_t r = 0; r < t.rows; ++r) {
    for (std::int64_t c = 0; c < t.cols; c += 16) {
      HalfBlock half{r, c, std::min(c + 16, t.cols)};
      half.scale = load_scale(t, r, c / t.format->block.cols);
      for (std::int64_t i = c; i < half.end; ++i) {
        half.mask |= 1U << (load_code(t, r, i) & magnitude_of_e2m1);
      }
      half.mask &= ~1U;  // zeros
      result.push_back(half);
    }
  }
  return result;
}

std::set<Factor> factors(const HalfBlock& half, bool kept_only) {
  std::set<Factor> result;
  for (const auto& [g, choice] : choices(half.mask)) {
    if (!kept_only || choice.kept) result.insert({g.first, g.second + half.exponent()});
  }
  return result;
}

/// Those of both; nullopt stands for every g.
std::optional<std::set<Factor>> common(const std::optional<std::set<Factor>>& a,
                                       const std::set<Factor>& b) {
  if (!a) return b;
  std::set<Factor> result;
  std::set_intersection(a->begin(), a->end(), b.begin(), b.end(),
                        std::inserter(result, result.begin()));
  return result;
}

Factor smallest_normal(const std::set<Factor>& all) {
  const auto found =
      std::find_if(all.begin(), all.end(), [](const Factor& g) { return g.second >= normal; });
  if (found == all.end()) throw std::logic_error("part 3 of the theorem of lossless_nvfp4.h");
  return *found;
}

}  // namespace

LosslessNvfp4 lossless_nvfp4(const BlockScaledTensor& t, const BlockFormat& target) {
  validate(t, target);
  const std::vector<HalfBlock> halves = half_blocks(t);
  std::optional<std::set<Factor>> all;
  std::optional<std::set<Factor>> kept;
  for (const HalfBlock& half : halves) {
    if (!half.constrains()) continue;
    all = common(all, factors(half, false));
    kept = common(kept, factors(half, true));
    if (all->empty()) return {false, {}, half.row, half.col};
  }
  LosslessNvfp4 result;
  result.lossless = true;
  BlockScaledTensor& out = result.tensor;
  out.format = &target;
  out.rows = t.rows;
  out.cols = t.cols;
  out.codes.resize(code_bytes(e2m1, t.rows, t.cols, out.layout));
  out.scales.resize(scale_bytes(target, t.rows, t.cols, out.scale_layout));
  const Factor g = all ? smallest_normal(kept->empty() ? *all : *kept) : Factor{1, 0};
  out.tensor_scale = value(g).convert_to<float>();
  for (const HalfBlock& half : halves) {
    if (half.scale == nan_scale) {
      store_scale(out, half.row, half.col / 16, canonical_nan(ue4m3));
      continue;
    }
    Choice choice;
    if (half.mask != 0) choice = choices(half.mask).at({g.first, g.second - half.exponent()});
    store_scale(out, half.row, half.col / 16, choice.scale);
    for (std::int64_t c = half.col; c < half.end; ++c) {
      const std::uint32_t code = load_code(t, half.row, c);
      store_code(out, half.row, c,
                 (code & ~magnitude_of_e2m1) | choice.codes[code & magnitude_of_e2m1]);
    }
  }
  return result;
}

}  // namespace assay::golden

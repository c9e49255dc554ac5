// SPDX-License-Identifier: Apache-2.0
// GGML's two 4-bit quantizers, operation by operation (ggml-quants.c, quantize_row_q4_0_ref and
// quantize_row_q4_K_ref with make_qkx2_quants). The order of every sum is part of the definition.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <stdexcept>
#include <string>

#include "formats/codec.h"
#include "formats/packed.h"
#include "formats/parallel.h"
#include "formats/presets.h"

namespace assay::formats {
namespace {

constexpr std::uint16_t kNanScale = 0x7E00;  // FP16

std::uint16_t to_fp16(float x) {
  constexpr Policy overflow{Overflow::to_infinity, NanRule::canonical, UnsignedRule::clamp};
  return static_cast<std::uint16_t>(encode(fp16, x, RoundingMode::nearest_even, overflow));
}
float from_fp16(std::uint16_t code) { return static_cast<float>(decode(fp16, code)); }

void store_fp16(std::uint8_t* at, std::uint16_t code) {
  at[0] = static_cast<std::uint8_t>(code);
  at[1] = static_cast<std::uint8_t>(code >> 8U);
}

bool all_finite(std::span<const float> x) {
  return std::all_of(x.begin(), x.end(), [](float v) { return std::isfinite(v); });
}

/// To the nearest integer, ties to even, within [0, most]; NaN gives 0.
int level(float x, int most) {
  if (!(x > 0)) return 0;
  return x >= static_cast<float>(most) ? most : static_cast<int>(std::nearbyint(x));
}

void quantize_q4_0(std::span<const float> x, std::uint8_t* out) {
  float largest = 0;
  float signed_max = 0;
  for (const float v : x) {
    if (largest < std::fabs(v)) {
      largest = std::fabs(v);
      signed_max = v;
    }
  }
  const float d = signed_max / -8;
  const float inverse = d != 0 ? 1.0F / d : 0.0F;
  store_fp16(out, all_finite(x) ? to_fp16(d) : kNanScale);
  if (!all_finite(x)) return;
  const auto code = [&](float v) {
    if (!std::isfinite(inverse)) return 8;
    return std::min(15, static_cast<int>(v * inverse + 8.5F));
  };
  for (std::size_t j = 0; j < 16; ++j) {
    out[2 + j] = static_cast<std::uint8_t>(code(x[j]) | code(x[j + 16]) << 4);
  }
}

/// One sub-block of the search: code * scale - offset approximates x.
struct Fit {
  float scale = 0;
  float offset = 0;
  std::array<int, 32> codes{};
};

Fit fit_sub_block(std::span<const float> x) {
  constexpr int kMost = 15;
  float squares = 0;
  for (const float v : x) squares += v * v;
  const float rms = std::sqrt(squares / 32);
  std::array<float, 32> weights;
  for (std::size_t i = 0; i < 32; ++i) weights[i] = rms + std::fabs(x[i]);

  float low = x[0];
  float high = x[0];
  float sum_w = weights[0];
  float sum_x = sum_w * x[0];
  for (std::size_t i = 1; i < 32; ++i) {
    low = std::min(low, x[i]);
    high = std::max(high, x[i]);
    sum_w += weights[i];
    sum_x += weights[i] * x[i];
  }
  if (low > 0) low = 0;
  Fit fit;
  fit.offset = -low;
  if (high == low) return fit;

  const auto error = [&](const std::array<int, 32>& codes, float scale, float offset) {
    float sum = 0;
    for (std::size_t i = 0; i < 32; ++i) {
      const float diff = scale * static_cast<float>(codes[i]) + offset - x[i];
      sum += weights[i] * (diff * diff);
    }
    return sum;
  };
  const float inverse = kMost / (high - low);
  fit.scale = 1 / inverse;
  for (std::size_t i = 0; i < 32; ++i) fit.codes[i] = level(inverse * (x[i] - low), kMost);
  float best = error(fit.codes, fit.scale, low);

  for (int step = 0; step <= 20; ++step) {  // `low` moves with every improvement
    const float candidate = (-1.0F + 0.1F * static_cast<float>(step) + kMost) / (high - low);
    std::array<int, 32> codes;
    float sum_l = 0;
    float sum_l2 = 0;
    float sum_xl = 0;
    for (std::size_t i = 0; i < 32; ++i) {
      codes[i] = level(candidate * (x[i] - low), kMost);
      const auto l = static_cast<float>(codes[i]);
      sum_l += weights[i] * l;
      sum_l2 += weights[i] * l * l;
      sum_xl += weights[i] * l * x[i];
    }
    const float determinant = sum_w * sum_l2 - sum_l * sum_l;
    if (!(determinant > 0)) continue;
    float scale = (sum_w * sum_xl - sum_x * sum_l) / determinant;
    float offset = (sum_l2 * sum_x - sum_l * sum_xl) / determinant;
    if (offset > 0) {
      offset = 0;
      scale = sum_xl / sum_l2;
    }
    const float sum = error(codes, scale, offset);
    if (sum < best) {
      best = sum;
      fit.codes = codes;
      fit.scale = scale;
      low = offset;
    }
  }
  fit.offset = -low;
  return fit;
}

/// A scale or offset in 6 bits. GGML converts to a byte, modulo 256, before it takes the minimum
/// with 63, and a fit can give a negative scale.
int six_bits(float x) {
  if (std::isnan(x)) return 0;
  constexpr float kFar = 4194303;  // what GGML's rounding trick can take
  const int nearest = static_cast<int>(std::nearbyint(std::clamp(x, -kFar, kFar)));
  return std::min(63, nearest & 255);
}

void quantize_q4_k(std::span<const float> x, std::uint8_t* out) {
  if (!all_finite(x)) return store_fp16(out, kNanScale);
  std::array<Fit, 8> fits;
  float largest_scale = 0;
  float largest_offset = 0;
  for (std::size_t j = 0; j < 8; ++j) {
    fits[j] = fit_sub_block(x.subspan(32 * j, 32));
    largest_scale = std::max(largest_scale, fits[j].scale);
    largest_offset = std::max(largest_offset, fits[j].offset);
  }
  const float inverse_scale = largest_scale > 0 ? 63.0F / largest_scale : 0.0F;
  const float inverse_offset = largest_offset > 0 ? 63.0F / largest_offset : 0.0F;
  const std::uint16_t d = to_fp16(largest_scale / 63.0F);
  const std::uint16_t d_min = to_fp16(largest_offset / 63.0F);
  store_fp16(out, d);
  store_fp16(out + 2, d_min);
  std::uint8_t* six = out + 4;
  for (std::size_t j = 0; j < 8; ++j) {
    const int scale = six_bits(inverse_scale * fits[j].scale);
    const int offset = six_bits(inverse_offset * fits[j].offset);
    if (j < 4) {
      six[j] = static_cast<std::uint8_t>(six[j] | scale);
      six[j + 4] = static_cast<std::uint8_t>(six[j + 4] | offset);
    } else {
      six[j + 4] = static_cast<std::uint8_t>((scale & 15) | (offset & 15) << 4);
      six[j - 4] = static_cast<std::uint8_t>(six[j - 4] | scale >> 4 << 6);
      six[j] = static_cast<std::uint8_t>(six[j] | offset >> 4 << 6);
    }
    // The codes follow the factors as stored; where those are 0 the search's stay.
    const float stored = from_fp16(d) * static_cast<float>(scale);
    if (stored == 0) continue;
    const float shift = from_fp16(d_min) * static_cast<float>(offset);
    for (std::size_t i = 0; i < 32; ++i) {
      fits[j].codes[i] = level((x[32 * j + i] + shift) / stored, 15);
    }
  }
  for (std::size_t j = 0; j < 8; j += 2) {
    for (std::size_t i = 0; i < 32; ++i) {
      out[16 + 16 * j + i] =
          static_cast<std::uint8_t>(fits[j].codes[i] | fits[j + 1].codes[i] << 4);
    }
  }
}

}  // namespace

std::vector<std::uint8_t> quantize_packed(const PackedBlock& block, std::span<const float> x) {
  if (block.rule == PackedRule::none) {
    throw std::invalid_argument(std::string(block.name) +
                                " is read only; quantize to q4_0 or q4_k");
  }
  std::vector<std::uint8_t> out(
      static_cast<std::size_t>(packed_block_bytes(block, static_cast<std::int64_t>(x.size()))));
  const auto blocks = static_cast<std::int64_t>(x.size()) / block.elements;
#pragma omp parallel for schedule(static) if (detail::worth_threads(std::ssize(x)))
  for (std::int64_t b = 0; b < blocks; ++b) {
    const auto part = x.subspan(static_cast<std::size_t>(b * block.elements),
                                static_cast<std::size_t>(block.elements));
    std::uint8_t* to = out.data() + b * block.bytes;
    (block.rule == PackedRule::signed_max ? quantize_q4_0 : quantize_q4_k)(part, to);
  }
  return out;
}

}  // namespace assay::formats

// SPDX-License-Identifier: Apache-2.0
#pragma once
// Inputs on which block quantizers disagree, and the comparison with golden. Uniform random values
// find almost nothing: every block here is drawn from a list of constructed kinds.

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "formats/block.h"
#include "formats/codec.h"
#include "formats/layout.h"
#include "formats/philox.h"
#include "formats/presets.h"
#include "golden/quantize.h"

namespace assay::tests {

inline constexpr formats::RoundingMode all_modes[] = {
    formats::RoundingMode::nearest_even,    formats::RoundingMode::nearest_away,
    formats::RoundingMode::toward_zero,     formats::RoundingMode::toward_positive,
    formats::RoundingMode::toward_negative, formats::RoundingMode::to_odd,
    formats::RoundingMode::stochastic,
};

/// Deterministic words.
class Words {
 public:
  explicit Words(std::uint64_t seed) : seed_(seed) {}
  std::uint32_t next() { return formats::philox_word(seed_, index_++); }
  /// In [0, n).
  std::uint32_t below(std::uint32_t n) {
    return static_cast<std::uint32_t>(std::uint64_t{next()} * n >> 32);
  }
  float sign() { return (next() & 1) != 0 ? 1.0F : -1.0F; }
  float uniform() { return static_cast<float>(next() >> 8) * 0x1p-24F; }

 private:
  std::uint64_t seed_;
  std::uint64_t index_ = 0;
};

/// Fills one block's worth of elements with one of the kinds. `center` is the exponent around which
/// the tensor lives, so that two-level formats see blocks of every relation to the tensor scale.
inline void fill_block(Words& w, int center, bool specials, std::span<float> block) {
  const int exponent = center + static_cast<int>(w.below(9)) - 4;
  const auto set = [&](auto value) {
    for (float& x : block) x = w.sign() * value();
  };
  const float power = std::ldexp(1.0F, exponent);
  float amax = power;
  switch (w.below(specials ? 14 : 12)) {
    case 0:  // plain
      return set([&] { return power * w.uniform(); });
    case 1:  // zeros of both signs
      return set([] { return 0.0F; });
    case 2:  // one nonzero element
      set([] { return 0.0F; });
      block[w.below(static_cast<std::uint32_t>(block.size()))] = w.sign() * power;
      return;
    case 3:  // nextbelow(2^k): where a float log2 goes wrong
      amax = std::nextafter(power, 0.0F);
      break;
    case 4:
      amax = std::nextafter(power, std::numeric_limits<float>::infinity());
      break;
    case 5:  // every bit pattern is likely
      return set([&] {
        const float x = std::bit_cast<float>(w.next() & 0x7FFFFFFF);
        return std::isfinite(x) ? x : 1.0F;
      });
    case 6:  // subnormals, and the scale's lower end
      return set([&] { return std::bit_cast<float>(w.next() >> (8 + w.below(24))); });
    case 7:
      return set(
          [&] { return std::numeric_limits<float>::max() * (1.0F - w.uniform() * 0x1p-20F); });
    case 8:  // amax 2^-126 .. 2^-149
      amax = std::ldexp(1.0F, -126 - static_cast<int>(w.below(24)));
      break;
    case 9:  // around 6 * 2^k and 7 * 2^k: where floor clips and rceil steps
      amax = std::nextafter(power * 1.5F, w.below(2) != 0 ? 0.0F : power * 4);
      break;
    case 10:
      amax = power * 1.5F;
      break;
    case 11:
      amax = power * 1.75F;
      break;
    case 12:
      set([&] { return power * w.uniform(); });
      block[w.below(static_cast<std::uint32_t>(block.size()))] =
          w.sign() * std::numeric_limits<float>::infinity();
      return;
    default:
      set([&] { return power * w.uniform(); });
      block[w.below(static_cast<std::uint32_t>(block.size()))] =
          std::bit_cast<float>(0x7F800001U | w.next());
      return;
  }
  // Eighths of the amax and neighbours of them: midpoints of E2M1 under power-of-two scales.
  set([&] {
    const float x = amax * static_cast<float>(w.below(17)) * 0.0625F;
    const std::uint32_t step = w.below(3);
    if (step == 0) return x;
    return std::nextafter(x, step == 1 ? 0.0F : std::numeric_limits<float>::infinity());
  });
  block[w.below(static_cast<std::uint32_t>(block.size()))] = w.sign() * amax;
}

inline std::vector<float> matrix(std::uint64_t seed, std::int64_t rows, std::int64_t cols,
                                 int center, bool specials) {
  Words w(seed);
  std::vector<float> x(static_cast<std::size_t>(rows * cols));
  std::size_t done = 0;
  while (done < x.size()) {
    const std::size_t size = std::min<std::size_t>(x.size() - done, 8 + w.below(40));
    fill_block(w, center, specials, std::span(x).subspan(done, size));
    done += size;
  }
  return x;
}

/// Scale factors for ScaleRule::given: ordinary, zero, negative, tiny and huge ones; else none.
inline std::vector<float> scales_for(const formats::BlockFormat& format, std::int64_t rows,
                                     std::int64_t cols, int center) {
  if (format.rule != formats::ScaleRule::given) return {};
  Words w(99);
  std::vector<float> scales(
      static_cast<std::size_t>(formats::block_grid(format.block, rows, cols).count()));
  for (float& s : scales) {
    s = std::ldexp(w.uniform() + 0.5F, center - static_cast<int>(w.below(6)));
    const std::uint32_t kind = w.below(12);
    if (kind == 0) s = 0.0F;
    if (kind == 1) s = -s;
    if (kind == 2) s = std::bit_cast<float>(w.next() >> 12);
    if (kind == 3) s = std::numeric_limits<float>::max();
  }
  return scales;
}

/// The first difference in words, or nothing.
inline void expect_same(const formats::BlockScaledTensor& fast,
                        const formats::BlockScaledTensor& exact, const std::string& what) {
  ASSERT_EQ(fast.rows, exact.rows) << what;
  ASSERT_EQ(fast.cols, exact.cols) << what;
  ASSERT_EQ(std::bit_cast<std::uint32_t>(fast.tensor_scale),
            std::bit_cast<std::uint32_t>(exact.tensor_scale))
      << what;
  ASSERT_EQ(fast.codes.size(), exact.codes.size()) << what;
  ASSERT_EQ(fast.scales.size(), exact.scales.size()) << what;
  for (std::int64_t r = 0; r < exact.rows; ++r) {
    for (std::int64_t c = 0; c < exact.cols; ++c) {
      ASSERT_EQ(formats::scale_code(fast, r, c), formats::scale_code(exact, r, c))
          << what << " scale of element (" << r << ", " << c << ")";
      ASSERT_EQ(formats::element_code(fast, r, c), formats::element_code(exact, r, c))
          << what << " element (" << r << ", " << c << ")";
    }
  }
  ASSERT_EQ(fast.codes, exact.codes) << what << ": padding";
  ASSERT_EQ(fast.scales, exact.scales) << what << ": padding";
}

}  // namespace assay::tests

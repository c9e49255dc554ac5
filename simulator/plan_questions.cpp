// SPDX-License-Identifier: Apache-2.0
#include "simulator/plan_questions.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <stdexcept>

#include "formats/codec.h"

namespace assay::simulator {
namespace {

using formats::FormatSpec;

/// Exponents of the smallest and of the largest power of two.
int smallest(const FormatSpec& s) { return s.subnormals ? 1 - s.bias - s.mantissa_bits : -s.bias; }
int largest(const FormatSpec& s) {
  const int top = (1 << s.exponent_bits) - 1;
  const bool last_binade = s.specials == formats::Specials::ieee ||
                           (s.specials == formats::Specials::nan_all_ones && s.mantissa_bits == 0);
  return top - (last_binade ? 1 : 0) - s.bias;
}

std::uint32_t power(const FormatSpec& s, int e) {
  const formats::Policy policy{formats::Overflow::saturate,
                               s.specials == formats::Specials::none ? formats::NanRule::max_finite
                                                                     : formats::NanRule::canonical,
                               formats::UnsignedRule::clamp};
  return formats::encode(s, std::ldexp(1.0, std::clamp(e, smallest(s), largest(s))),
                         formats::RoundingMode::toward_zero, policy)
         << s.storage_shift;
}
std::uint32_t negative(const FormatSpec& s, std::uint32_t code) {
  return code ^ (1U << (s.exponent_bits + s.mantissa_bits)) << s.storage_shift;
}

class Maker {
 public:
  explicit Maker(const PlanTask& task) : t_(task), random_(task.seed) {
    q_.k = task.k;
    block_ = granularity(task);
    // Below 2^15, for accumulators in FP16; small ones not below its last bit. With block scales
    // (no unit has them and FP16 sums) as large as scales allow: F = 35 bits have to be crossed.
    large_ = task.scale == nullptr ? std::min(14, largest(*task.a) + largest(*task.b)) : 16;
    small_ = task.scale == nullptr ? std::max(-22, smallest(*task.a) + smallest(*task.b)) : -26;
  }

  PlanQuestions all() {
    const std::int64_t blocks = t_.k / block_;
    for (std::int64_t x = 0; x < blocks; ++x)
      for (std::int64_t z = 0; z < blocks; ++z) {
        if (x == z && t_.scale != nullptr) continue;  // the scale is that of the large product
        begin();
        big(x * block_ + large_at, false);
        big(x * block_ + negative_at, true);
        small(z * block_ + small_at, small_);
        q_.order.push_back({x, z});
      }
    steps();
    bits();
    underflow();
    flushes();
    for (int i = 0; i < 256; ++i) {
      dense(i % 4);
      cancel(i % 4 == 3 ? large_ : static_cast<int>(word(static_cast<std::uint64_t>(large_))));
    }
    q_.first_dense = q_.rows;
    // Kernels tile M and N by up to 256.
    for (int i = 0; i < dense_rows || q_.rows % 256 != 0; ++i) dense(i % 3);
    return std::move(q_);
  }

 private:
  std::uint64_t word(std::uint64_t n) { return random_() % n; }

  std::size_t at(std::int64_t k) const {
    return static_cast<std::size_t>((q_.rows - 1) * t_.k + k);
  }
  std::size_t scale_at(std::int64_t k) const {
    return static_cast<std::size_t>((q_.rows - 1) * (t_.k / t_.scale_block) + k / t_.scale_block);
  }

  void begin() {
    ++q_.rows;
    q_.a.resize(static_cast<std::size_t>(q_.rows * t_.k));
    q_.b.resize(q_.a.size());
    if (t_.scale == nullptr) return;
    const auto scales = static_cast<std::size_t>(q_.rows * (t_.k / t_.scale_block));
    q_.scale_a.resize(scales, power(*t_.scale, 0));
    q_.scale_b.resize(scales, power(*t_.scale, 0));
  }

  /// 2^e as a product, split over elements (and scales).
  void put(std::int64_t k, int e) {
    if (t_.scale != nullptr) {
      const int half = std::clamp(e / 2, smallest(*t_.scale), largest(*t_.scale));
      const int rest = std::clamp(e - half, smallest(*t_.scale), largest(*t_.scale));
      q_.scale_a[scale_at(k)] = power(*t_.scale, half);
      q_.scale_b[scale_at(k)] = power(*t_.scale, rest);
      e -= half + rest;
    }
    const int x = std::clamp(e / 2, smallest(*t_.a), largest(*t_.a));
    const int y = std::clamp(e - x, smallest(*t_.b), largest(*t_.b));
    q_.a[at(k)] = power(*t_.a, e - y);
    q_.b[at(k)] = power(*t_.b, y);
  }
  void big(std::int64_t k, bool minus) {
    put(k, large_);
    if (minus) q_.a[at(k)] = negative(*t_.a, q_.a[at(k)]);
  }
  /// Does not touch the scales of a block that has the large product.
  void small(std::int64_t k, int e) {
    if (t_.scale != nullptr && q_.scale_a[scale_at(k)] != power(*t_.scale, 0)) {
      q_.a[at(k)] = power(*t_.a, -9);
      q_.b[at(k)] = power(*t_.b, -9);
      return;
    }
    put(k, e);
  }

  void steps() {
    const std::int64_t reach = std::min<std::int64_t>(t_.k, 128);
    for (const std::int64_t p : {0, 2, 4, 8, 16, 32}) {
      for (std::int64_t z = 1; z < reach; z = z < 20 ? z + 1 : z + 4) {
        if (z == p || z == p + 1) continue;
        begin();
        big(p, false);
        big(p + 1, true);
        small(z, small_);
      }
    }
  }

  void bits() {
    for (int s = 0; s <= large_ - small_; ++s) {
      begin();
      big(0, false);
      big(1, true);
      small(2, large_ - s);
      // All ones below the leading bit, in A.
      q_.a[at(2)] |= ((1U << t_.a->mantissa_bits) - 1) << t_.a->storage_shift;
      if (formats::fields_of(*t_.a).magnitude(q_.a[at(2)] >> t_.a->storage_shift) >
          formats::fields_of(*t_.a).max_finite())
        q_.a[at(2)] = power(*t_.a, 0);
    }
  }

  /// Around the last bit of FP16 and of FP32: the sign of what rounds to zero, and where the
  /// alignment of sums with zero terms starts.
  void underflow() {
    for (const int last : {-24, -149}) {
      // A step's sum rounds to zero, whatever its length: one to `gap` of them share one product.
      for (const std::int64_t gap : {1, 4, 8, 16, 32, 64}) {
        begin();
        for (std::int64_t k = 0; k < t_.k; k += gap) {
          put(k, last - 6);
          q_.a[at(k)] = negative(*t_.a, q_.a[at(k)]);
        }
      }
      for (int s = 18; s <= 26; ++s) {
        begin();
        put(0, last - 1);
        put(1, last - s);
      }
    }
  }

  /// A sum of normal FP32 numbers that is subnormal and negative, at the end of every 16 elements:
  /// where units flush it to -0, chains from +0 end differently.
  void flushes() {
    constexpr int last_normal = -126;
    if (t_.scale != nullptr || smallest(*t_.a) + smallest(*t_.b) >= last_normal) return;
    const std::uint32_t quarter = 1U << (t_.a->mantissa_bits - 2) << t_.a->storage_shift;
    begin();
    for (std::int64_t k = 0; k < t_.k; k += 16) {
      put(k + 4, last_normal);
      q_.a[at(k + 4)] |= 2 * quarter;
      put(k + 15, last_normal);
      q_.a[at(k + 15)] = negative(*t_.a, q_.a[at(k + 15)] | 3 * quarter);
    }
  }

  std::uint32_t code(const FormatSpec& s, int level, int spread) {
    const auto n = static_cast<std::uint64_t>(2 * spread + 1);
    const int e = level + static_cast<int>(word(n)) - spread;
    std::uint32_t x = power(s, std::clamp(e, 1 - s.bias, std::min(largest(s) - 1, 12)));
    x |= static_cast<std::uint32_t>(word(std::uint64_t{1} << s.mantissa_bits)) << s.storage_shift;
    return s.sign_bits != 0 && word(2) == 0 ? negative(s, x) : x;
  }

  void dense(int kind) {
    begin();
    int level = 0;
    const std::int64_t run = block_ << word(4);
    for (std::int64_t k = 0; k < t_.k; ++k) {
      if (kind == 2 && k % run == 0) level = static_cast<int>(word(13)) - 6;
      const int spread = kind == 1 ? 7 : 1;
      if (kind == 3) level = -7;  // far below what cancels
      q_.a[at(k)] = code(*t_.a, level, spread);
      q_.b[at(k)] = code(*t_.b, level, spread);
      if (t_.scale == nullptr || k % t_.scale_block != 0) continue;
      const int scales = kind == 0 ? 1 : kind == 1 ? 4 : 0;
      q_.scale_a[scale_at(k)] = code(*t_.scale, level, scales);
      q_.scale_b[scale_at(k)] = code(*t_.scale, level, scales);
    }
  }

  /// Two large products of the last row that cancel, in different blocks of their own.
  void cancel(int e) {
    const auto blocks = static_cast<std::uint64_t>(t_.k / block_);
    const std::uint64_t x = word(blocks);
    const std::uint64_t y = (x + 1 + word(blocks - 1)) % blocks;
    for (const std::uint64_t block : {x, y}) {
      const auto first = static_cast<std::int64_t>(block) * block_;
      for (std::int64_t k = first; k < first + block_; ++k) q_.a[at(k)] = q_.b[at(k)] = 0;
      const std::int64_t k = first + static_cast<std::int64_t>(word(16));
      put(k, e);
      if (block == y) q_.a[at(k)] = negative(*t_.a, q_.a[at(k)]);
    }
  }

  const PlanTask& t_;
  std::mt19937_64 random_;
  std::int64_t block_ = 0;
  int large_ = 0, small_ = 0;
  PlanQuestions q_;
};

}  // namespace

std::int64_t granularity(const PlanTask& task) {
  std::int64_t g = std::max<std::int64_t>(16, task.scale_block);
  while (g * 32 < task.k || task.k % g != 0) g *= 2;
  return g;
}

void require_valid(const PlanTask& t) {
  const auto models = all_mma_models();
  const auto fits = [&t](const MmaModel& m) {
    return m.a == t.a && m.b == t.b && m.scale == t.scale && m.scale_block == t.scale_block;
  };
  if (std::none_of(models.begin(), models.end(), fits))
    throw std::invalid_argument(fmt::format(
        "no model multiplies {} with {}{}; 'assay mma --list' prints the inputs of all", t.a->name,
        t.b->name,
        t.scale == nullptr ? " without block scales"
                           : fmt::format(" with a {} scale per {}", t.scale->name, t.scale_block)));
  const std::int64_t unit = std::max<std::int64_t>(64, t.scale_block);
  if (t.k < unit || t.k > 4096 || t.k % unit != 0)
    throw std::invalid_argument(fmt::format(
        "plans are inferred for a K from 64 to 4096 that is a multiple of {}, not {}", unit, t.k));
}

PlanQuestions plan_questions(const PlanTask& task) {
  require_valid(task);
  return Maker(task).all();
}

}  // namespace assay::simulator

// SPDX-License-Identifier: Apache-2.0
#pragma once
// Random words of predictions. Private to them.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

namespace assay::simulator {

inline constexpr std::size_t kSampledTokens = 4096;  ///< on which a recipe's derivative is taken

/// Draws of all that is random in a prediction: 16 for 512 tokens, fewer for more, which say as
/// much together; at least 4, of which a spread can be told.
inline std::size_t draws_for(std::size_t tokens) {
  return std::clamp<std::size_t>(16 * 512 / tokens, 4, 16);
}

/// Which sample of a group's answer a draw has, and its sign.
struct Pick {
  std::size_t sample;
  double sign;
};
/// Draws of one group go through its samples in turn, from a start and with signs of its own
/// (SplitMix64, Steele, Lea and Flood 2014), so that every sample is used as often as the others.
inline Pick pick(std::size_t group, std::size_t draw, std::size_t samples) {
  const auto mix = [](std::uint64_t z) {
    z += 0x9E3779B97F4A7C15U;
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31U);
  };
  const std::uint64_t signs = mix(2 * group);
  return {(draw + mix(2 * group + 1)) % samples, (signs >> draw & 1U) != 0 ? 1.0 : -1.0};
}

/// Standard normal and uniform words, the same for every token: predictions are deterministic.
struct Words {
  static constexpr std::size_t kCount = 65536;
  std::vector<double> normal, uniform;
  Words() {
    std::mt19937_64 random(20260101);
    std::normal_distribution<double> n;
    std::uniform_real_distribution<double> u;
    for (std::size_t i = 0; i < kCount; ++i) {
      normal.push_back(n(random));
      uniform.push_back(u(random));
    }
  }
};
inline const Words& words() {
  static const Words table;
  return table;
}

/// A cursor through the words, started at a place that depends on the token.
class Draws {
 public:
  explicit Draws(std::size_t token) : n_(token * 7919), u_(token * 104729) {}
  double normal() { return normal_[n_++ % Words::kCount]; }
  double uniform() { return uniform_[u_++ % Words::kCount]; }

 private:
  const double* normal_ = words().normal.data();
  const double* uniform_ = words().uniform.data();
  std::size_t n_, u_;
};

template <class T>
double mean(const std::vector<T>& v) {
  double sum = 0;
  for (const T x : v) sum += x;
  return v.empty() ? 0 : sum / static_cast<double>(v.size());
}

/// Standard deviation of one more value about the mean of these.
inline double spread(const std::vector<double>& v) {
  const double m = mean(v);
  double sum = 0;
  for (const double x : v) sum += (x - m) * (x - m);
  const auto n = static_cast<double>(v.size());
  return std::sqrt(sum / (n - 1) * (1 + 1 / n));
}

}  // namespace assay::simulator

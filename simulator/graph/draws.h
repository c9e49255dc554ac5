// SPDX-License-Identifier: Apache-2.0
#pragma once
// Random words of predictions. Private to them.

#include <cstddef>
#include <random>
#include <vector>

namespace assay::simulator {

inline constexpr int kDraws = 48;  ///< of the noise of a token

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

}  // namespace assay::simulator

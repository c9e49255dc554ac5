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
  std::vector<double> normal, uniform;
  Words() {
    std::mt19937_64 random(20260101);
    std::normal_distribution<double> n;
    std::uniform_real_distribution<double> u;
    for (int i = 0; i < 65536; ++i) {
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
  double normal() { return words().normal[n_++ % words().normal.size()]; }
  double uniform() { return words().uniform[u_++ % words().uniform.size()]; }

 private:
  std::size_t n_, u_;
};

}  // namespace assay::simulator

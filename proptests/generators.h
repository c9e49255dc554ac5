// SPDX-License-Identifier: Apache-2.0
#pragma once
// Where operands come from. Uniform random numbers find almost nothing in FP4 (a ties-away
// quantizer is bit-identical to ties-to-even on a million Gaussian bf16 numbers), so everything
// here is weighted to the places where kernels differ. The words come from RapidCheck's splittable
// generator.

#include <rapidcheck.h>

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "formats/tensor.h"

namespace assay::proptests {

/// A stream of choices. The same rc::Random gives the same choices on every machine.
class Draw {
 public:
  explicit Draw(const rc::Random& random) : random_(random) {}

  /// 0 .. n - 1.
  std::uint64_t below(std::uint64_t n) { return random_.next() % n; }
  /// first .. last, both included.
  std::int64_t between(std::int64_t first, std::int64_t last) {
    return first + static_cast<std::int64_t>(below(static_cast<std::uint64_t>(last - first + 1)));
  }
  bool one_in(std::uint64_t n) { return below(n) == 0; }
  template <class T, std::size_t N>
  const T& of(const std::array<T, N>& choices) {
    return choices[below(N)];
  }
  template <class T>
  T of(std::initializer_list<T> choices) {
    return choices.begin()[below(choices.size())];
  }
  std::uint32_t word() { return static_cast<std::uint32_t>(random_.next()); }

  /// Any FP32 number that is neither NaN nor infinite, all exponents equally likely.
  float any_finite();
  /// +-2^e * (1 + fraction), with e between first and last.
  float in_binades(int first, int last);
  /// x moved by -steps .. +steps places among the FP32 numbers, staying finite.
  float near(float x, int steps);
  /// An E2M1 midpoint: 0.25, 0.75, 1.25, 1.75, 2.5, 3.5 or 5.
  float midpoint();
  float sign() { return below(2) == 0 ? 1.0F : -1.0F; }
  /// NaN with some payload and sign, or an infinity.
  float not_finite();
  /// A bf16 code: special values, few-bit significands, anything.
  std::uint16_t bf16(int first_exponent, int last_exponent);

 private:
  rc::Random random_;
};

/// 2^e as FP32, e from -149 to 127.
[[nodiscard]] float power_of_two(int e);

/// How the codes of an operand are chosen.
enum class Codes : std::uint8_t { any, positive, one_hot, tail_only };
/// How its scale factors are chosen.
enum class Scales : std::uint8_t {
  one,            ///< all 1: every sum of products is exact in FP32
  powers_of_two,  ///< a different power of two in each row and block, so that a misplaced one shows
  any_normal,     ///< anything whose products stay well inside the FP32 range
  extreme,        ///< both ends of the format
};

/// A rows x cols tensor in raw codes with consistent arrays; the tensor scale is 1, a power of two,
/// or any number near 1 (`Scales::any_normal`), where the format has one.
[[nodiscard]] formats::BlockScaledTensor draw_tensor(Draw& draw, const formats::BlockFormat& format,
                                                     std::int64_t rows, std::int64_t cols,
                                                     formats::ScaleLayout layout, Codes codes,
                                                     Scales scales);

}  // namespace assay::proptests

// SPDX-License-Identifier: Apache-2.0
#pragma once
// The gated epilogue (SwiGLU) behind two products, g (gate) and u (up), element by element:
//
//   h = silu(min(g, limit)) * clamp(u, -limit, limit),   silu(x) = x / (1 + exp(-x)),
//
// then one rounding to the output format. Source: SwiGLU, Shazeer, arXiv 2002.05202; the limit is
// DeepSeek-V4 swiglu_limit (10: the gate from above only, up both ways); without one, no clamps.
//
// NaN and infinities, this project's definition: a NaN g or u stays NaN, through min and clamp too;
// silu(+Inf) = +Inf, and silu(-Inf) = -0, its limit; silu(+-0) = +-0; the product is IEEE 754's (0
// * Inf is NaN). The formula itself gives NaN for -Inf, and so may a kernel: not judgeable.

#include <optional>
#include <vector>

#include "golden/gemm_bounds.h"
#include "golden/silu.h"

namespace assay::golden {

/// The exact result: `special` where it is a zero, an infinity or NaN; else silu(gate) * up, which
/// is irrational.
struct Gated {
  bool irrational = false;
  RationalValue special;
  Rational gate = 0;  ///< after the clamp
  Rational up = 0;
};

/// Throws std::invalid_argument unless the limit, if any, is positive and finite.
[[nodiscard]] Gated gated(const RationalValue& g, const RationalValue& u,
                          std::optional<float> limit);

/// Encloses an irrational x: silu_enclosure(gate, bits) * up.
[[nodiscard]] Enclosure enclosure(const Gated& x, int bits);

/// The one rounding of x in a deterministic mode.
[[nodiscard]] std::uint32_t encode(const FormatSpec& spec, const Gated& x, RoundingMode mode,
                                   const Policy& policy);

/// What a kernel says of its epilogue, which it evaluates in FP32. The defaults are those of CUDA's
/// __expf and correctly rounded division and multiplication.
struct GatedKernel {
  std::optional<float> limit = std::nullopt;
  /// The format that g and u are rounded to, to nearest, before silu; null: not rounded again.
  const FormatSpec* intermediate = &formats::fp32;
  /// exp(x) computed: exp(x) (1 + d), |d| <= (exp_ulps + exp_ulps_per_unit |x|) 2^-23; where exp(x)
  /// is below the normal range, and so for x < -90, anything from 0 to 2^-126; for x > 90, which
  /// overflows, Inf. __expf: 2 + floor(1.173 |x|) ulp from the correctly rounded result, which is
  /// half an ulp from exp(x) (CUDA C++ Programming Guide, intrinsic functions; older editions say
  /// 1.16). expf: 5/2 and 0 (2 ulp, same source).
  Rational exp_ulps = Rational(5) / 2;
  Rational exp_ulps_per_unit = Rational(1173) / 1000;
  /// The quotient computed: (1 + d) times the exact one, |d| <= division_ulps 2^-23. 1/2: correctly
  /// rounded; 2: __fdividef, and its 0 for divisors above 2^126.
  Rational division_ulps = Rational(1) / 2;
  bool flush_subnormals = false;  ///< operands and results below 2^-126 may become 0
};

/// T: how far from `gated(g, u, limit)` the kernel may be before its last rounding, given how far
/// from g and u it was (derivation in gated.cpp). Permitted: (g / d) u, g (1 / d) u and any other
/// association, d = 1 + exp(-g). Throws std::invalid_argument for negative ulps.
[[nodiscard]] Bound gated_bound(const RationalValue& g, const Bound& g_bound,
                                const RationalValue& u, const Bound& u_bound,
                                const GatedKernel& kernel);

/// Both, for every element of two products of the same shape.
struct GatedOracle {
  std::vector<Gated> reference;
  std::vector<Bound> bounds;
};
[[nodiscard]] GatedOracle gated_oracle(const GemmOracle& gate, const GemmOracle& up,
                                       const GatedKernel& kernel);

/// judge() of bounds.h for an irrational exact result: the enclosure is refined until it decides.
[[nodiscard]] Judgement judge(const FormatSpec& output, std::uint32_t code, const Gated& exact,
                              const Bound& bound, RoundingMode mode = RoundingMode::nearest_even);

}  // namespace assay::golden

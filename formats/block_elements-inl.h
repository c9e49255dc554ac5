// SPDX-License-Identifier: Apache-2.0
// The element phase and the largest magnitudes, in Highway vectors. Included by block_kernels.cpp
// only.

#if defined(ASSAY_FORMATS_BLOCK_ELEMENTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ASSAY_FORMATS_BLOCK_ELEMENTS_INL_H_
#undef ASSAY_FORMATS_BLOCK_ELEMENTS_INL_H_
#else
#define ASSAY_FORMATS_BLOCK_ELEMENTS_INL_H_
#endif

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>

#include "formats/block_kernels.h"
#include "formats/encode-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace assay::formats {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::ScalableTag<float>;
using I32 = hn::ScalableTag<std::int32_t>;
using U8 = hn::Rebind<std::uint8_t, I32>;
using VF = hn::Vec<F32>;
using VI = hn::Vec<I32>;

/// Calls body(block, x, count, readable) for the part of the run in each of its blocks.
template <class Body>
HWY_INLINE void for_each_block(const Run& run, Body body) {
  std::size_t done = 0;
  std::size_t count = std::min(run.size, run.block_cols - run.first);
  for (std::size_t block = 0; done < run.size; ++block) {
    body(block, run.x + done, count, run.readable - done);
    done += count;
    count = std::min(run.size - done, run.block_cols);
  }
}

/// x[0, count), 0 beyond.
HWY_INLINE VF load_part(const float* x, std::size_t count) {
  HWY_ALIGN float buffer[hn::MaxLanes(F32())] = {};
  std::memcpy(buffer, x, count * sizeof(float));
  return hn::Load(F32(), buffer);
}

HWY_INLINE VI abs_bits(VF x) {
  const I32 d;
  return hn::And(hn::BitCast(d, x), hn::Set(d, 0x7FFFFFFF));
}

HWY_INLINE VI block_amax_part(const float* x, std::size_t count) {
  const std::size_t lanes = hn::Lanes(F32());
  VI most = hn::Zero(I32());
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) most = hn::Max(most, abs_bits(hn::LoadU(F32(), x + i)));
  return i < count ? hn::Max(most, abs_bits(load_part(x + i, count - i))) : most;
}

#if HWY_TARGET != HWY_SCALAR && !HWY_HAVE_SCALABLE
/// The largest of lanes i, i + 4, i + 8, ... in lane i.
template <class D>
HWY_INLINE auto fold_to_four(D /*d*/, hn::Vec<D> v) {
  if constexpr (hn::MaxLanes(D()) == 4) {
    return v;
  } else {
    const hn::Half<D> half;
    return fold_to_four(half, hn::Max(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
  }
}

/// Four whole blocks at once: a transposing reduction takes half the steps of four single ones.
HWY_INLINE void four_blocks_amax(const float* x, std::size_t cols, std::uint32_t* amax) {
  const hn::Simd<std::int32_t, 4, 0> d;
  const hn::Repartition<std::int64_t, decltype(d)> pairs;
  const auto block = [&](std::size_t b) HWY_ATTR {
    return fold_to_four(I32(), block_amax_part(x + b * cols, cols));
  };
  const auto fold = [&](auto a, auto b) HWY_ATTR {  // a0 b0 a1 b1
    return hn::BitCast(pairs, hn::Max(hn::InterleaveLower(d, a, b), hn::InterleaveUpper(d, a, b)));
  };
  const auto ab = fold(block(0), block(1));
  const auto cd = fold(block(2), block(3));
  const auto most = hn::Max(hn::BitCast(d, hn::InterleaveLower(pairs, ab, cd)),
                            hn::BitCast(d, hn::InterleaveUpper(pairs, ab, cd)));
  auto* to = reinterpret_cast<std::int32_t*>(amax);
  hn::StoreU(hn::Max(most, hn::LoadU(d, to)), d, to);
}
#endif

HWY_INLINE void block_amax(Run run, std::uint32_t* amax) {
#if HWY_TARGET != HWY_SCALAR && !HWY_HAVE_SCALABLE
  if (run.first == 0) {
    const std::size_t four = 4 * run.block_cols;
    for (; run.size >= four; run.size -= four, run.x += four, amax += 4) {
      four_blocks_amax(run.x, run.block_cols, amax);
    }
  }
#endif
  for_each_block(run, [&](std::size_t b, const float* x, std::size_t count, std::size_t) HWY_ATTR {
    const VI most = hn::MaxOfLanes(I32(), block_amax_part(x, count));
    amax[b] = std::max(amax[b], static_cast<std::uint32_t>(hn::GetLane(most)));
  });
}

HWY_INLINE std::uint32_t finite_amax(const float* x, std::size_t n) {
  const F32 df;
  const I32 di;
  const std::size_t lanes = hn::Lanes(df);
  const VI infinity = hn::Set(di, 0x7F800000);
  VI most = hn::Zero(di);
  VI more = hn::Zero(di);
  const auto take = [&](VI so_far, VF v) HWY_ATTR {
    const VI a = abs_bits(v);
    return hn::Max(so_far, hn::IfThenElseZero(hn::Lt(a, infinity), a));
  };
  std::size_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    most = take(most, hn::LoadU(df, x + i));
    more = take(more, hn::LoadU(df, x + i + lanes));
  }
  for (; i < n; i += lanes) most = take(most, load_part(x + i, std::min(lanes, n - i)));
  return static_cast<std::uint32_t>(hn::GetLane(hn::MaxOfLanes(di, hn::Max(most, more))));
}

/// |value| rounded to nearest even and saturated, in a format of at most 8 bits with a fraction, by
/// the algorithm of encode_lane (block_lanes-inl.h) in FP32, for the format's quantum lies far
/// inside FP32's range: sum - t is the rounded magnitude, and the bits of sum less those of t are
/// k.
struct Nearest {
  VI e, low, t;
  VF sum;
};

HWY_INLINE Nearest round_nearest(const EncodeParams& p, VI bits) {
  const I32 d;
  const VI low = hn::Set(d, p.lowest);
  const VI a = hn::Min(hn::And(bits, hn::Set(d, 0x7FFFFFFF)), hn::Set(d, p.max_value));
  const VI e = hn::Max(hn::ShiftRight<23>(a), low);
  const VI t = hn::ShiftLeft<23>(hn::Add(e, hn::Set(d, p.shift)));
  return {e, low, t, hn::Add(hn::BitCast(F32(), a), hn::BitCast(F32(), t))};
}

/// EncodeVec for the case that decides the speed - nearest even, saturating, no NaN. k is even
/// where the code is.
HWY_INLINE VI encode_nearest(const EncodeParams& p, VI bits) {
  const I32 d;
  const int m = 23 - p.shift;
  const Nearest r = round_nearest(p, bits);
  const VI k = hn::Sub(hn::BitCast(d, r.sum), r.t);
  const VI code = hn::Add(k, hn::ShiftLeftSame(hn::Sub(r.e, r.low), m));
  const hn::RebindToUnsigned<I32> du;
  const VI sign = hn::BitCast(d, hn::ShiftRightSame(hn::BitCast(du, bits), p.sign_shift));
  return hn::Or(code, hn::And(sign, hn::Set(d, 1 << (31 - p.sign_shift))));
}

/// From sign and magnitude to two's complement: 2^(m + 1) less the magnitude.
HWY_INLINE VI twos_complement(const EncodeParams& p, VI code) {
  const I32 d;
  const std::int32_t sign = 1 << (31 - p.sign_shift);
  const VI negative = hn::And(hn::Sub(hn::Set(d, 3 * sign), code), hn::Set(d, 2 * sign - 1));
  return hn::IfThenElse(hn::Lt(code, hn::Set(d, sign)), code, negative);
}

/// Scales each element as `path` says and encodes it. Modes that tell a tiny value from zero: where
/// the exact x / 2^k underflows FP32 to 0, the smallest FP32 value of that sign stands in for it; a
/// format of at most 8 bits has no value or threshold between the two.
template <ElementPath path, Encoder encoder>
HWY_INLINE void encode_elements(const EncodeParams& params, const Run& run, const float* factor,
                                const std::uint32_t* random, std::uint8_t* codes) {
  const F32 df;
  const I32 di;
  const std::size_t lanes = hn::Lanes(df);
  for_each_block(run, [&](std::size_t b, const float* x, std::size_t count,
                          std::size_t readable) HWY_ATTR {
    const VF s = hn::Set(df, path == ElementPath::power_of_two ? 1.0F / factor[b] : factor[b]);
    const auto done = static_cast<std::size_t>(x - run.x);
    // The last vector of a block may reach into the next block, which overwrites its codes.
    for (std::size_t i = 0; i < count; i += lanes) {
      const VF v = i + lanes <= readable ? hn::LoadU(df, x + i) : load_part(x + i, count - i);
      const VF scaled = path == ElementPath::divide ? hn::Div(v, s) : hn::Mul(v, s);
      VI bits = hn::BitCast(di, scaled);
      if constexpr (encoder == Encoder::directed && path == ElementPath::power_of_two) {
        const auto flushed = hn::And(hn::Eq(scaled, hn::Zero(df)), hn::Ne(v, hn::Zero(df)));
        bits = hn::Or(bits, hn::IfThenElseZero(hn::RebindMask(di, flushed), hn::Set(di, 1)));
      }
      VI code;
      if constexpr (encoder == Encoder::stochastic) {
        const VI words = hn::LoadU(di, reinterpret_cast<const std::int32_t*>(random) + done + i);
        code = EncodeStochasticVec<Shape::is_signed>(di, params, bits, words);
      } else if constexpr (encoder == Encoder::nearest) {
        code = encode_nearest(params, bits);
      } else {
        code = EncodeVec<Shape::is_signed>(di, params, bits);
      }
      if (params.twos_complement) code = twos_complement(params, code);
      hn::StoreU(hn::DemoteTo(U8(), code), U8(), codes + done + i);
    }
  });
}

template <Encoder encoder>
HWY_INLINE void encode_elements(const ElementJob& job, const Run& run, const float* factor,
                                const std::uint32_t* random, std::uint8_t* codes) {
  using enum ElementPath;
  const EncodeParams p = job.params;
  switch (job.path) {
    case multiply:
      return encode_elements<multiply, encoder>(p, run, factor, random, codes);
    case divide:
      return encode_elements<divide, encoder>(p, run, factor, random, codes);
    default:
      return encode_elements<power_of_two, encoder>(p, run, factor, random, codes);
  }
}

HWY_INLINE void pack_nibbles(const std::uint8_t* codes, std::size_t n, std::uint8_t* packed) {
  std::size_t i = 0;
#if HWY_TARGET != HWY_SCALAR
  const hn::ScalableTag<std::int16_t> d16;
  const hn::Repartition<std::uint8_t, decltype(d16)> d8;
  const hn::Rebind<std::uint8_t, decltype(d16)> half;
  const std::size_t step = hn::Lanes(d8);
  for (; i + step <= n; i += step) {
    // Little endian: the first code is the low byte; its nibble stays, the second moves down beside
    // it.
    const auto pairs = hn::BitCast(d16, hn::LoadU(d8, codes + i));
    const auto both = hn::And(hn::Or(pairs, hn::ShiftRight<4>(pairs)), hn::Set(d16, 0xFF));
    hn::StoreU(hn::DemoteTo(half, both), half, packed + i / 2);
  }
#endif
  for (; i < n; i += 2) {
    const unsigned high = i + 1 < n ? codes[i + 1] : 0U;
    packed[i / 2] = static_cast<std::uint8_t>(codes[i] | high << 4);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace assay::formats
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard

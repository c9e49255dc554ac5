// SPDX-License-Identifier: Apache-2.0
// The sums of a row in vectors. Lane i % 8 of the partial sums takes element i of a run, so a
// machine of narrower vectors goes over a run several times and adds the same numbers in the same
// order. No multiply-add is fused.
#include "simulator/tile_kernels.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <type_traits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simulator/tile_kernels.cpp"
#include <hwy/foreach_target.h>
// foreach_target.h comes first: it includes this file again for every other instruction set.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace assay::simulator {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using F64 = hn::CappedTag<double, kStatisticsLanes>;
using V64 = hn::Vec<F64>;

template <class T>
HWY_INLINE V64 load(const T* p) {
  if constexpr (std::is_same_v<T, double>) {
    return hn::LoadU(F64(), p);
  } else {
    return hn::PromoteTo(F64(), hn::LoadU(hn::Rebind<float, F64>(), p));
  }
}

/// Partial sums of a run, those of the row's <x, x^>, and its counts.
struct Sums {
  V64 xx, ee, xy;
  std::size_t clipped = 0, flushed = 0;

  template <class E>
  HWY_INLINE void add(const float* x, const E* element, V64 scale, V64 limit) {
    const F64 d;
    const V64 zero = hn::Zero(d);
    const V64 v = load(x);
    const V64 y = hn::Mul(load(element), scale);
    const V64 n = hn::Sub(y, v);
    xx = hn::Add(xx, hn::Mul(v, v));
    xy = hn::Add(xy, hn::Mul(v, y));
    ee = hn::Add(ee, hn::Mul(n, n));
    clipped += hn::CountTrue(d, hn::Gt(hn::Abs(v), limit));
    flushed += hn::CountTrue(d, hn::AndNot(hn::Eq(v, zero), hn::Eq(y, zero)));
  }
};

/// What is left of a run behind its last eight, and zeros.
template <class E>
struct Rest {
  float x[kStatisticsLanes] = {};
  E element[kStatisticsLanes] = {};

  Rest(const float* from_x, const E* from, std::size_t count) {
    std::copy_n(from_x, count, x);
    std::copy_n(from, count, element);
  }
};

template <class E>
HWY_INLINE void add_run(const float* x, const E* element, std::size_t count, std::size_t lane,
                        V64 scale, V64 limit, Sums& s) {
  constexpr std::size_t lanes = kStatisticsLanes;
  const std::size_t whole = count / lanes * lanes;
  s.xx = s.ee = hn::Zero(F64());
  for (std::size_t i = 0; i < whole; i += lanes)
    s.add(x + i + lane, element + i + lane, scale, limit);
  if (whole == count) return;
  const Rest<E> rest(x + whole, element + whole, count - whole);
  s.add(rest.x + lane, rest.element + lane, scale, limit);
}

/// Adds the partial sums of a run to its block, in the order of lane_sum().
HWY_INLINE void add_block(const Sums& s, std::size_t lane, std::size_t b, StatisticsSums& sums) {
  const F64 d;
  double* block = &sums.blocks[b].power;
#if HWY_MAX_BYTES == 64  // of both at once
  const hn::Half<F64> d4;
  const hn::Half<decltype(d4)> d2;
  const auto half = [&](V64 v) HWY_ATTR {
    const auto four = hn::Add(hn::LowerHalf(d4, v), hn::UpperHalf(d4, v));
    return hn::Add(hn::LowerHalf(d2, four), hn::UpperHalf(d2, four));
  };
  const auto power = half(s.xx);
  const auto error = half(s.ee);
  const auto both =
      hn::Add(hn::InterleaveLower(d2, power, error), hn::InterleaveUpper(d2, power, error));
  hn::StoreU(hn::Add(hn::LoadU(d2, block), both), d2, block);
  (void)d, (void)lane;
#else
  StatisticsSums::Lanes& partial = sums.partial[b];
  hn::StoreU(s.xx, d, partial.power + lane);
  hn::StoreU(s.ee, d, partial.error + lane);
  if (lane + hn::Lanes(d) < kStatisticsLanes) return;
  block[0] += lane_sum(partial.power);
  block[1] += lane_sum(partial.error);
#endif
}

template <class E>
HWY_INLINE void add_row(const StatisticsRow& row, const E* element, StatisticsSums& sums) {
  const F64 d;
  Sums s;
  for (std::size_t lane = 0; lane < kStatisticsLanes; lane += hn::Lanes(d)) {
    s.xy = hn::LoadU(d, sums.xy + lane);
    std::size_t b = 0;
    for (std::size_t begin = 0; begin < row.cols; begin += row.width, ++b) {
      const std::size_t count = std::min(row.width, row.cols - begin);
      add_run(row.x + begin, element + begin, count, lane, hn::Set(d, row.scale[b]),
              hn::Set(d, row.limit[b]), s);
      add_block(s, lane, b, sums);
    }
    hn::StoreU(s.xy, d, sums.xy + lane);
  }
  sums.clipped += s.clipped;
  sums.flushed += s.flushed;
}

void AddRowStatistics(const StatisticsRow& row, StatisticsSums& sums) {
  if constexpr (hn::MaxLanes(F64()) < 8) {
    sums.partial.resize((row.cols + row.width - 1) / row.width);
  }
  row.element != nullptr ? add_row(row, row.element, sums) : add_row(row, row.exact, sums);
}

std::uint32_t LargestBits(const float* x, std::size_t n) {
  const hn::ScalableTag<float> df;
  const hn::ScalableTag<std::int32_t> di;
  const auto magnitude = hn::Set(di, 0x7FFFFFFF);
  const std::size_t lanes = hn::Lanes(di);
  auto most = hn::Zero(di);
  auto more = most;
  std::size_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    most = hn::Max(most, hn::And(magnitude, hn::BitCast(di, hn::LoadU(df, x + i))));
    more = hn::Max(more, hn::And(magnitude, hn::BitCast(di, hn::LoadU(df, x + i + lanes))));
  }
  most = hn::Max(most, more);
  auto out = static_cast<std::uint32_t>(hn::GetLane(hn::MaxOfLanes(di, most)));
  for (; i < n; ++i) out = std::max(out, std::bit_cast<std::uint32_t>(x[i]) & 0x7FFFFFFFU);
  return out;
}

std::uint32_t LargestBits16(const std::byte* bytes, std::size_t n) {
  const hn::ScalableTag<std::int16_t> d;
  const auto* p = reinterpret_cast<const std::int16_t*>(bytes);
  const auto magnitude = hn::Set(d, std::int16_t{0x7FFF});
  const std::size_t lanes = hn::Lanes(d);
  auto most = hn::Zero(d);
  std::size_t i = 0;
  for (; i + lanes <= n; i += lanes) most = hn::Max(most, hn::And(magnitude, hn::LoadU(d, p + i)));
  HWY_ALIGN std::int16_t lane[hn::MaxLanes(d)];
  hn::Store(most, d, lane);
  std::uint32_t out = 0;
  for (std::size_t j = 0; j < lanes; ++j) out = std::max<std::uint32_t>(out, lane[j]);
  for (; i < n; ++i) {
    std::uint16_t v = 0;
    std::memcpy(&v, bytes + 2 * i, sizeof v);
    out = std::max<std::uint32_t>(out, v & 0x7FFFU);
  }
  return out << 16;
}

/// Codes 2i and 2i + 1 lie in byte i, the first in the low nibble.
void DecodeNibbles(const std::uint8_t* codes, std::size_t n, const std::int8_t* twice, float* out) {
  std::size_t i = 0;
#if HWY_TARGET != HWY_SCALAR
  const hn::FixedTag<std::uint8_t, 16> d8;
  const hn::CappedTag<float, 16> df;
  const hn::Rebind<std::int8_t, decltype(df)> ds;
  const hn::Rebind<std::int32_t, decltype(df)> di;
  const std::size_t lanes = hn::Lanes(df);
  const auto table = hn::LoadU(d8, reinterpret_cast<const std::uint8_t*>(twice));
  const auto low = hn::Set(d8, std::uint8_t{15});
  const auto half = hn::Set(df, 0.5F);
  HWY_ALIGN std::int8_t value[32];
  for (; i + 32 <= n; i += 32) {
    const auto pair = hn::LoadU(d8, codes + i / 2);
    const auto even = hn::TableLookupBytes(table, hn::And(pair, low));
    const auto odd = hn::TableLookupBytes(table, hn::ShiftRight<4>(pair));
    auto* bytes = reinterpret_cast<std::uint8_t*>(value);
    hn::Store(hn::InterleaveLower(d8, even, odd), d8, bytes);
    hn::Store(hn::InterleaveUpper(d8, even, odd), d8, bytes + 16);
    for (std::size_t j = 0; j < 32; j += lanes) {
      const auto v = hn::ConvertTo(df, hn::PromoteTo(di, hn::LoadU(ds, value + j)));
      hn::StoreU(hn::Mul(v, half), df, out + i + j);
    }
  }
#endif
  for (; i < n; ++i) {
    const std::uint32_t code = codes[i / 2] >> (i % 2 * 4) & 15U;
    out[i] = static_cast<float>(twice[code]) * 0.5F;
  }
}

/// The bits behind the sign, put at FP32's place, are the value but for the biases' difference,
/// subnormal ones too.
void DecodeBytes(const std::uint8_t* codes, std::size_t n, int mantissa_bits, float factor,
                 float* out) {
  const hn::CappedTag<float, 16> df;
  const hn::Rebind<std::uint8_t, decltype(df)> d8;
  const hn::Rebind<std::uint32_t, decltype(df)> di;
  const std::size_t lanes = hn::Lanes(df);
  const auto scale = hn::Set(df, factor);
  const auto magnitude = hn::Set(di, 0x7FU);
  const auto sign = hn::Set(di, 0x80U);
  std::size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const auto code = hn::PromoteTo(di, hn::LoadU(d8, codes + i));
    const auto bits = hn::ShiftLeftSame(hn::And(code, magnitude), 23 - mantissa_bits);
    const auto value = hn::Mul(hn::BitCast(df, bits), scale);
    const auto minus = hn::BitCast(df, hn::ShiftLeft<24>(hn::And(code, sign)));
    hn::StoreU(hn::Or(value, minus), df, out + i);
  }
  for (; i < n; ++i) {
    const std::uint32_t code = codes[i];
    const float value = std::bit_cast<float>((code & 0x7FU) << (23 - mantissa_bits)) * factor;
    out[i] = code > 0x7F ? -value : value;
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace assay::simulator
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace assay::simulator {

HWY_EXPORT(AddRowStatistics);
HWY_EXPORT(LargestBits);
HWY_EXPORT(LargestBits16);
HWY_EXPORT(DecodeNibbles);
HWY_EXPORT(DecodeBytes);

void add_row_statistics(const StatisticsRow& row, StatisticsSums& sums) {
  HWY_DYNAMIC_DISPATCH(AddRowStatistics)(row, sums);
}

float largest_magnitude(std::span<const float> x) {
  return std::bit_cast<float>(HWY_DYNAMIC_DISPATCH(LargestBits)(x.data(), x.size()));
}

float largest_magnitude_bf16(std::span<const std::byte> bytes) {
  return std::bit_cast<float>(HWY_DYNAMIC_DISPATCH(LargestBits16)(bytes.data(), bytes.size() / 2));
}

void decode_nibbles(const std::uint8_t* codes, std::size_t n, const std::int8_t* twice,
                    float* out) {
  HWY_DYNAMIC_DISPATCH(DecodeNibbles)(codes, n, twice, out);
}

void decode_bytes(const std::uint8_t* codes, std::size_t n, int mantissa_bits, float factor,
                  float* out) {
  HWY_DYNAMIC_DISPATCH(DecodeBytes)(codes, n, mantissa_bits, factor, out);
}

}  // namespace assay::simulator
#endif

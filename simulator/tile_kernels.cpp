// SPDX-License-Identifier: Apache-2.0
// The sums of a row in vectors. Lane i % 8 of the partial sums takes element i of a run, so a
// machine of narrower vectors goes over a run several times and adds the same numbers in the same
// order. No multiply-add is fused.
#include "simulator/tile_kernels.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simulator/tile_kernels.cpp"
#include <hwy/foreach_target.h>
// foreach_target.h comes first: it includes this file again for every other instruction set.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace assay::simulator {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void AddRowStatistics(const StatisticsRow& row, StatisticsSums& sums) {
  constexpr std::size_t lanes = kStatisticsLanes;
  const hn::CappedTag<double, lanes> d;
  const hn::Rebind<float, decltype(d)> df;
  const std::size_t vector = hn::Lanes(d);
  const auto zero = hn::Zero(d);
  double power[lanes];
  double error[lanes];
  float last_x[lanes];  // what is left of a run behind its last eight, and zeros
  double last_e[lanes];
  std::size_t clipped = 0;
  std::size_t flushed = 0;
  std::size_t b = 0;
  for (std::size_t begin = 0; begin < row.cols; begin += row.width, ++b) {
    const std::size_t count = std::min(row.width, row.cols - begin);
    const std::size_t whole = count / lanes * lanes;
    const float* x = row.x + begin;
    const double* e = row.element + begin;
    if (whole < count) {
      std::fill_n(last_x, lanes, 0.0F);
      std::fill_n(last_e, lanes, 0.0);
      std::copy(x + whole, x + count, last_x);
      std::copy(e + whole, e + count, last_e);
    }
    const auto scale = hn::Set(d, row.scale[b]);
    const auto limit = hn::Set(d, row.limit[b]);
    for (std::size_t lane = 0; lane < lanes; lane += vector) {
      auto xx = zero;
      auto ee = zero;
      auto xy = hn::LoadU(d, sums.xy + lane);
      const auto add = [&](const float* px, const double* pe) {
        const auto v = hn::PromoteTo(d, hn::LoadU(df, px));
        const auto y = hn::Mul(hn::LoadU(d, pe), scale);
        const auto n = hn::Sub(y, v);
        xx = hn::Add(xx, hn::Mul(v, v));
        xy = hn::Add(xy, hn::Mul(v, y));
        ee = hn::Add(ee, hn::Mul(n, n));
        clipped += hn::CountTrue(d, hn::Gt(hn::Abs(v), limit));
        flushed += hn::CountTrue(d, hn::AndNot(hn::Eq(v, zero), hn::Eq(y, zero)));
      };
      for (std::size_t i = 0; i < whole; i += lanes) add(x + i + lane, e + i + lane);
      if (whole < count) add(last_x + lane, last_e + lane);
      hn::StoreU(xx, d, power + lane);
      hn::StoreU(ee, d, error + lane);
      hn::StoreU(xy, d, sums.xy + lane);
    }
    sums.blocks[b].power += lane_sum(power);
    sums.blocks[b].error += lane_sum(error);
  }
  sums.clipped += clipped;
  sums.flushed += flushed;
}

}  // namespace HWY_NAMESPACE
}  // namespace assay::simulator
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace assay::simulator {

HWY_EXPORT(AddRowStatistics);

void add_row_statistics(const StatisticsRow& row, StatisticsSums& sums) {
  HWY_DYNAMIC_DISPATCH(AddRowStatistics)(row, sums);
}

}  // namespace assay::simulator
#endif

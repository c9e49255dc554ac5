// SPDX-License-Identifier: Apache-2.0
#include "simulator/graph/product.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simulator/graph/product.cpp"
#include <hwy/foreach_target.h>
// foreach_target.h comes first: it includes this file again for every other instruction set.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace assay::simulator {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr std::int64_t kRows = 6;  // of y in registers: 12 accumulators of two vectors' columns

/// `count` rows of y and `vectors` vectors of its columns.
template <int count, int vectors, class D>
HWY_INLINE void tile(D d, float* y, std::int64_t y_stride, const float* a, std::int64_t a_stride,
                     const float* b, std::int64_t b_stride, std::int64_t depth, bool add) {
  const auto width = static_cast<std::int64_t>(hn::Lanes(d));
  hn::Vec<D> sum[count][vectors];
  for (int r = 0; r < count; ++r) {
    for (int v = 0; v < vectors; ++v) sum[r][v] = hn::Zero(d);
  }
  for (std::int64_t k = 0; k < depth; ++k) {
    hn::Vec<D> column[vectors];
    for (int v = 0; v < vectors; ++v) column[v] = hn::LoadU(d, b + k * b_stride + v * width);
    for (int r = 0; r < count; ++r) {
      const hn::Vec<D> left = hn::Set(d, a[r * a_stride + k]);
      for (int v = 0; v < vectors; ++v) sum[r][v] = hn::MulAdd(left, column[v], sum[r][v]);
    }
  }
  for (int r = 0; r < count; ++r) {
    for (int v = 0; v < vectors; ++v) {
      float* to = y + r * y_stride + v * width;
      hn::StoreU(add ? hn::Add(hn::LoadU(d, to), sum[r][v]) : sum[r][v], d, to);
    }
  }
}

struct Product {
  Rows<float> y;
  Rows<const float> a, b;
  bool add;

  /// As many whole vectors of columns as fit behind `first`, `vectors` at a time; the next column.
  template <int vectors, class D>
  HWY_INLINE std::int64_t columns(D d, std::int64_t first) const {
    const std::int64_t width = vectors * static_cast<std::int64_t>(hn::Lanes(d));
    for (; first + width <= y.cols; first += width) {
      std::int64_t r = 0;
      for (; r + kRows <= y.rows; r += kRows) tiles<kRows, vectors>(d, r, first);
      for (; r < y.rows; ++r) tiles<1, vectors>(d, r, first);
    }
    return first;
  }

  template <int count, int vectors, class D>
  HWY_INLINE void tiles(D d, std::int64_t r, std::int64_t first) const {
    tile<count, vectors>(d, y.data + r * y.stride + first, y.stride, a.data + r * a.stride,
                         a.stride, b.data + first, b.stride, b.rows, add);
  }
};

void multiply(const Rows<float>& y, const Rows<const float>& a, const Rows<const float>& b,
              bool add) {
  const Product p{y, a, b, add};
  std::int64_t first = p.columns<2>(hn::ScalableTag<float>(), 0);
  first = p.columns<1>(hn::ScalableTag<float>(), first);
  first = p.columns<1>(hn::CappedTag<float, 8>(), first);
  first = p.columns<1>(hn::CappedTag<float, 4>(), first);
  (void)p.columns<1>(hn::CappedTag<float, 1>(), first);
}

}  // namespace HWY_NAMESPACE
}  // namespace assay::simulator
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace assay::simulator {
HWY_EXPORT(multiply);

void add_product(Rows<float> y, Rows<const float> a, Rows<const float> b) {
  HWY_DYNAMIC_DISPATCH(multiply)(y, a, b, true);
}

void set_product(Rows<float> y, Rows<const float> a, Rows<const float> b) {
  HWY_DYNAMIC_DISPATCH(multiply)(y, a, b, false);
}

}  // namespace assay::simulator
#endif  // HWY_ONCE

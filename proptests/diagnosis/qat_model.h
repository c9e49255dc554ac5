// SPDX-License-Identifier: Apache-2.0
#pragma once
// The QAT step of golden/qat.h with every step open to an error. As it stands it computes what
// golden does.

#include <functional>
#include <utility>
#include <vector>

#include "golden/estimator_bounds.h"
#include "proptests/diagnosis/quantizer_model.h"
#include "proptests/diagnosis/reader_model.h"

namespace assay::proptests::diagnosis {

/// One weight as an estimator sees it: s is scale factor * tensor scale.
struct QatWeight {
  golden::Value w, q, s, scale;
  [[nodiscard]] golden::Value hat() const { return q * s; }
  /// |w| against 6 |s|: -1 inside, 0 at the boundary, 1 outside; 1 for NaN.
  [[nodiscard]] int clip_side() const;
  [[nodiscard]] golden::EstimatedWeight estimated() const;
};

/// Numbers that should come out, and how near.
struct Expected {
  std::vector<golden::RationalValue> reference;
  std::vector<golden::Bound> bounds;
  void push(golden::RationalValue exact, golden::Bound bound);
};

struct QatModel {
  using Number = golden::RationalValue;
  QuantizerModel weights;
  std::function<void(ReaderModel&)> spoil_reader;
  kernels::Estimator estimator = kernels::Estimator::identity;
  float parameter = 0;
  bool forward = false;
  std::int64_t m = 0, n = 0, k = 0, block = 1;
  std::vector<float> x, bias, dy;

  std::function<golden::Value(const QatWeight&)> multiplies_y, multiplies_dx, enters_g;
  std::function<bool(const QatWeight&)> passes;
  bool mask_multiplies = false;  ///< by 0 what does not pass, NaN and infinities too
  /// What multiplies a gradient g that passes.
  std::function<Number(const QatWeight&, const golden::Value& g)> factor;
  std::function<double(const QatWeight&)> factor_error;  ///< relative; null: 2^-18
  std::function<Number(const QatWeight&)> scale_derivative;
  std::function<double(std::int64_t count)> gain;  ///< of d scale
  bool dscale_times_tensor_scale = true;
  std::function<float(std::int64_t j)> dbias;  ///< replaces the sum over rows
  float dw_factor = 1.0F;
  std::int64_t dw_tokens = -1;  ///< the first of them count in dW; -1: all

  explicit QatModel(QuantizerModel of) : weights(std::move(of)) {}

  /// How often a term counts: of y its place along k, of dX along n, of dW and d bias among the
  /// tokens, of d scale in its block of `size`. Null: once.
  enum class Sum : std::uint8_t { y, dx, dw, dbias, dscale };
  std::function<int(Sum, std::int64_t at, std::int64_t size)> times;
  /// What becomes of a finished sum (of y before the bias, of dW before the estimator), and an
  /// accumulator of products in their order. Null: nothing, and FP32 in any order.
  std::function<Number(Sum, const Number&)> finished;
  std::function<golden::Value(Sum, const golden::Value& sum, const golden::Value& product)>
      accumulate;
  /// What is added to y instead of the bias of its column.
  std::function<float(std::int64_t i, std::int64_t j)> bias_at;

  [[nodiscard]] Expected y() const;
  struct Gradients {
    Expected dx, dw, dbias, dscale;
  };
  [[nodiscard]] Gradients gradients() const;

 private:
  [[nodiscard]] std::vector<QatWeight> views(float& tensor_scale) const;
  /// Pushes the sum of the products, and of the addend; returns it.
  golden::Value push_sum(Sum which, Expected& to,
                         const std::vector<std::vector<golden::Value>>& products,
                         const golden::Value* addend = nullptr) const;
  [[nodiscard]] int count(Sum sum, std::int64_t at, std::int64_t size) const {
    return times ? times(sum, at, size) : 1;
  }
};

[[nodiscard]] QatModel qat_of(const Call& call);

struct QatError {
  const char* id;
  const char* name;
  std::function<void(QatModel&)> spoil;
};
/// Of single estimators.
[[nodiscard]] std::vector<QatError> estimator_errors();

}  // namespace assay::proptests::diagnosis

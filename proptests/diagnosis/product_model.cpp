// SPDX-License-Identifier: Apache-2.0
#include "proptests/diagnosis/product_model.h"

#include <cstring>

#include "golden/fp32_order.h"
#include "proptests/judge.h"
#include "proptests/properties/left_operand.h"

namespace assay::proptests::diagnosis {
namespace {

using golden::FactoredMatrix;
using golden::Rational;
using golden::RationalValue;
using golden::Value;
using Result = ProductModel::Result;

/// A number that is only known to lie between two; `mid` is what it is nominally.
struct Interval {
  RationalValue low, mid, high;
  bool known = true;

  Interval(const RationalValue& x, const golden::Bound& bound)
      : low(x), mid(x), high(x), known(bound.judgeable) {
    if (!x.is_finite() || bound.error == 0) return;
    low = shifted(-bound.error);
    high = shifted(bound.error);
  }
  template <class Function>
  void apply(const Function& f) {
    low = f(low);
    mid = f(mid);
    high = f(high);
  }
  void add(const Interval& other) {
    low = low + other.low;
    mid = mid + other.mid;
    high = high + other.high;
    known = known && other.known;
  }
  /// Around the nominal number as far as the ends are; unknown where an end overflows.
  void push(Result& to, const Rational& more) const {
    golden::Bound bound;
    bound.judgeable = known;
    if (mid.is_finite() && low.is_finite() && high.is_finite()) {
      bound.error = more;
      for (const RationalValue* end : {&low, &high})
        bound.error = std::max<Rational>(
            bound.error, boost::multiprecision::abs(end->number - mid.number) + more);
    } else if (!(low == mid && mid == high) && !(mid.is_nan() && low.is_nan() && high.is_nan())) {
      bound.judgeable = false;
    }
    to.reference.push_back(mid);
    to.bounds.push_back(std::move(bound));
  }

 private:
  [[nodiscard]] RationalValue shifted(const Rational& by) const {
    RationalValue y = RationalValue::finite(mid.number + by);
    if (y.number == 0) y.negative = mid.negative;
    return y;
  }
};

FactoredMatrix columns(const FactoredMatrix& m, std::int64_t from, std::int64_t to) {
  FactoredMatrix part{m.rows, to - from, {}, {}, m.tensor_scale, m.element_format};
  for (std::int64_t r = 0; r < m.rows; ++r) {
    const std::int64_t row = r * m.cols;
    part.elements.insert(part.elements.end(), m.elements.begin() + row + from,
                         m.elements.begin() + row + to);
    part.scales.insert(part.scales.end(), m.scales.begin() + row + from,
                       m.scales.begin() + row + to);
  }
  return part;
}
Rational size_of(const RationalValue& x) {
  return x.is_finite() ? Rational(boost::multiprecision::abs(x.number)) : Rational(0);
}

}  // namespace

Result ProductModel::run_in_order(const FactoredMatrix& fa, const FactoredMatrix& fb) const {
  Result out;
  const std::int64_t block = claim.b->block.cols;
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t j = 0; j < n; ++j) {
      Value sum = Value::zero(false);
      Value in_block = Value::zero(false);
      for (std::int64_t p = 0; p < fa.cols; ++p) {
        const std::int64_t at = i * fa.cols + p;
        const std::int64_t bt = j * fb.cols + p;
        if (accumulate_in_block) {
          in_block = accumulate_in_block(in_block, fa.elements[at] * fb.elements[bt]);
          if (p + 1 < fa.cols && (p + 1) % block != 0) continue;
          sum = golden::fl(sum + golden::fl(in_block * fa.scales[at] * fb.scales[bt]));
          in_block = Value::zero(false);
          continue;
        }
        const Value x = fa.elements[at] * fa.scales[at];
        const Value y = fb.elements[bt] * fb.scales[bt];
        const Value product = golden::fl(multiply ? multiply(x, y) : x * y);
        sum = accumulate ? accumulate(sum, product) : golden::fl(sum + product);
      }
      if (edit_sum) sum = edit_sum(sum);
      golden::Fp32Epilogue e{alpha, fa.tensor_scale, fb.tensor_scale, beta, {}, {}};
      if (beta != 0.0F) e.c = c[i * n + j];
      if (!bias.empty()) e.bias = bias[j];
      out.reference.push_back(golden::to_rational(golden::fp32_epilogue(sum, e)));
      out.bounds.emplace_back();
    }
  return out;
}

Result ProductModel::run_in_stages(const FactoredMatrix& fa, const FactoredMatrix& fb) const {
  // Sums of parts come from the oracle with the factors that are then applied at the end left out.
  std::vector<Interval> sums;
  const bool late = parts && !parts->scaled;
  const auto sum_of = [&](FactoredMatrix a, FactoredMatrix b) {
    if (late) a.tensor_scale = b.tensor_scale = 1.0F;
    const golden::GemmOracle oracle =
        golden::gemm_oracle(a, b, {late ? 1.0F : alpha, 0.0F, {}, {}}, accumulator_of(claim));
    std::vector<Interval> of_part;
    for (std::size_t i = 0; i < oracle.reference.size(); ++i)
      of_part.emplace_back(oracle.reference[i], oracle.bounds[i]);
    return of_part;
  };
  if (!parts) sums = sum_of(fa, fb);
  for (std::int64_t from = 0, to = 0; parts && from < fa.cols; from = to) {
    while (to < fa.cols && parts->of(to, fa.cols) == parts->of(from, fa.cols)) ++to;
    std::vector<Interval> next = sum_of(columns(fa, from, to), columns(fb, from, to));
    for (std::size_t i = 0; i < next.size(); ++i) {
      if (parts->part) next[i].apply(parts->part);
      if (from != 0) next[i].add(sums[i]);
      if (parts->running && (parts->last || to < fa.cols)) next[i].apply(parts->running);
    }
    sums = std::move(next);
  }
  if (sums.empty()) sums = sum_of(fa, fb);  // k is 0
  Result out;
  const auto number = [](float x) { return golden::to_rational(golden::value_of(x)); };
  const RationalValue factor = number(late ? alpha : 1.0F) * number(late ? fa.tensor_scale : 1.0F) *
                               number(late ? fb.tensor_scale : 1.0F);
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t j = 0; j < n; ++j) {
      Interval x = sums[i * n + j];
      if (late) x.apply([&](const RationalValue& v) { return v * factor; });
      const RationalValue zero = RationalValue::zero(false);
      const RationalValue of_c = beta == 0.0F ? zero : number(beta) * number(c[i * n + j]);
      const RationalValue of_bias = bias.empty() ? zero : number(bias[j]);
      // Roundings of the additions, which may cancel.
      const Rational more = (size_of(x.mid) + size_of(of_c) + size_of(of_bias)) / (1 << 22);
      x.apply([&](const RationalValue& v) {
        return finish ? finish(v, of_c, of_bias) : v + of_c + of_bias;
      });
      x.push(out, of_c.is_zero() && of_bias.is_zero() ? Rational(0) : more);
    }
  return out;
}

Result ProductModel::run_only(const FactoredMatrix& fa, const FactoredMatrix& fb) const {
  ProductModel part = *this;
  part.only.clear();
  part.edit_operands = nullptr;
  part.m = static_cast<std::int64_t>(only.size());
  part.read_b = fb;
  part.read_a = FactoredMatrix{part.m, fa.cols, {}, {}, fa.tensor_scale, fa.element_format};
  const auto take = [](auto& to, const auto& from, std::int64_t row, std::int64_t cols) {
    if (!from.empty())
      to.insert(to.end(), from.begin() + row * cols, from.begin() + (row + 1) * cols);
  };
  part.c.clear();
  part.addend.clear();
  for (const std::int64_t r : only) {
    take(part.read_a->elements, fa.elements, r, fa.cols);
    take(part.read_a->scales, fa.scales, r, fa.cols);
    take(part.c, c, r, n);
    take(part.addend, addend, r, n);
  }
  return part.run();
}

Result ProductModel::run() const {
  if (m == 0 || n == 0) return {};  // no output, and no row that an error could take for another
  FactoredMatrix fa = read_a ? *read_a : a ? a->run() : golden::factor(formats::bf16, a_bf16, m, k);
  FactoredMatrix fb = read_b ? *read_b : b.run();
  if (edit_operands) edit_operands(fa, fb);
  if (!only.empty()) return run_only(fa, fb);
  Result out;
  if (parts || finish) {
    out = run_in_stages(fa, fb);
  } else if (multiply || accumulate || edit_sum || accumulate_in_block) {
    out = run_in_order(fa, fb);
  } else {
    golden::GemmOracle oracle =
        golden::gemm_oracle(fa, fb, {alpha, beta, c, bias}, accumulator_of(claim));
    out = {std::move(oracle.reference), std::move(oracle.bounds)};
  }
  for (std::size_t i = 0; i < addend.size(); ++i)
    out.reference[i] = out.reference[i] + golden::to_rational(golden::value_of(addend[i]));
  return out;
}

ProductModel product_of(const Case& c) {
  const Call& call = c.call;
  ProductModel p;
  p.claim = call.claim;
  p.m = call.m;
  p.n = call.n;
  p.k = call.k;
  if (call.claim.a != nullptr) {
    p.a.emplace();
    p.a->t = input_tensor(call, ASSAY_DUT_A, *call.claim.a, call.m, call.k);
  } else {
    const auto bytes = input_bytes(call, ASSAY_DUT_A);
    p.a_bf16.resize(bytes.size() / 2);
    if (!bytes.empty()) std::memcpy(p.a_bf16.data(), bytes.data(), bytes.size());
  }
  p.b.t = input_tensor(call, ASSAY_DUT_B, *call.claim.b, call.n, call.k);
  p.alpha = call.alpha;
  p.beta = call.beta;
  p.c = input_floats(call, ASSAY_DUT_C);
  p.bias = input_floats(call, ASSAY_DUT_BIAS);
  p.observed = to_floats(*call.claim.output, output_bytes(c, ASSAY_DUT_D));
  return p;
}

}  // namespace assay::proptests::diagnosis

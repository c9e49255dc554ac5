// SPDX-License-Identifier: Apache-2.0
// What may go wrong at the stages of a QAT step: its operands, which terms its sums count, masks,
// slopes and the gains of d scale.
#include <cmath>

#include "golden/fp32_order.h"
#include "proptests/diagnosis/product_rows.h"
#include "proptests/diagnosis/stages.h"

namespace assay::proptests::diagnosis {
namespace {

using golden::RationalValue;
using golden::Value;
using kernels::Estimator;
using Model = QatModel;

struct SumOf {
  Model::Sum sum;
  const char* id;
  const char* text;
};
constexpr SumOf sums[] = {{Model::Sum::y, "y", "of Y along k"},
                          {Model::Sum::dx, "dx", "of dX along n"},
                          {Model::Sum::dw, "dw", "of dW over tokens"},
                          {Model::Sum::dbias, "dbias", "of d bias over tokens"},
                          {Model::Sum::dscale, "dscale", "of d scale over its block"}};

/// Masks by a limit that is not the right one.
struct Limits {
  const char* text;
  double limit;
  bool inclusive;
};
constexpr Limits limits[] = {
    {"|w| <= 4 s", 4, true}, {"|w| < 4 s", 4, false},     {"|w| <= 5 s", 5, true},
    {"|w| <= 7 s", 7, true}, {"|w| <= 8 s", 8, true},     {"|w| < 6 s", 6, false},
    {"|w| <= 6 s", 6, true}, {"|w| <= 3 s", 3, true},     {"|w| <= 2 s", 2, true},
    {"|w| <= s", 1, true},   {"|w| <= 448 s", 448, true}, {"|w| <= 5.5 s", 5.5, true}};
Value size_of(const Value& v) { return v.negative ? -v : v; }
bool within(const Value& w, const Value& s, double limit, bool inclusive) {
  if (w.is_nan() || s.is_nan()) return false;
  const Value clip = golden::value_of(limit) * size_of(s);
  return inclusive ? !golden::less(clip, size_of(w)) : golden::less(size_of(w), clip);
}
bool masks(Estimator e) { return e != Estimator::identity && e != Estimator::trust_mask; }

struct Mask {
  const char* id;
  const char* text;
  bool (*passes)(const QatWeight&);
};
constexpr Mask other_masks[] = {
    {"mask_without_tensor_scale", "the mask compares with 6 times the scale factor alone",
     [](const QatWeight& v) { return within(v.w, v.scale, 6, true); }},
    {"mask_without_scale", "the mask compares with 6",
     [](const QatWeight& v) { return within(v.w, Value::finite(1), 6, true); }},
    {"mask_by_code", "the mask drops weights with the largest code",
     [](const QatWeight& v) {
       return !v.q.is_nan() && golden::less(size_of(v.q), Value::finite(6));
     }},
    {"mask_of_zeros", "the mask drops weights that become 0",
     [](const QatWeight& v) { return !v.q.is_zero() && v.clip_side() <= 0; }},
    {"mask_missing", "everything passes", [](const QatWeight&) { return true; }},
    {"mask_drops_all", "nothing passes", [](const QatWeight&) { return false; }},
    {"mask_inverted", "the mask keeps what it should drop",
     [](const QatWeight& v) { return v.clip_side() > 0; }},
    {"mask_nan_passes", "NaN passes the mask",
     [](const QatWeight& v) { return v.clip_side() <= 0 || v.w.is_nan() || v.s.is_nan(); }},
};

struct Gain {
  const char* text;
  double (*of)(double count, double block, double all, double m);
};
constexpr Gain gains[] = {
    {"1", [](double, double, double, double) { return 1.0; }},
    {"1 / N", [](double n, double, double, double) { return 1 / n; }},
    {"1 / sqrt(N)", [](double n, double, double, double) { return 1 / std::sqrt(n); }},
    {"1 / (6 N)", [](double n, double, double, double) { return 1 / (6 * n); }},
    {"1 / sqrt(7 N)", [](double n, double, double, double) { return 1 / std::sqrt(7 * n); }},
    {"1 / sqrt(8 N)", [](double n, double, double, double) { return 1 / std::sqrt(8 * n); }},
    {"1 / sqrt(15 N)", [](double n, double, double, double) { return 1 / std::sqrt(15 * n); }},
    {"1 / sqrt(3 N)", [](double n, double, double, double) { return 1 / std::sqrt(3 * n); }},
    {"1 / sqrt(4 N)", [](double n, double, double, double) { return 1 / std::sqrt(4 * n); }},
    {"1 / sqrt(6)", [](double, double, double, double) { return 1 / std::sqrt(6.0); }},
    {"1 / sqrt(6 block)", [](double, double b, double, double) { return 1 / std::sqrt(6 * b); }},
    {"1 / sqrt(6 n k)", [](double, double, double a, double) { return 1 / std::sqrt(6 * a); }},
    {"1 / sqrt(6 m N)",
     [](double n, double, double, double m) { return 1 / std::sqrt(6 * m * n); }},
    {"sqrt(6 N)", [](double n, double, double, double) { return std::sqrt(6 * n); }},
    {"1 / (sqrt(6) N)", [](double n, double, double, double) { return 1 / (std::sqrt(6.0) * n); }},
};

RationalValue right_factor(const QatWeight& v, golden::ScaleDerivative rule) {
  const golden::ScaleTerm t = golden::scale_term(v.estimated(), rule);
  return t.counts ? t.derivative : RationalValue::zero(false);
}
RationalValue edited_number(const ValueEdit& edit, const RationalValue& x) {
  if (!x.is_finite()) return x;
  return golden::to_rational(
      golden::value_of(edit.value(static_cast<float>(x.number.convert_to<double>()))));
}

template <class Spoil>
Hypothesis of_step(std::string id, std::string text, Spoil spoil) {
  return edited(training, std::move(id), std::move(text), spoil);
}

void operands(std::vector<Hypothesis>& out) {
  using Grids = std::vector<Grid>;
  const auto stage = [&](const char* id, const char* text, auto of, bool factor = false) {
    cross(out, training, Stage<Model>{id, text, of, factor, true});
  };
  stage("x", "X", [](Model& m) { return Grids{grid_of(m.x, m.m, m.k)}; });
  stage("dy", "dY",
        [](Model& m) { return m.dy.empty() ? Grids{} : Grids{grid_of(m.dy, m.m, m.n)}; });
  stage("bias", "the bias", [](Model& m) {
    return m.bias.empty() || !m.forward ? Grids{} : Grids{grid_of(m.bias, 1, m.n)};
  });
  stage("w", "W", [](Model& m) { return Grids{grid_of(m.weights.x, m.n, m.k)}; });
  stage(
      "given_scale", "the given scale factors",
      [](Model& m) {
        if (m.weights.given.empty() || m.n == 0) return Grids{};
        return Grids{grid_of(m.weights.given, m.n, std::ssize(m.weights.given) / m.n)};
      },
      true);
  cross(out, training, scalar<Model>("parameter", "the estimator's parameter", [](Model& m) {
          return m.forward ? nullptr : &m.parameter;
        }));
}

void estimates(std::vector<Hypothesis>& out) {
  for (const Mask& row : other_masks)
    out.push_back(of_step(row.id, row.text, [&row](Model& m, const Case&) {
      if (m.forward || m.estimator == Estimator::identity) return false;
      m.passes = row.passes;
      return true;
    }));
  for (const Limits& row : limits)
    out.push_back(of_step("mask_limit", std::string("weights pass the mask where ") + row.text,
                          [&row](Model& m, const Case&) {
                            if (m.forward || !masks(m.estimator)) return false;
                            m.passes = [&row](const QatWeight& v) {
                              return within(v.w, v.s, row.limit, row.inclusive);
                            };
                            return true;
                          }));
  for (const Gain& row : gains)
    out.push_back(of_step("dscale_gain", std::string("d scale has the gain ") + row.text,
                          [&row](Model& m, const Case&) {
                            if (m.forward || !kernels::has_scale_gradient(m.estimator))
                              return false;
                            m.gain = [&row, block = static_cast<double>(m.block),
                                      all = static_cast<double>(m.n * m.k),
                                      tokens = static_cast<double>(m.m)](std::int64_t n) {
                              return row.of(static_cast<double>(n), block, all, tokens);
                            };
                            return true;
                          }));
  for (const ValueEdit& edit : value_edits())
    out.push_back(of_step(std::string("dscale_term_") + edit.id,
                          said(edit.text, "the derivative of each weight by its scale factor"),
                          [&edit](Model& m, const Case&) {
                            if (m.forward || !kernels::has_scale_gradient(m.estimator))
                              return false;
                            const auto rule =
                                golden::rule_of(static_cast<golden::Estimator>(m.estimator)).scale;
                            m.scale_derivative = [&edit, rule](const QatWeight& v) {
                              return edited_number(edit, right_factor(v, rule));
                            };
                            return true;
                          }));
  out.push_back(of_step("pass_through",
                        "the slope of the estimator is left out: gradients that "
                        "pass stay as they are",
                        [](Model& m, const Case&) {
                          if (m.forward) return false;
                          m.factor = [](const QatWeight&, const Value&) {
                            return RationalValue::finite(1);
                          };
                          return true;
                        }));
  for (const bool scaled : {true, false})
    out.push_back(of_step("dw_scaled",
                          scaled ? "dW is multiplied by the scale" : "dW is divided by the scale",
                          [scaled](Model& m, const Case&) {
                            if (m.forward) return false;
                            m.factor = [scaled](const QatWeight& v, const Value&) {
                              const RationalValue s = golden::to_rational(v.s);
                              return scaled ? s : RationalValue::finite(1) / s;
                            };
                            return true;
                          }));
}

/// What becomes of a finished sum, and sums in less than FP32.
void of_sums(std::vector<Hypothesis>& out) {
  for (const SumOf& of : sums) {
    const std::string id(of.id);
    const auto which = [&of](Model& m) { return m.forward == (of.sum == Model::Sum::y); };
    for (const ValueEdit& edit : value_edits()) {
      if (edit.factor || std::string(edit.id) == "omitted") continue;
      out.push_back(of_step(id + "_sum_" + edit.id,
                            said(edit.text, std::string("each sum ") + of.text),
                            [&of, &edit, which](Model& m, const Case&) {
                              m.finished = [&of, &edit](Model::Sum sum, const RationalValue& x) {
                                return sum == of.sum ? edited_value(edit, x) : x;
                              };
                              return which(m);
                            }));
    }
    if (of.sum == Model::Sum::dscale) continue;
    struct Narrow {
      const char* text;
      const formats::FormatSpec* format;
      bool products;
    };
    static constexpr Narrow rows[] = {{"is kept in bf16", &formats::bf16, false},
                                      {"is kept in fp16", &formats::fp16, false},
                                      {"has products rounded to bf16", &formats::bf16, true},
                                      {"has products rounded to fp16", &formats::fp16, true}};
    for (const Narrow& row : rows)
      out.push_back(of_step(
          id + (row.products ? "_products_narrowed" : "_accumulator_narrow"),
          std::string("each sum ") + of.text + " " + row.text,
          [&of, &row, which](Model& m, const Case&) {
            m.accumulate = [&of, &row](Model::Sum sum, const Value& s, const Value& product) {
              const auto in = [&row](const Value& x) {
                return golden::decode(
                    *row.format, golden::encode(*row.format, x, formats::RoundingMode::nearest_even,
                                                golden::policy_of(formats::ieee, *row.format)));
              };
              if (sum != of.sum) return golden::fl(s + golden::fl(product));
              return row.products ? golden::fl(s + in(product)) : in(s + golden::fl(product));
            };
            return which(m);
          }));
  }
}

/// A bias that is found by other indices than its column's, or counts more than once.
void biases(std::vector<Hypothesis>& out) {
  out.push_back(of_step("bias_by_row", "the bias is indexed by row instead of column",
                        [](Model& m, const Case&) {
                          if (!m.forward || m.bias.empty()) return false;
                          m.bias_at = [b = m.bias](std::int64_t i, std::int64_t) {
                            return b[static_cast<std::size_t>(i) % b.size()];
                          };
                          return true;
                        }));
  out.push_back(of_step("bias_by_row",
                        "the bias is indexed by row instead of column, and 0 behind its end",
                        [](Model& m, const Case&) {
                          if (!m.forward || m.bias.empty()) return false;
                          m.bias_at = [b = m.bias](std::int64_t i, std::int64_t) {
                            return i < std::ssize(b) ? b[i] : 0.0F;
                          };
                          return true;
                        }));
  for (const float times : {3.0F, 4.0F, 8.0F, 16.0F})
    out.push_back(of_step("bias_repeated",
                          "the bias is added " + std::to_string(static_cast<int>(times)) + " times",
                          [times](Model& m, const Case&) {
                            for (float& x : m.bias) x *= times;
                            return m.forward && !m.bias.empty();
                          }));
}

/// The given scale factors of a row of partial blocks begin where whole ones would.
void pitches(std::vector<Hypothesis>& out) {
  for (const bool wraps : {true, false})
    out.push_back(
        of_step("given_scale_pitch_rounded_down",
                "rows of the given scale factors are floor(k / block) apart, not ceil(k / block)",
                [wraps](Model& m, const Case&) {
                  const std::int64_t across = (m.k + m.block - 1) / m.block;
                  if (m.weights.given.empty() || m.k % m.block == 0) return false;
                  const std::vector<float> from = m.weights.given;
                  const std::int64_t size = std::ssize(from);
                  for (std::int64_t i = 0; i < size; ++i) {
                    const std::int64_t at = i / across * (m.k / m.block) + i % across;
                    m.weights.given[i] = from[wraps ? at % size : std::min(at, size - 1)];
                  }
                  return true;
                }));
  // A cache of weights holds them quantized, by their scale factors.
  out.push_back(of_earlier_call(training, "weights", "the quantized W, with its scale factors,",
                                true, [](Model& m, Model& before) {
                                  if (m.n != before.n || m.k != before.k) return false;
                                  const bool changed = m.weights.x != before.weights.x ||
                                                       m.weights.given != before.weights.given;
                                  m.weights.x = before.weights.x;
                                  m.weights.given = before.weights.given;
                                  return changed;
                                }));
}

/// DGE's slope: min(cap, |z|^-(1 - 1/k) / k), z the place in the bin, -1 to 1.
void slopes(std::vector<Hypothesis>& out) {
  struct Slope {
    const char* id;
    const char* text;
    double cap, factor, power;
    bool from_low;  ///< z is the place from the lower end of the bin
  };
  static constexpr Slope rows[] = {
      {"dge_uncapped", "dge's slope has no cap", INFINITY, 0.2, -0.8, false},
      {"dge_cap", "dge's slope is capped at 1", 1, 0.2, -0.8, false},
      {"dge_cap", "dge's slope is capped at 2", 2, 0.2, -0.8, false},
      {"dge_cap", "dge's slope is capped at 5", 5, 0.2, -0.8, false},
      {"dge_cap", "dge's slope is capped at 10", 10, 0.2, -0.8, false},
      {"dge_power", "dge's slope has the exponent 1/k for 1/k - 1", 3, 0.2, 0.2, false},
      {"dge_power", "dge's slope has the exponent -1", 3, 0.2, -1, false},
      {"dge_power", "dge's slope is that of k = 3", 3, 1.0 / 3, -2.0 / 3, false},
      {"dge_power", "dge's slope is that of k = 10", 3, 0.1, -0.9, false},
      {"dge_factor", "dge's slope has no factor 1/k", 3, 1, -0.8, false},
      {"dge_from_low", "dge measures from the lower end of a bin", 3, 0.2, -0.8, true},
  };
  for (const Slope& row : rows)
    out.push_back(of_step(row.id, row.text, [&row](Model& m, const Case&) {
      if (m.forward || m.estimator != Estimator::dge) return false;
      const auto place = [from_low = row.from_low](const QatWeight& v) {
        constexpr double codes[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
        const double u = v.w.is_zero()
                             ? 0.0
                             : std::fabs(golden::scaled(v.estimated()).number.convert_to<double>());
        std::size_t bin = 0;
        while (bin + 2 < std::size(codes) && u >= codes[bin + 1]) ++bin;
        const double t = (u - codes[bin]) / (codes[bin + 1] - codes[bin]);
        return std::fabs(from_low ? t : 2 * t - 1);
      };
      m.factor = [&row, place](const QatWeight& v, const Value&) {
        return golden::to_rational(
            golden::value_of(std::fmin(row.cap, row.factor * std::pow(place(v), row.power))));
      };
      // z is a difference of numbers near 1 that FP32 rounds.
      m.factor_error = [place](const QatWeight& v) {
        return std::fmin(1.0, 0x1p-18 + 0x1p-21 / std::fmax(place(v), 0x1p-21));
      };
      return true;
    }));
}

}  // namespace

std::vector<Hypothesis> generated_of_training() {
  std::vector<Hypothesis> out;
  operands(out);
  for (const SumOf& of : sums)
    for (const Some& which : some())
      for (const int times : {0, 2})
        out.push_back(of_step(std::string(of.id) + (times == 0 ? "_terms_omitted" : "_terms_twice"),
                              std::string("of the terms ") + of.text + ", " + which.text +
                                  (times == 0 ? " does not count" : " counts twice"),
                              [&of, &which, times](Model& m, const Case&) {
                                if (m.forward != (of.sum == Model::Sum::y)) return false;
                                m.times = [&of, &which, times](Model::Sum sum, std::int64_t at,
                                                               std::int64_t size) {
                                  return sum == of.sum && which.holds(at, size) ? times : 1;
                                };
                                return true;
                              }));
  for (const bool tokens : {true, false})
    for (const bool dw : {true, false})
      out.push_back(of_step(dw ? "dw_averaged" : "dbias_averaged",
                            std::string(dw ? "dW" : "d bias") + " is divided by the number of " +
                                (tokens ? "tokens" : "outputs"),
                            [tokens, dw](Model& m, const Case&) {
                              if (m.forward || m.m == 0) return false;
                              const auto n = static_cast<float>(tokens ? m.m : m.n);
                              if (dw) {
                                m.dw_factor = 1.0F / n;
                                return true;
                              }
                              m.dbias = [copy = m, n](std::int64_t j) {
                                float sum = 0;
                                for (std::int64_t i = 0; i < copy.m; ++i)
                                  sum += copy.dy[i * copy.n + j];
                                return sum / n;
                              };
                              return true;
                            }));
  biases(out);
  pitches(out);
  estimates(out);
  slopes(out);
  of_sums(out);
  return out;
}

}  // namespace assay::proptests::diagnosis

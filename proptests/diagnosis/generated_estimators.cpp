// SPDX-License-Identifier: Apache-2.0
// What may go wrong in straight-through estimators: every mask, slope and derivative by the scale
// factor that the parts of right ones can be put together to.
#include <cmath>
#include <optional>

#include "golden/fp32_order.h"
#include "proptests/diagnosis/product_rows.h"
#include "proptests/diagnosis/stages.h"

namespace assay::proptests::diagnosis {
namespace {

using golden::RationalValue;
using golden::Value;
using kernels::Estimator;
using Model = QatModel;

RationalValue number(double x) { return golden::to_rational(golden::value_of(x)); }
RationalValue u_of(const QatWeight& v) {
  return v.w.is_zero() ? RationalValue::zero(false)
                       : golden::to_rational(v.w) / golden::to_rational(v.s);
}
RationalValue size_of(const RationalValue& x) { return x.negative ? -x : x; }
bool negative_u(const QatWeight& v) { return v.w.negative != v.s.negative; }

/// dv/ds of a weight, or a part of the range where it holds.
struct Term {
  const char* text;
  RationalValue (*of)(const QatWeight&);
};
constexpr Term insides[] = {
    {"", nullptr},
    {"q - u", [](const auto& v) { return golden::to_rational(v.q) + -u_of(v); }},
    {"0", [](const auto&) { return RationalValue::zero(false); }},
    {"q", [](const auto& v) { return golden::to_rational(v.q); }},
    {"u", u_of},
    {"-u", [](const auto& v) { return -u_of(v); }},
    {"u - q", [](const auto& v) { return u_of(v) + -golden::to_rational(v.q); }},
    {"q + u", [](const auto& v) { return golden::to_rational(v.q) + u_of(v); }},
    {"|q - u|", [](const auto& v) { return size_of(golden::to_rational(v.q) + -u_of(v)); }},
    {"q s - w", [](const auto& v) { return golden::to_rational(v.hat() + -v.w); }},
    {"(q - u) s",
     [](const auto& v) {
       return (golden::to_rational(v.q) + -u_of(v)) * golden::to_rational(v.s);
     }},
    {"(q - u) / s",
     [](const auto& v) {
       return (golden::to_rational(v.q) + -u_of(v)) / golden::to_rational(v.s);
     }},
    {"q - w", [](const auto& v) { return golden::to_rational(v.q + -v.w); }},
    {"q - w / scale factor (without the tensor scale)",
     [](const auto& v) {
       return golden::to_rational(v.q) + -(golden::to_rational(v.w) / golden::to_rational(v.scale));
     }},
    {"q - w / |s|",
     [](const auto& v) {
       return golden::to_rational(v.q) +
              -(golden::to_rational(v.w) / size_of(golden::to_rational(v.s)));
     }},
};
template <int six>
RationalValue clip(const QatWeight& v) {
  return RationalValue::finite(negative_u(v) ? -six : six);
}
constexpr Term outsides[] = {
    {"", nullptr},
    {"+6, whatever its sign is", [](const auto&) { return RationalValue::finite(6); }},
    {"-6, whatever its sign is", [](const auto&) { return RationalValue::finite(-6); }},
    {"6 with the other sign", [](const auto& v) { return -clip<6>(v); }},
    {"6 with the sign of w, not of w / s",
     [](const auto& v) { return RationalValue::finite(v.w.negative ? -6 : 6); }},
    {"0", [](const auto&) { return RationalValue::zero(false); }},
    {"+6 above the range and 0 below",
     [](const auto& v) {
       return negative_u(v) ? RationalValue::zero(false) : RationalValue::finite(6);
     }},
    {"-6 below the range and 0 above",
     [](const auto& v) {
       return negative_u(v) ? RationalValue::finite(-6) : RationalValue::zero(false);
     }},
    {"its sign alone, without 6", clip<1>},
    {"4 with its sign", clip<4>},
    {"7 with its sign", clip<7>},
    {"8 with its sign", clip<8>},
    {"q - u", [](const auto& v) { return golden::to_rational(v.q) + -u_of(v); }},
    {"u", u_of},
    {"-u", [](const auto& v) { return -u_of(v); }},
    {"6 s with its sign",
     [](const auto& v) { return clip<6>(v) * size_of(golden::to_rational(v.s)); }},
};

/// LSQ's derivative or PACT's, or that of one of them, with another term inside the range or
/// outside.
void derivative(std::vector<Hypothesis>& out, const Term& inside, const Term& outside, int border,
                std::optional<Estimator> only) {
  const bool both = inside.of != nullptr && outside.of != nullptr;
  if (inside.of == nullptr && outside.of == nullptr && border == 0) return;
  if (both && (border != 0 || only)) return;
  const std::string id = both                    ? "dscale_formula"
                         : inside.of != nullptr  ? "dscale_inside"
                         : outside.of != nullptr ? "dscale_clipped"
                                                 : "dscale_boundary";
  std::string text = !only ? "" : *only == Estimator::lsq ? "lsq's " : "pact's ";
  text += "d scale takes";
  if (inside.of != nullptr) text += std::string(" ") + inside.text + " inside the range";
  if (both) text += " and";
  if (outside.of != nullptr) text += std::string(" ") + outside.text + " for each clipped weight";
  if (border != 0)
    text += std::string(inside.of != nullptr || outside.of != nullptr ? ", with" : "") +
            " |w| = 6 s " + (border < 0 ? "inside" : "outside") + " the range";
  out.push_back(
      edited(training, id, text, [&inside, &outside, border, only](Model& m, const Case&) {
        if (m.forward || !kernels::has_scale_gradient(m.estimator) ||
            (only && m.estimator != *only))
          return false;
        const bool lsq = m.estimator == Estimator::lsq;
        m.scale_derivative = [&inside, &outside, border, lsq](const QatWeight& v) {
          if (v.s.is_nan() || v.w.is_nan()) return RationalValue::nan();
          const int side = v.clip_side();
          const bool clipped =
              side > 0 || (side == 0 && (border == 0 ? !lsq && !v.w.is_zero() : border > 0));
          if (clipped) return outside.of != nullptr ? outside.of(v) : clip<6>(v);
          if (inside.of != nullptr) return inside.of(v);
          return lsq ? golden::to_rational(v.q) + -u_of(v) : RationalValue::zero(false);
        };
        return true;
      }));
}
void derivatives(std::vector<Hypothesis>& out) {
  for (const std::optional<Estimator> only :
       {std::optional<Estimator>(), std::optional(Estimator::lsq), std::optional(Estimator::pact)})
    for (const Term& inside : insides)
      for (const Term& outside : outsides)
        for (const int border : {0, -1, 1})  // at |w| = 6 s: as it should be, inside, outside
          derivative(out, inside, outside, border, only);
}

/// Masks: what is compared with what, on which sides, with its boundary or without.
struct Compared {
  const char* text;
  Value (*of)(const QatWeight&);
};
constexpr Compared compared[] = {
    {"|w|", [](const auto& v) { return v.w; }},
    {"|q s|", [](const auto& v) { return golden::fl(v.hat()); }},
    {"|w - q s|", [](const auto& v) { return v.w + -v.hat(); }},
};
struct Limit {
  const char* text;
  Value (*of)(const QatWeight&);
};
Value times(int n, const Value& v) { return Value::finite(n) * (v.negative ? -v : v); }
constexpr Limit limits[] = {
    {"6 s", [](const auto& v) { return times(6, v.s); }},
    {"6 s, negative where s is,", [](const auto& v) { return Value::finite(6) * v.s; }},
    {"4 s", [](const auto& v) { return times(4, v.s); }},
    {"5 s", [](const auto& v) { return times(5, v.s); }},
    {"7 s", [](const auto& v) { return times(7, v.s); }},
    {"8 s", [](const auto& v) { return times(8, v.s); }},
    {"s", [](const auto& v) { return times(1, v.s); }},
    {"6 scale factors, without the tensor scale,", [](const auto& v) { return times(6, v.scale); }},
    {"6", [](const auto&) { return Value::finite(6); }},
    {"1", [](const auto&) { return Value::finite(1); }},
};
enum class Side : std::uint8_t { both, above, below };
void masks(std::vector<Hypothesis>& out) {
  for (const Compared& what : compared)
    for (const Limit& limit : limits)
      for (const bool closed : {true, false})
        for (const Side side : {Side::both, Side::above, Side::below}) {
          const std::string text = std::string("weights pass the mask where ") + what.text +
                                   (closed ? " <= " : " < ") + limit.text +
                                   (side == Side::above   ? " or w is negative"
                                    : side == Side::below ? " or w is positive"
                                                          : "");
          out.push_back(edited(training, side == Side::both ? "mask_limit" : "mask_one_sided", text,
                               [&what, &limit, closed, side](Model& m, const Case&) {
                                 if (m.forward || m.estimator == Estimator::identity) return false;
                                 m.passes = [&what, &limit, closed, side](const QatWeight& v) {
                                   if (v.w.is_nan() || v.s.is_nan()) return false;
                                   if (side != Side::both && v.w.negative == (side == Side::above))
                                     return true;
                                   const Value x = what.of(v);
                                   const Value size = x.negative ? -x : x;
                                   const Value at = limit.of(v);
                                   return closed ? !golden::less(at, size) : golden::less(size, at);
                                 };
                                 return true;
                               }));
        }
}

/// One estimator's part stands for another's.
void exchanged(std::vector<Hypothesis>& out) {
  constexpr Estimator all[] = {Estimator::identity,  Estimator::clip_mask, Estimator::lsq,
                               Estimator::pact,      Estimator::ewgs,      Estimator::dge,
                               Estimator::trust_mask};
  for (const Estimator other : all) {
    const std::string name(golden::rule_of(static_cast<golden::Estimator>(other)).name);
    out.push_back(edited(training, "mask_of_another_estimator", "the mask is that of " + name,
                         [other](Model& m, const Case&) {
                           if (m.forward || m.estimator == other) return false;
                           m.passes = [other, t = m.parameter](const QatWeight& v) {
                             return golden::passes(
                                 v.estimated(),
                                 golden::rule_of(static_cast<golden::Estimator>(other)).mask, t);
                           };
                           return true;
                         }));
    if (kernels::has_scale_gradient(other))
      out.push_back(edited(
          training, "dscale_of_another_estimator", "d scale is that of " + name,
          [other](Model& m, const Case&) {
            if (m.forward || !kernels::has_scale_gradient(m.estimator) || m.estimator == other)
              return false;
            m.scale_derivative = [other](const QatWeight& v) {
              const golden::ScaleTerm t = golden::scale_term(
                  v.estimated(), golden::rule_of(static_cast<golden::Estimator>(other)).scale);
              return t.counts ? t.derivative : RationalValue::zero(false);
            };
            return true;
          }));
  }
  out.push_back(edited(training, "mask_multiplies",
                       "the mask multiplies by 0 instead of selecting: NaN and infinite gradients "
                       "of masked weights become NaN",
                       [](Model& m, const Case&) {
                         m.mask_multiplies = true;
                         return !m.forward;
                       }));
}

/// The gradient of the input, and what multiplies there and in the forward pass.
void multiplied(std::vector<Hypothesis>& out) {
  using Weight = Value (*)(const QatWeight&);
  struct Row {
    const char* id;
    const char* text;
    Weight of;
  };
  static constexpr Row rows[] = {
      {"masked", "clipped weights count as 0 in {}",
       [](const auto& v) { return v.clip_side() > 0 ? Value::zero(false) : v.hat(); }},
      {"masked", "weights that are clipped, or at the boundary, count as 0 in {}",
       [](const auto& v) { return v.clip_side() >= 0 ? Value::zero(false) : v.hat(); }},
      {"clipped_only", "weights are clipped in {} and not rounded",
       [](const auto& v) { return v.clip_side() > 0 ? v.hat() : v.w; }},
      {"unquantized_where_clipped", "clipped weights stay as they are in {}",
       [](const auto& v) { return v.clip_side() > 0 ? v.w : v.hat(); }},
      {"scale_magnitude", "the sign of scale factors is lost in {}",
       [](const auto& v) { return v.q * (v.s.negative ? -v.s : v.s); }},
      {"scale_twice", "scale factors multiply twice in {}",
       [](const auto& v) { return v.hat() * v.scale; }},
      {"tensor_scale_twice", "the tensor scale multiplies twice in {}",
       [](const auto& v) {
         return v.scale.is_zero() || !v.scale.is_finite()
                    ? v.hat()
                    : golden::value_of(golden::approximate(v.s.number) /
                                       golden::approximate(v.scale.number)) *
                          v.hat();
       }},
      {"rounding_error", "the rounding error w - q s stands for the weights in {}",
       [](const auto& v) { return v.w + -v.hat(); }},
  };
  const auto stand = [&](const std::string& id, const std::string& text, bool forward, auto of) {
    out.push_back(edited(training, id, text, [forward, of](Model& m, const Case&) {
      if (m.forward != forward) return false;
      (forward ? m.multiplies_y : m.multiplies_dx) = of;
      return true;
    }));
  };
  for (const bool forward : {true, false}) {
    const std::string prefix = forward ? "y_" : "dx_";
    const std::string where = forward ? "the product" : "dX";
    for (const Row& row : rows)
      stand(prefix + row.id, said(row.text, where), forward,
            std::function<Value(const QatWeight&)>(row.of));
    for (const ValueEdit& edit : value_edits()) {
      if (edit.factor) continue;
      stand(prefix + "weights_" + edit.id,
            said(edit.text, "each fake-quantized weight in " + where), forward,
            std::function<Value(const QatWeight&)>(
                [&edit](const QatWeight& v) { return edited_value(edit, golden::fl(v.hat())); }));
      stand(prefix + "scaled_" + edit.id,
            said(edit.text, "each scale factor with its tensor scale, in " + where + ","), forward,
            std::function<Value(const QatWeight&)>(
                [&edit](const QatWeight& v) { return v.q * edited_value(edit, golden::fl(v.s)); }));
    }
  }
}

/// DGE's bins, by the magnitudes that part them; the widths are theirs unless one is given.
struct Bins {
  const char* text;
  std::vector<double> edges;
  double last_width = 0;
};
const std::vector<Bins>& bins() {
  static const std::vector<Bins> rows{
      {"has no edge at 3", {0, 0.5, 1, 1.5, 2, 4, 6}},
      {"has no edge at 4", {0, 0.5, 1, 1.5, 2, 3, 6}},
      {"has no edge at 2", {0, 0.5, 1, 1.5, 3, 4, 6}},
      {"has no edge at 1.5", {0, 0.5, 1, 2, 3, 4, 6}},
      {"has no edge at 1", {0, 0.5, 1.5, 2, 3, 4, 6}},
      {"has no edge at 0.5", {0, 1, 1.5, 2, 3, 4, 6}},
      {"has edges at whole numbers alone", {0, 1, 2, 3, 4, 5, 6}},
      {"has edges at powers of two alone", {0, 1, 2, 4, 8}},
      {"has an edge at 5", {0, 0.5, 1, 1.5, 2, 3, 4, 5, 6}},
      {"has the edges of E2M1's midpoints", {0, 0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5, 6}},
      {"ends at 4", {0, 0.5, 1, 1.5, 2, 3, 4}},
      {"takes 1 for the width of the bin above 4", {0, 0.5, 1, 1.5, 2, 3, 4, 6}, 1},
      {"takes 4 for the width of the bin above 4", {0, 0.5, 1, 1.5, 2, 3, 4, 6}, 4},
  };
  return rows;
}
void dge(std::vector<Hypothesis>& out) {
  for (const Bins& row : bins())
    for (const double cap : {3.0, static_cast<double>(INFINITY)})
      out.push_back(edited(
          training, "dge_bins",
          std::string("dge ") + row.text + (std::isinf(cap) ? ", and its slope has no cap" : ""),
          [&row, cap](Model& m, const Case&) {
            if (m.forward || m.estimator != Estimator::dge) return false;
            const auto place = [&row](const QatWeight& v) {
              const double u = std::fabs(u_of(v).number.convert_to<double>());
              std::size_t bin = 0;
              while (bin + 2 < row.edges.size() && u > row.edges[bin + 1]) ++bin;
              const bool last = bin + 2 == row.edges.size() && row.last_width != 0;
              const double width = last ? row.last_width : row.edges[bin + 1] - row.edges[bin];
              return std::fabs(2 * (u - row.edges[bin]) / width - 1);
            };
            m.factor = [place, cap](const QatWeight& v, const Value&) {
              return number(std::fmin(cap, 0.2 * std::pow(place(v), -0.8)));
            };
            m.factor_error = [place](const QatWeight& v) {
              return std::fmin(1.0, 0x1p-18 + 0x1p-21 / std::fmax(place(v), 0x1p-21));
            };
            return true;
          }));
  for (const double at_middle : {1e2, 1e3, 1e4, 1e5, 1e6})
    out.push_back(edited(training, "dge_uncapped",
                         "dge's slope has no cap: at the middle of a bin it is " +
                             std::to_string(static_cast<int>(at_middle)),
                         [at_middle](Model& m, const Case&) {
                           if (m.forward || m.estimator != Estimator::dge) return false;
                           m.factor = [at_middle](const QatWeight& v, const Value&) {
                             const golden::Bin bin = golden::bin_of(
                                 formats::e2m1, boost::multiprecision::abs(u_of(v).number));
                             const golden::Rational z =
                                 bin.position(boost::multiprecision::abs(u_of(v).number));
                             if (golden::dge_capped(z)) return number(at_middle);
                             return number(0.2 * std::pow(z.convert_to<double>(), -0.8));
                           };
                           return true;
                         }));
}

}  // namespace

std::vector<Hypothesis> generated_of_estimators() {
  std::vector<Hypothesis> out;
  derivatives(out);
  exchanged(out);
  masks(out);
  multiplied(out);
  dge(out);
  return out;
}

}  // namespace assay::proptests::diagnosis

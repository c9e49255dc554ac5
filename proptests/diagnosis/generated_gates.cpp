// SPDX-License-Identifier: Apache-2.0
// What may go wrong behind the two products of a gated one: clamps, silu, and what they meet.
#include <cmath>

#include "proptests/diagnosis/stages.h"

namespace assay::proptests::diagnosis {
namespace {

using Clamp = double (*)(double x, double limit);
using Act = double (*)(double x);

double above(double x, double l) { return x > l ? l : x; }
double below(double x, double l) { return x < -l ? -l : x; }
double both(double x, double l) { return above(below(x, l), l); }
double neither(double x, double) { return x; }
double no_negative(double x, double l) { return x < 0 ? 0 : above(x, l); }
double not_nan(double x, double l) { return std::fmax(-l, std::fmin(x, l)); }
double lost_beyond(double x, double l) { return std::fabs(x) > l ? 0 : x; }
double flagged(double x, double l) { return x > l ? -l : x; }

double silu(double x) { return x / (1 + std::exp(-x)); }

struct Clamps {
  const char* id;
  const char* text;
  Clamp clamp;
};
constexpr Clamps clamps[] = {
    {"limited_above_only", "{} is limited from above only", above},
    {"limited_below_only", "{} is limited from below only", below},
    {"limited_below", "{} is limited on both sides", both},
    {"limit_ignored", "{} is not limited", neither},
    {"negative_lost", "negative {} counts as 0", no_negative},
    {"nan_clamped", "NaN in {} becomes a limit", not_nan},
    {"lost_beyond_limit", "{} counts as 0 beyond the limit", lost_beyond},
    {"limit_sign", "{} beyond the limit becomes the limit of the other sign", flagged},
};
struct Acts {
  const char* id;
  const char* text;
  Act act;
};
constexpr Acts acts[] = {
    {"identity_for_silu", "silu is left out", [](double x) { return x; }},
    {"silu_twice", "silu is taken twice", [](double x) { return silu(silu(x)); }},
    {"relu_for_silu", "ReLU stands in the place of silu", [](double x) { return x > 0 ? x : 0; }},
    {"tanh_for_silu", "tanh stands in the place of silu", [](double x) { return std::tanh(x); }},
    {"silu_of_other_slope", "silu has the slope 1.702",
     [](double x) { return x / (1 + std::exp(-1.702 * x)); }},
    {"silu_of_other_slope", "silu is taken with exp2 for exp",
     [](double x) { return x / (1 + std::exp2(-x)); }},
    {"silu_of_other_slope", "x tanh(x) stands in the place of silu",
     [](double x) { return x * std::tanh(x); }},
    {"silu_sign", "silu takes exp(x) for exp(-x)", [](double x) { return x / (1 + std::exp(x)); }},
    {"silu_sign", "silu is taken of -x", [](double x) { return silu(-x); }},
    {"silu_of_magnitude", "silu takes exp(-|x|) for exp(-x)",
     [](double x) { return x / (1 + std::exp(-std::fabs(x))); }},
    {"silu_of_magnitude", "silu is taken of |x|", [](double x) { return silu(std::fabs(x)); }},
    {"silu_negative_lost", "silu of negative gates is 0",
     [](double x) { return x < 0 ? 0 : silu(x); }},
    {"silu_saturates", "silu is x for gates above 8, and 0 below -8",
     [](double x) { return x > 8    ? x
                           : x < -8 ? 0
                                    : silu(x); }},
    {"silu_saturates", "silu is x for gates above 4, and 0 below -4",
     [](double x) { return x > 4    ? x
                           : x < -4 ? 0
                                    : silu(x); }},
    {"silu_hard", "x clamp(x / 6 + 1/2) stands in the place of silu",
     [](double x) { return x * std::fmin(1.0, std::fmax(0.0, x / 6 + 0.5)); }},
    {"silu_derivative", "the derivative of silu stands in its place",
     [](double x) {
       const double s = 1 / (1 + std::exp(-x));
       return s * (1 + x * (1 - s));
     }},
    {"softplus_for_silu", "softplus stands in the place of silu",
     [](double x) { return std::log1p(std::exp(x)); }},
    {"silu_underflow", "silu is NaN where exp(-x) overflows FP32",
     [](double x) {
       return std::isinf(std::exp(static_cast<float>(-x))) ? std::nan("") : silu(x);
     }},
    {"silu_overflow", "silu is NaN where exp(x) overflows FP32",
     [](double x) { return std::isinf(std::exp(static_cast<float>(x))) ? std::nan("") : silu(x); }},
    {"silu_in_half", "exp(-x) is limited to what fp16 holds",
     [](double x) { return x / (1 + std::fmin(std::exp(-x), 65504.0)); }},
};

struct Whole {
  const char* id;
  const char* text;
  double (*epilogue)(double g, double u, double l);
};
Clamp when(double limit, Clamp c) { return limit != 0 ? c : neither; }
constexpr Whole wholes[] = {
    {"up_plus_one", "1 is added to the up",
     [](double g, double u, double l) {
       return silu(when(l, above)(g, l)) * (when(l, both)(u, l) + 1);
     }},
    {"up_omitted", "the up is left out",
     [](double g, double, double l) { return silu(when(l, above)(g, l)); }},
    {"gate_omitted", "the gate is left out",
     [](double, double u, double l) { return when(l, both)(u, l); }},
    {"gate_added", "silu of the gate is added to the up instead of multiplied",
     [](double g, double u, double l) { return silu(when(l, above)(g, l)) + when(l, both)(u, l); }},
    {"limit_of_product", "the limit acts on the product alone",
     [](double g, double u, double l) { return when(l, both)(silu(g) * u, l); }},
    {"limit_after_silu", "the limit of the gate acts behind silu",
     [](double g, double u, double l) { return when(l, above)(silu(g), l) * when(l, both)(u, l); }},
    {"limits_exchanged", "the gate is limited as the up, and the up as the gate",
     [](double g, double u, double l) { return silu(when(l, both)(g, l)) * when(l, above)(u, l); }},
    {"sign_of_up_lost", "the sign of the up is lost",
     [](double g, double u, double l) {
       return silu(when(l, above)(g, l)) * std::fabs(when(l, both)(u, l));
     }},
    {"nan_as_zero", "NaN gates count as 0",
     [](double g, double u, double l) {
       return std::isnan(g) ? 0.0 : silu(when(l, above)(g, l)) * when(l, both)(u, l);
     }},
    {"limit_always_on", "a limit of 0 limits to 0",
     [](double g, double u, double l) { return silu(above(g, l)) * both(u, l); }},
};

Hypothesis epilogue(const char* id, std::string text,
                    std::function<double(double, double, double)> f) {
  return edited(gating, id, std::move(text), [f](GatedModel& m, const Case&) { m.epilogue = f; });
}

}  // namespace

std::vector<Hypothesis> generated_of_gates() {
  std::vector<Hypothesis> out;
  for (const Whole& row : wholes) out.push_back(epilogue(row.id, row.text, row.epilogue));
  for (const Acts& row : acts)
    out.push_back(epilogue(row.id, row.text, [act = row.act](double g, double u, double l) {
      return act(when(l, above)(g, l)) * when(l, both)(u, l);
    }));
  for (const Clamps& row : clamps) {
    const std::string of_gate = std::string("gate_") + row.id;
    const std::string of_up = std::string("up_") + row.id;
    out.push_back(epilogue(of_gate.c_str(), said(row.text, "the gate"),
                           [c = row.clamp](double g, double u, double l) {
                             return silu(when(l, c)(g, l)) * when(l, both)(u, l);
                           }));
    out.push_back(epilogue(of_up.c_str(), said(row.text, "the up"),
                           [c = row.clamp](double g, double u, double l) {
                             return silu(when(l, above)(g, l)) * when(l, c)(u, l);
                           }));
  }
  for (const ValueEdit& edit : value_edits()) {
    out.push_back(edited(gating, std::string("gate_and_up_") + edit.id,
                         said(edit.text, "each of the two sums"),
                         [&edit](GatedModel& m, const Case&) { m.between = edit.value; }));
    for (const bool up : {false, true})
      out.push_back(epilogue((std::string(up ? "up_" : "gate_") + edit.id).c_str(),
                             said(edit.text, up ? "the up" : "the gate"),
                             [&edit, up](double g, double u, double l) {
                               const auto spoilt = [&](double x) {
                                 return static_cast<double>(edit.value(static_cast<float>(x)));
                               };
                               const double gate = up ? g : spoilt(g);
                               const double other = up ? spoilt(u) : u;
                               return silu(when(l, above)(gate, l)) * when(l, both)(other, l);
                             }));
    out.push_back(epilogue(
        (std::string("silu_") + edit.id).c_str(), said(edit.text, "what silu gives"),
        [&edit](double g, double u, double l) {
          return edit.value(static_cast<float>(silu(when(l, above)(g, l)))) * when(l, both)(u, l);
        }));
  }
  cross(out, gating, scalar<GatedModel>("limit", "the limit", [](GatedModel& m) {
          return m.limit == 0 ? nullptr : &m.limit;
        }));
  return out;
}

}  // namespace assay::proptests::diagnosis

// SPDX-License-Identifier: Apache-2.0
// The known errors of gated products: which rows are gates, and the epilogue behind both products.
#include <algorithm>
#include <cmath>

#include "proptests/diagnosis/operations.h"

namespace assay::proptests::diagnosis {
namespace {

/// An epilogue in double; limit 0: no clamp.
struct GatedError {
  const char* id;
  const char* name;
  double (*epilogue)(double g, double u, double limit);
  bool other_rows = false;  ///< reads gates where the other gate layout has them
};

double silu(double x) { return x / (1.0 + std::exp(-x)); }
double above(double x, double l) { return l != 0 && x > l ? l : x; }
double both(double x, double l) { return l != 0 && x < -l ? -l : above(x, l); }
double right(double g, double u, double l) { return silu(above(g, l)) * both(u, l); }

constexpr GatedError errors[] = {
    {"interleave_misread", "gate and up rows are read as in the other gate layout", right, true},
    {"gate_and_up_exchanged", "silu is taken of the ups",
     [](double g, double u, double l) { return right(u, g, l); }},
    {"gate_and_up_exchanged", "silu is taken of the ups, each with its own clamp",
     [](double g, double u, double l) { return silu(both(u, l)) * above(g, l); }},
    {"gate_and_up_exchanged", "silu is taken of the ups, and both are limited from above",
     [](double g, double u, double l) { return silu(above(u, l)) * above(g, l); }},
    {"nan_clamped", "the clamp replaces NaN by the limit",
     [](double g, double u, double l) {
       return l == 0 ? silu(g) * u : silu(std::fmin(g, l)) * std::fmax(-l, std::fmin(u, l));
     }},
    {"gate_limited_below", "the gate is clamped from below too",
     [](double g, double u, double l) { return silu(both(g, l)) * both(u, l); }},
    {"up_limited_above_only", "the up is not clamped from below",
     [](double g, double u, double l) { return silu(above(g, l)) * above(u, l); }},
    {"limit_after_silu", "the limit of the gate acts behind silu",
     [](double g, double u, double l) { return above(silu(g), l) * both(u, l); }},
    {"limit_ignored", "nothing is clamped", [](double g, double u, double) { return silu(g) * u; }},
    {"gelu_for_silu", "GELU, by tanh, stands in the place of silu",
     [](double g, double u, double l) {
       const double x = above(g, l);
       return 0.5 * x * (1 + std::tanh(0.7978845608 * (x + 0.044715 * x * x * x))) * both(u, l);
     }},
    {"gelu_for_silu", "GELU, by erf, stands in the place of silu",
     [](double g, double u, double l) {
       const double x = above(g, l);
       return 0.5 * x * (1 + std::erf(x * 0.7071067812)) * both(u, l);
     }},
    {"silu_overflow", "silu is g exp(g) / (1 + exp(g)): NaN where exp(g) overflows FP32",
     [](double g, double u, double l) {
       const double x = above(g, l);
       return std::isinf(std::exp(static_cast<float>(x))) ? std::nan("") : right(g, u, l);
     }},
    {"sigmoid_for_silu", "the sigmoid stands in the place of silu",
     [](double g, double u, double l) { return both(u, l) / (1 + std::exp(-above(g, l))); }},
};

}  // namespace

std::vector<Hypothesis> gated_hypotheses() {
  std::vector<Hypothesis> out;
  for (const GatedError& row : errors)
    out.push_back(edited(gating, row.id, row.name, [&row](GatedModel& m, const Case&) {
      if (row.other_rows)
        m.interleaved = !m.interleaved;
      else
        m.epilogue = row.epilogue;
    }));
  return out;
}

}  // namespace assay::proptests::diagnosis

// SPDX-License-Identifier: Apache-2.0
// The known errors of gated products: which rows are gates, and the epilogue behind both products.
#include <algorithm>
#include <cmath>

#include "golden/gated.h"
#include "proptests/diagnosis/product_model.h"
#include "proptests/judge.h"

namespace assay::proptests::diagnosis {
namespace {

using golden::RationalValue;

/// An epilogue in double; limit 0: no clamp. Its error is far below the 2^-20 that is allowed.
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

double to_double(const RationalValue& x) {
  if (x.is_nan()) return NAN;
  if (x.is_infinite()) return x.negative ? -INFINITY : INFINITY;
  return x.number.convert_to<double>();
}

/// Every second row of B, or one half of it.
golden::FactoredMatrix half(const golden::FactoredMatrix& b, bool up, bool interleaved) {
  golden::FactoredMatrix h = b;
  h.rows = b.rows / 2;
  h.elements.clear();
  h.scales.clear();
  for (std::int64_t j = 0; j < h.rows; ++j) {
    const std::int64_t first =
        (interleaved ? 2 * j + (up ? 1 : 0) : j + (up ? h.rows : 0)) * b.cols;
    h.elements.insert(h.elements.end(), b.elements.begin() + first,
                      b.elements.begin() + first + b.cols);
    h.scales.insert(h.scales.end(), b.scales.begin() + first, b.scales.begin() + first + b.cols);
  }
  return h;
}

bool explains(const GatedError& row, const Case& c) {
  ProductModel gate = product_of(c);
  gate.b.t = input_tensor(c.call, ASSAY_DUT_B, *c.call.claim.b, 2 * c.call.n, c.call.k);
  gate.alpha = 1.0F;
  const bool interleaved = (c.call.claim.gate_layout == ASSAY_DUT_INTERLEAVED) != row.other_rows;
  ProductModel up = gate;
  gate.edit_operands = [&](auto&, golden::FactoredMatrix& b) { b = half(b, false, interleaved); };
  up.edit_operands = [&](auto&, golden::FactoredMatrix& b) { b = half(b, true, interleaved); };
  const ProductModel::Result g = gate.run();
  const ProductModel::Result u = up.run();
  // One rounding to the output, with as much again for what the FP32 epilogue loses.
  const double ulp = c.call.claim.output == &formats::fp32 ? 0x1p-18 : 0x1p-8;
  for (std::size_t i = 0; i < gate.observed.size(); ++i) {
    if (!g.bounds[i].judgeable || !u.bounds[i].judgeable) continue;
    const double gi = to_double(g.reference[i]);
    const double ui = to_double(u.reference[i]);
    const double h = row.epilogue(gi, ui, c.call.limit);
    const double seen = gate.observed[i];
    if (std::isnan(h) != std::isnan(seen)) return false;
    if (std::isnan(h) || static_cast<float>(h) == gate.observed[i]) continue;
    const double slack = ulp * std::fabs(h) + 0x1p-120 +
                         2 * g.bounds[i].error.convert_to<double>() * std::fabs(ui) +
                         2 * u.bounds[i].error.convert_to<double>() * std::fabs(gi);
    if (!(std::fabs(seen - h) <= slack)) return false;
  }
  return true;
}

}  // namespace

std::vector<Hypothesis> gated_hypotheses() {
  std::vector<Hypothesis> out;
  for (const GatedError& row : errors)
    out.push_back({row.id, row.name,
                   [](const kernels::Claim& c) { return c.operation == "gated_gemm"; },
                   [&row](const Case& c) { return explains(row, c); }});
  return out;
}

}  // namespace assay::proptests::diagnosis

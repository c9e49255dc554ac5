// SPDX-License-Identifier: Apache-2.0
// What may go wrong in gated products with the rows of B that are gates and ups, with the tensor
// scales that silu must not meet without, and with how silu is evaluated.
#include <cmath>

#include "proptests/diagnosis/product_rows.h"
#include "proptests/diagnosis/stages.h"

namespace assay::proptests::diagnosis {
namespace {

using golden::FactoredMatrix;
using golden::Value;
using Model = GatedModel;

/// Row `from` of one matrix, or zeros beyond its end, for row `to` of another.
void take_row(FactoredMatrix& to, std::int64_t row, const FactoredMatrix& from, std::int64_t at,
              bool codes, bool scales, bool wraps) {
  if (from.rows == 0) return;
  const bool there = at >= 0 && at < from.rows;
  const std::int64_t source = (at % from.rows + from.rows) % from.rows;
  for (std::int64_t c = 0; c < to.cols; ++c) {
    const std::int64_t i = row * to.cols + c;
    const std::int64_t j = source * from.cols + c;
    if (codes) to.elements[i] = there || wraps ? from.elements[j] : Value::zero(false);
    if (scales) to.scales[i] = there || wraps ? from.scales[j] : Value::zero(false);
  }
}

Hypothesis halves(const std::string& id, const std::string& text,
                  std::function<void(FactoredMatrix&, FactoredMatrix&, const FactoredMatrix&)> f) {
  return edited(gating, id, text, [f = std::move(f)](Model& m, const Case&) { m.edit_halves = f; });
}

struct Parts {
  const char* id;
  const char* text;
  bool codes, scales;
};
constexpr Parts parts[] = {{"_scales", "scale factors", false, true},
                           {"_codes", "codes", true, false},
                           {"", "rows of B", true, true}};

void exchanged(std::vector<Hypothesis>& out) {
  for (const Parts& p : parts) {
    out.push_back(halves("up" + std::string(p.id) + "_of_gate",
                         std::string("ups meet the ") + p.text + " of their gates",
                         [&p](FactoredMatrix& g, FactoredMatrix& u, const FactoredMatrix&) {
                           for (std::int64_t r = 0; r < u.rows; ++r)
                             take_row(u, r, g, r, p.codes, p.scales, true);
                         }));
    out.push_back(halves("gate" + std::string(p.id) + "_of_up",
                         std::string("gates meet the ") + p.text + " of their ups",
                         [&p](FactoredMatrix& g, FactoredMatrix& u, const FactoredMatrix&) {
                           for (std::int64_t r = 0; r < u.rows; ++r)
                             take_row(g, r, u, r, p.codes, p.scales, true);
                         }));
  }
}

/// Rows of B that are taken for those of gate and up j, of n each.
struct Where {
  const char* id;
  std::string text;
  std::function<std::int64_t(std::int64_t j, std::int64_t n)> gate, up;
};
void found(std::vector<Hypothesis>& out) {
  std::vector<Where> rows;
  for (const std::int64_t to : {2, 4, 8, 16, 32, 64, 128})
    rows.push_back({"up_rows_padded",
                    "ups are looked for behind n rounded up to a multiple of " + std::to_string(to),
                    nullptr, [to](auto j, auto n) { return (n + to - 1) / to * to + j; }});
  for (const std::int64_t to : {2, 4, 8, 16, 32, 64, 128})
    rows.push_back(
        {"up_rows_padded",
         "ups are looked for behind n rounded down to a multiple of " + std::to_string(to), nullptr,
         [to](auto j, auto n) { return n / to * to + j; }});
  for (const std::int64_t chunk : {2, 4, 8, 16, 32, 64, 128})
    rows.push_back({"gates_in_chunks",
                    "gates and ups alternate in chunks of " + std::to_string(chunk) + " rows",
                    [chunk](auto j, auto) { return j / chunk * 2 * chunk + j % chunk; },
                    [chunk](auto j, auto) { return j / chunk * 2 * chunk + chunk + j % chunk; }});
  for (const std::int64_t tile : {16, 32, 64, 128, 256}) {
    const auto tail = [tile](std::int64_t j, std::int64_t n, bool up) {
      const std::int64_t first = 2 * n / tile * tile;
      const std::int64_t rest = 2 * n - first;
      return 2 * j < first ? 2 * j + (up ? 1 : 0) : first + (j - first / 2) + (up ? rest / 2 : 0);
    };
    rows.push_back({"tail_as_concatenated",
                    "the last, partial tile of " + std::to_string(tile) +
                        " rows of B is read as if gates came before ups",
                    [tail](auto j, auto n) { return tail(j, n, false); },
                    [tail](auto j, auto n) { return tail(j, n, true); }});
  }
  for (const int by : {-1, 1, -2, 2}) {
    const std::string text =
        by < 0 ? std::to_string(-by) + " rows early" : std::to_string(by) + " rows late";
    rows.push_back({"up_rows_shifted", "ups begin " + text + " (concatenated)", nullptr,
                    [by](auto j, auto n) { return n + j + by; }});
  }
  for (const Where& row : rows)
    for (const Parts& p : parts)
      for (const bool wraps : {false, true})
        out.push_back(
            halves(row.id + std::string(p.id), row.text + ": the " + p.text,
                   [row, &p, wraps](FactoredMatrix& g, FactoredMatrix& u, const FactoredMatrix& b) {
                     for (std::int64_t j = 0; j < u.rows; ++j) {
                       if (row.gate)
                         take_row(g, j, b, row.gate(j, u.rows), p.codes, p.scales, wraps);
                       take_row(u, j, b, row.up(j, u.rows), p.codes, p.scales, wraps);
                     }
                   }));
}

/// Gates or ups alone, moved as any grid is: a row of B is a row here.
void moved(std::vector<Hypothesis>& out) {
  for (const MapEdit& edit : map_edits())
    for (const bool up : {true, false})
      for (const Parts& p : parts)
        for (const bool wraps : {false, true})
          out.push_back(edited(
              gating, std::string(up ? "up" : "gate") + p.id + "_" + edit.id,
              said(edit.text, std::string("the ") + p.text + " of " + (up ? "ups" : "gates")),
              [&edit, up, &p, wraps](Model& m, const Case&) {
                const std::int64_t n = m.product.n;
                std::vector<std::uint32_t> index(static_cast<std::size_t>(n));
                for (std::size_t i = 0; i < index.size(); ++i)
                  index[i] = static_cast<std::uint32_t>(i);
                Grid g = grid_of(index, n, 1);
                if (!apply(edit, g, wraps)) return false;
                m.edit_halves = [index, up, &p](FactoredMatrix& gates, FactoredMatrix& ups,
                                                const FactoredMatrix&) {
                  FactoredMatrix& to = up ? ups : gates;
                  const FactoredMatrix from = to;
                  for (std::int64_t r = 0; r < to.rows; ++r)
                    take_row(to, r, from, index[r], p.codes, p.scales, true);
                };
                return true;
              }));
}

double silu(double x) { return x / (1 + std::exp(-x)); }
double above(double x, double l) { return l != 0 && x > l ? l : x; }
double both(double x, double l) { return l != 0 && x < -l ? -l : above(x, l); }

/// Tensor scales that meet the sums elsewhere than they should; f is their product.
struct Late {
  const char* id;
  const char* text;
  double (*of)(double g, double u, double l, double f);
};
constexpr Late lates[] = {
    {"tensor_scales_behind_silu", "tensor scales multiply the product behind silu, twice",
     [](double g, double u, double l, double f) {
       return silu(above(g / f, l)) * both(u / f, l) * f * f;
     }},
    {"tensor_scales_behind_silu", "tensor scales multiply the product behind silu, once",
     [](double g, double u, double l, double f) {
       return silu(above(g / f, l)) * both(u / f, l) * f;
     }},
    {"tensor_scales_behind_silu", "tensor scales multiply what silu gives, not the gate",
     [](double g, double u, double l, double f) { return silu(above(g / f, l)) * f * both(u, l); }},
    {"tensor_scales_of_gate_omitted", "tensor scales do not multiply the gate",
     [](double g, double u, double l, double f) { return silu(above(g / f, l)) * both(u, l); }},
    {"tensor_scales_of_up_omitted", "tensor scales do not multiply the up",
     [](double g, double u, double l, double f) { return silu(above(g, l)) * both(u / f, l); }},
    {"tensor_scales_twice_on_gate", "tensor scales multiply the gate twice",
     [](double g, double u, double l, double f) { return silu(above(g * f, l)) * both(u, l); }},
    {"tensor_scales_twice_on_up", "tensor scales multiply the up twice",
     [](double g, double u, double l, double f) { return silu(above(g, l)) * both(u * f, l); }},
    {"limit_before_tensor_scales", "the limit acts before the tensor scales",
     [](double g, double u, double l, double f) {
       return silu(above(g / f, l) * f) * both(u / f, l) * f;
     }},
    {"gate_limit_before_tensor_scales", "the limit of the gate acts before the tensor scales",
     [](double g, double u, double l, double f) { return silu(above(g / f, l) * f) * both(u, l); }},
    {"up_limit_before_tensor_scales", "the limit of the up acts before the tensor scales",
     [](double g, double u, double l, double f) { return silu(above(g, l)) * both(u / f, l) * f; }},
};
struct Factor {
  const char* text;
  double (*of)(const Model& m);
};
double ga(const Model& m) { return m.product.a ? m.product.a->t.tensor_scale : 1.0F; }
double gb(const Model& m) { return m.product.b.t.tensor_scale; }
constexpr Factor factors[] = {{"both", [](const Model& m) { return ga(m) * gb(m); }},
                              {"that of A alone", ga},
                              {"that of B alone", gb}};
void late(std::vector<Hypothesis>& out) {
  for (const Late& row : lates)
    for (const Factor& factor : factors)
      out.push_back(edited(gating, row.id, std::string(row.text) + " (" + factor.text + ")",
                           [&row, &factor](Model& m, const Case&) {
                             const double f = factor.of(m);
                             if (f == 1 || f == 0 || !std::isfinite(f)) return false;
                             m.epilogue = [&row, f](double g, double u, double l) {
                               return row.of(g, u, l, f);
                             };
                             return true;
                           }));
}

/// Parts of silu in less than FP32.
struct Evaluated {
  const char* id;
  const char* text;
  double (*of)(const ValueEdit& e, double x);
};
double in(const ValueEdit& e, double x) { return e.value(static_cast<float>(x)); }
constexpr Evaluated evaluated[] = {
    {"sigmoid", "the sigmoid of the gate",
     [](const auto& e, double x) { return x * in(e, 1 / (1 + std::exp(-x))); }},
    {"exponential", "exp(-gate)",
     [](const auto& e, double x) { return x / (1 + in(e, std::exp(-x))); }},
    {"half_tanh", "tanh(gate / 2), of which the sigmoid is made,",
     [](const auto& e, double x) { return x * (0.5 * in(e, std::tanh(x / 2)) + 0.5); }},
    {"divisor", "1 + exp(-gate)",
     [](const auto& e, double x) { return x / in(e, 1 + std::exp(-x)); }},
};
void evaluation(std::vector<Hypothesis>& out) {
  for (const Evaluated& row : evaluated)
    for (const ValueEdit& edit : value_edits()) {
      if (edit.factor) continue;
      out.push_back(edited(gating, std::string(row.id) + "_" + edit.id, said(edit.text, row.text),
                           [&row, &edit](Model& m, const Case&) {
                             m.epilogue = [&row, &edit](double g, double u, double l) {
                               return row.of(edit, above(g, l)) * both(u, l);
                             };
                           }));
    }
  // Behind the clamps.
  for (const ValueEdit& edit : value_edits())
    for (const bool product : {true, false}) {
      if (edit.factor) continue;
      out.push_back(edited(gating, std::string(product ? "gated_product_" : "clamped_") + edit.id,
                           said(edit.text, product ? "the gated product before its rounding"
                                                   : "gate and up, behind their clamps,"),
                           [&edit, product](Model& m, const Case&) {
                             m.epilogue = [&edit, product](double g, double u, double l) {
                               return product ? in(edit, silu(above(g, l)) * both(u, l))
                                              : silu(in(edit, above(g, l))) * in(edit, both(u, l));
                             };
                           }));
    }
}

}  // namespace

std::vector<Hypothesis> generated_of_gate_halves() {
  std::vector<Hypothesis> out;
  exchanged(out);
  late(out);
  evaluation(out);
  found(out);
  moved(out);
  // The limit is kept where a call has none.
  Hypothesis kept;
  kept.id = "limit_of_earlier_call";
  kept.name = "a call without a limit has that of an earlier call";
  kept.applies = gating.is;
  kept.predict = [](const Case& c, const Prediction& right) -> std::optional<Prediction> {
    Model m = gating.of(c);
    if (m.limit != 0) return std::nullopt;
    for (const Call& before : c.earlier) {
      if (before.limit == 0) continue;
      m.limit = before.limit;
      Prediction p = gating.predict(m);
      keep_places(p, right);
      return p;
    }
    return std::nullopt;
  };
  out.push_back(std::move(kept));
  return out;
}

}  // namespace assay::proptests::diagnosis

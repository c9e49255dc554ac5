// SPDX-License-Identifier: Apache-2.0
// Operations that multiply: plain, fused, gated and grouped products, and the QAT step.
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <map>

#include "golden/gated.h"
#include "golden/grouped.h"
#include "proptests/arena.h"
#include "proptests/diagnosis/operations.h"
#include "proptests/judge.h"
#include "proptests/properties/left_operand.h"

namespace assay::proptests::diagnosis {
namespace {

using golden::FactoredMatrix;
using golden::RationalValue;

Prediction product_prediction(const ProductModel& m) {
  ProductModel::Result r = m.run();
  Prediction p;
  predict_numbers(p, "D", *m.claim.output, m.n, std::move(r.reference), std::move(r.bounds));
  return p;
}

double to_double(const RationalValue& x) {
  if (x.is_nan()) return NAN;
  if (x.is_infinite()) return x.negative ? -INFINITY : INFINITY;
  return x.number.convert_to<double>();
}
double clamped_gate(double g, double limit) { return limit != 0 && g > limit ? limit : g; }
double gated(double g, double u, double limit) {
  const double x = clamped_gate(g, limit);
  const double up = limit != 0 && u < -limit ? -limit : clamped_gate(u, limit);
  return x / (1.0 + std::exp(-x)) * up;
}

/// Every second row of B, or one half of it.
FactoredMatrix half(const FactoredMatrix& b, bool up, bool interleaved) {
  FactoredMatrix h = b;
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

Prediction gated_prediction(const GatedModel& m) {
  const auto one = [&](bool up) {
    ProductModel p = m.product;
    p.edit_operands = [edit = p.edit_operands, up, &m](FactoredMatrix& a, FactoredMatrix& b) {
      if (edit) edit(a, b);
      FactoredMatrix mine = half(b, up, m.interleaved);
      if (m.edit_halves) {
        FactoredMatrix other = half(b, !up, m.interleaved);
        m.edit_halves(up ? other : mine, up ? mine : other, b);
      }
      b = std::move(mine);
    };
    return p.run();
  };
  const ProductModel::Result g = one(false);
  const ProductModel::Result u = one(true);
  golden::GatedKernel kernel;
  if (m.limit != 0) kernel.limit = m.limit;
  std::vector<RationalValue> reference;
  std::vector<golden::Bound> bounds;
  for (std::size_t i = 0; i < g.reference.size(); ++i) {
    double gi = to_double(g.reference[i]);
    double ui = to_double(u.reference[i]);
    if (m.between) {
      gi = m.between(static_cast<float>(gi));
      ui = m.between(static_cast<float>(ui));
    }
    const double h = m.epilogue ? m.epilogue(gi, ui, m.limit) : gated(gi, ui, m.limit);
    reference.push_back(golden::to_rational(golden::value_of(h)));
    if (!g.bounds[i].judgeable || !u.bounds[i].judgeable) {
      bounds.push_back({false, 0, "the products have no bound"});
      continue;
    }
    golden::Bound bound =
        golden::gated_bound(g.reference[i], g.bounds[i], u.reference[i], u.bounds[i], kernel);
    // A wrong epilogue loses about as much as the right one, relative to its own result.
    if (std::isfinite(h)) bound.error += golden::Rational(std::fabs(h)) / (1 << 20);
    if (m.epilogue || m.between) bound.judgeable = true;
    bounds.push_back(std::move(bound));
  }
  Prediction p;
  predict_numbers(p, "D", *m.product.claim.output, m.product.n, std::move(reference),
                  std::move(bounds));
  for (std::size_t i = 0; i < g.reference.size(); ++i)
    p.front().source.push_back(to_double(g.reference[i]));
  return p;
}

std::span<const std::uint8_t> slice(const Call& call, std::uint32_t role, std::uint32_t part,
                                    std::int64_t index, std::int64_t count) {
  const auto all = input_bytes(call, role, part);
  const std::size_t size = all.size() / static_cast<std::size_t>(count);
  return all.subspan(static_cast<std::size_t>(index) * size, size);
}

/// Tensor `index` of the `count` that an operand has one after the other.
ReaderModel reader(const Call& call, std::uint32_t role, const formats::BlockFormat& format,
                   std::int64_t rows, std::int64_t index, std::int64_t count) {
  const auto values = slice(call, role, ASSAY_DUT_VALUES, index, count);
  const auto scales = slice(call, role, ASSAY_DUT_SCALES, index, count);
  ReaderModel m;
  m.t.format = &format;
  m.t.rows = rows;
  m.t.cols = call.k;
  m.t.scale_layout = call.claim.scale_layout;
  m.t.codes.assign(values.begin(), values.end());
  m.t.scales.assign(scales.begin(), scales.end());
  const std::vector<float> g = to_floats(input_bytes(call, role, ASSAY_DUT_TENSOR_SCALE));
  if (!g.empty()) m.t.tensor_scale = g[static_cast<std::size_t>(index) % g.size()];
  return m;
}

std::vector<std::int64_t> whole_numbers(const Call& call, std::uint32_t role) {
  const auto bytes = input_bytes(call, role);
  std::vector<std::int64_t> numbers(bytes.size() / sizeof(std::int64_t));
  if (!numbers.empty()) std::memcpy(numbers.data(), bytes.data(), bytes.size());
  return numbers;
}

GroupedModel grouped_of(const Case& c) {
  const Call& call = c.call;
  GroupedModel m;
  m.claim = call.claim;
  m.m = call.m;
  m.n = call.n;
  m.k = call.k;
  m.alpha = call.alpha;
  const bool masked = call.claim.group_layout == ASSAY_DUT_MASKED;
  const std::int64_t stacks = masked ? call.groups : 1;
  for (std::int64_t g = 0; g < call.groups; ++g)
    m.b.push_back(reader(call, ASSAY_DUT_B, *call.claim.b, call.n, g, call.groups));
  for (std::int64_t s = 0; s < stacks; ++s) {
    if (call.claim.a != nullptr) {
      m.a.push_back(reader(call, ASSAY_DUT_A, *call.claim.a, call.m, s, stacks));
      continue;
    }
    const auto values = slice(call, ASSAY_DUT_A, ASSAY_DUT_VALUES, s, stacks);
    std::vector<std::uint16_t> codes(values.size() / 2);
    if (!codes.empty()) std::memcpy(codes.data(), values.data(), values.size());
    m.a_bf16.push_back(std::move(codes));
  }
  if (masked) {
    m.counts = whole_numbers(call, ASSAY_DUT_COUNTS);
  } else {
    m.offsets = whole_numbers(call, ASSAY_DUT_OFFSETS);
    for (std::size_t g = 0; g + 1 < m.offsets.size(); ++g)
      m.counts.push_back(m.offsets[g + 1] - m.offsets[g]);
  }
  m.place_rows();
  m.written = m.row_of;
  return m;
}

/// One product for each group, so that an edit may open them.
golden::GemmOracle by_products(const GroupedModel& m, const FactoredMatrix& a,
                               const std::vector<FactoredMatrix>& b,
                               const std::vector<std::int64_t>& groups) {
  golden::GemmOracle out;
  out.reference.resize(static_cast<std::size_t>(a.rows * m.n));
  out.bounds.resize(out.reference.size());
  for (std::size_t g = 0; g < b.size(); ++g) {
    ProductModel p;
    p.claim = m.claim;
    p.n = m.n;
    p.k = m.k;
    p.alpha = m.alpha;
    if (!m.a.empty()) p.a = m.a.front();
    p.b = m.b.front();
    p.read_a = FactoredMatrix{0, m.k, {}, {}, a.tensor_scale, a.element_format};
    p.read_b = b[g];
    std::vector<std::int64_t> rows;
    for (std::int64_t r = 0; r < a.rows; ++r) {
      if (groups[r] != static_cast<std::int64_t>(g)) continue;
      rows.push_back(r);
      for (const auto member : {&FactoredMatrix::elements, &FactoredMatrix::scales}) {
        auto& to = (*p.read_a).*member;
        const auto from = (a.*member).begin() + r * m.k;
        to.insert(to.end(), from, from + m.k);
      }
    }
    p.m = p.read_a->rows = static_cast<std::int64_t>(rows.size());
    if (p.m == 0) continue;
    m.spoil_product(p);
    ProductModel::Result result = p.run();
    for (std::size_t i = 0; i < rows.size(); ++i)
      for (std::int64_t j = 0; j < m.n; ++j) {
        const auto from = static_cast<std::int64_t>(i) * m.n + j;
        out.reference[rows[i] * m.n + j] = std::move(result.reference[from]);
        out.bounds[rows[i] * m.n + j] = std::move(result.bounds[from]);
      }
  }
  return out;
}

Prediction grouped_prediction(const GroupedModel& m) {
  Prediction p;
  FactoredMatrix a{0, m.k, {}, {}, 1.0F, nullptr};
  const std::size_t stacks = m.a.empty() ? m.a_bf16.size() : m.a.size();
  for (std::size_t s = 0; s < stacks; ++s) {
    FactoredMatrix next =
        m.a.empty() ? golden::factor(formats::bf16, m.a_bf16[s], m.m, m.k) : m.a[s].run();
    a.tensor_scale = next.tensor_scale;
    a.element_format = next.element_format;
    a.rows += next.rows;
    a.elements.insert(a.elements.end(), next.elements.begin(), next.elements.end());
    a.scales.insert(a.scales.end(), next.scales.begin(), next.scales.end());
  }
  if (m.edit_a) m.edit_a(a);
  std::vector<FactoredMatrix> b;
  for (const ReaderModel& reader : m.b) b.push_back(reader.run());
  // Rows of no group hold what was there: poison, where they should have been written.
  const std::uint32_t poison =
      first_run.poison * (m.claim.output == &formats::bf16 ? 0x0101U : 0x01010101U);
  const RationalValue unwritten = golden::to_rational(golden::decode(*m.claim.output, poison));
  // A B for each mixture of codes, scale factors and tensor scale that rows meet.
  const auto part = [&](const std::vector<std::int64_t>& of, std::int64_t r) {
    return of.empty() ? m.row_of[r] : of[r];
  };
  std::map<std::array<std::int64_t, 3>, std::int64_t> mixtures;
  std::vector<FactoredMatrix> met;
  std::vector<std::int64_t> groups;
  FactoredMatrix of_groups{0, m.k, {}, {}, a.tensor_scale, a.element_format};
  for (std::int64_t r = 0; r < a.rows; ++r) {
    if (m.row_of[r] == golden::no_group) continue;
    const std::array key{part(m.codes_of, r), part(m.scales_of, r), part(m.tensor_of, r)};
    const auto [place, fresh] = mixtures.try_emplace(key, std::ssize(met));
    if (fresh) {
      met.push_back(b[key[0]]);
      met.back().scales = b[key[1]].scales;
      met.back().tensor_scale = b[key[2]].tensor_scale;
    }
    groups.push_back(place->second);
    ++of_groups.rows;
    const auto put = [&](std::vector<golden::Value>& to, const std::vector<golden::Value>& from,
                         const std::vector<std::int64_t>& rows) {
      const std::int64_t at = rows.empty() ? r : rows[r];
      to.insert(to.end(), from.begin() + at * m.k, from.begin() + (at + 1) * m.k);
    };
    put(of_groups.elements, a.elements, m.a_codes);
    put(of_groups.scales, a.scales, m.a_scales);
  }
  golden::GemmOracle oracle;
  if (!groups.empty() && m.spoil_product)
    oracle = by_products(m, of_groups, met, groups);
  else if (!groups.empty())
    oracle = golden::grouped_gemm_oracle(of_groups, met, groups, m.alpha, accumulator_of(m.claim))
                 .oracle;
  std::vector<RationalValue> reference;
  std::vector<golden::Bound> bounds;
  std::size_t at = 0;
  for (std::int64_t r = 0; r < a.rows; ++r)
    for (std::int64_t j = 0; j < m.n; ++j) {
      const bool grouped = m.row_of[r] != golden::no_group;
      reference.push_back(grouped ? oracle.reference[at] : unwritten);
      bounds.push_back(m.written[r] == golden::no_group ? golden::Bound{false, 0, "nobody's row"}
                       : grouped                        ? oracle.bounds[at]
                                                        : golden::Bound{});
      at += grouped ? 1 : 0;
    }
  predict_numbers(p, "D", *m.claim.output, m.n, std::move(reference), std::move(bounds));
  p.front().group = m.row_of;
  return p;
}

}  // namespace

void keep_places(Prediction& p, const Prediction& right) {
  for (std::size_t i = 0; i < p.size() && i < right.size(); ++i) {
    p[i].source = right[i].source;
    p[i].group = right[i].group;
  }
}

bool reproduces(const Prediction& p, const Prediction& right, const Seen& left) {
  if (p.size() != right.size() || p.size() != left.size()) return false;
  bool any = false;
  for (std::size_t a = 0; a < p.size(); ++a) {
    if (slots(p[a]) != slots(right[a])) return false;
    for (std::size_t i = 0; i < slots(p[a]); ++i) {
      const Verdict v = verdict(left[a], right[a], p[a], i);
      if (v == Verdict::neither) return false;
      any = any || v == Verdict::wrong;
    }
  }
  return any;
}

bool refuted(const Prediction& of_rows, const std::vector<std::int64_t>& rows,
             const Prediction& right, const std::vector<float>& observed) {
  if (of_rows.empty() || right.empty()) return false;
  const PredictedArray& p = of_rows.front();
  const std::int64_t cols = right.front().cols;
  if (p.rows != static_cast<std::int64_t>(rows.size()) || p.cols != cols) return false;
  SeenArray seen;
  PredictedArray expected = right.front();
  expected.numbers.clear();
  expected.bounds.clear();
  for (const std::int64_t r : rows)
    for (std::int64_t c = 0; c < cols; ++c) {
      const auto at = static_cast<std::size_t>(r * cols + c);
      seen.numbers.push_back(observed[at]);
      expected.numbers.push_back(right.front().numbers[at]);
      expected.bounds.push_back(right.front().bounds[at]);
    }
  for (std::size_t i = 0; i < slots(p); ++i)
    if (verdict(seen, expected, p, i) == Verdict::neither) return true;
  return false;
}

void GroupedModel::place_rows() {
  row_of =
      offsets.empty() ? golden::masked_groups(counts, m) : golden::contiguous_groups(offsets, m);
}

const Operation<ProductModel> multiplying{
    [](const kernels::Claim& c) { return c.operation == "gemm" && c.b != nullptr; },
    [](const Case& c) { return product_of(c); }, product_prediction};

const Operation<FusedModel> fusing{[](const kernels::Claim& c) {
                                     return c.operation == "quantize_gemm" && c.a != nullptr &&
                                            c.b != nullptr;
                                   },
                                   [](const Case& c) {
                                     FusedModel m(quantizer_of(c.call));
                                     m.quantizer.x = input_floats(c.call, ASSAY_DUT_A);
                                     m.product = product_of(c);
                                     m.shows_codes = !output_bytes(c, ASSAY_DUT_Q).empty();
                                     return m;
                                   },
                                   [](const FusedModel& m) {
                                     ProductModel product = m.product;
                                     product.a->t = m.quantizer.run();
                                     const formats::BlockScaledTensor codes = product.a->t;
                                     if (m.between) m.between(product.a->t);
                                     Prediction p = product_prediction(product);
                                     if (m.shows_codes) predict_tensor(p, "Q", codes);
                                     return p;
                                   }};

const Operation<GatedModel> gating{
    [](const kernels::Claim& c) { return c.operation == "gated_gemm" && c.b != nullptr; },
    [](const Case& c) {
      GatedModel m;
      m.product = product_of(c);
      m.product.b.t = input_tensor(c.call, ASSAY_DUT_B, *c.call.claim.b, 2 * c.call.n, c.call.k);
      m.product.alpha = 1.0F;
      m.interleaved = c.call.claim.gate_layout == ASSAY_DUT_INTERLEAVED;
      m.limit = c.call.limit;
      return m;
    },
    gated_prediction};

const Operation<GroupedModel> grouping{
    [](const kernels::Claim& c) { return c.operation == "grouped_gemm" && c.b != nullptr; },
    grouped_of, grouped_prediction};

const Operation<QatModel> training{
    [](const kernels::Claim& c) {
      return (c.operation == "qat_forward" || c.operation == "qat_backward") && c.b != nullptr;
    },
    [](const Case& c) { return qat_of(c.call); },
    [](const QatModel& m) {
      Prediction p;
      const auto put = [&](const char* name, std::int64_t cols, Expected e) {
        predict_numbers(p, name, formats::fp32, cols, std::move(e.reference), std::move(e.bounds));
      };
      if (m.forward) {
        put("Y", m.n, m.y());
        return p;
      }
      QatModel::Gradients g = m.gradients();
      put("dX", m.k, std::move(g.dx));
      p.back().block = m.block;
      put("dW", m.k, std::move(g.dw));
      p.back().block = m.block;
      for (const float w : m.weights.x) p.back().source.push_back(w);
      put("d bias", m.n, std::move(g.dbias));
      if (kernels::has_scale_gradient(m.estimator))
        put("d scale", (m.k + m.block - 1) / m.block, std::move(g.dscale));
      return p;
    }};

}  // namespace assay::proptests::diagnosis

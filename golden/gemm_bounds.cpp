// SPDX-License-Identifier: Apache-2.0
#include "golden/gemm_bounds.h"

#include <algorithm>
#include <stdexcept>

#include "golden/fp32_order.h"
#include "golden/fp8_weights.h"
#include "golden/layout.h"

namespace assay::golden {
namespace {

// The undecoded exponents of a row, computed once per row and not once per output.
using Exponents = std::vector<std::int64_t>;

struct Operand {
  const FactoredMatrix& matrix;
  std::vector<Value> scaled;         // element * scale factor
  std::vector<bool> unit_scale_row;  // all scale factors are 1
  Exponents exponents;               // of the unit's operands, where the class is truncating

  explicit Operand(const FactoredMatrix& m) : matrix(m), unit_scale_row(m.rows, true) {
    if (static_cast<std::int64_t>(m.elements.size()) != m.rows * m.cols ||
        m.scales.size() != m.elements.size()) {
      throw std::invalid_argument(
          "A factored matrix needs one element and one scale factor per position.");
    }
    for (std::int64_t i = 0; i < m.rows * m.cols; ++i) {
      scaled.push_back(m.elements[i] * m.scales[i]);
      if (m.scales[i].number != Exact(1)) unit_scale_row[i / m.cols] = false;
    }
  }

  void decode_exponents(const AccumulatorModel& model, const FormatSpec& operand) {
    const bool dequantized = model.stage == ScaleStage::operands;
    const std::vector<Value>& values = dequantized ? scaled : matrix.elements;
    const FormatSpec& format = dequantized ? operand : *matrix.element_format;
    for (const Value& v : values) {
      exponents.push_back(v.is_finite() ? undecoded_exponent(format, v.number) : 0);
    }
  }

  [[nodiscard]] std::span<const Value> scaled_row(std::int64_t r) const {
    return std::span(scaled).subspan(r * matrix.cols, matrix.cols);
  }
};

// One output element: row i of A, row j of B.
struct Element {
  const Operand& a;
  const Operand& b;
  std::int64_t i, j;
  const GemmEpilogue& epilogue;
  const AccumulatorModel& model;

  [[nodiscard]] std::int64_t k() const { return a.matrix.cols; }
  [[nodiscard]] std::int64_t at_a(std::int64_t p) const { return i * k() + p; }
  [[nodiscard]] std::int64_t at_b(std::int64_t p) const { return j * k() + p; }

  // The factors that all terms share; a factor of 1 costs nothing and is left out.
  void append_common(std::vector<Exact>& factors) const {
    for (const float f : {a.matrix.tensor_scale, b.matrix.tensor_scale, epilogue.alpha}) {
      if (f != 1.0F) factors.push_back(Exact::from_float(f));
    }
  }

  // Scale factors are left out only where a whole row has none: positions must agree between terms.
  void append_scales(std::vector<Exact>& factors, std::int64_t p) const {
    if (!a.unit_scale_row[i]) factors.push_back(a.matrix.scales[at_a(p)].number);
    if (!b.unit_scale_row[j]) factors.push_back(b.matrix.scales[at_b(p)].number);
  }

  [[nodiscard]] std::vector<Term> addends() const {
    std::vector<Term> terms;
    if (epilogue.beta != 0.0F) {
      terms.push_back({{Exact::from_float(epilogue.c[i * b.matrix.rows + j])}, 0});
      if (epilogue.beta != 1.0F) {
        terms.back().factors.push_back(Exact::from_float(epilogue.beta));
      }
    }
    if (!epilogue.bias.empty()) terms.push_back({{Exact::from_float(epilogue.bias[j])}, 0});
    return terms;
  }

  [[nodiscard]] Bound any_order() const {
    std::vector<Term> products;
    for (std::int64_t p = 0; p < k(); ++p) {
      Term term;
      term.factors.push_back(a.matrix.elements[at_a(p)].number);
      term.factors.push_back(b.matrix.elements[at_b(p)].number);
      append_scales(term.factors, p);
      append_common(term.factors);
      products.push_back(std::move(term));
    }
    return fp32_any_order(products, addends());
  }

  [[nodiscard]] bool same_block(std::int64_t p, std::int64_t q) const {
    return a.matrix.scales[at_a(p)] == a.matrix.scales[at_a(q)] &&
           b.matrix.scales[at_b(p)] == b.matrix.scales[at_b(q)];
  }

  // Every promoted sum is a first factor that is known up to the chain's error (fp32_any_order).
  [[nodiscard]] Bound truncating() const {
    const std::int64_t interval = model.unit.promotion == 0 ? k() : model.unit.promotion;
    const bool dequantized = model.stage == ScaleStage::operands;
    std::vector<Term> promoted;
    for (std::int64_t begin = 0; begin < k(); begin += interval) {
      std::vector<UnitProduct> products;
      Exact sum = 0;
      for (std::int64_t p = begin; p < std::min(begin + interval, k()); ++p) {
        if (!dequantized && !same_block(begin, p)) {
          throw std::invalid_argument(
              "A promotion interval crosses a scale block; scale factors cannot act at promotion.");
        }
        const Exact value =
            dequantized ? a.scaled[at_a(p)].number * b.scaled[at_b(p)].number
                        : a.matrix.elements[at_a(p)].number * b.matrix.elements[at_b(p)].number;
        products.push_back({value, a.exponents[at_a(p)] + b.exponents[at_b(p)]});
        sum = sum + value;
      }
      Bound chain = truncating_chain(products, model.unit);
      if (!chain.judgeable) return chain;
      Term term{{sum}, chain.error};
      if (!dequantized) append_scales(term.factors, begin);
      append_common(term.factors);
      promoted.push_back(std::move(term));
    }
    return fp32_any_order(promoted, addends());
  }

  [[nodiscard]] Bound bound() const {
    switch (model.kind) {
      case AccumulatorClass::fp32_any_order:
        return any_order();
      case AccumulatorClass::truncating:
        return truncating();
      case AccumulatorClass::exact:
      case AccumulatorClass::fp32_fixed_order:
        break;
    }
    return {};
  }
};

RationalValue fixed_order_result(const Element& e) {
  Fp32Epilogue scalars{
      e.epilogue.alpha, e.a.matrix.tensor_scale, e.b.matrix.tensor_scale, e.epilogue.beta, {}, {}};
  if (e.epilogue.beta != 0.0F) scalars.c = e.epilogue.c[e.i * e.b.matrix.rows + e.j];
  if (!e.epilogue.bias.empty()) scalars.bias = e.epilogue.bias[e.j];
  const auto rounded = [](std::span<const Value> row) {
    std::vector<Value> result;
    for (const Value& v : row) result.push_back(fl(v));
    return result;
  };
  const Value acc = fp32_dot(rounded(e.a.scaled_row(e.i)), rounded(e.b.scaled_row(e.j)));
  return to_rational(fp32_epilogue(acc, scalars));
}

Matrix dequantized(const Operand& operand) {
  Matrix result{operand.matrix.rows, operand.matrix.cols, operand.scaled};
  for (Value& v : result.values) v = v * value_of(operand.matrix.tensor_scale);
  return result;
}

}  // namespace

FactoredMatrix factor(const formats::BlockScaledTensor& tensor) {
  require_consistent(tensor);
  const formats::BlockFormat& format = *tensor.format;
  const BlockGrid grid = block_grid(format, tensor.rows, tensor.cols);
  FactoredMatrix result{tensor.rows, tensor.cols, {}, {}, 1.0F, format.element};
  if (format.tensor_scale == formats::TensorScale::fp32) result.tensor_scale = tensor.tensor_scale;
  for (std::int64_t r = 0; r < tensor.rows; ++r) {
    for (std::int64_t c = 0; c < tensor.cols; ++c) {
      result.elements.push_back(decode(*format.element, load_code(tensor, r, c)));
      result.scales.push_back(
          decode(*format.scale, load_scale(tensor, r / grid.block_rows, c / grid.block_cols)));
    }
  }
  return result;
}

FactoredMatrix factor(const FormatSpec& spec, std::span<const std::uint16_t> codes,
                      std::int64_t rows, std::int64_t cols) {
  FactoredMatrix result{rows, cols, decode_matrix(spec, codes, rows, cols).values, {}, 1.0F, &spec};
  result.scales.assign(result.elements.size(), Value::finite(1));
  return result;
}

GemmOracle gemm_oracle(const FactoredMatrix& a_matrix, const FactoredMatrix& b_matrix,
                       const GemmEpilogue& epilogue, const AccumulatorModel& model) {
  if (model.kind == AccumulatorClass::truncating && model.stage == ScaleStage::reencoded_weights) {
    const Fp8Weights weights = fp8_weights({&b_matrix, 1}, model);
    return gemm_oracle(a_matrix, weights.matrices[0], epilogue, weights.model);
  }
  Operand a(a_matrix);
  Operand b(b_matrix);
  if (model.kind == AccumulatorClass::truncating) {
    a.decode_exponents(model, *model.a_operand);
    b.decode_exponents(model, *model.b_operand);
  }
  const std::vector<GemmElement> exact = gemm(dequantized(a), dequantized(b), epilogue);
  GemmOracle oracle;
  for (std::int64_t i = 0; i < a_matrix.rows; ++i) {
    for (std::int64_t j = 0; j < b_matrix.rows; ++j) {
      const Element element{a, b, i, j, epilogue, model};
      oracle.reference.push_back(model.kind == AccumulatorClass::fp32_fixed_order
                                     ? fixed_order_result(element)
                                     : to_rational(exact[i * b_matrix.rows + j].exact));
      oracle.bounds.push_back(oracle.reference.back().is_finite() ? element.bound() : Bound{});
    }
  }
  return oracle;
}

}  // namespace assay::golden

// SPDX-License-Identifier: Apache-2.0
#include "golden/gemm.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "golden/quantize.h"

namespace assay::golden {
namespace {

std::size_t index_of(std::int64_t row, std::int64_t cols, std::int64_t col) {
  return static_cast<std::size_t>(row * cols + col);
}

// A row as integers over one common power of two: value[k] = significands[k] * 2^exponent. A dot
// product of two such rows is one of integers. Infinities and NaNs have significand 0 here and are
// dealt with apart.
struct Row {
  std::vector<Integer> significands;
  std::int64_t exponent = 0;
  bool all_finite = true;
};

Row scaled_row(const Matrix& m, std::int64_t row) {
  Row result;
  bool any = false;
  for (std::int64_t k = 0; k < m.cols; ++k) {
    const Value& v = m.values[index_of(row, m.cols, k)];
    result.all_finite = result.all_finite && v.is_finite();
    if (v.number.is_zero()) continue;
    result.exponent = any ? std::min(result.exponent, v.number.exponent) : v.number.exponent;
    any = true;
  }
  result.significands.reserve(static_cast<std::size_t>(m.cols));
  for (std::int64_t k = 0; k < m.cols; ++k) {
    const Exact& x = m.values[index_of(row, m.cols, k)].number;
    if (x.is_zero())
      result.significands.emplace_back(0);
    else
      result.significands.emplace_back(x.significand
                                       << static_cast<std::uint64_t>(x.exponent - result.exponent));
  }
  return result;
}

std::vector<Row> scaled_rows(const Matrix& m) {
  std::vector<Row> rows;
  rows.reserve(static_cast<std::size_t>(m.rows));
  for (std::int64_t r = 0; r < m.rows; ++r) rows.push_back(scaled_row(m, r));
  return rows;
}

// The sum of the products by the rules of IEEE 754 section 6, with signs of zero left aside: an
// exact zero is +0, as an accumulator that starts at +0 has it.
Value special_dot(const Matrix& a, std::int64_t i, const Matrix& b, std::int64_t j) {
  Value sum = Value::zero(false);
  for (std::int64_t k = 0; k < a.cols; ++k)
    sum = sum + a.values[index_of(i, a.cols, k)] * b.values[index_of(j, b.cols, k)];
  return sum;
}

void require_shape(const Matrix& m, const char* name) {
  if (m.rows < 0 || m.cols < 0 || static_cast<std::int64_t>(m.values.size()) != m.rows * m.cols)
    throw std::invalid_argument(std::string("gemm: matrix ") + name + " has " +
                                std::to_string(m.values.size()) + " values, not " +
                                std::to_string(m.rows) + " x " + std::to_string(m.cols));
}

void require_shapes(const Matrix& a, const Matrix& b, const GemmEpilogue& epilogue) {
  require_shape(a, "A");
  require_shape(b, "B");
  if (a.cols != b.cols)
    throw std::invalid_argument("gemm: A has " + std::to_string(a.cols) + " columns and B " +
                                std::to_string(b.cols) + "; both must be k");
  const auto c_size = static_cast<std::int64_t>(epilogue.c.size());
  if (epilogue.beta != 0 && c_size != a.rows * b.rows)
    throw std::invalid_argument("gemm: beta is not zero, but C has " + std::to_string(c_size) +
                                " elements instead of m * n");
  if (!epilogue.bias.empty() && static_cast<std::int64_t>(epilogue.bias.size()) != b.rows)
    throw std::invalid_argument("gemm: bias has " + std::to_string(epilogue.bias.size()) +
                                " elements instead of n");
}

Value positive_zero(Value v) { return v.is_zero() ? Value::zero(false) : std::move(v); }

}  // namespace

Matrix decode_matrix(const formats::BlockScaledTensor& tensor) {
  return {tensor.rows, tensor.cols, dequantize(tensor)};
}

Matrix decode_matrix(const FormatSpec& spec, std::span<const std::uint16_t> codes,
                     std::int64_t rows, std::int64_t cols) {
  Matrix result{rows, cols, {}};
  result.values.reserve(codes.size());
  for (const std::uint16_t code : codes) result.values.push_back(decode(spec, code));
  require_shape(result, "of codes");
  return result;
}

Matrix decode_matrix(std::span<const float> values, std::int64_t rows, std::int64_t cols) {
  Matrix result{rows, cols, {}};
  result.values.reserve(values.size());
  for (const float x : values) result.values.push_back(value_of(x));
  require_shape(result, "of floats");
  return result;
}

Matrix transpose(const Matrix& a) {
  require_shape(a, "to transpose");
  Matrix result{a.cols, a.rows, std::vector<Value>(a.values.size())};
  for (std::int64_t r = 0; r < a.rows; ++r)
    for (std::int64_t c = 0; c < a.cols; ++c)
      result.values[index_of(c, a.rows, r)] = a.values[index_of(r, a.cols, c)];
  return result;
}

std::vector<GemmElement> gemm(const Matrix& a, const Matrix& b, const GemmEpilogue& epilogue) {
  require_shapes(a, b, epilogue);
  const std::vector<Row> a_rows = scaled_rows(a);
  const std::vector<Row> b_rows = scaled_rows(b);
  const Value alpha = value_of(epilogue.alpha);
  const Value beta = value_of(epilogue.beta);
  std::vector<GemmElement> result;
  result.reserve(static_cast<std::size_t>(a.rows * b.rows));
  for (std::int64_t i = 0; i < a.rows; ++i)
    for (std::int64_t j = 0; j < b.rows; ++j) {
      const Row& left = a_rows[static_cast<std::size_t>(i)];
      const Row& right = b_rows[static_cast<std::size_t>(j)];
      Integer sum = 0;
      Integer absolute_sum = 0;
      Integer product;
      for (std::size_t k = 0; k < left.significands.size(); ++k) {
        product = left.significands[k] * right.significands[k];
        sum += product;
        if (product.sign() < 0)
          absolute_sum -= product;
        else
          absolute_sum += product;
      }
      const std::int64_t exponent = left.exponent + right.exponent;
      GemmElement element;
      element.absolute_sum = Exact(std::move(absolute_sum), exponent);
      element.dot = left.all_finite && right.all_finite
                        ? Value::finite(Exact(std::move(sum), exponent))
                        : positive_zero(special_dot(a, i, b, j));
      element.exact = alpha * element.dot;
      if (epilogue.beta != 0)
        element.exact = element.exact + beta * value_of(epilogue.c[index_of(i, b.rows, j)]);
      if (!epilogue.bias.empty())
        element.exact = element.exact + value_of(epilogue.bias[static_cast<std::size_t>(j)]);
      element.exact = positive_zero(element.exact);
      result.push_back(std::move(element));
    }
  return result;
}

std::vector<std::uint32_t> round_to(const FormatSpec& output, std::span<const GemmElement> elements,
                                    RoundingMode mode, const Policy& policy) {
  std::vector<std::uint32_t> codes;
  codes.reserve(elements.size());
  for (const GemmElement& element : elements)
    codes.push_back(encode(output, element.exact, mode, policy));
  return codes;
}

}  // namespace assay::golden

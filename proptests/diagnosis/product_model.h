// SPDX-License-Identifier: Apache-2.0
#pragma once
// A GEMM as a kernel computes it, with every step open to an error: reading the operands, the range
// of k, the accumulator, the epilogue, the place of the results. As it stands it is golden's.

#include <functional>
#include <optional>
#include <vector>

#include "proptests/diagnosis/reader_model.h"

namespace assay::proptests::diagnosis {

struct ProductModel {
  kernels::Claim claim;
  std::int64_t m = 0, n = 0, k = 0;
  std::optional<ReaderModel> a;       ///< absent: A is plain codes
  std::vector<std::uint16_t> a_bf16;  ///< then these
  ReaderModel b;
  float alpha = 1.0F, beta = 0.0F;
  std::vector<float> c, bias;
  std::vector<float> addend;  ///< m x n: added after everything else, or empty
  std::vector<float> observed;

  /// After reading, before multiplying.
  std::function<void(golden::FactoredMatrix& a, golden::FactoredMatrix& b)> edit_operands;
  /// A product of two scaled elements, in place of the exact one.
  std::function<golden::Value(const golden::Value& a, const golden::Value& b)> multiply;
  /// The accumulator, k ascending; absent: the claimed one.
  std::function<golden::Value(const golden::Value& sum, const golden::Value& product)> accumulate;
  /// The finished dot product before alpha multiplies.
  std::function<golden::Value(const golden::Value&)> edit_sum;

  struct Result {
    std::vector<golden::RationalValue> reference;
    std::vector<golden::Bound> bounds;
  };
  [[nodiscard]] Result run() const;
};

[[nodiscard]] ProductModel product_of(const Case& c);

/// A known error of products: it edits the model, and the answer must match what it then computes.
struct ProductError {
  const char* id;
  const char* name;
  void (*spoil)(ProductModel&);
};
[[nodiscard]] const std::vector<ProductError>& product_errors();

/// An error that is not one other computation but a pattern in the answer, given the right result.
struct PatternError {
  const char* id;
  const char* name;
  bool (*found)(const ProductModel&, const ProductModel::Result& right);
};
[[nodiscard]] const std::vector<PatternError>& pattern_errors();

}  // namespace assay::proptests::diagnosis

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
  std::optional<ReaderModel> a;  ///< absent: A is plain codes
  /// What has been read already, in place of a and b.
  std::optional<golden::FactoredMatrix> read_a, read_b;
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
  /// The accumulator of products of elements within a scale block of `block` columns, before scale
  /// factors multiply; blocks are then added in FP32.
  std::function<golden::Value(const golden::Value& sum, const golden::Value& product)>
      accumulate_in_block;

  using Step = std::function<golden::RationalValue(const golden::RationalValue&)>;
  /// Parts of k that are summed apart: the part of each place, ascending.
  struct Parts {
    std::function<std::int64_t(std::int64_t p, std::int64_t k)> of;
    Step part;            ///< what becomes of the sum of a part, or null
    Step running;         ///< of the sum of parts after each addition, or null
    bool last = true;     ///< `running` acts behind the last part too
    bool scaled = false;  ///< behind alpha and the tensor scales, not before them
  };
  std::optional<Parts> parts;
  /// The epilogue: alpha times the sum, beta C and the bias to what is rounded to the output.
  std::function<golden::RationalValue(const golden::RationalValue& scaled,
                                      const golden::RationalValue& c,
                                      const golden::RationalValue& bias)>
      finish;

  /// Rows of the result to compute, when not all are wanted.
  std::vector<std::int64_t> only;

  struct Result {
    std::vector<golden::RationalValue> reference;
    std::vector<golden::Bound> bounds;
  };
  [[nodiscard]] Result run() const;

 private:
  [[nodiscard]] Result run_only(const golden::FactoredMatrix& a,
                                const golden::FactoredMatrix& b) const;
  /// Product by product, with the accumulators above.
  [[nodiscard]] Result run_in_order(const golden::FactoredMatrix& a,
                                    const golden::FactoredMatrix& b) const;
  /// By intervals around exact sums, with `parts` and `finish`.
  [[nodiscard]] Result run_in_stages(const golden::FactoredMatrix& a,
                                     const golden::FactoredMatrix& b) const;
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

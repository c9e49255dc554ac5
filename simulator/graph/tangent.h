// SPDX-License-Identifier: Apache-2.0
#pragma once
// The derivative of a network along given errors of its linears' operands: what every value answers
// to them to first order, experts held. With x, y of the clean execution and W its weights:
//   linear      dy = x dW^T + (dx + e) W^T, e the error of the input itself
//   others      the exact derivative of ops.h at the clean values
//   combine     d(g y) = dg y + g dy, dg through the score and the renormalization
// Linear in dW and e: nothing is rounded, and no product sees a rounded operand. In FP32, on clean
// values that are converted once; relative error about 1e-6 of the largest answer.

#include <vector>

#include "simulator/graph/forward.h"

namespace assay::simulator {

/// By op, of linears: dW (rows x columns of the weight) and e (rows x columns of the input); null:
/// none.
struct OperandShift {
  explicit OperandShift(std::size_t ops = 0) : weight(ops, nullptr), input(ops, nullptr) {}
  std::vector<const MatrixF*> weight, input;
};

struct Tangent {
  std::vector<MatrixF> values;  ///< by op; empty: no answer
};

/// A clean execution, made ready for its derivatives.
class Linearization {
 public:
  Linearization(const Graph& graph, const Forward& clean);
  [[nodiscard]] Tangent along(const OperandShift& shift) const;

 private:
  /// What the derivative of one op needs; which members depends on its kind.
  struct Point {
    std::size_t input = kNone;         ///< linear: its x, a place of inputs_
    MatrixF weight;                    ///< linear: W^T
    std::vector<float> norm;           ///< rmsnorm: weight of each column
    std::vector<float> inverse;        ///< rmsnorm: 1 / rms of each row
    MatrixF q, cosine, sine;           ///< attention: rotated, and the rotations by position
    MatrixF keys;                      ///< attention: rotated, transposed
    std::vector<MatrixF> probability;  ///< attention, by head: rows x length
    MatrixF d_gate, d_up;              ///< swiglu
    MatrixF score, slope;              ///< top_k: score, and d score / d logit (softmax: the score)
  };
  class Walk;

  void linear(std::size_t i, const Forward& clean);
  void attention(std::size_t i, const Forward& clean);
  void top_k(std::size_t i, const Forward& clean);

  const Graph& graph_;
  std::vector<MatrixF> values_;   ///< by op
  std::vector<MatrixF> inputs_;   ///< gathered inputs of linears; an expert's is shared
  std::vector<Routing> routing_;  ///< by op
  std::vector<Point> points_;     ///< by op
};

}  // namespace assay::simulator

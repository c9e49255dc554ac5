// SPDX-License-Identifier: Apache-2.0
#pragma once
// What may go wrong in a quantizer, as edits of its model. Quantizing, transposing, stochastic,
// fused and training kernels have them in common (generated_quantizers.cpp).

#include <functional>
#include <string>
#include <vector>

#include "golden/layout.h"
#include "proptests/diagnosis/edits.h"
#include "proptests/diagnosis/quantizer_model.h"

namespace assay::proptests::diagnosis {

struct QuantizerEdit {
  std::string id;
  std::string text;
  /// False: this case gives it nothing to act on.
  std::function<bool(QuantizerModel&, const Case&)> spoil;
  std::function<bool(const formats::BlockFormat&)> applies = nullptr;  ///< null: to all
  bool learned = false;                                                ///< Hypothesis::learned
};

/// The maxima of blocks and of the tensor: over which numbers they are taken, and how.
[[nodiscard]] std::vector<QuantizerEdit> maximum_edits();
[[nodiscard]] std::vector<QuantizerEdit> amax_of_more_edits();  ///< among them
/// Every step of the order that the format is computed by: its rounding, its operands, its
/// constant.
[[nodiscard]] std::vector<QuantizerEdit> step_edits();
[[nodiscard]] std::vector<QuantizerEdit> evaluation_edits();  ///< among them: of whole formulas
/// Codes of scale factors and elements, and numbers that are not finite.
[[nodiscard]] std::vector<QuantizerEdit> code_edits();
[[nodiscard]] std::vector<QuantizerEdit> not_finite_edits();  ///< among them
/// Where codes and scale factors are stored, and what lies between them.
[[nodiscard]] std::vector<QuantizerEdit> store_edits();

/// The number that an edit makes of another.
[[nodiscard]] golden::RationalValue edited_number(const ValueEdit& edit,
                                                  const golden::RationalValue& x);

}  // namespace assay::proptests::diagnosis

// SPDX-License-Identifier: Apache-2.0
#pragma once
// Every operation of the interface as a model whose stages may be edited, and what the model then
// leaves. Unedited, all are golden's.

#include <functional>
#include <vector>

#include "proptests/diagnosis/prediction.h"
#include "proptests/diagnosis/product_model.h"
#include "proptests/diagnosis/qat_model.h"
#include "proptests/diagnosis/quantizer_model.h"

namespace assay::proptests::diagnosis {

/// Numbers to codes.
struct ConvertModel {
  kernels::Claim claim;
  std::int64_t rows = 0, cols = 0;
  std::vector<std::uint32_t> source;  ///< as stored
  /// Of a number of the source, as stored; null: the right one.
  std::function<std::uint32_t(const kernels::Claim&, std::uint32_t bits)> code;
  /// Where a code of four bits is stored, counted in nibbles; null: in its place. -1: nowhere.
  std::function<std::int64_t(std::int64_t r, std::int64_t c, std::int64_t cols)> nibble_at;
};

/// Stochastic rounding: the quantizer, and the random word of each element.
struct StochasticModel {
  QuantizerModel quantizer;
  const formats::Profile* profile = nullptr;
  int bits = 16;
  std::uint64_t seed = 0;
  std::vector<std::uint32_t> words;  ///< given ones; empty: Philox
  /// The random bits of element `at`, when they are not the right ones.
  std::function<std::uint32_t(const StochasticModel&, std::int64_t at)> drawn;
  /// A rounding of its own: x, and the random bits.
  std::function<std::uint32_t(const golden::RationalValue&, golden::Random)> rounding;
  explicit StochasticModel(QuantizerModel of) : quantizer(std::move(of)) {}
  [[nodiscard]] std::uint32_t word(std::int64_t at) const;  ///< the right one, all 32 bits
};

/// Quantizes A, shows its codes where the call asks for them, and multiplies.
struct FusedModel {
  QuantizerModel quantizer;
  ProductModel product;
  bool shows_codes = false;
  std::function<void(formats::BlockScaledTensor&)> between;  ///< behind the codes that are shown
  explicit FusedModel(QuantizerModel of) : quantizer(std::move(of)) {}
};

/// Two products and their epilogue.
struct GatedModel {
  ProductModel product;  ///< with all 2 n rows of B
  bool interleaved = false;
  float limit = 0;
  /// What becomes of the gate rows and the up rows of B once they are apart; `b` has all of them.
  std::function<void(golden::FactoredMatrix& gates, golden::FactoredMatrix& ups,
                     const golden::FactoredMatrix& b)>
      edit_halves;
  /// Null: the right one.
  std::function<double(double g, double u, double limit)> epilogue;
  std::function<float(float)> between;  ///< g and u on their way to the epilogue
};

/// One product for each group.
struct GroupedModel {
  kernels::Claim claim;
  std::int64_t m = 0, n = 0, k = 0;
  float alpha = 1.0F;
  std::vector<ReaderModel> a;  ///< stacked, or one; empty: bf16
  std::vector<std::vector<std::uint16_t>> a_bf16;
  std::vector<ReaderModel> b;         ///< of each group
  std::vector<std::int64_t> counts;   ///< rows of each group
  std::vector<std::int64_t> offsets;  ///< of the contiguous layout, or empty
  std::vector<std::int64_t> row_of;   ///< the group of each row, or golden::no_group
  std::vector<std::int64_t> written;  ///< row_of as it should be: others are nobody's
  std::function<void(golden::FactoredMatrix&)> edit_a;
  /// Groups whose codes, scale factors or tensor scale a row meets; empty: those of row_of.
  std::vector<std::int64_t> codes_of, scales_of, tensor_of;
  /// Rows of A, of all stacks, that stand for each: their codes, their scale factors; empty: its
  /// own.
  std::vector<std::int64_t> a_codes, a_scales;
  /// An edit of the product of each group.
  std::function<bool(ProductModel&)> spoil_product;
  void place_rows();  ///< row_of, from counts or offsets
};

/// Codes that are transposed, or scale factors that change their layout.
struct MovedModel {
  formats::BlockScaledTensor from;
  bool codes = false;  ///< otherwise scale factors
  formats::ScaleLayout to = formats::ScaleLayout::row_major;
  std::function<void(std::vector<std::uint8_t>&, const formats::BlockScaledTensor&)> stored;
};

/// From a transposed matrix or from codes.
struct TransposeModel {
  QuantizerModel quantizer;  ///< of the transpose
  explicit TransposeModel(QuantizerModel of) : quantizer(std::move(of)) {}
};

/// How the models of an operation are made and what they leave.
template <class Model>
struct Operation {
  bool (*is)(const kernels::Claim&);
  Model (*of)(const Case&);
  Prediction (*predict)(const Model&);
};
extern const Operation<QuantizerModel> quantizing;
extern const Operation<ReaderModel> dequantizing;
extern const Operation<ConvertModel> converting;
extern const Operation<StochasticModel> drawing;
extern const Operation<TransposeModel> transposing;
extern const Operation<MovedModel> moving;
extern const Operation<ProductModel> multiplying;
extern const Operation<FusedModel> fusing;
extern const Operation<GatedModel> gating;
extern const Operation<GroupedModel> grouping;
extern const Operation<QatModel> training;

/// A wrong last rounding of every number.
[[nodiscard]] Hypothesis rounding_hypothesis(const OutputError& row,
                                             bool (*applies)(const kernels::Claim&));

/// The product that an operation's rows of output come from; null where they come otherwise.
[[nodiscard]] inline ProductModel* product_in(ProductModel& m) { return &m; }
[[nodiscard]] inline ProductModel* product_in(FusedModel& m) { return &m.product; }
[[nodiscard]] inline ProductModel* product_in(GatedModel& m) { return &m.product; }
template <class Model>
[[nodiscard]] ProductModel* product_in(Model&) {
  return nullptr;
}
/// Whether these rows alone are neither right nor as predicted.
[[nodiscard]] bool refuted(const Prediction& of_rows, const std::vector<std::int64_t>& rows,
                           const Prediction& right, const std::vector<float>& observed);

/// What a place is told by does not change with the answer.
void keep_places(Prediction& p, const Prediction& right);
/// Whether every slot is right or as predicted, and one is not right.
[[nodiscard]] bool reproduces(const Prediction& p, const Prediction& right, const Seen& left);

/// A hypothesis from an edit of a model. `spoil` may return false: this case gives it nothing to
/// act on.
template <class Model, class Spoil>
Hypothesis edited(const Operation<Model>& operation, std::string id, std::string name, Spoil spoil,
                  std::function<bool(const kernels::Claim&)> applies = nullptr) {
  Hypothesis h;
  h.id = std::move(id);
  h.name = std::move(name);
  h.applies = [&operation, applies = std::move(applies)](const kernels::Claim& c) {
    return operation.is(c) && (!applies || applies(c));
  };
  h.predict = [&operation, spoil](const Case& c,
                                  const Prediction& right) -> std::optional<Prediction> {
    Model model = operation.of(c);
    if constexpr (std::is_same_v<decltype(spoil(model, c)), bool>) {
      if (!spoil(model, c)) return std::nullopt;
    } else {
      spoil(model, c);
    }
    // A few wrong rows refute most hypotheses.
    ProductModel* const product = product_in(model);
    if (product != nullptr && !right.empty() && !right.front().telling.empty()) {
      product->only = right.front().telling;
      if (refuted(operation.predict(model), product->only, right, product->observed))
        return std::nullopt;
      product->only.clear();
    }
    Prediction p = operation.predict(model);
    keep_places(p, right);
    return p;
  };
  return h;
}

}  // namespace assay::proptests::diagnosis

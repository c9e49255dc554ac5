// SPDX-License-Identifier: Apache-2.0
#pragma once
// What an answer should hold under some hypothesis, slot by slot, and what it does hold: every
// operation's outputs in one form, so that hypotheses are weighed in one way (weigh.h).

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "proptests/diagnosis/hypothesis.h"
#include "proptests/diagnosis/reader_model.h"

namespace assay::proptests::diagnosis {

/// One output array. Either `codes` are compared bit for bit, or numbers within their bounds.
struct PredictedArray {
  std::string name;  ///< for people: "the codes", "dW"
  std::int64_t rows = 0, cols = 0;
  std::int64_t block = 0;  ///< columns that share a scale factor; 0: none do
  std::vector<std::uint64_t> codes;
  const formats::FormatSpec* format = nullptr;  ///< of numbers
  std::vector<golden::RationalValue> numbers;
  std::vector<golden::Bound> bounds;
  std::vector<bool> negative_zero;       ///< where the sign of zero counts; empty: nowhere
  const OutputError* rounded = nullptr;  ///< a wrong last rounding; null: the right one
  bool bit_exact = false;                ///< numbers that no error leaves off by roundings
  std::vector<double> source;  ///< what each slot was made from, where that is one number; or empty
  const formats::FormatSpec* code_format = nullptr;  ///< of codes that `source` was rounded to
  std::vector<std::uint32_t> scale_codes;            ///< of what each slot was read from, or empty
  std::vector<std::int64_t> group;                   ///< of each row, in grouped products; or empty
  std::vector<std::int64_t>
      telling;  ///< some rows that came out wrong, where it saves work; or empty

  /// How far `source` is on its way from the code below to the one above, 0 to 1; -1: beyond the
  /// largest code; 0 where that means nothing.
  [[nodiscard]] double step_of(std::size_t slot) const;
};
using Prediction = std::vector<PredictedArray>;

/// The same arrays as the kernel left them.
struct SeenArray {
  std::vector<std::uint64_t> codes;
  std::vector<float> numbers;
};
using Seen = std::vector<SeenArray>;

enum class Verdict : std::uint8_t {
  both,     ///< right and wrong would look alike
  right,    ///< as it should be, and not as the hypothesis has it
  wrong,    ///< the other way round
  neither,  ///< speaks against the hypothesis
};
/// A slot against the right prediction and a hypothetical one of the same shape. Numbers of the
/// latter may be off by some roundings: their bounds are widened by 2^-20.
[[nodiscard]] Verdict verdict(const SeenArray& seen, const PredictedArray& right,
                              const PredictedArray& wrong, std::size_t slot);
/// Whether the slot is as predicted; `strict`: without the widening.
[[nodiscard]] bool agrees(const SeenArray& seen, const PredictedArray& predicted, std::size_t slot,
                          bool strict);
[[nodiscard]] std::size_t slots(const PredictedArray& a);

/// Codes of a block-scaled tensor, each with the scale factor of its block; then its padding; then
/// its tensor scale.
void predict_tensor(Prediction& to, const std::string& name, const formats::BlockScaledTensor& t);
void see_tensor(Seen& to, const formats::BlockScaledTensor& t);
void predict_numbers(Prediction& to, const std::string& name, const formats::FormatSpec& format,
                     std::int64_t cols, std::vector<golden::RationalValue> numbers,
                     std::vector<golden::Bound> bounds);
void see_numbers(Seen& to, std::vector<float> numbers);

/// The operations: what is right, and what came. Nothing for a call that no model covers.
[[nodiscard]] std::optional<Prediction> right_prediction(const Case& c);
[[nodiscard]] Seen seen(const Case& c);

}  // namespace assay::proptests::diagnosis

// SPDX-License-Identifier: Apache-2.0
#pragma once
// How a kernel reads a block-scaled operand, with every step open to an error. As it stands it
// gives what golden::factor does.

#include <cstdint>
#include <functional>
#include <vector>

#include "golden/gemm_bounds.h"
#include "proptests/diagnosis/hypothesis.h"

namespace assay::proptests::diagnosis {

struct ReaderModel {
  formats::BlockScaledTensor t;
  std::function<std::uint32_t(const formats::BlockScaledTensor&, std::int64_t r, std::int64_t c)>
      load_code;
  /// The scale factor's code for element (r, c).
  std::function<std::uint32_t(const formats::BlockScaledTensor&, std::int64_t r, std::int64_t c)>
      load_scale;
  std::function<golden::Value(std::uint32_t code)> element;
  std::function<golden::Value(const formats::FormatSpec&, std::uint32_t code)> scale;
  std::function<golden::Value(const golden::Value& scale)> factor;  ///< what multiplies elements
  std::function<float(float)> tensor_scale;

  [[nodiscard]] golden::FactoredMatrix run() const;
};

/// A known error of reading: it edits the model.
struct ReaderError {
  const char* id;
  std::string name;
  std::function<void(ReaderModel&)> spoil;
  bool (*applies)(const formats::BlockFormat&) = nullptr;  ///< null: to all
};
[[nodiscard]] const std::vector<ReaderError>& reader_errors();
/// Those of them that are about single codes, and about counting through rows.
[[nodiscard]] std::vector<ReaderError> decoding_errors();

/// A wrong way from an exact result to the output format; monotone, so that a bound around the
/// exact result becomes an interval of outputs.
struct OutputError {
  const char* id;
  const char* name;
  golden::RationalValue (*round)(const formats::FormatSpec& output,
                                 const golden::RationalValue& exact);
};
[[nodiscard]] const std::vector<OutputError>& output_errors();

/// One rounding of x to a format, as a number; overflow to infinity.
[[nodiscard]] golden::RationalValue rounded_to(const formats::FormatSpec& format,
                                               formats::RoundingMode mode,
                                               const golden::RationalValue& x);
/// Whether observed[i] is what the output error makes of some number within the bound around
/// reference[i], for all i.
[[nodiscard]] bool matches(const OutputError& error, const formats::FormatSpec& output,
                           std::span<const float> observed,
                           std::span<const golden::RationalValue> reference,
                           std::span<const golden::Bound> bounds);
/// The same for a right output; a hypothetical reference may itself be off by some roundings, and
/// bounds are widened by 2^-20 of it.
[[nodiscard]] bool matches(const formats::FormatSpec& output, std::span<const float> observed,
                           std::span<const golden::RationalValue> reference,
                           std::span<const golden::Bound> bounds);

}  // namespace assay::proptests::diagnosis

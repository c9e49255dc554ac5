// SPDX-License-Identifier: Apache-2.0
#pragma once
// The criteria, strictest first (docs/certify.md). Codes and layouts are compared byte by byte;
// results of arithmetic are ruled on by golden/bounds.h. NaN and Inf are results like any other:
// compared, never masked.

#include <optional>
#include <span>
#include <string>

#include "formats/tensor.h"
#include "golden/bounds.h"
#include "proptests/experiment.h"

namespace assay::proptests {

/// Bytes of a float array, as Answer keeps it, and back.
[[nodiscard]] std::vector<std::uint8_t> to_bytes(std::span<const float> x);
[[nodiscard]] std::vector<float> to_floats(std::span<const std::uint8_t> bytes);
/// The same for an output in fp32 or bf16, widened.
[[nodiscard]] std::vector<float> to_floats(const formats::FormatSpec& format,
                                           std::span<const std::uint8_t> bytes);

/// A code of `spec` as bits and value: "0x3 (1.5)".
[[nodiscard]] std::string show_code(const formats::FormatSpec& spec, std::uint32_t code);
/// An FP32 number as bits and value.
[[nodiscard]] std::string show(float x);
[[nodiscard]] std::string show(const golden::RationalValue& x);

/// A row-major matrix as values, and as bits, a line per row.
[[nodiscard]] std::string show_matrix(std::span<const float> x, std::int64_t cols);
/// Codes with their values and the scale factor of each block, a line per block row.
[[nodiscard]] std::string show_tensor(const formats::BlockScaledTensor& t);

/// Bit for bit, padding included: tensor scale, scale factors, then codes.
[[nodiscard]] std::optional<Mismatch> compare(const formats::BlockScaledTensor& expected,
                                              const formats::BlockScaledTensor& observed);

/// One number of an FP32 output array that holds values of `output`, against an exact value and a
/// bound.
[[nodiscard]] golden::Judgement judge_number(const formats::FormatSpec& output, float observed,
                                             const golden::RationalValue& exact,
                                             const golden::Bound& bound);
/// The same for a whole array; `name` and `cols` make the place "name[row,col]" of the first
/// mismatch.
[[nodiscard]] Ruling judge_array(const std::string& name, std::int64_t cols,
                                 const formats::FormatSpec& output, std::span<const float> observed,
                                 std::span<const golden::RationalValue> exact,
                                 std::span<const golden::Bound> bounds);

}  // namespace assay::proptests

// SPDX-License-Identifier: Apache-2.0
#pragma once
// .npy files of codes, as the verbs about matrix units take them, and the models they are for.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "formats/spec.h"
#include "simulator/mma/model.h"
#include "simulator/npy.h"

namespace assay::tools {

/// uint8, uint16 or uint32: the narrowest that holds the format's codes.
[[nodiscard]] simulator::Dtype code_type(const formats::FormatSpec& spec);

/// An operand file: codes as unsigned integers of the format's width.
class CodeFile {
 public:
  /// `option` names the file in errors. Throws std::invalid_argument for another element type.
  CodeFile(const char* option, const std::string& path, const formats::FormatSpec& spec);
  /// Throws std::invalid_argument for another shape; with cols = 1 a vector of any shape will do.
  void require_shape(std::int64_t rows, std::int64_t cols) const;
  [[nodiscard]] std::int64_t rows() const { return file_.rows(); }
  [[nodiscard]] std::int64_t cols() const { return file_.cols(); }
  /// out.size() codes from `row` * out.size() on.
  void read(std::int64_t row, std::span<std::uint32_t> out) const;
  [[nodiscard]] std::vector<std::uint32_t> all() const;

 private:
  std::string what_;
  simulator::NpyFile file_;
  std::size_t width_ = 1;
};

/// Writes codes of `spec`; the file is whole or absent.
void write_codes(const std::string& path, const formats::FormatSpec& spec,
                 std::vector<std::int64_t> shape, std::span<const std::uint32_t> codes);

/// The text of a file. Throws std::invalid_argument, naming the option.
[[nodiscard]] std::string read_text(const char* option, const std::string& path);

/// The models of a JSON file, or all of assay's where `path` is empty.
[[nodiscard]] std::vector<simulator::MmaModel> load_models(const std::string& path);

}  // namespace assay::tools

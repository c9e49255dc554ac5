// SPDX-License-Identifier: Apache-2.0
#pragma once
// A .npy file as the source of a conversion: its element type is what the file says, or what the
// user declares where NumPy has no name for it (bf16, kept as uint16).

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "simulator/npy.h"

namespace assay::tools {

class NpySource {
 public:
  /// `declared`: f32, f64, f16, bf16, or "" for the file's own. Throws where the file's type is
  /// another one, is no number to convert, or where the array has no elements.
  NpySource(const std::filesystem::path& path, const std::string& declared);

  [[nodiscard]] simulator::Dtype dtype() const { return dtype_; }
  [[nodiscard]] std::string_view type_name() const;
  [[nodiscard]] const std::vector<std::int64_t>& shape() const { return file_.shape(); }
  /// As a matrix: the last extent is cols, the others are flattened to rows.
  [[nodiscard]] std::int64_t rows() const { return file_.rows(); }
  [[nodiscard]] std::int64_t cols() const { return file_.cols(); }
  [[nodiscard]] std::int64_t size() const { return rows() * cols(); }

  /// Elements [first, first + count) of the flattened array, as they are in the file.
  [[nodiscard]] std::span<const std::byte> bytes(std::int64_t first, std::int64_t count) const;
  /// The same as FP32: exact, but for f64.
  void read(std::int64_t first, std::span<float> out) const;
  /// Gives the memory behind these elements back to the system.
  void release(std::int64_t first, std::int64_t count) const;

 private:
  simulator::NpyFile file_;
  simulator::Dtype dtype_;
};

}  // namespace assay::tools

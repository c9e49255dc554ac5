// SPDX-License-Identifier: Apache-2.0
#pragma once
// A matrix of packed blocks (formats/packed.h) as a safetensors file: `blocks`, U8 [rows, bytes of
// a row], and the metadata assay (version of this layout), preset and shape. The bytes are those
// that the data of a GGUF tensor has.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "formats/packed.h"
#include "simulator/safetensors.h"

namespace assay::tools {

struct PackedFileInfo {
  const formats::PackedBlock* block = nullptr;
  std::vector<std::int64_t> shape;  ///< its last extent is cols, the others make rows
  std::int64_t rows = 0;
  std::int64_t cols = 0;
};

/// Whether the metadata of an assay file name a packed block.
bool is_packed_file(const simulator::SafetensorsHeader& header);

class PackedFileWriter {
 public:
  /// Throws std::invalid_argument where the rows are no whole blocks.
  PackedFileWriter(const std::filesystem::path& path, const PackedFileInfo& info);
  /// Appends whole blocks.
  void write(std::span<const std::uint8_t> blocks);
  void commit();

 private:
  simulator::SafetensorsWriter writer_;
};

class PackedFileReader {
 public:
  /// Throws simulator::InputError where the file is none of this layout.
  explicit PackedFileReader(const std::filesystem::path& path);

  [[nodiscard]] const PackedFileInfo& info() const { return info_; }
  /// Elements [first, first + out.size()), whole blocks. Gives the memory behind them back.
  void read(std::int64_t first, std::span<float> out) const;

 private:
  simulator::SafetensorsFile file_;
  PackedFileInfo info_;
};

}  // namespace assay::tools

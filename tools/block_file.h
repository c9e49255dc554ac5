// SPDX-License-Identifier: Apache-2.0
#pragma once
// A block-scaled matrix as a safetensors file, written and read tile by tile:
//   codes         U8 [rows, bytes of a row]: row major, 4-bit codes two to a byte, low nibble first
//   scales        U8, BF16 or F32: codes of the scale format, [block rows, block columns] or what
//                 the scale layout makes of it, padding included
//   tensor_scale  F32 [1]: 1 where the format has none
// and metadata: assay (version of this layout), preset, shape, rounding, policy, seed, random_bits,
// scale_layout. docs/cli.md describes it for other readers.

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "formats/block.h"
#include "formats/layout.h"
#include "simulator/safetensors.h"

namespace assay::tools {

/// In the order of formats::ScaleLayout.
inline constexpr std::array<std::string_view, 4> scale_layout_names{"row_major", "swizzled_128x4",
                                                                    "mn_major", "mn_major_packed"};

/// Throws std::invalid_argument that names the known ones.
[[nodiscard]] formats::ScaleLayout find_scale_layout(std::string_view name);

/// What the file says besides its bytes.
struct BlockFileInfo {
  const formats::BlockFormat* format = nullptr;
  std::vector<std::int64_t> shape;  ///< of the array; its last extent is cols, the others make rows
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  formats::ScaleLayout scale_layout = formats::ScaleLayout::row_major;
  std::string rounding;
  std::string policy;
  std::uint64_t seed = 0;
  int random_bits = 0;  ///< 0: not stochastic
};

class BlockFileWriter {
 public:
  BlockFileWriter(const std::filesystem::path& path, const BlockFileInfo& info);
  /// Places what BlockQuantizer::quantize_tile() made of `tile`.
  void write(const formats::Tile& tile, const formats::BlockScaledTensor& part);
  /// Writes the tensor scale and gives the file its name.
  void commit(float tensor_scale);

 private:
  BlockFileInfo info_;
  simulator::SafetensorsWriter writer_;
};

class BlockFileReader {
 public:
  /// Throws simulator::InputError where the file is no block-scaled matrix of this layout.
  explicit BlockFileReader(const std::filesystem::path& path);

  [[nodiscard]] const BlockFileInfo& info() const { return info_; }
  /// A tile (tiles.h) as a tensor of its own, in the layouts of the file.
  [[nodiscard]] formats::BlockScaledTensor read(const formats::Tile& tile) const;
  /// Gives the memory behind `tile` back to the system.
  void release(const formats::Tile& tile) const;

 private:
  simulator::SafetensorsFile file_;
  BlockFileInfo info_;
  float tensor_scale_ = 1.0F;
};

}  // namespace assay::tools

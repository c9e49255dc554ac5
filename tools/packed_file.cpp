// SPDX-License-Identifier: Apache-2.0
#include "tools/packed_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>

#include "formats/presets.h"

namespace assay::tools {
namespace {

using simulator::InputError;

constexpr std::string_view layout_version = "1";
constexpr const char* blocks_name = "blocks";

std::vector<simulator::SafetensorsSpec> specs(const PackedFileInfo& info) {
  return {{blocks_name,
           simulator::Dtype::u8,
           {info.rows, formats::packed_block_bytes(*info.block, info.cols)}}};
}

std::map<std::string, std::string> metadata(const PackedFileInfo& info) {
  return {{"assay", std::string(layout_version)},
          {"preset", std::string(info.block->name)},
          {"shape", fmt::format("{}", fmt::join(info.shape, ","))}};
}

PackedFileInfo read_info(const simulator::SafetensorsHeader& header, const std::string& path) {
  const auto value = [&](const char* key) -> const std::string& {
    const auto found = header.metadata.find(key);
    if (found == header.metadata.end())
      throw InputError(fmt::format("'{}' has no metadata '{}'", path, key));
    return found->second;
  };
  if (value("assay") != layout_version)
    throw InputError(fmt::format("'{}' has layout version '{}'; this program reads version {}",
                                 path, value("assay"), layout_version));
  PackedFileInfo info;
  info.block = &formats::find_packed_block(value("preset"));
  info.rows = 1;
  info.cols = 1;
  std::string_view shape = value("shape");
  while (!shape.empty()) {
    const std::string_view word = shape.substr(0, shape.find(','));
    shape.remove_prefix(std::min(shape.size(), word.size() + 1));
    std::int64_t extent = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), extent);
    // 2^48 elements are more than any file holds; with this no product overflows.
    if (error != std::errc{} || end != word.data() + word.size() || extent < 1 ||
        extent > (std::int64_t{1} << 48) / (info.rows * info.cols))
      throw InputError(fmt::format("'{}': metadata 'shape' has the extent '{}'", path, word));
    info.shape.push_back(extent);
    info.rows *= info.cols;
    info.cols = extent;
  }
  return info;
}

}  // namespace

bool is_packed_file(const simulator::SafetensorsHeader& header) {
  const auto preset = header.metadata.find("preset");
  return header.metadata.contains("assay") && preset != header.metadata.end() &&
         std::any_of(formats::all_packed_blocks.begin(), formats::all_packed_blocks.end(),
                     [&](const auto* block) { return block->name == preset->second; });
}

PackedFileWriter::PackedFileWriter(const std::filesystem::path& path, const PackedFileInfo& info)
    : writer_(path, specs(info), metadata(info)) {}

void PackedFileWriter::write(std::span<const std::uint8_t> blocks) {
  writer_.write(std::as_bytes(blocks));
}

void PackedFileWriter::commit() { writer_.commit(); }

PackedFileReader::PackedFileReader(const std::filesystem::path& path)
    : file_(path), info_(read_info(file_.header(), path.string())) {
  const simulator::TensorView view = file_.tensor(blocks_name);
  const std::vector<std::int64_t> expected =
      info_.cols % info_.block->elements == 0 ? specs(info_)[0].shape : std::vector<std::int64_t>{};
  if (view.dtype != simulator::Dtype::u8 || !std::ranges::equal(view.shape, expected))
    throw InputError(fmt::format("'{}': the blocks do not fit {} rows of {} {} elements",
                                 path.string(), info_.rows, info_.cols, info_.block->name));
}

void PackedFileReader::read(std::int64_t first, std::span<float> out) const {
  const simulator::TensorView view = file_.tensor(blocks_name);
  const auto begin = static_cast<std::size_t>(formats::packed_block_bytes(*info_.block, first));
  const auto size = static_cast<std::size_t>(
      formats::packed_block_bytes(*info_.block, static_cast<std::int64_t>(out.size())));
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(view.bytes.data());
  formats::dequantize_packed(*info_.block, {bytes + begin, size}, out);
  const auto offset = static_cast<std::size_t>(view.bytes.data() - file_.file().bytes().data());
  file_.file().release(offset + begin, size);
}

}  // namespace assay::tools

// SPDX-License-Identifier: Apache-2.0
#include "tools/block_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstring>
#include <stdexcept>
#include <string_view>

#include "formats/names.h"
#include "formats/presets.h"

namespace assay::tools {
namespace {

using formats::BlockGrid;
using formats::BlockScaledTensor;
using formats::ScaleLayout;
using formats::Tile;
using simulator::Dtype;
using simulator::InputError;

static_assert(std::endian::native == std::endian::little, "the files are little endian");

constexpr std::string_view layout_version = "1";
constexpr std::string_view codes_name = "codes";
constexpr std::string_view scales_name = "scales";
constexpr std::string_view tensor_scale_name = "tensor_scale";

/// Sizes that follow from the info.
struct Geometry {
  BlockGrid grid;
  std::int64_t stride;       ///< bytes of a row of codes
  std::int64_t scale_width;  ///< bytes of a scale factor
  std::vector<std::int64_t> scales_shape;

  explicit Geometry(const BlockFileInfo& info)
      : grid(block_grid(info.format->block, info.rows, info.cols)),
        stride(formats::packed_bytes(info.cols, info.format->element->storage_bits)),
        scale_width(info.format->scale->storage_bits / 8),
        scales_shape{grid.rows, grid.cols} {
    const std::int64_t column = formats::round_up(grid.rows, 4);
    if (info.scale_layout == ScaleLayout::swizzled_128x4)
      scales_shape = {formats::round_up(grid.rows, 128), formats::round_up(grid.cols, 4)};
    if (info.scale_layout == ScaleLayout::mn_major) scales_shape = {grid.cols, column};
    if (info.scale_layout == ScaleLayout::mn_major_packed)
      scales_shape = {formats::ceil_div(grid.cols, 4), column, 4};
  }
};

/// Codes of formats that safetensors has no type for are bytes.
Dtype scale_dtype(const formats::FormatSpec& scale) {
  if (&scale == &formats::fp32) return Dtype::f32;
  if (&scale == &formats::bf16) return Dtype::bf16;
  return Dtype::u8;
}

std::vector<simulator::SafetensorsSpec> specs(const BlockFileInfo& info) {
  const Geometry g(info);
  return {{std::string(codes_name), Dtype::u8, {info.rows, g.stride}},
          {std::string(scales_name), scale_dtype(*info.format->scale), g.scales_shape},
          {std::string(tensor_scale_name), Dtype::f32, {1}}};
}

std::map<std::string, std::string> metadata(const BlockFileInfo& info) {
  return {{"assay", std::string(layout_version)},
          {"preset", std::string(info.format->name)},
          {"shape", fmt::format("{}", fmt::join(info.shape, ","))},
          {"rounding", info.rounding},
          {"policy", info.policy},
          {"seed", std::to_string(info.seed)},
          {"random_bits", std::to_string(info.random_bits)},
          {"scale_layout",
           std::string(scale_layout_names[static_cast<std::size_t>(info.scale_layout)])}};
}

std::span<const std::byte> part(const std::vector<std::uint8_t>& bytes, std::int64_t begin,
                                std::int64_t count) {
  return std::as_bytes(std::span(bytes))
      .subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(count));
}

/// Calls f(offset in the file's tensor, offset in the tile's own array, bytes) for each run of
/// bytes that is contiguous in both. `rows` runs of `run` bytes; full rows of both arrays make one
/// run.
template <typename F>
void for_runs(std::int64_t begin, std::int64_t stride, std::int64_t rows, std::int64_t run, F f) {
  if (run == stride) return f(begin, std::int64_t{0}, rows * run);
  for (std::int64_t row = 0; row < rows; ++row) f(begin + row * stride, row * run, run);
}

template <typename F>
void for_code_runs(const BlockFileInfo& info, const Tile& tile, F f) {
  const int bits = info.format->element->storage_bits;
  const Geometry g(info);
  for_runs(tile.row * g.stride + tile.col * bits / 8, g.stride, tile.rows,
           formats::packed_bytes(tile.cols, bits), f);
}

template <typename F>
void for_scale_runs(const BlockFileInfo& info, const Tile& tile, F f) {
  const Geometry g(info);
  const BlockGrid local =
      formats::block_grid({g.grid.block_rows, g.grid.block_cols}, tile.rows, tile.cols);
  const std::int64_t row = tile.row / g.grid.block_rows;
  const std::int64_t col = tile.col / g.grid.block_cols;
  if (info.scale_layout == ScaleLayout::row_major) {
    const std::int64_t stride = g.grid.cols * g.scale_width;
    return for_runs(row * stride + col * g.scale_width, stride, local.rows,
                    local.cols * g.scale_width, f);
  }
  if (info.scale_layout != ScaleLayout::swizzled_128x4) {
    // Column by column, of words where packed; a tile's columns begin at a multiple of four rows.
    const bool packed = info.scale_layout == ScaleLayout::mn_major_packed;
    const std::int64_t word = packed ? 4 : g.scale_width;
    const std::int64_t stride = formats::round_up(g.grid.rows, 4) * word;
    return for_runs((packed ? col / 4 : col) * stride + row * word, stride,
                    packed ? formats::ceil_div(local.cols, 4) : local.cols,
                    formats::round_up(local.rows, 4) * word, f);
  }
  // 128 block rows by 4 block columns are 512 contiguous bytes; squares follow each other along the
  // row.
  const std::int64_t stride = formats::ceil_div(g.grid.cols, 4) * 512;
  for_runs(row / 128 * stride + col / 4 * 512, stride, formats::ceil_div(local.rows, 128),
           formats::ceil_div(local.cols, 4) * 512, f);
}

/// The metadata value under `key`; InputError where it is missing.
const std::string& value(const simulator::SafetensorsHeader& header, const std::string& key,
                         const std::string& path) {
  const auto found = header.metadata.find(key);
  if (found == header.metadata.end())
    throw InputError(fmt::format(
        "'{}' has no metadata '{}'; dequantize takes a file written by assay quantize", path, key));
  return found->second;
}

template <typename T>
T number(std::string_view text, const std::string& key, const std::string& path) {
  T out{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc{} || end != text.data() + text.size())
    throw InputError(fmt::format("'{}': metadata '{}' is '{}', not a number", path, key, text));
  return out;
}

BlockFileInfo read_info(const simulator::SafetensorsHeader& header, const std::string& path) {
  BlockFileInfo info;
  if (value(header, "assay", path) != layout_version)
    throw InputError(fmt::format("'{}' has layout version '{}'; this program reads version {}",
                                 path, value(header, "assay", path), layout_version));
  for (const formats::PackedBlock* block : formats::all_packed_blocks)
    if (value(header, "preset", path) == block->name)
      throw InputError(
          fmt::format("'{}' holds {} blocks, which dequantize alone reads", path, block->name));
  try {
    info.format = &formats::find_block_format(value(header, "preset", path));
  } catch (const std::invalid_argument& error) {
    throw InputError(fmt::format("'{}': {}", path, error.what()));
  }
  std::string_view shape = value(header, "shape", path);
  info.rows = 1;
  info.cols = 1;
  while (!shape.empty()) {
    const std::string_view word = shape.substr(0, shape.find(','));
    shape.remove_prefix(std::min(shape.size(), word.size() + 1));
    const auto extent = number<std::int64_t>(word, "shape", path);
    // 2^48 elements are more than any file holds; with this no product overflows.
    if (extent < 1 || extent > (std::int64_t{1} << 48) / (info.rows * info.cols))
      throw InputError(fmt::format("'{}': metadata 'shape' has the extent {}", path, extent));
    info.shape.push_back(extent);
    info.rows *= info.cols;
    info.cols = extent;
  }
  const std::string& layout = value(header, "scale_layout", path);
  try {
    info.scale_layout = find_scale_layout(layout);
    formats::require_layouts(*info.format, info.cols, formats::Layout::row_major,
                             info.scale_layout);
  } catch (const std::invalid_argument& error) {
    throw InputError(fmt::format("'{}': {}", path, error.what()));
  }
  info.rounding = value(header, "rounding", path);
  info.policy = value(header, "policy", path);
  info.seed = number<std::uint64_t>(value(header, "seed", path), "seed", path);
  info.random_bits = number<int>(value(header, "random_bits", path), "random_bits", path);
  return info;
}

}  // namespace

ScaleLayout find_scale_layout(std::string_view name) {
  const auto found = std::find(scale_layout_names.begin(), scale_layout_names.end(), name);
  if (found == scale_layout_names.end())
    throw std::invalid_argument(formats::unknown_name("scale layout", name, scale_layout_names));
  return static_cast<ScaleLayout>(found - scale_layout_names.begin());
}

BlockFileWriter::BlockFileWriter(const std::filesystem::path& path, const BlockFileInfo& info)
    : info_(info), writer_(path, specs(info), metadata(info)) {}

void BlockFileWriter::write(const Tile& tile, const BlockScaledTensor& tensor) {
  for_code_runs(info_, tile, [&](std::int64_t to, std::int64_t from, std::int64_t count) {
    writer_.write_at(0, static_cast<std::uint64_t>(to), part(tensor.codes, from, count));
  });
  for_scale_runs(info_, tile, [&](std::int64_t to, std::int64_t from, std::int64_t count) {
    writer_.write_at(1, static_cast<std::uint64_t>(to), part(tensor.scales, from, count));
  });
}

void BlockFileWriter::commit(float tensor_scale) {
  writer_.write_at(2, 0, std::as_bytes(std::span(&tensor_scale, 1)));
  writer_.commit();
}

BlockFileReader::BlockFileReader(const std::filesystem::path& path)
    : file_(path), info_(read_info(file_.header(), path.string())) {
  for (const simulator::SafetensorsSpec& spec : specs(info_)) {
    const simulator::TensorView view = file_.tensor(spec.name);
    if (view.dtype != spec.dtype ||
        !std::equal(view.shape.begin(), view.shape.end(), spec.shape.begin(), spec.shape.end()))
      throw InputError(fmt::format("'{}': tensor '{}' is {} [{}], but the metadata ask for {} [{}]",
                                   path.string(), spec.name, simulator::info(view.dtype).name,
                                   fmt::join(view.shape, ", "), simulator::info(spec.dtype).name,
                                   fmt::join(spec.shape, ", ")));
  }
  std::memcpy(&tensor_scale_, file_.tensor(tensor_scale_name).bytes.data(), sizeof tensor_scale_);
}

BlockScaledTensor BlockFileReader::read(const Tile& tile) const {
  BlockScaledTensor out;
  out.format = info_.format;
  out.rows = tile.rows;
  out.cols = tile.cols;
  out.scale_layout = info_.scale_layout;
  out.tensor_scale = tensor_scale_;
  const auto gather = [](std::span<const std::byte> from, std::vector<std::uint8_t>& to) {
    return [from, &to](std::int64_t begin, std::int64_t at, std::int64_t count) {
      to.resize(static_cast<std::size_t>(at + count));
      std::memcpy(to.data() + at, from.data() + begin, static_cast<std::size_t>(count));
    };
  };
  for_code_runs(info_, tile, gather(file_.tensor(codes_name).bytes, out.codes));
  for_scale_runs(info_, tile, gather(file_.tensor(scales_name).bytes, out.scales));
  return out;
}

void BlockFileReader::release(const Tile& tile) const {
  const auto discard = [&](std::string_view name) {
    const std::span<const std::byte> bytes = file_.tensor(name).bytes;
    const auto offset = static_cast<std::size_t>(bytes.data() - file_.file().bytes().data());
    return [this, offset](std::int64_t begin, std::int64_t, std::int64_t count) {
      file_.file().release(offset + static_cast<std::size_t>(begin),
                           static_cast<std::size_t>(count));
    };
  };
  for_code_runs(info_, tile, discard(codes_name));
  for_scale_runs(info_, tile, discard(scales_name));
}

}  // namespace assay::tools

// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cmath>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "formats/block.h"
#include "formats/reencode.h"
#include "tools/block_file.h"
#include "tools/outputs.h"
#include "tools/progress.h"
#include "tools/tiles.h"
#include "tools/verb.h"

namespace assay::tools {
namespace {

using formats::BlockFormat;
using formats::BlockScaledTensor;
using formats::LostElement;
using formats::Tile;

/// Elements that are in memory at once.
constexpr std::int64_t budget = std::int64_t{1} << 20;

struct Options {
  std::string target, in, out;
  Outputs outputs;
};

bool is_mxfp4(const BlockFormat& f) {
  return f.element == &formats::e2m1 && f.scale == &formats::e8m0 && f.block.rows == 1 &&
         f.block.cols % 16 == 0 && f.block.cols > 0 && f.tensor_scale == formats::TensorScale::none;
}
bool is_nvfp4(const BlockFormat& f) {
  return f.element == &formats::e2m1 && f.scale == &formats::ue4m3 && f.block.rows == 1 &&
         f.block.cols == 16 && f.tensor_scale == formats::TensorScale::fp32;
}
/// E4M3 whose blocks hold whole blocks of the source.
bool is_fp8(const BlockFormat& f, const BlockFormat& source) {
  return f.element == &formats::e4m3 && f.scale == &formats::e8m0 && f.block.cols > 0 &&
         f.block.rows > 0 && f.block.cols % source.block.cols == 0 &&
         f.tensor_scale == formats::TensorScale::none;
}

[[noreturn]] void refuse(const Options& options, const BlockFileReader& reader,
                         const LostElement& at, std::string_view what) {
  const BlockFileInfo& info = reader.info();
  const std::int64_t width = info.format->block.cols;
  throw std::invalid_argument(fmt::format(
      "'{}' does not re-encode losslessly as {}: {} in row {}, column {} (block {} of the row) {}; "
      "dequantize and quantize it instead, which rounds",
      options.in, options.target, info.format->name, at.row, at.col, at.col / width, what));
}

/// Calls f(tile, its part of the tensor) for every tile.
template <class F>
void for_tiles(const BlockFileReader& reader, const BlockFormat& shape, const char* label, F f) {
  const BlockFileInfo& info = reader.info();
  Progress progress(label, info.rows * info.cols);
  for (const Tile& tile : tiles(shape, info.scale_layout, info.rows, info.cols, budget)) {
    f(tile, reader.read(tile));
    reader.release(tile);
    progress.advance(tile.rows * tile.cols);
  }
}

float to_nvfp4(const Options& options, const BlockFileReader& reader, const BlockFormat& target,
               BlockFileWriter& writer) {
  const BlockFormat& source = *reader.info().format;
  formats::Nvfp4Reencoder reencoder;
  for_tiles(reader, source, "window", [&](const Tile& tile, const BlockScaledTensor& part) {
    reencoder.observe(part, tile.row, tile.col);
  });
  if (reencoder.lost())
    refuse(options, reader, *reencoder.lost(),
           "has no FP32 tensor scale in common with the blocks before it (docs/theorems.md)");
  for_tiles(reader, source, "reencode", [&](const Tile& tile, const BlockScaledTensor& part) {
    writer.write(tile, reencoder.reencode(part, target));
  });
  return reencoder.tensor_scale();
}

float to_fp8(const Options& options, const BlockFileReader& reader, const BlockFormat& target,
             BlockFileWriter& writer) {
  // Tiles that hold whole blocks of the target, and so of the source.
  for_tiles(reader, target, "reencode", [&](const Tile& tile, const BlockScaledTensor& part) {
    const formats::E4m3Reencoded done = reencode_e4m3(part, target);
    if (done.lost)
      refuse(options, reader, {tile.row + done.lost->row, tile.col + done.lost->col},
             "is too small beside the largest scale factor of its target block");
    writer.write(tile, done.tensor);
  });
  return 1.0F;
}

ExitCode run(const Options& options) {
  const BlockFormat& target = formats::find_block_format(options.target);
  const BlockFileReader reader(options.in);
  const BlockFileInfo& info = reader.info();
  if (!is_mxfp4(*info.format))
    throw std::invalid_argument(
        fmt::format("'{}' holds {}; only MXFP4 (E2M1 elements, E8M0 scale factors) re-encodes",
                    options.in, info.format->name));
  const bool nvfp4 = is_nvfp4(target);
  if (!nvfp4 && !is_fp8(target, *info.format))
    throw std::invalid_argument(
        fmt::format("{} re-encodes as nvfp4 or as E4M3 with power-of-two scale factors "
                    "(fp8-deepseek-v4-weight), not as '{}'",
                    info.format->name, target.name));
  if (!nvfp4 && info.scale_layout != formats::ScaleLayout::row_major)
    throw std::invalid_argument(fmt::format(
        "'{}' has its scale factors in the layout {}; to {} re-encodes what has them in row_major",
        options.in, scale_layout_names[static_cast<std::size_t>(info.scale_layout)], target.name));
  BlockFileInfo out = info;
  out.format = &target;
  BlockFileWriter writer(options.out, out);
  const float tensor_scale =
      nvfp4 ? to_nvfp4(options, reader, target, writer) : to_fp8(options, reader, target, writer);
  writer.commit(tensor_scale);
  options.outputs.write_json({{"verb", "reencode"},
                              {"input", options.in},
                              {"output", options.out},
                              {"from", info.format->name},
                              {"preset", target.name},
                              {"shape", info.shape},
                              {"tensor_scale", tensor_scale}});
  return ExitCode::pass;
}

}  // namespace

Action declare_reencode(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("--to", options->target, "nvfp4, nvfp4-divide or fp8-deepseek-v4-weight")
      ->required();
  app.add_option("IN", options->in, "MXFP4 in a file that assay quantize wrote")
      ->required()
      ->check(not_a_stream);
  app.add_option("OUT", options->out, "the same numbers in the other format")
      ->required()
      ->check(not_a_stream);
  options->outputs.declare_json(app);
  return [options] { return run(*options); };
}

}  // namespace assay::tools

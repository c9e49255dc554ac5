// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <string>
#include <vector>

#include "formats/block.h"
#include "simulator/npy.h"
#include "tools/block_file.h"
#include "tools/outputs.h"
#include "tools/progress.h"
#include "tools/tiles.h"
#include "tools/verb.h"

namespace assay::tools {
namespace {

/// Elements that are in memory at once.
constexpr std::int64_t budget = std::int64_t{1} << 20;

struct Options {
  std::string in, out;
  Outputs outputs;
};

ExitCode run(const Options& options) {
  const BlockFileReader reader(options.in);
  const BlockFileInfo& info = reader.info();
  simulator::NpyWriter writer(options.out, simulator::Dtype::f32, info.shape);
  Progress progress("dequantize", info.rows * info.cols);
  std::vector<float> x;
  for (const formats::Tile& tile :
       tiles(*info.format, info.scale_layout, info.rows, info.cols, budget)) {
    const formats::BlockScaledTensor part = reader.read(tile);
    x.resize(static_cast<std::size_t>(tile.rows * tile.cols));
    formats::dequantize(part, x);
    for (std::int64_t row = 0; row < tile.rows; ++row)
      writer.write_at(
          static_cast<std::uint64_t>((tile.row + row) * info.cols + tile.col) * sizeof(float),
          std::as_bytes(std::span(x).subspan(static_cast<std::size_t>(row * tile.cols),
                                             static_cast<std::size_t>(tile.cols))));
    reader.release(tile);
    progress.advance(tile.rows * tile.cols);
  }
  writer.commit();
  options.outputs.write_json({{"verb", "dequantize"},
                              {"input", options.in},
                              {"output", options.out},
                              {"preset", info.format->name},
                              {"shape", info.shape}});
  return ExitCode::pass;
}

}  // namespace

Action declare_dequantize(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("IN", options->in, "a file that assay quantize wrote")
      ->required()
      ->check(not_a_stream);
  app.add_option("OUT", options->out, "a .npy array of f32, of the shape that was quantized")
      ->required()
      ->check(not_a_stream);
  options->outputs.declare_json(app);
  return [options] { return run(*options); };
}

}  // namespace assay::tools

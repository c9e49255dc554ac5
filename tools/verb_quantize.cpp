// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <array>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "formats/block.h"
#include "formats/layout.h"
#include "formats/learned_scale.h"
#include "formats/names.h"
#include "tools/block_file.h"
#include "tools/npy_source.h"
#include "tools/outputs.h"
#include "tools/progress.h"
#include "tools/tiles.h"
#include "tools/verb.h"

namespace assay::tools {
namespace {

using formats::Tile;

/// Elements that are in memory at once.
constexpr std::int64_t budget = std::int64_t{1} << 20;

struct Options {
  std::string preset, rounding = "nearest_even", policy = "saturating", scale_layout = "row_major";
  std::string from, scales, in, out;
  std::uint64_t seed = 0;
  int random_bits = 16;
  bool poison = false;
  Outputs outputs;
};

formats::ScaleLayout find_scale_layout(const std::string& name) {
  if (name == "row_major") return formats::ScaleLayout::row_major;
  if (name == "swizzled_128x4") return formats::ScaleLayout::swizzled_128x4;
  const std::array<std::string_view, 2> known{"row_major", "swizzled_128x4"};
  throw std::invalid_argument(formats::unknown_name("scale layout", name, known));
}

void read_tile(const NpySource& source, const Tile& tile, std::vector<float>& x) {
  x.resize(static_cast<std::size_t>(tile.rows * tile.cols));
  const std::span<float> out(x);
  if (tile.cols == source.cols()) return source.read(tile.row * tile.cols, out);
  for (std::int64_t row = 0; row < tile.rows; ++row)
    source.read((tile.row + row) * source.cols() + tile.col,
                out.subspan(static_cast<std::size_t>(row * tile.cols),
                            static_cast<std::size_t>(tile.cols)));
}

void require_finite(const std::string& path, const Tile& tile, std::span<const float> x) {
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (std::isfinite(x[i])) continue;
    const auto at = static_cast<std::int64_t>(i);
    throw std::invalid_argument(
        fmt::format("'{}': the element in row {}, column {} is {}; mend it, or say --poison to "
                    "make its block NaN",
                    path, tile.row + at / tile.cols, tile.col + at % tile.cols,
                    std::isnan(x[i]) ? "NaN" : "infinite"));
  }
}

/// Calls f(tile, its elements) for every tile, giving the pages back behind it.
template <typename F>
void for_tiles(const NpySource& source, const std::vector<Tile>& all, const char* label, F f) {
  Progress progress(label, source.size());
  std::vector<float> x;
  for (const Tile& tile : all) {
    read_tile(source, tile, x);
    f(tile, std::span<const float>(x));
    source.release(tile.row * source.cols(), tile.rows * source.cols());
    progress.advance(tile.rows * tile.cols);
  }
}

/// The scale factors of ScaleRule::given: from --scales, or those of least squared error.
std::vector<float> given_scales(const Options& options, const formats::BlockFormat& format,
                                const NpySource& source, const std::vector<Tile>& all) {
  const formats::BlockGrid grid = block_grid(format.block, source.rows(), source.cols());
  std::vector<float> scales(static_cast<std::size_t>(grid.count()));
  if (!options.scales.empty()) {
    const NpySource file(options.scales, "f32");
    if (file.size() != grid.count())
      throw std::invalid_argument(
          fmt::format("'{}' holds {} scale factors, but {} x {} blocks need {}", options.scales,
                      file.size(), grid.rows, grid.cols, grid.count()));
    file.read(0, scales);
    return scales;
  }
  for_tiles(source, all, "scales", [&](const Tile& tile, std::span<const float> x) {
    const std::vector<float> part =
        least_squares_scales(x, tile.rows, tile.cols, format.block, *format.element);
    const formats::BlockGrid local = block_grid(format.block, tile.rows, tile.cols);
    for (std::int64_t i = 0; i < local.count(); ++i)
      scales[static_cast<std::size_t>((tile.row / grid.block_rows + i / local.cols) * grid.cols +
                                      tile.col / grid.block_cols + i % local.cols)] =
          part[static_cast<std::size_t>(i)];
  });
  return scales;
}

ExitCode run(const Options& options) {
  const formats::BlockFormat& format = formats::find_block_format(options.preset);
  const NpySource source(options.in, options.from);
  if (source.dtype() == simulator::Dtype::f64)
    throw std::invalid_argument(
        fmt::format("'{}' holds F64; quantize takes F32, F16 and bf16, since every scale rule is "
                    "defined on FP32",
                    options.in));
  formats::QuantizeOptions quantize;
  quantize.rounding = formats::find_rounding_mode(options.rounding);
  quantize.profile = &formats::find_profile(options.policy);
  quantize.random_bits = options.random_bits;
  quantize.seed = options.seed;
  quantize.scale_layout = find_scale_layout(options.scale_layout);
  const bool given = format.rule == formats::ScaleRule::given;
  if (!given && !options.scales.empty())
    throw std::invalid_argument(fmt::format(
        "--scales is for presets with learned scale factors; '{}' computes its own", format.name));

  const std::vector<Tile> all =
      tiles(format, quantize.scale_layout, source.rows(), source.cols(), budget);
  std::vector<float> scales;
  if (given) scales = given_scales(options, format, source, all);
  quantize.scales = scales;
  formats::BlockQuantizer quantizer(format, source.rows(), source.cols(), quantize);
  const bool stochastic = quantize.rounding == formats::RoundingMode::stochastic;
  BlockFileWriter writer(options.out, {&format, source.shape(), source.rows(), source.cols(),
                                       quantize.scale_layout, options.rounding, options.policy,
                                       options.seed, stochastic ? options.random_bits : 0});

  const auto check = [&](const Tile& tile, std::span<const float> x) {
    if (!options.poison) require_finite(options.in, tile, x);
  };
  if (quantizer.needs_amax())
    for_tiles(source, all, "amax", [&](const Tile& tile, std::span<const float> x) {
      check(tile, x);
      quantizer.observe(x, tile);
    });
  for_tiles(source, all, "quantize", [&](const Tile& tile, std::span<const float> x) {
    if (!quantizer.needs_amax()) check(tile, x);
    writer.write(tile, quantizer.quantize_tile(x, tile));
  });
  writer.commit(quantizer.tensor_scale());
  options.outputs.write_json({{"verb", "quantize"},
                              {"input", options.in},
                              {"output", options.out},
                              {"preset", format.name},
                              {"shape", source.shape()},
                              {"rounding", options.rounding},
                              {"policy", options.policy},
                              {"scale_layout", options.scale_layout},
                              {"seed", options.seed},
                              {"random_bits", stochastic ? options.random_bits : 0},
                              {"tensor_scale", quantizer.tensor_scale()}});
  return ExitCode::pass;
}

}  // namespace

Action declare_quantize(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("--block", options->preset,
                 "block format: nvfp4, mxfp4-rceil, ... (assay formats)")
      ->required();
  app.add_option("--from", options->from,
                 "element type of IN: f32, f16, or bf16 kept as uint16 (default: the file's)");
  app.add_option("--rounding", options->rounding, "of the elements (default nearest_even)");
  app.add_option("--policy", options->policy, "of the elements (default saturating)");
  app.add_option("--scale-layout", options->scale_layout, "row_major (default) or swizzled_128x4");
  app.add_option(
      "--scales", options->scales,
      "learned scale factors, a .npy of f32, one per block (default for presets that take "
      "them: those of least squared error)");
  app.add_option("--seed", options->seed, "of stochastic rounding (default 0)");
  app.add_option("--random-bits", options->random_bits,
                 "of stochastic rounding, 1 to 16 (default 16)");
  app.add_flag("--poison", options->poison,
               "accept NaN and Inf: a block that has one gets a NaN scale factor");
  app.add_option("IN", options->in,
                 "a .npy array; its last axis is blocked, the others are flattened to rows")
      ->required();
  app.add_option("OUT", options->out, "a .safetensors file: codes, scales, tensor_scale")
      ->required();
  options->outputs.declare_json(app);
  return [options] { return run(*options); };
}

}  // namespace assay::tools

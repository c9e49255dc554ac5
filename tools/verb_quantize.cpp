// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "formats/block.h"
#include "formats/layout.h"
#include "formats/learned_scale.h"
#include "formats/names.h"
#include "formats/packed.h"
#include "formats/presets.h"
#include "tools/block_file.h"
#include "tools/npy_source.h"
#include "tools/outputs.h"
#include "tools/packed_file.h"
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

/// The same for a run of elements that begins at element `first` of the array.
void require_finite(const std::string& path, std::int64_t cols, std::int64_t first,
                    std::span<const float> x) {
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (std::isfinite(x[i])) continue;
    const std::int64_t at = first + static_cast<std::int64_t>(i);
    require_finite(path, {at / cols, at % cols, 1, 1}, x.subspan(i, 1));
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

/// The scale factors of ScaleRule::given, tile by tile: from --scales, or those of least squared
/// error.
class GivenScales {
 public:
  GivenScales(const std::string& path, const formats::BlockFormat& format, const NpySource& source)
      : format_(format), grid_(block_grid(format.block, source.rows(), source.cols())) {
    if (path.empty()) return;
    file_.emplace(path, "f32");
    if (file_->size() != grid_.count())
      throw std::invalid_argument(
          fmt::format("'{}' holds {} scale factors, but {} x {} blocks need {}", path,
                      file_->size(), grid_.rows, grid_.cols, grid_.count()));
  }

  [[nodiscard]] std::vector<float> of(const Tile& tile, std::span<const float> x) const {
    if (!file_)
      return least_squares_scales(x, tile.rows, tile.cols, format_.block, *format_.element);
    const formats::BlockGrid own =
        formats::block_grid({grid_.block_rows, grid_.block_cols}, tile.rows, tile.cols);
    std::vector<float> out(static_cast<std::size_t>(own.count()));
    for (std::int64_t row = 0; row < own.rows; ++row) {
      const std::int64_t first = grid_.block_of(tile.row + row * grid_.block_rows, tile.col);
      file_->read(first, std::span(out).subspan(static_cast<std::size_t>(row * own.cols),
                                                static_cast<std::size_t>(own.cols)));
      file_->release(first, own.cols);
    }
    return out;
  }

 private:
  const formats::BlockFormat& format_;
  formats::BlockGrid grid_;
  std::optional<NpySource> file_;
};

/// q4_0 and q4_k: codes and scale factors in one, the rule is all there is to say.
ExitCode run_packed(const formats::PackedBlock& block, const Options& options) {
  const Options defaults;
  if (options.rounding != defaults.rounding || options.policy != defaults.policy ||
      options.scale_layout != defaults.scale_layout || !options.scales.empty())
    throw std::invalid_argument(
        fmt::format("'{}' has its own rounding, scale factors and layout; leave --rounding, "
                    "--policy, --scales and --scale-layout out",
                    block.name));
  const NpySource source(options.in, options.from);
  if (source.dtype() == simulator::Dtype::f64)
    throw std::invalid_argument(fmt::format(
        "'{}' holds F64; quantize takes F32, F16 and bf16, since every scale rule is defined on "
        "FP32",
        options.in));
  PackedFileWriter writer(options.out, {&block, source.shape(), source.rows(), source.cols()});
  Progress progress("quantize", source.size());
  std::vector<float> x;
  for (std::int64_t first = 0; first < source.size(); first += budget) {
    x.resize(static_cast<std::size_t>(std::min(budget, source.size() - first)));
    source.read(first, x);
    if (!options.poison) require_finite(options.in, source.cols(), first, x);
    writer.write(formats::quantize_packed(block, x));
    source.release(first, static_cast<std::int64_t>(x.size()));
    progress.advance(static_cast<std::int64_t>(x.size()));
  }
  writer.commit();
  options.outputs.write_json({{"verb", "quantize"},
                              {"input", options.in},
                              {"output", options.out},
                              {"preset", block.name},
                              {"shape", source.shape()}});
  return ExitCode::pass;
}

ExitCode run(const Options& options) {
  for (const formats::PackedBlock* block : formats::all_packed_blocks)
    if (options.preset == block->name) return run_packed(*block, options);
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
  std::optional<GivenScales> scales;
  if (given) scales.emplace(options.scales, format, source);
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
    const std::vector<float> factors = scales ? scales->of(tile, x) : std::vector<float>();
    writer.write(tile, quantizer.quantize_tile(x, tile, factors));
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
                 "block format: nvfp4, mxfp4-rceil, q4_0, ... (assay formats)")
      ->required();
  app.add_option("--from", options->from,
                 "element type of IN: f32, f16, or bf16 kept as uint16 (default: the file's)");
  app.add_option("--rounding", options->rounding, "of the elements (default nearest_even)");
  app.add_option("--policy", options->policy, "of the elements (default saturating)");
  app.add_option("--scale-layout", options->scale_layout,
                 "row_major (default), swizzled_128x4, mn_major or mn_major_packed");
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
      ->required()
      ->check(not_a_stream);
  app.add_option("OUT", options->out, "a .safetensors file: codes, scales, tensor_scale")
      ->required()
      ->check(not_a_stream);
  options->outputs.declare_json(app);
  return [options] { return run(*options); };
}

}  // namespace assay::tools

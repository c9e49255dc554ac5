// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "formats/block.h"
#include "formats/names.h"
#include "simulator/checkpoint.h"
#include "simulator/gguf.h"
#include "simulator/npy.h"
#include "simulator/shape.h"
#include "tools/block_file.h"
#include "tools/outputs.h"
#include "tools/packed_file.h"
#include "tools/progress.h"
#include "tools/table.h"
#include "tools/tiles.h"
#include "tools/verb.h"

namespace assay::tools {
namespace {

namespace fs = std::filesystem;
using simulator::Checkpoint;
using simulator::CheckpointTensor;

/// Elements that are in memory at once.
constexpr std::int64_t budget = std::int64_t{1} << 20;

struct Options {
  std::string in, out, global_scale;
  std::vector<std::string> tensors;
  bool list = false;
  Outputs outputs;
};

std::optional<simulator::GlobalScale> global_scale_of(const std::string& name) {
  if (name.empty()) return std::nullopt;
  if (name == "multiplier") return simulator::GlobalScale::multiplier;
  if (name == "divisor") return simulator::GlobalScale::divisor;
  const std::array<std::string_view, 2> known{"multiplier", "divisor"};
  throw std::invalid_argument(formats::unknown_name("global scale", name, known));
}

void dequantize_block_file(const Options& options) {
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
}

/// Calls f(first, values) for `count` elements that read(first, values) fills, piece by piece.
template <typename Read, typename F>
void for_pieces(std::int64_t count, Progress& progress, Read read, F f) {
  std::vector<float> x;
  for (std::int64_t first = 0; first < count; first += budget) {
    x.resize(static_cast<std::size_t>(std::min(budget, count - first)));
    read(first, std::span<float>(x));
    f(std::as_bytes(std::span<const float>(x)));
    progress.advance(static_cast<std::int64_t>(x.size()));
  }
}

void dequantize_packed_file(const Options& options) {
  const PackedFileReader reader(options.in);
  const PackedFileInfo& info = reader.info();
  simulator::NpyWriter writer(options.out, simulator::Dtype::f32, info.shape);
  Progress progress("dequantize", info.rows * info.cols);
  for_pieces(
      info.rows * info.cols, progress,
      [&](std::int64_t first, std::span<float> x) { reader.read(first, x); },
      [&](std::span<const std::byte> bytes) { writer.write(bytes); });
  writer.commit();
  options.outputs.write_json({{"verb", "dequantize"},
                              {"input", options.in},
                              {"output", options.out},
                              {"preset", info.block->name},
                              {"shape", info.shape}});
}

nlohmann::ordered_json describe(const CheckpointTensor& tensor) {
  nlohmann::ordered_json json{
      {"name", tensor.name}, {"kind", tensor.kind}, {"shape", tensor.shape}};
  if (!tensor.problem.empty()) json["problem"] = tensor.problem;
  return json;
}

void list_tensors(const Checkpoint& checkpoint, const Options& options) {
  std::vector<std::vector<std::string>> rows{{"tensor", "kind", "shape", "problem"}};
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const CheckpointTensor& tensor : checkpoint.tensors()) {
    rows.push_back({simulator::one_line(tensor.name), tensor.kind,
                    simulator::shape_text(tensor.shape), simulator::one_line(tensor.problem)});
    list.push_back(describe(tensor));
  }
  if (!options.outputs.to_stdout()) fmt::print("{}", table(rows));
  options.outputs.write_json(
      {{"verb", "dequantize"}, {"input", options.in}, {"tensors", std::move(list)}});
}

/// The tensors that are asked for: those of --tensor, or all. Throws where one cannot be read,
/// before anything is written.
std::vector<std::size_t> chosen(const Checkpoint& checkpoint, const Options& options, bool single) {
  std::vector<std::size_t> indices;
  for (const std::string& name : options.tensors) {
    const std::size_t index = checkpoint.find(name);
    if (std::find(indices.begin(), indices.end(), index) != indices.end())
      throw std::invalid_argument(fmt::format("--tensor {} is given twice", name));
    indices.push_back(index);
  }
  if (indices.empty())
    for (std::size_t i = 0; i < checkpoint.tensors().size(); ++i) indices.push_back(i);
  if (single && indices.size() != 1)
    throw simulator::InputError(fmt::format(
        "'{}' has {}; say --tensor NAME (--list shows them), or give a .safetensors file as OUT "
        "for "
        "more than one",
        options.in,
        checkpoint.tensors().empty() ? "no tensors"
                                     : fmt::format("{} tensors", checkpoint.tensors().size())));
  for (const std::size_t index : indices)
    if (!checkpoint.tensors()[index].problem.empty()) checkpoint.read(index, 0, {});
  return indices;
}

void dequantize_checkpoint(const Checkpoint& checkpoint, const Options& options) {
  const bool many = fs::path(options.out).extension() == ".safetensors";
  const std::vector<std::size_t> indices = chosen(checkpoint, options, !many);
  std::vector<simulator::SafetensorsSpec> specs;
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  std::int64_t total = 0;
  for (const std::size_t index : indices) {
    const CheckpointTensor& tensor = checkpoint.tensors()[index];
    specs.push_back({tensor.name, simulator::Dtype::f32, tensor.shape});
    list.push_back(describe(tensor));
    total += tensor.elements;
  }
  Progress progress("dequantize", total);
  const auto run = [&](auto& writer) {
    for (const std::size_t index : indices)
      for_pieces(
          checkpoint.tensors()[index].elements, progress,
          [&](std::int64_t first, std::span<float> x) {
            checkpoint.read(index, first, x);
            checkpoint.release(index, first, static_cast<std::int64_t>(x.size()));
          },
          [&](std::span<const std::byte> bytes) { writer.write(bytes); });
    writer.commit();
  };
  if (many) {
    simulator::SafetensorsWriter writer(options.out, specs);
    run(writer);
  } else {
    simulator::NpyWriter writer(options.out, simulator::Dtype::f32, specs[0].shape);
    run(writer);
  }
  options.outputs.write_json({{"verb", "dequantize"},
                              {"input", options.in},
                              {"output", options.out},
                              {"tensors", std::move(list)}});
}

/// What assay quantize writes is told by its metadata, or by its three tensors without them.
enum class Content { block_file, packed_file, checkpoint };
Content content_of(const std::string& path) {
  if (fs::is_directory(path)) return Content::checkpoint;
  const simulator::MappedFile file(path);
  if (simulator::is_gguf(file.bytes())) return Content::checkpoint;
  const simulator::SafetensorsHeader header = simulator::parse_safetensors(file.bytes(), path);
  if (is_packed_file(header)) return Content::packed_file;
  const auto has = [&](const char* name) {
    return std::any_of(header.entries.begin(), header.entries.end(),
                       [&](const auto& entry) { return entry.name == name; });
  };
  const bool ours =
      header.metadata.contains("assay") || (has("codes") && has("scales") && has("tensor_scale"));
  return ours ? Content::block_file : Content::checkpoint;
}

ExitCode run(const Options& options) {
  const Content content = content_of(options.in);
  if (content == Content::checkpoint) {
    const auto checkpoint =
        simulator::open_checkpoint(options.in, global_scale_of(options.global_scale));
    if (options.list) {
      list_tensors(*checkpoint, options);
      return ExitCode::pass;
    }
    if (options.out.empty()) throw std::invalid_argument("OUT is required, unless --list is given");
    dequantize_checkpoint(*checkpoint, options);
    return ExitCode::pass;
  }
  if (options.list || !options.tensors.empty() || !options.global_scale.empty())
    throw std::invalid_argument(
        fmt::format("--list, --tensor and --global-scale are for checkpoints of other programs; "
                    "'{}' is a single array that assay quantize wrote",
                    options.in));
  if (options.out.empty()) throw std::invalid_argument("OUT is required");
  if (content == Content::packed_file) {
    dequantize_packed_file(options);
  } else {
    dequantize_block_file(options);
  }
  return ExitCode::pass;
}

}  // namespace

Action declare_dequantize(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("--tensor", options->tensors,
                 "of a checkpoint: this tensor (repeat it for more, into a .safetensors file)")
      ->allow_extra_args(false);  // the next word is OUT
  app.add_flag("--list", options->list, "of a checkpoint: print its tensors; no OUT");
  app.add_option("--global-scale", options->global_scale,
                 "multiplier or divisor: how the global scales of a checkpoint go, where its names "
                 "do not tell");
  app.add_option("IN", options->in,
                 "a file that assay quantize wrote, a .gguf or .safetensors file, or a folder of "
                 ".safetensors files")
      ->required()
      ->check(not_a_stream);
  app.add_option("OUT", options->out,
                 "a .npy array of f32; for several tensors a .safetensors file")
      ->check(not_a_stream);
  options->outputs.declare_json(app);
  return [options] { return run(*options); };
}

}  // namespace assay::tools

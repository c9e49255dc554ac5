// SPDX-License-Identifier: Apache-2.0
// Does this machine compute what we believe? Every matrix instruction of the GPU at hand beside its
// model, on drawn operands and on ones that settle open questions.
#include <fmt/format.h>

#include <cstring>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/cuda/probe.h"
#include "simulator/mma/dot.h"
#include "simulator/safetensors.h"
#include "tools/outputs.h"
#include "tools/probe_questions.h"
#include "tools/progress.h"
#include "tools/verb.h"
#include "tools/version.h"

namespace assay::tools {
namespace {

using kernels::cuda::ProbeCount;
using kernels::cuda::ProbeFamily;
using kernels::cuda::ProbeInstruction;
using kernels::cuda::ProbeTile;
using Json = nlohmann::ordered_json;

struct Options {
  int device = 0;
  double outputs = 1e8;
  std::uint64_t seed = 1;
  std::string only, vectors;
  Outputs reports;
};

constexpr std::uint64_t per_tile = kernels::cuda::probe_rows * kernels::cuda::probe_cols;

/// The tile that the GPU draws, drawn here.
ProbeTile draw_tile(const ProbeInstruction& instruction, const simulator::MmaUnit& unit,
                    ProbeFamily family, std::uint64_t seed, std::uint64_t tile) {
  using kernels::cuda::ProbeRole;
  ProbeTile t;
  const auto draw = [&](ProbeRole role, int row, int k, const simulator::UnitFormat& f) {
    return kernels::cuda::draw_probe_code({seed, tile, family, role, row, k}, f,
                                          unit.fraction_bits);
  };
  for (int i = 0; i < kernels::cuda::probe_rows * instruction.k; ++i)
    t.a.push_back(draw(ProbeRole::a, i / instruction.k, i % instruction.k, unit.a));
  for (int i = 0; i < kernels::cuda::probe_cols * instruction.k; ++i)
    t.b.push_back(draw(ProbeRole::b, i / instruction.k, i % instruction.k, unit.b));
  for (int i = 0; i < static_cast<int>(per_tile); ++i)
    t.c.push_back(
        draw(ProbeRole::c, i / kernels::cuda::probe_cols, i % kernels::cuda::probe_cols, unit.d));
  return t;
}

Json ask(const ProbeInstruction& instruction, const simulator::MmaModel& model, bool& agrees) {
  Json rows = Json::array();
  for (const ProbeQuestion& q : probe_questions(model, instruction.k)) {
    ProbeTile tile;
    tile.a.resize(kernels::cuda::probe_rows * q.a.size());
    tile.b.resize(kernels::cuda::probe_cols * q.b.size());
    tile.c.resize(per_tile);
    std::copy(q.a.begin(), q.a.end(), tile.a.begin());
    std::copy(q.b.begin(), q.b.end(), tile.b.begin());
    tile.c[0] = q.c;
    kernels::cuda::run_probe_tile(instruction, tile);
    const std::uint32_t expected = dot(model, {q.a, q.b, q.c});
    agrees = agrees && tile.d[0] == expected;
    rows.push_back({{"id", q.id},
                    {"about", q.text},
                    {"device", fmt::format("{:#x}", tile.d[0])},
                    {"model", fmt::format("{:#x}", expected)}});
  }
  return rows;
}

Json show(const ProbeCount& count, const char* family) {
  Json row{{"family", family},
           {"outputs", count.outputs},
           {"mismatches", count.mismatches},
           {"digest", fmt::format("{:016x}", count.digest)}};
  for (const auto& m : count.first)
    row["first"].push_back({{"tile", m.tile},
                            {"row", m.row},
                            {"col", m.col},
                            {"device", fmt::format("{:#x}", m.device)},
                            {"model", fmt::format("{:#x}", m.model)}});
  return row;
}

/// The whole probe of one instruction.
Json probe(const ProbeInstruction& instruction, const Options& options, bool& agrees) {
  const simulator::MmaModel& model = simulator::find_mma_model(instruction.model);
  const simulator::MmaUnit unit = unit_of(model);
  const auto tiles =
      static_cast<std::uint64_t>(options.outputs / kernels::cuda::probe_families / per_tile) + 1;
  Json families = Json::array();
  std::uint64_t outputs = 0;
  std::uint64_t mismatches = 0;
  for (int f = 0; f < kernels::cuda::probe_families; ++f) {
    const ProbeCount count =
        probe_tiles(instruction, unit, static_cast<ProbeFamily>(f), options.seed, 0, tiles);
    families.push_back(show(count, kernels::cuda::probe_family_names[f]));
    outputs += count.outputs;
    mismatches += count.mismatches;
  }
  bool answers = true;
  Json questions = ask(instruction, model, answers);
  agrees = agrees && mismatches == 0 && answers;
  if (!options.reports.to_stdout())
    fmt::print("{:<28}{:>14}{:>12}  {}  {}\n", model.name, outputs, mismatches,
               answers ? "answers agree" : "ANSWERS DIFFER", instruction.mnemonic);
  return {{"instruction", instruction.mnemonic},
          {"model", model.name},
          {"k", instruction.k},
          {"outputs", outputs},
          {"mismatches", mismatches},
          {"families", std::move(families)},
          {"questions", std::move(questions)}};
}

/// One tile of each instruction and family, as a regression fixture for machines without a GPU:
/// INSTRUCTION/FAMILY/a, b, c, d in codes of the model's formats.
void write_vectors(const Options& options, const std::string& gpu) {
  struct Tensor {
    simulator::SafetensorsSpec spec;
    std::vector<std::uint32_t> codes;
  };
  std::vector<Tensor> tensors;
  for (const ProbeInstruction& instruction : kernels::cuda::probe_instructions()) {
    const simulator::MmaModel& model = simulator::find_mma_model(instruction.model);
    for (int f = 0; f < kernels::cuda::probe_families; ++f) {
      ProbeTile t = draw_tile(instruction, unit_of(model), static_cast<ProbeFamily>(f),
                              options.seed, static_cast<std::uint64_t>(f));
      kernels::cuda::run_probe_tile(instruction, t);
      const std::string base = fmt::format("{}/k{}/{}/", model.name, instruction.k,
                                           kernels::cuda::probe_family_names[f]);
      const auto type = [](const formats::FormatSpec& s) {
        return s.storage_bits <= 8    ? simulator::Dtype::u8
               : s.storage_bits == 16 ? simulator::Dtype::u16
                                      : simulator::Dtype::u32;
      };
      tensors.push_back(
          {{base + "a", type(*model.a), {kernels::cuda::probe_rows, instruction.k}}, t.a});
      tensors.push_back(
          {{base + "b", type(*model.b), {kernels::cuda::probe_cols, instruction.k}}, t.b});
      const std::vector<std::int64_t> shape{kernels::cuda::probe_rows, kernels::cuda::probe_cols};
      tensors.push_back({{base + "c", type(*model.d), shape}, t.c});
      tensors.push_back({{base + "d", type(*model.d), shape}, t.d});
    }
  }
  std::vector<simulator::SafetensorsSpec> specs;
  for (const Tensor& t : tensors) specs.push_back(t.spec);
  simulator::SafetensorsWriter writer(options.vectors, specs,
                                      {{"gpu", gpu}, {"seed", std::to_string(options.seed)}});
  for (const Tensor& t : tensors) {
    const auto width = static_cast<std::size_t>(simulator::info(t.spec.dtype).bits / 8);
    std::vector<std::byte> bytes(t.codes.size() * width);
    for (std::size_t i = 0; i < t.codes.size(); ++i)
      std::memcpy(&bytes[i * width], &t.codes[i], width);
    writer.write(bytes);
  }
  writer.commit();
}

ExitCode run(const Options& options) {
  if (!(options.outputs >= 1 && options.outputs <= 1e12))
    throw std::invalid_argument("--outputs must lie in 1 to 1e12");
  options.reports.require_writable();
  std::string reason;
  const std::string gpu = kernels::cuda::probe_gpu(options.device, reason);
  if (gpu.empty()) {
    options.reports.write_json(
        {{"verb", "probe"}, {"status", "not_supported"}, {"reason", reason}});
    fmt::print(stderr, "assay: probe: not_supported: {}\n", reason);
    return ExitCode::absent;
  }
  if (!options.reports.to_stdout()) fmt::print("{}\n", gpu);
  bool agrees = true;
  Json rows = Json::array();
  const auto instructions = kernels::cuda::probe_instructions();
  Progress progress("instructions", static_cast<std::int64_t>(instructions.size()));
  for (const ProbeInstruction& instruction : instructions) {
    if (options.only.empty() || options.only == instruction.model)
      rows.push_back(probe(instruction, options, agrees));
    progress.advance(1);
  }
  if (rows.empty())
    throw std::invalid_argument("no instruction of this GPU is modelled by '" + options.only + "'");
  if (!options.vectors.empty()) write_vectors(options, gpu);
  options.reports.write_json({{"schema", "assay-probe-1"},
                              {"gpu", gpu},
                              {"version", version_text()},
                              {"seed", options.seed},
                              {"agrees", agrees},
                              {"instructions", std::move(rows)}});
  return agrees ? ExitCode::pass : ExitCode::fail;
}

}  // namespace

Action declare_probe(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("--device", options->device, "number of the GPU (default 0)");
  app.add_option("--outputs", options->outputs, "of each instruction (default 1e8)");
  app.add_option("--model", options->only, "only the instructions of this model");
  app.add_option("--seed", options->seed, "of the operands (default 1)");
  app.add_option("--vectors", options->vectors,
                 "write a few operands and outputs of each instruction, safetensors");
  options->reports.declare_json(app);
  return [options] { return run(*options); };
}

}  // namespace assay::tools

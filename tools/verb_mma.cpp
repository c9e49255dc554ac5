// SPDX-License-Identifier: Apache-2.0
// What a matrix unit gives for dot products: the bits, on any machine.
#include <fmt/format.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "simulator/mma/dot.h"
#include "simulator/npy.h"
#include "tools/code_file.h"
#include "tools/outputs.h"
#include "tools/table.h"
#include "tools/verb.h"

namespace assay::tools {
namespace {

using simulator::MmaModel;

struct Options {
  bool list = false;
  std::string models, model, a, b, c, scale_a, scale_b, out;
  Outputs outputs;
};

std::string input_of(const MmaModel& m) {
  return std::string(m.a->name) + (m.a == m.b ? "" : " x " + std::string(m.b->name));
}

nlohmann::ordered_json describe(const MmaModel& m) {
  nlohmann::ordered_json row{{"name", m.name},
                             {"arithmetic", name_of(m.arithmetic)},
                             {"a", m.a->name},
                             {"b", m.b->name},
                             {"d", m.d->name},
                             {"step", m.step},
                             {"shortest_k", m.shortest_k},
                             {"fraction_bits", m.fraction_bits},
                             {"conversion", name_of(m.conversion)},
                             {"zero_exponent", m.zero_exponent},
                             {"zero_rule", name_of(m.zero_rule)},
                             {"signed_underflow", m.signed_underflow}};
  if (m.scale != nullptr) {
    row["scale"] = m.scale->name;
    row["scale_block"] = m.scale_block;
  }
  row["evidence"] = name_of(m.evidence);
  row["evidence_text"] = m.evidence_text;
  row["source"] = m.source;
  return row;
}

ExitCode list(const Options& options, const std::vector<MmaModel>& models) {
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  std::vector<std::vector<std::string>> text{
      {"model", "inputs", "L", "F", "arithmetic", "result", "zero", "scale", "evidence"}};
  for (const MmaModel& m : models) {
    rows.push_back(describe(m));
    text.push_back({m.name, input_of(m), std::to_string(m.step), std::to_string(m.fraction_bits),
                    std::string(name_of(m.arithmetic)), std::string(name_of(m.conversion)),
                    std::to_string(m.zero_exponent),
                    m.scale == nullptr ? "-" : fmt::format("{}/{}", m.scale->name, m.scale_block),
                    fmt::format("{} ({})", name_of(m.evidence), m.evidence_text)});
  }
  options.outputs.write_json({{"models", std::move(rows)}});
  if (!options.outputs.to_stdout()) fmt::print("{}", table(text));
  return ExitCode::pass;
}

const MmaModel& pick(const std::vector<MmaModel>& models, const std::string& name) {
  for (const MmaModel& m : models)
    if (m.name == name) return m;
  return simulator::find_mma_model(name);
}

void require_scales(const MmaModel& m, const Options& o) {
  const bool given = !o.scale_a.empty() || !o.scale_b.empty();
  if (m.scale == nullptr && given)
    throw std::invalid_argument(m.name + " has no block scales: leave --scale-a and --scale-b out");
  if (m.scale != nullptr && (o.scale_a.empty() || o.scale_b.empty()))
    throw std::invalid_argument(
        fmt::format("{} needs --scale-a and --scale-b: {} codes, one per {} "
                    "elements along k",
                    m.name, m.scale->name, m.scale_block));
}

ExitCode compute(const Options& o, const MmaModel& m) {
  require_scales(m, o);
  const CodeFile a("--a", o.a, *m.a);
  const CodeFile b("--b", o.b, *m.b);
  const std::int64_t n = a.rows();
  const std::int64_t k = a.cols();
  simulator::require_chain(m, k);
  b.require_shape(n, k);
  std::unique_ptr<CodeFile> c, scale_a, scale_b;
  if (!o.c.empty()) {
    c = std::make_unique<CodeFile>("--c", o.c, *m.d);
    c->require_shape(n, 1);
  }
  std::vector<std::uint32_t> sa, sb;
  if (m.scale != nullptr) {
    scale_a = std::make_unique<CodeFile>("--scale-a", o.scale_a, *m.scale);
    scale_b = std::make_unique<CodeFile>("--scale-b", o.scale_b, *m.scale);
    scale_a->require_shape(n, k / m.scale_block);
    scale_b->require_shape(n, k / m.scale_block);
    sa.resize(static_cast<std::size_t>(k / m.scale_block));
    sb.resize(sa.size());
  }
  simulator::NpyWriter writer(o.out, code_type(*m.d), {n});
  const std::size_t width = m.d->storage_bits / 8;
  std::vector<std::uint32_t> x(static_cast<std::size_t>(k)), y(x.size());
  for (std::int64_t i = 0; i < n; ++i) {
    a.read(i, x);
    b.read(i, y);
    std::uint32_t start = 0;
    if (c) c->read(i, {&start, 1});
    if (scale_a) {
      scale_a->read(i, sa);
      scale_b->read(i, sb);
    }
    const std::uint32_t d = simulator::dot(m, {x, y, start, sa, sb});
    writer.write(std::as_bytes(std::span(&d, 1)).first(width));
  }
  writer.commit();
  o.outputs.write_json(
      {{"verb", "mma"}, {"model", describe(m)}, {"rows", n}, {"k", k}, {"output", o.out}});
  return ExitCode::pass;
}

ExitCode run(const Options& options) {
  const std::vector<MmaModel> models = load_models(options.models);
  if (options.list) return list(options, models);
  for (const auto& [name, value] : {std::pair{"--model", options.model},
                                    {"--a", options.a},
                                    {"--b", options.b},
                                    {"D", options.out}})
    if (value.empty()) throw std::invalid_argument(fmt::format("mma needs {}, or --list", name));
  return compute(options, pick(models, options.model));
}

}  // namespace

Action declare_mma(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_flag("--list", options->list, "print every model, its parameters and its evidence");
  app.add_option("--models", options->models, "JSON file of models, in place of those of assay");
  app.add_option("--model", options->model, "UNIT.INSTRUCTION.INPUT.OUTPUT, a name of --list");
  app.add_option("--a", options->a, "n x k codes, .npy of uint8, uint16 or uint32");
  app.add_option("--b", options->b, "n x k codes; row i is multiplied with row i of A");
  app.add_option("--c", options->c, "n codes of D's format (default: zeros)");
  app.add_option("--scale-a", options->scale_a, "block scales of A, n x k / block codes");
  app.add_option("--scale-b", options->scale_b, "block scales of B");
  app.add_option("D", options->out, "n codes, .npy of uint16 or uint32");
  options->outputs.declare_json(app);
  return [options] { return run(*options); };
}

}  // namespace assay::tools

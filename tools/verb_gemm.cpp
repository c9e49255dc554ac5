// SPDX-License-Identifier: Apache-2.0
// What a kernel with a given reduction plan gives: the bits of a whole GEMM, on any machine.
#include <fmt/format.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "simulator/gemm.h"
#include "tools/code_file.h"
#include "tools/gemm_infer.h"
#include "tools/outputs.h"
#include "tools/verb.h"

namespace assay::tools {
namespace {

using simulator::GemmPlan;
using Codes = std::vector<std::uint32_t>;

struct Options {
  std::string plan, models, a, b, c, bias, scale_a, scale_b, out;
  float alpha = 1, beta = 1, tensor_scale_a = 1, tensor_scale_b = 1, tensor_scale_d = 1;
  int threads = 1;
  InferOptions infer;
  Outputs outputs;
};

void require_scales(const simulator::MmaModel& m, const Options& o) {
  if (m.scale == nullptr && !(o.scale_a.empty() && o.scale_b.empty()))
    throw std::invalid_argument(
        m.name +
        " has no block scales: leave --scale-a and --scale-b out (--tensor-scale-a and -b "
        "are the epilogue's)");
  if (m.scale != nullptr && (o.scale_a.empty() || o.scale_b.empty()))
    throw std::invalid_argument(
        fmt::format("{} needs --scale-a and --scale-b: {} codes, one per {} elements along k",
                    m.name, m.scale->name, m.scale_block));
}

Codes operand(const char* option, const std::string& path, const formats::FormatSpec& spec,
              std::int64_t rows, std::int64_t cols) {
  if (path.empty()) return {};
  const CodeFile file(option, path, spec);
  file.require_shape(rows, cols);
  return file.all();
}

ExitCode compute(const Options& o) {
  const GemmPlan plan =
      simulator::parse_gemm_plan(read_text("--plan", o.plan), o.plan, load_models(o.models));
  const simulator::MmaModel& m = plan.model;
  require_scales(m, o);
  const CodeFile a_file("--a", o.a, *m.a);
  const CodeFile b_file("--b", o.b, *m.b);
  simulator::GemmOperands x;
  x.m = a_file.rows();
  x.n = b_file.rows();
  x.k = a_file.cols();
  b_file.require_shape(x.n, x.k);
  const Codes a = a_file.all();
  const Codes b = b_file.all();
  const Codes c = operand("--c", o.c, *plan.c, x.m, x.n);
  const Codes bias = operand("--bias", o.bias, *plan.bias, x.n, 1);
  Codes scale_a, scale_b;
  if (m.scale != nullptr) {
    scale_a = operand("--scale-a", o.scale_a, *m.scale, x.m, x.k / m.scale_block);
    scale_b = operand("--scale-b", o.scale_b, *m.scale, x.n, x.k / m.scale_block);
  }
  x.a = a;
  x.b = b;
  x.c = c;
  x.bias = bias;
  x.scale_a = scale_a;
  x.scale_b = scale_b;
  x.alpha = o.alpha;
  x.beta = o.beta;
  x.tensor_scale_a = o.tensor_scale_a;
  x.tensor_scale_b = o.tensor_scale_b;
  x.tensor_scale_d = o.tensor_scale_d;
  write_codes(o.out, *plan.output, {x.m, x.n}, gemm(plan, x, o.threads));
  o.outputs.write_json({{"verb", "gemm"},
                        {"plan", nlohmann::ordered_json::parse(gemm_plan_json(plan))},
                        {"evidence", name_of(m.evidence)},
                        {"evidence_text", m.evidence_text},
                        {"m", x.m},
                        {"n", x.n},
                        {"k", x.k},
                        {"output", o.out}});
  return ExitCode::pass;
}

ExitCode run(const Options& o) {
  if (!o.infer.folder.empty()) {
    InferOptions infer = o.infer;
    infer.models = o.models;
    infer.threads = o.threads;
    infer.reports = o.outputs;
    return infer_gemm(infer);
  }
  for (const auto& [name, value] :
       {std::pair{"--plan", o.plan}, {"--a", o.a}, {"--b", o.b}, {"D", o.out}})
    if (value.empty()) throw std::invalid_argument(fmt::format("gemm needs {}, or --infer", name));
  return compute(o);
}

}  // namespace

Action declare_gemm(CLI::App& app) {
  auto o = std::make_shared<Options>();
  app.add_option("--plan", o->plan, "the reduction plan, JSON (docs/gemm-plans.md)");
  app.add_option("--models", o->models, "JSON file of models that the plan may name");
  app.add_option("--a", o->a, "m x k codes, .npy of uint8, uint16 or uint32");
  app.add_option("--b", o->b, "n x k codes; D[i, j] is the dot product of rows i and j");
  app.add_option("--c", o->c, "m x n codes of the plan's format of C (default: no C)");
  app.add_option("--bias", o->bias, "n codes of the plan's format of the bias (default: none)");
  app.add_option("--scale-a", o->scale_a, "block scales of A, m x k / block codes");
  app.add_option("--scale-b", o->scale_b, "block scales of B, n x k / block codes");
  app.add_option("--alpha", o->alpha, "number of the epilogue (default 1)");
  app.add_option("--beta", o->beta, "factor of C (default 1)");
  app.add_option("--tensor-scale-a", o->tensor_scale_a, "scale_a of the epilogue (default 1)");
  app.add_option("--tensor-scale-b", o->tensor_scale_b, "scale_b of the epilogue (default 1)");
  app.add_option("--tensor-scale-d", o->tensor_scale_d, "scale_d of the epilogue (default 1)");
  app.add_option("--threads", o->threads, "to compute with; the bits do not depend on it");
  app.add_option("D", o->out, "m x n codes of the plan's output format, .npy");
  InferOptions& infer = o->infer;
  app.add_option("--infer", infer.folder,
                 "infer a plan: write the questions to FOLDER, or with --outputs or --device "
                 "propose the plan")
      ->type_name("FOLDER");
  app.add_option("--a-format", infer.a_format, "infer: format of A");
  app.add_option("--b-format", infer.b_format, "infer: format of B (default: as A)");
  app.add_option("--block-scale", infer.block_scale, "infer: FORMAT/BLOCK, for example ue4m3/16");
  app.add_option("--k", infer.k, "infer: K of the kernel's run (default 512)");
  app.add_option("--seed", infer.seed, "infer: of the dense questions (default 1)");
  app.add_option("--output", infer.output, "infer: the kernel's output format (default fp32)");
  app.add_option("--outputs", infer.outputs, "infer: the kernel's answers, .npy of codes");
  app.add_option("--device", infer.device.target, "infer: ask this device, as in certify");
  app.add_option("--entry", infer.entry, "infer: the gemm entry of the device");
  infer.device.declare(app);
  o->outputs.declare_json(app);
  return [o] { return run(*o); };
}

}  // namespace assay::tools

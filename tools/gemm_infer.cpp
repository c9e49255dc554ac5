// SPDX-License-Identifier: Apache-2.0
#include "tools/gemm_infer.h"

#include <fmt/format.h>

#include <charconv>
#include <filesystem>
#include <stdexcept>

#include "formats/names.h"
#include "proptests/plan_probe.h"
#include "simulator/atomic_file.h"
#include "simulator/plan_inference.h"
#include "tools/code_file.h"

namespace assay::tools {
namespace {

using simulator::InferredPlan;
using simulator::PlanCandidate;
using simulator::PlanQuestions;
using simulator::PlanTask;
using Json = nlohmann::ordered_json;

std::string in(const InferOptions& o, const char* name) {
  return (std::filesystem::path(o.folder) / name).string();
}

void write_text(const std::string& path, const std::string& text) {
  simulator::AtomicFile file(path);
  file.write(text);
  file.commit();
}

PlanTask task_of(const InferOptions& o) {
  if (o.a_format.empty())
    throw std::invalid_argument(
        "gemm --infer needs --a-format (and --b-format, --block-scale where they apply), or "
        "--device");
  PlanTask t;
  t.a = &formats::find_format(o.a_format);
  t.b = o.b_format.empty() ? t.a : &formats::find_format(o.b_format);
  if (!o.block_scale.empty()) {
    const std::size_t slash = o.block_scale.find('/');
    const char* end = o.block_scale.data() + o.block_scale.size();
    const auto number = slash == std::string::npos
                            ? std::from_chars_result{end, std::errc::invalid_argument}
                            : std::from_chars(o.block_scale.data() + slash + 1, end, t.scale_block);
    if (number.ec != std::errc() || number.ptr != end)
      throw std::invalid_argument("--block-scale is FORMAT/BLOCK, for example ue4m3/16, not '" +
                                  o.block_scale + "'");
    t.scale = &formats::find_format(o.block_scale.substr(0, slash));
  }
  t.k = o.k;
  t.seed = o.seed;
  t.output = &formats::find_format(o.output);
  t.overflow =
      t.output->storage_bits <= 8 ? formats::Overflow::saturate : formats::Overflow::to_infinity;
  return t;
}

ExitCode write_questions(const InferOptions& o) {
  const PlanTask task = task_of(o);
  const PlanQuestions q = plan_questions(task);
  std::filesystem::create_directories(o.folder);
  write_codes(in(o, "a.npy"), *task.a, {q.rows, q.k}, q.a);
  write_codes(in(o, "b.npy"), *task.b, {q.rows, q.k}, q.b);
  if (task.scale != nullptr) {
    write_codes(in(o, "scale_a.npy"), *task.scale, {q.rows, q.k / task.scale_block}, q.scale_a);
    write_codes(in(o, "scale_b.npy"), *task.scale, {q.rows, q.k / task.scale_block}, q.scale_b);
  }
  o.reports.write_json({{"verb", "gemm"},
                        {"questions", q.rows},
                        {"k", q.k},
                        {"diagonal", q.first_dense},
                        {"dense", simulator::dense_rows}});
  if (o.reports.to_stdout()) return ExitCode::pass;
  fmt::print(
      "{}: A and B, {} x {} codes each; run the kernel with alpha 1 and without C, then the same "
      "command with --outputs D.npy, {} x {} codes\n",
      o.folder, q.rows, q.k, q.rows, q.rows);
  return ExitCode::pass;
}

std::string names(const std::vector<std::string>& models) {
  std::string text = models.front();
  for (std::size_t i = 1; i < models.size(); ++i) text += " = " + models[i];
  return text;
}

std::string line_of(const PlanCandidate& c) {
  const Json j = Json::parse(gemm_plan_json(c.plan));
  std::string text =
      fmt::format("{}, instruction K {}, tiles of {} {}", names(c.models), c.plan.instruction_k,
                  c.plan.tile_k, j["tile_order"].get<std::string>());
  text += c.plan.promote_every == 0 ? ", no promotion"
                                    : fmt::format(", promoted every {}", c.plan.promote_every);
  if (c.plan.split.count == 1) return text + ", no split-K";
  return text + fmt::format(", split-K {} {}, reduced {} in {}", c.plan.split.count,
                            j["split_k"]["tiles"].get<std::string>(),
                            j["split_k"]["reduction"].get<std::string>(),
                            j["split_k"]["partials"].get<std::string>());
}

std::string verdict(const InferredPlan& p) {
  if (p.decided()) return "decided";
  if (p.candidates.empty())
    return std::string("none: no plan of the grid gives these outputs (another unit, an order ") +
           (p.order_shows ? "that is no multiple of the granularity"
                          : "that these narrow formats do not show, other than one chain") +
           ", scale factors or an epilogue that is not plain)";
  if (!p.order_shows)
    return "undecided: products of these formats are too near each other for one to be lost beside "
           "another, so the order of K does not show";
  return fmt::format("undecided: {} plans give these outputs", p.candidates.size());
}

/// "0 16 32 | 48 64": chains, each in its order.
std::string chain_text(const InferredPlan& p) {
  std::string text;
  for (const auto& chain : p.chains) {
    text += text.empty() ? "" : " | ";
    std::string blocks;
    for (const auto& together : chain)
      for (const std::int64_t block : together)
        blocks += (blocks.empty() ? "" : " ") + std::to_string(block * p.granularity);
    text += blocks;
  }
  return text;
}

ExitCode report(const InferOptions& o, const PlanTask& task, const PlanQuestions& q,
                const std::vector<std::uint32_t>& d) {
  const InferredPlan p = infer_plan(task, q, d, load_models(o.models), o.threads);
  Json candidates = Json::array();
  for (const PlanCandidate& c : p.candidates)
    candidates.push_back({{"plan", Json::parse(gemm_plan_json(c.plan))},
                          {"models", c.models},
                          {"equal_plans", c.equal_plans}});
  o.reports.write_json({{"verb", "gemm"},
                        {"verdict", verdict(p)},
                        {"decided", p.decided()},
                        {"order_shows", p.order_shows},
                        {"k", task.k},
                        {"questions", q.rows},
                        {"granularity", p.granularity},
                        {"considered", p.considered},
                        {"chains", p.chains},
                        {"candidates", candidates}});
  if (p.decided()) {
    std::filesystem::create_directories(o.folder);
    write_text(in(o, "plan.json"), gemm_plan_json(p.candidates.front().plan));
  }
  if (!o.reports.to_stdout()) {
    fmt::print("{}\n", verdict(p));
    for (const PlanCandidate& c : p.candidates) fmt::print("  {}\n", line_of(c));
    if (!p.chains.empty())
      fmt::print("chains of K, by first elements of blocks of {}: {}\n", p.granularity,
                 chain_text(p));
    if (p.decided()) fmt::print("plan: {}\n", in(o, "plan.json"));
  }
  return p.candidates.empty() ? ExitCode::fail : ExitCode::pass;
}

ExitCode ask_device(const InferOptions& o) {
  std::string reason;
  const auto devices = open_devices(o.device, 1, reason);
  if (devices.empty()) {
    fmt::print(stderr, "assay: {}\n", reason);
    return ExitCode::absent;
  }
  for (const kernels::Claim& claim : devices.front()->claims()) {
    if (name_of(claim) != o.entry) continue;
    PlanTask task = proptests::plan_task(claim, o.k);
    task.seed = o.seed;
    const PlanQuestions q = plan_questions(task);
    return report(o, task, q, ask_plan(*devices.front(), claim, q));
  }
  throw std::invalid_argument("the device has no entry '" + o.entry +
                              "'; give --entry a name of 'assay list entries DEVICE'");
}

}  // namespace

ExitCode infer_gemm(const InferOptions& o) {
  if (!o.device.target.empty()) return ask_device(o);
  if (o.outputs.empty()) return write_questions(o);
  const PlanTask task = task_of(o);
  const PlanQuestions q = plan_questions(task);
  const CodeFile d("--outputs", o.outputs, *task.output);
  d.require_shape(q.rows, q.rows);
  return report(o, task, q, d.all());
}

}  // namespace assay::tools

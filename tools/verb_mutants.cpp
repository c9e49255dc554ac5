// SPDX-License-Identifier: Apache-2.0
// Whether the suite notices kernels that are wrong on purpose, and says what is wrong with them.
#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "formats/names.h"
#include "kernels/cuda/cuda_device.h"
#include "kernels/mutants/mutants.h"
#include "kernels/open_device.h"
#include "proptests/devices/process.h"
#include "proptests/mutation_run.h"
#include "tools/head_to_head.h"
#include "tools/outputs.h"
#include "tools/progress.h"
#include "tools/verb.h"

namespace assay::tools {
namespace {

using proptests::MutantRun;

struct Options {
  std::string target, truth, only;
  std::uint64_t seed = 1;
  bool head_to_head = false, list = false;
  Outputs outputs;
};

/// One wrong kernel: a mutant of this tree, or an entry of a plugin.
struct Subject {
  std::string id, description, source, lone;
  std::vector<std::string> truth;  ///< hypotheses that name its fault; empty: not known
  std::string entry;               ///< of the plugin
  MutantRun run;

  [[nodiscard]] bool named() const { return run.named(truth); }
};

std::vector<Subject> of_this_tree() {
  std::vector<Subject> subjects;
  for (const kernels::mutants::Mutant& m : kernels::mutants::all_mutants())
    subjects.push_back({std::string(m.id),
                        std::string(m.description),
                        std::string(m.source),
                        std::string(m.lone),
                        {std::string(m.fault)},
                        {},
                        {}});
  return subjects;
}

std::vector<Subject> of_gpu() {
  std::vector<Subject> subjects;
  for (const kernels::CudaMutant& m : kernels::cuda_mutants())
    subjects.push_back(
        {std::string(m.id), std::string(m.description), std::string(m.source), "", {}, {}, {}});
  return subjects;
}

/// Each entry of the plugin is a mutant. The truth file: {entry: [hypotheses that name its fault]}.
std::vector<Subject> of_plugin(proptests::Device& device, const std::string& truth_file) {
  nlohmann::json truth = nlohmann::json::object();
  if (!truth_file.empty()) {
    std::ifstream in(truth_file);
    truth = nlohmann::json::parse(in, nullptr, false);
    if (!in || !truth.is_object())
      throw std::invalid_argument("--truth " + truth_file +
                                  " is not a JSON object of entry names and lists of hypotheses");
  }
  std::vector<Subject> subjects;
  for (const kernels::Claim& claim : device.claims()) {
    const std::string name = name_of(claim);
    const bool seen = std::any_of(subjects.begin(), subjects.end(),
                                  [&](const Subject& s) { return s.entry == name; });
    if (seen) continue;  // another tactic
    Subject subject{name, "", "", "", {}, name, {}};
    if (const auto row = truth.find(name); row != truth.end())
      subject.truth = row->get<std::vector<std::string>>();
    subjects.push_back(std::move(subject));
  }
  return subjects;
}

void keep_only(std::vector<Subject>& subjects, const std::string& id) {
  std::vector<std::string> ids;
  for (const Subject& s : subjects) ids.push_back(s.id);
  std::erase_if(subjects, [&](const Subject& s) { return s.id != id; });
  if (!subjects.empty()) return;
  if (ids.empty()) throw std::invalid_argument("the plugin has no entry");
  throw std::invalid_argument(fmt::format(
      "no mutant is called '{}'; did you mean '{}'?", id,
      formats::nearest_name(id, std::vector<std::string_view>(ids.begin(), ids.end()))));
}

std::string line_of(const Subject& s) {
  const auto& candidates = s.run.diagnosis.candidates;
  std::string said = candidates.empty() ? "-" : candidates.front().id;
  if (!candidates.empty() && !candidates.front().where.empty())
    said += ", " + candidates.front().where;
  const char* verdict = s.truth.empty() ? "" : s.named() ? "right" : "wrong";
  std::string text = fmt::format("{:<34}{:>4}/{:<4}{:>7}  {:<28}{:<6}", s.id, s.run.killers.size(),
                                 s.run.properties, s.run.cases_to_kill, said, verdict);
  text += s.run.killed() ? s.run.killers.front() : "SURVIVED";
  if (candidates.size() > 1) {
    text += "  (or";
    for (std::size_t i = 1; i < candidates.size() && i < 4; ++i) text += " " + candidates[i].id;
    text += ")";
  }
  return text + "\n";
}

struct Totals {
  std::int64_t killed = 0, named = 0, known = 0, lonely = 0, median = 0;
};
Totals totals_of(const std::vector<Subject>& subjects) {
  Totals t;
  std::vector<std::int64_t> cases;
  for (const Subject& s : subjects) {
    t.killed += s.run.killed() ? 1 : 0;
    t.known += s.truth.empty() ? 0 : 1;
    t.named += s.named() ? 1 : 0;
    t.lonely += s.run.killers.size() == 1 && s.lone.empty() ? 1 : 0;
    if (s.run.killed()) cases.push_back(s.run.cases_to_kill);
  }
  if (!cases.empty()) {
    std::nth_element(cases.begin(), cases.begin() + cases.size() / 2, cases.end());
    t.median = cases[cases.size() / 2];
  }
  return t;
}

nlohmann::ordered_json to_json(const std::vector<Subject>& subjects, const Options& options) {
  const Totals totals = totals_of(subjects);
  nlohmann::ordered_json document = {
      {"command", fmt::format("assay mutants {} --seed {}", options.target, options.seed)},
      {"mutants", subjects.size()},
      {"killed", totals.killed},
      {"with_known_fault", totals.known},
      {"named", totals.named},
      {"median_cases_to_first_kill", totals.median},
      {"rows", nlohmann::ordered_json::array()}};
  for (const Subject& s : subjects) {
    nlohmann::ordered_json candidates = nlohmann::ordered_json::array();
    for (const proptests::Candidate& c : s.run.diagnosis.candidates)
      candidates.push_back({{"id", c.id}, {"name", c.name}, {"where", c.where}});
    document["rows"].push_back({{"id", s.id},
                                {"description", s.description},
                                {"source", s.source},
                                {"properties", s.run.properties},
                                {"killed_by", s.run.killers},
                                {"why_one_property", s.lone},
                                {"cases_to_first_kill", s.run.cases_to_kill},
                                {"diagnosis", std::move(candidates)},
                                {"evidence", s.run.diagnosis.evidence},
                                {"fault", s.truth},
                                {"named", s.named()}});
  }
  return document;
}

/// The table of docs/evidence/mutants.md.
std::string to_markdown(const std::vector<Subject>& subjects) {
  const Totals t = totals_of(subjects);
  std::string text = fmt::format("* Killed: **{} of {}**", t.killed, subjects.size());
  text += fmt::format("; by one property only and without a reason in its row: {}.\n", t.lonely);
  text += fmt::format("* Median of the cases to the first kill: **{}**.\n", t.median);
  if (t.known > 0)
    text += fmt::format(
        "* The first name that the diagnosis gives is right for **{} of {}** ({:.1f} %).\n",
        t.named, t.known, 100.0 * static_cast<double>(t.named) / static_cast<double>(t.known));
  text +=
      "\n| mutant | what is wrong with it | killed by | cases | named |\n|---|---|---|---|---|\n";
  for (const Subject& s : subjects) {
    const auto& said = s.run.diagnosis.candidates;
    const std::string first = said.empty() ? "nothing" : "`" + said.front().id + "`";
    std::string what = s.description;
    for (std::size_t at = what.find('|'); at != what.npos; at = what.find('|', at + 2))
      what.insert(at, "\\");
    text += fmt::format("| `{}` | {} | {} of {}{} | {} | {} |\n", s.id, what, s.run.killers.size(),
                        s.run.properties, s.lone.empty() ? "" : ": " + s.lone, s.run.cases_to_kill,
                        s.truth.empty() ? first
                        : s.named()     ? "right"
                                        : "wrong: " + first);
  }
  return text;
}

/// The same mutants under the criteria of public suites, as a Markdown table.
ExitCode compare_suites(const Options& options) {
  const auto criteria = published_criteria();
  const HeadToHead suites;
  const std::vector<proptests::Property> properties = proptests::device_properties();
  const auto control = proptests::in_process(kernels::mutants::make_unmutated());
  const std::vector<bool> right = suites.passes(*control).value();
  std::vector<std::int64_t> killed(criteria.size());
  std::int64_t by_assay = 0;
  std::int64_t by_any = 0;
  std::int64_t asked = 0;
  std::int64_t asked_by_assay = 0;
  std::string matrix = "| mutant |";
  for (std::size_t i = 0; i < criteria.size(); ++i) matrix += fmt::format(" {} |", i + 1);
  matrix += " assay |\n|---|";
  for (std::size_t i = 0; i <= criteria.size(); ++i) matrix += "---|";
  matrix += "\n";
  const auto mutants = kernels::mutants::all_mutants();
  Progress progress("mutants", static_cast<std::int64_t>(mutants.size()));
  for (const kernels::mutants::Mutant& m : mutants) {
    const auto device = proptests::in_process(kernels::mutants::make_mutant(m.id));
    const std::optional<std::vector<bool>> passed = suites.passes(*device);
    proptests::MutationOptions mutation;
    mutation.seed = options.seed;
    mutation.diagnose = false;
    const bool dead = proptests::run_mutant(*device, properties, mutation).killed();
    matrix += fmt::format("| {} |", m.id);
    bool any = false;
    for (std::size_t i = 0; i < criteria.size(); ++i) {
      // A criterion that a right kernel does not meet says nothing about a wrong one.
      const bool kills = right[i] && passed && !(*passed)[i];
      killed[i] += kills ? 1 : 0;
      any = any || kills;
      matrix += kills ? " killed |" : passed ? " |" : " - |";
    }
    asked += passed ? 1 : 0;
    asked_by_assay += passed && dead ? 1 : 0;
    by_any += any ? 1 : 0;
    by_assay += dead ? 1 : 0;
    matrix += dead ? " killed |\n" : " |\n";
    progress.advance(1);
  }
  fmt::print("| # | suite | criterion | right kernel | mutants killed |\n|---|---|---|---|---|\n");
  for (std::size_t i = 0; i < criteria.size(); ++i)
    fmt::print("| {} | {} | {} | {} | {} |\n", i + 1, criteria[i].suite, criteria[i].statement,
               right[i] ? "passes" : "fails",
               right[i] ? fmt::format("{}/{}", killed[i], asked) : "-");
  fmt::print("| | all of the above together | any of them rejects it | | {}/{} |\n", by_any, asked);
  fmt::print("| | assay, the same mutants | some property rejects it | passes | {}/{} |\n",
             asked_by_assay, asked);
  fmt::print("| | assay, all mutants | some property rejects it | passes | {}/{} |\n\n", by_assay,
             mutants.size());
  fmt::print(
      "`-`: the device has nothing that the suites call; the mutant is left out of their rows.\n\n"
      "{}",
      matrix);
  return by_assay == static_cast<std::int64_t>(mutants.size()) ? ExitCode::pass : ExitCode::fail;
}

ExitCode run(const Options& options) {
  if (options.head_to_head) return compare_suites(options);
  options.outputs.require_writable();
  const bool gpu = options.target == "cuda";
  if (options.list) {
    if (!options.target.empty() && !gpu)
      throw std::invalid_argument("--list is of this tree's mutants: give cuda or nothing");
    for (const Subject& s : gpu ? of_gpu() : of_this_tree()) fmt::print("{}\n", s.id);
    return ExitCode::pass;
  }
  if (std::string reason; gpu && kernels::open_device(options.target, reason) == nullptr) {
    fmt::print(stderr, "assay: not_supported: {}; none of the {} GPU mutants ran\n", reason,
               kernels::cuda_mutants().size());
    return ExitCode::absent;
  }
  std::unique_ptr<proptests::Device> plugin;
  if (!options.target.empty() && !gpu)
    plugin = proptests::in_own_process(proptests::device_command(options.target));
  std::vector<Subject> subjects = gpu      ? of_gpu()
                                  : plugin ? of_plugin(*plugin, options.truth)
                                           : of_this_tree();
  if (!options.only.empty()) keep_only(subjects, options.only);
  const std::vector<proptests::Property> properties = proptests::device_properties();
  const bool quiet = options.outputs.to_stdout();
  if (!quiet)
    fmt::print("{:<34}{:>4}/{:<4}{:>7}  {:<28}{:<6}{}\n", "mutant", "kill", "prop", "cases",
               "diagnosis", "", "first killed by");
  for (Subject& s : subjects) {
    std::unique_ptr<proptests::Device> own;
    if (gpu)  // a fault may take its process with it
      own = proptests::in_own_process(proptests::device_command("cuda-mutants." + s.id));
    else if (!plugin)
      own = proptests::in_process(kernels::mutants::make_mutant(s.id));
    proptests::MutationOptions mutation;
    mutation.seed = options.seed;
    mutation.entry = s.entry;
    s.run = proptests::run_mutant(plugin ? *plugin : *own, properties, mutation);
    if (!s.run.error.empty()) throw std::logic_error(s.id + ": " + s.run.error);
    if (!quiet) {
      fmt::print("{}", line_of(s));
      std::fflush(stdout);
    }
  }
  options.outputs.write_json(to_json(subjects, options));
  options.outputs.write_markdown([&] { return to_markdown(subjects); });
  const Totals t = totals_of(subjects);
  if (!quiet) {
    fmt::print("killed {}/{}", t.killed, subjects.size());
    if (t.known > 0) fmt::print(", named right {}/{}", t.named, t.known);
    fmt::print(", median {} cases to the first kill", t.median);
    if (t.lonely > 0) fmt::print(", {} killed by one property only", t.lonely);
    fmt::print("\n");
  }
  return t.killed == static_cast<std::int64_t>(subjects.size()) ? ExitCode::pass : ExitCode::fail;
}

}  // namespace

Action declare_mutants(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("PLUGIN", options->target,
                 "a shared object or script, every entry of which is wrong in one way; cuda: the "
                 "wrong GPU kernels of this tree; without it: its other wrong kernels");
  app.add_option("--truth", options->truth,
                 "what is wrong with the entries of the plugin: {\"entry\": [\"hypothesis\", ..]}");
  app.add_flag("--head-to-head", options->head_to_head,
               "the wrong kernels of this tree under the criteria of public test suites");
  app.add_flag("--list", options->list, "the ids of this tree's mutants, or of cuda's; none runs");
  app.add_option("--only", options->only, "this mutant or entry alone");
  app.add_option("--seed", options->seed, "of the cases (default 1)");
  options->outputs.declare_json(app);
  options->outputs.declare_markdown(app);
  return [options] { return run(*options); };
}

}  // namespace assay::tools

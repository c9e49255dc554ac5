// SPDX-License-Identifier: Apache-2.0
#include "tools/operand_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <span>

#include "analysis/statistics.h"
#include "proptests/sha256.h"
#include "simulator/operand_audit.h"
#include "simulator/recording_parts.h"
#include "simulator/safetensors.h"
#include "tools/operand_journal.h"
#include "tools/progress.h"
#include "tools/table.h"

namespace assay::tools {
namespace {

using simulator::Operand;
using simulator::OperandSource;

std::string key_of(const OperandRun& run, const OperandSource& source) {
  std::string text = run.program + "\n" + source.identity() + written(run.path, run.journal) +
                     fmt::format("\n{} {}\n", run.options.seed, run.options.step);
  for (const std::string& recipe : run.recipe_texts) text += recipe + "\n";
  return proptests::sha256(text);
}

/// A recording that was killed has files and no manifest: it is no checkpoint either.
void refuse_killed(const std::filesystem::path& folder) {
  std::error_code error;
  if (!std::filesystem::is_directory(folder, error)) return;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".safetensors") continue;
    if (simulator::SafetensorsFile(entry.path()).header().metadata.contains("assay-recording"))
      throw simulator::InputError(folder.string() +
                                  ": has files of a recording and no recording.json (was the "
                                  "recorder killed?); record it again.");
  }
}

std::string share(std::uint64_t part, std::int64_t whole) {
  return part == 0 ? "0"
                   : fmt::format("{:.2g} %",
                                 100.0 * static_cast<double>(part) / static_cast<double>(whole));
}

std::vector<std::string> row_of(const std::string& recipe, const simulator::TensorReplay& t) {
  return {recipe,
          t.tensor,
          t.format,
          fmt::format("{}x{}", t.rows, t.cols),
          fmt::format("{:.5f}", t.error.gain),
          fmt::format("{:.3e}", t.error.nsr),
          fmt::format("{:.3e}", t.worst_block_error),
          fmt::format("{}", t.worst_block),
          share(t.flushed, t.rows * t.cols),
          share(t.clipped, t.rows * t.cols)};
}

}  // namespace

bool is_recording(const std::filesystem::path& path) {
  std::error_code error;
  return std::filesystem::exists(path / "recording.json", error) ||
         !simulator::recording_parts(path).empty();
}

std::vector<analysis::Replayed> run_operands(const OperandRun& run) {
  std::optional<simulator::Recording> recording;
  std::unique_ptr<simulator::Checkpoint> checkpoint;
  std::unique_ptr<OperandSource> source;
  if (is_recording(run.path)) {
    recording.emplace(simulator::Recording::open(run.path));
    source = simulator::operands_of(*recording);
  } else {
    refuse_killed(run.path);
    checkpoint = simulator::open_checkpoint(run.path);
    source = simulator::operands_of(*checkpoint, run.path.filename().string());
  }
  std::optional<OperandJournal> journal;
  if (!run.journal.empty()) journal.emplace(run.journal, key_of(run, *source), run.resume);

  std::vector<analysis::Replayed> replays;
  for (const simulator::Recipe& recipe : run.recipes) {
    simulator::ReplayResult result;
    result.recording = source->name();
    result.recipe = recipe.name;
    result.training_step = source->training_step();
    result.seed = run.options.seed;
    result.notes = source->notes();
    replays.push_back({recipe, std::move(result)});
  }
  std::int64_t elements = 0;
  for (const Operand& o : source->operands()) elements += o.rows * o.cols;
  Progress progress("operands", elements);
  const auto& operands = source->operands();
  for (std::size_t i = 0; i < operands.size(); ++i) {
    std::vector<simulator::OperandResult> results;
    const bool known = journal && journal->found().contains(i);
    if (known) {
      results = journal->found().at(i);
    } else {
      results = simulator::audit_operand(*source, operands[i], run.recipes, run.options,
                                         std::span(operands).subspan(i + 1));
      if (journal) journal->append(i, results);
    }
    for (auto& r : results) replays[r.recipe].result.tensors.push_back(std::move(r.tensor));
    progress.advance(operands[i].rows * operands[i].cols, known);
  }
  for (auto& replayed : replays) {
    const auto& tensors = replayed.result.tensors;
    if (std::any_of(tensors.begin(), tensors.end(),
                    [](const auto& t) { return t.stand_in_scales; }))
      replayed.result.notes.emplace_back(
          "No learned scales are recorded: the group scale of least squared error stands in.");
  }
  return replays;
}

std::string operand_text(const std::vector<analysis::Replayed>& replays, int worst) {
  std::vector<std::vector<std::string>> classes{{"recipe", "class", "role", "tensors", "elements",
                                                 "gain", "NSR", "largest NSR", "worst block"}};
  std::vector<std::vector<std::string>> tensors{{"recipe", "tensor", "format", "shape", "gain",
                                                 "NSR", "worst block", "at block", "to zero",
                                                 "clipped"}};
  std::string notes;
  for (const analysis::Replayed& replayed : replays) {
    using Key = std::pair<simulator::Role, simulator::TensorClass>;
    std::map<Key, std::vector<const simulator::TensorReplay*>> groups;
    std::vector<const simulator::TensorReplay*> by_nsr;
    for (const auto& t : replayed.result.tensors) {
      groups[{t.role, t.tensor_class}].push_back(&t);
      by_nsr.push_back(&t);
    }
    for (const auto& [key, group] : groups) {
      std::vector<double> gain;
      std::vector<double> nsr;
      double block = 0;
      std::int64_t elements = 0;
      for (const auto* t : group) {
        gain.push_back(t->error.gain);
        nsr.push_back(t->error.nsr);
        block = std::max(block, t->worst_block_error);
        elements += t->rows * t->cols;
      }
      classes.push_back({replayed.recipe.name, std::string(simulator::name(key.second)),
                         std::string(simulator::name(key.first)), fmt::format("{}", group.size()),
                         fmt::format("{}", elements),
                         fmt::format("{:.5f}", analysis::quantile(gain, 0.5)),
                         fmt::format("{:.3e}", analysis::quantile(nsr, 0.5)),
                         fmt::format("{:.3e}", *std::max_element(nsr.begin(), nsr.end())),
                         fmt::format("{:.3e}", block)});
    }
    std::stable_sort(by_nsr.begin(), by_nsr.end(),
                     [](const auto* a, const auto* b) { return a->error.nsr > b->error.nsr; });
    for (std::size_t i = 0; i < by_nsr.size() && i < static_cast<std::size_t>(worst); ++i)
      tensors.push_back(row_of(replayed.recipe.name, *by_nsr[i]));
    for (const std::string& note : replayed.result.notes)
      notes += fmt::format("note: {}: {}\n", replayed.recipe.name, note);
  }
  std::string text;
  if (!replays.empty())
    text += fmt::format(
        "{}, step {}: operands by themselves; gain and NSR are medians over tensors\n\n",
        replays.front().result.recording, replays.front().result.training_step);
  text += table(classes);
  if (worst > 0 && tensors.size() > 1) text += "\ntensors of largest NSR\n" + table(tensors);
  return text + notes;
}

}  // namespace assay::tools

// SPDX-License-Identifier: Apache-2.0
// codec_sweep: the codec over its whole domain. Without options every cell runs; each prints one
// line; exit 1 if any input differs, 4 for bad usage, 5 if the filter leaves nothing.
//
// --part K/N runs every N-th batch (the six modes of a policy), from the K-th on: N runs with K = 0
// .. N - 1 do everything. --part today/N takes the days since 1970-01-01 modulo N for K, so that a
// machine that runs it daily has swept the whole matrix after N days; the environment variable
// ASSAY_SWEEP_PART replaces the option's value, to repeat a part.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "exhaustive/ledger.h"
#include "exhaustive/sweep.h"

namespace assay::exhaustive {
namespace {

// Cells that run together.
struct Batch {
  std::vector<std::string> names;  ///< of the cells, as --only matches them
  std::string group;               ///< ledger row
  std::function<std::vector<Outcome>(const std::vector<bool>& chosen, int threads)> run;
};

std::string group_of(const Cell& cell) {
  if (!cell.profile.empty()) {
    return fmt::format("{}, {}; all FP32 inputs against the CUDA headers' host functions",
                       cell.spec->name, cell.profile);
  }
  return fmt::format(
      "{}, six deterministic modes, every policy it can express; all FP32 inputs against golden's "
      "decision intervals",
      cell.spec->name);
}

bool same_batch(const Cell& a, const Cell& b) {
  return a.spec == b.spec && a.profile == b.profile && a.policy.overflow == b.policy.overflow &&
         a.policy.nan == b.policy.nan && a.policy.unsigned_rule == b.policy.unsigned_rule;
}

void add_batches(const std::vector<Cell>& cells, std::vector<Batch>& batches) {
  for (auto first = cells.begin(); first != cells.end();) {
    const auto end = std::find_if(first, cells.end(),
                                  [first](const Cell& cell) { return !same_batch(*first, cell); });
    const std::vector<Cell> together(first, end);
    Batch batch{{}, group_of(*first), {}};
    for (const Cell& cell : together) batch.names.push_back(cell.name());
    batch.run = [together](const std::vector<bool>& chosen, int threads) {
      std::vector<Cell> some;
      for (std::size_t i = 0; i < together.size(); ++i) {
        if (chosen[i]) some.push_back(together[i]);
      }
      return sweep(some, threads);
    };
    batches.push_back(std::move(batch));
    first = end;
  }
}

std::vector<Batch> all_batches() {
  std::vector<Batch> batches;
  add_batches(golden_cells(), batches);
  add_batches(cuda_cells(), batches);
  struct Stochastic {
    const formats::FormatSpec* spec;
    int per_interval;
    int intervals;
  };
  // The narrow formats in full; wider formats have more intervals, of which some and fewer inputs
  // in each.
  for (const Stochastic& s :
       {Stochastic{&formats::e2m1, 4096, 1 << 20}, Stochastic{&formats::int4, 4096, 1 << 20},
        Stochastic{&formats::e2m3, 256, 1 << 20}, Stochastic{&formats::e3m2, 256, 1 << 20},
        Stochastic{&formats::e4m3, 64, 1 << 20}, Stochastic{&formats::e5m2, 64, 1 << 20},
        Stochastic{&formats::bf16, 16, 256}}) {
    batches.push_back(
        {{fmt::format("stochastic/{}", s.spec->name)},
         fmt::format("{}, stochastic, n = 1..16, all 2^n words on {} inputs of each sign per "
                     "interval (count: roundings)",
                     s.spec->name, s.per_interval),
         [s](const std::vector<bool>&, int threads) {
           return std::vector{sweep_stochastic(*s.spec, s.per_interval, s.intervals, threads)};
         }});
  }
  return batches;
}

// Which batches --part leaves.
struct Part {
  std::size_t index = 0;
  std::size_t of = 1;
};

std::size_t number(std::string_view text, const std::string& part) {
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw std::invalid_argument("--part is K/N or today/N, not '" + part + "'");
  }
  return value;
}

Part part_of(const std::string& option) {
  const char* replaced = std::getenv("ASSAY_SWEEP_PART");
  const std::string text = !option.empty() && replaced != nullptr ? replaced : option;
  if (text.empty()) return {};
  const std::size_t slash = std::min(text.find('/'), text.size() - 1);
  const std::string_view index = std::string_view(text).substr(0, slash);
  Part part{0, number(std::string_view(text).substr(slash + 1), text)};
  if (part.of == 0) throw std::invalid_argument("--part " + text + ": there are no 0 parts");
  const bool today = index == "today";
  const std::size_t day = static_cast<std::size_t>(std::time(nullptr)) / 86400;
  part.index = today ? day % part.of : number(index, text);
  if (part.index >= part.of) {
    throw std::invalid_argument("--part " + text + ": K is 0 .. N - 1");
  }
  fmt::print("part {}/{}; ASSAY_SWEEP_PART={}/{} repeats it\n", part.index, part.of, part.index,
             part.of);
  return part;
}

int run(int argc, char** argv) {
  CLI::App app{"The codec over its whole domain, held against golden and the CUDA headers"};
  std::vector<std::string> only;
  int threads = 1;
  bool list = false;
  std::string ledger;
  std::string section = "codec";
  std::string commit;
  std::string part_option;
  app.add_option("--only", only, "cells whose name has one of these strings");
  app.add_option("--part", part_option, "K/N or today/N: every N-th batch from the K-th on");
  app.add_option("--threads", threads, "threads")->check(CLI::Range(1, 4096));
  app.add_flag("--list", list, "print the names of the cells and run none");
  app.add_option("--ledger", ledger, "rewrite this driver's section of LEDGER.md");
  app.add_option("--section", section, "the section's name; default codec");
  app.add_option("--commit", commit, "recorded in the ledger");
  CLI11_PARSE(app, argc, argv);

  const Part part = part_of(part_option);
  std::string command = "codec_sweep";
  for (const std::string& text : only) command += " --only " + text;
  if (part.of != 1) command += fmt::format(" --part {}/{}", part.index, part.of);
  if (threads != 1) command += fmt::format(" --threads {}", threads);
  const std::vector<Batch> batches = all_batches();
  const auto cells_of = [&batches](const std::string& group) {
    std::size_t cells = 0;
    for (const Batch& batch : batches) cells += batch.group == group ? batch.names.size() : 0;
    return static_cast<int>(cells);
  };
  const auto matches = [&only](const std::string& name) {
    return only.empty() || std::any_of(only.begin(), only.end(), [&name](const auto& text) {
             return name.find(text) != std::string::npos;
           });
  };
  std::vector<LedgerRow> rows;
  std::uint64_t differences = 0;
  std::size_t ran = 0;
  for (std::size_t b = part.index; b < batches.size(); b += part.of) {
    const Batch& batch = batches[b];
    std::vector<std::string> names;
    std::vector<bool> chosen;
    for (const std::string& name : batch.names) {
      chosen.push_back(matches(name));
      if (chosen.back()) names.push_back(name);
    }
    ran += names.size();
    if (names.empty()) continue;
    if (list) {
      for (const std::string& name : names) fmt::print("{}\n", name);
      continue;
    }
    const std::vector<Outcome> outcomes = batch.run(chosen, threads);
    for (std::size_t i = 0; i < names.size(); ++i) {
      const Outcome& outcome = outcomes[i];
      differences += outcome.differences;
      fmt::print("{}: {} inputs, {} differences, {:.1f} s{}{}\n", names[i], outcome.inputs,
                 outcome.differences, outcome.seconds, outcome.first.empty() ? "" : "; ",
                 outcome.first);
      add_to_ledger(rows, {batch.group, 1, outcome.inputs, outcome.differences, outcome.seconds,
                           cells_of(batch.group)});
    }
    std::fflush(stdout);
    // After every batch: an interrupted run leaves what it has proved.
    if (!ledger.empty()) write_ledger(ledger, section, rows, command, commit);
  }
  if (ran == 0) {
    fmt::print(stderr, "no cell has such a name; --list prints them\n");
    return 5;
  }
  return differences == 0 ? 0 : 1;
}

}  // namespace
}  // namespace assay::exhaustive

int main(int argc, char** argv) {
  try {
    return assay::exhaustive::run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "codec_sweep: {}\n", error.what());
    return 4;
  }
}

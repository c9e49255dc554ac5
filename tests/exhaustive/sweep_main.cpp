// SPDX-License-Identifier: Apache-2.0
// codec_sweep: the codec over its whole domain. Without options every cell runs; each prints one
// line; exit 1 if any input differs, 4 for bad usage, 5 if the filter leaves nothing.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <exception>
#include <functional>
#include <string>
#include <vector>

#include "exhaustive/ledger.h"
#include "exhaustive/sweep.h"

namespace assay::exhaustive {
namespace {

struct Job {
  std::string name;   ///< cell, as --only matches it
  std::string group;  ///< ledger row
  std::function<Outcome(int threads)> run;
  bool later = false;  ///< differs from another cell in the code of NaN inputs only
};

std::vector<Job> all_jobs() {
  std::vector<Job> jobs;
  const auto add = [&jobs](const std::vector<Cell>& cells) {
    for (const Cell& cell : cells) {
      const std::string group =
          cell.profile.empty()
              ? fmt::format(
                    "{}, six deterministic modes, every policy it can express; all FP32 "
                    "inputs against golden's decision intervals",
                    cell.spec->name)
              : fmt::format("{}, {}; all FP32 inputs against the CUDA headers' host functions",
                            cell.spec->name, cell.profile);
      const bool first_nan_rule =
          cell.policy.nan == (cell.spec == &formats::e2m1 ? formats::NanRule::max_finite
                                                          : formats::NanRule::canonical);
      jobs.push_back({cell.name(), group, [cell](int threads) { return sweep(cell, threads); },
                      cell.profile.empty() && !first_nan_rule});
    }
  };
  add(golden_cells());
  add(cuda_cells());
  struct Stochastic {
    const formats::FormatSpec* spec;
    int per_interval;
    int intervals;
  };
  // e2m1 in full; wider formats have more intervals, of which some and fewer inputs in each.
  for (const Stochastic& s :
       {Stochastic{&formats::e2m1, 4096, 1 << 20}, Stochastic{&formats::e4m3, 64, 1 << 20},
        Stochastic{&formats::bf16, 16, 256}}) {
    jobs.push_back(
        {fmt::format("golden/{}/stochastic", s.spec->name),
         fmt::format("{}, stochastic, n = 1..16, all 2^n words on {} inputs of each sign per "
                     "interval (count: roundings)",
                     s.spec->name, s.per_interval),
         [s](int threads) {
           return sweep_stochastic(*s.spec, s.per_interval, s.intervals, threads);
         },
         false});
  }
  // What covers the most comes first, for runs that are interrupted.
  std::stable_partition(jobs.begin(), jobs.end(), [](const Job& job) { return !job.later; });
  return jobs;
}

int run(int argc, char** argv) {
  CLI::App app{"The codec over its whole domain, held against golden and the CUDA headers"};
  std::vector<std::string> only;
  int threads = 1;
  bool list = false;
  std::string ledger;
  std::string section = "codec";
  std::string commit;
  app.add_option("--only", only, "cells whose name has one of these strings");
  app.add_option("--threads", threads, "threads")->check(CLI::Range(1, 4096));
  app.add_flag("--list", list, "print the names of the cells and run none");
  app.add_option("--ledger", ledger, "rewrite this driver's section of LEDGER.md");
  app.add_option("--section", section, "the section's name; default codec");
  app.add_option("--commit", commit, "recorded in the ledger");
  CLI11_PARSE(app, argc, argv);

  std::string command = "codec_sweep";
  for (const std::string& part : only) command += " --only " + part;
  if (threads != 1) command += fmt::format(" --threads {}", threads);
  std::vector<LedgerRow> rows;
  std::uint64_t differences = 0;
  int ran = 0;
  const std::vector<Job> jobs = all_jobs();
  for (const Job& job : jobs) {
    const auto matches = [&job](const std::string& part) {
      return job.name.find(part) != std::string::npos;
    };
    if (!only.empty() && std::none_of(only.begin(), only.end(), matches)) continue;
    ++ran;
    if (list) {
      fmt::print("{}\n", job.name);
      continue;
    }
    const Outcome outcome = job.run(threads);
    differences += outcome.differences;
    fmt::print("{}: {} inputs, {} differences, {:.1f} s{}{}\n", job.name, outcome.inputs,
               outcome.differences, outcome.seconds, outcome.first.empty() ? "" : "; ",
               outcome.first);
    std::fflush(stdout);
    const auto in_all = std::count_if(
        jobs.begin(), jobs.end(), [&job](const Job& other) { return other.group == job.group; });
    add_to_ledger(rows, {job.group, 1, outcome.inputs, outcome.differences, outcome.seconds,
                         static_cast<int>(in_all)});
    // After every cell: an interrupted run leaves what it has proved.
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

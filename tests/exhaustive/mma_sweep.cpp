// SPDX-License-Identifier: Apache-2.0
// The interpreter of matrix units against the definition, on as many drawn operands as there is
// time for: batches by seed, a line of a journal each, so that a run goes on where it stopped.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "simulator/mma/double_dot.h"
#include "simulator/mma/golden_dot.h"
#include "simulator/mma/operand_families.h"

namespace assay::exhaustive {
namespace {

using simulator::DotOperands;
using simulator::MmaModel;
namespace tests = simulator::tests;

struct Options {
  std::uint64_t first = 1;
  int seeds = 1;
  int cases = 700;  ///< of each model and family in a batch
  int exact = 4;    ///< of them in big integers too; all of them for models that need those
  int threads = 1;
  std::string journal, commit;
};

struct Count {
  std::uint64_t cases = 0, exact = 0, differences = 0;
};

Count batch_of(const MmaModel& model, std::size_t number, std::uint64_t seed, const Options& o) {
  const tests::GoldenDot golden(model);
  tests::DoubleDot doubles(model);
  const bool fast = tests::DoubleDot::takes(model);
  tests::SplitMix random(seed * 1000003 + number);
  Count count;
  for (const tests::Family family : tests::families) {
    // Big integers are a thousand times as slow: a tenth of the cases where nothing else will do.
    const int cases = fast ? o.cases : std::max(o.exact, o.cases / 10);
    for (int i = 0; i < cases; ++i) {
      const int k = i % 16 == 0 ? 2 * model.step : i % 16 == 1 ? model.shortest_k : model.step;
      const tests::Operands x = draw(model, family, static_cast<std::size_t>(k), random);
      const DotOperands operands{x.a, x.b, x.c, x.scale_a, x.scale_b};
      const std::uint32_t d = dot(model, operands);
      bool same = !fast || d == doubles(operands);
      if (!fast || i < o.exact) {
        ++count.exact;
        same = same && d == golden(operands);
      }
      ++count.cases;
      if (!same && ++count.differences == 1)
        fmt::print(stderr, "{} {} seed {} case {} differs\n", model.name,
                   tests::family_names[static_cast<std::size_t>(family)], seed, i);
    }
  }
  return count;
}

Count batch(std::uint64_t seed, const Options& o) {
  const auto models = simulator::all_mma_models();
  std::vector<Count> counts(models.size());
#pragma omp parallel for schedule(dynamic) num_threads(o.threads)
  for (std::size_t i = 0; i < models.size(); ++i) counts[i] = batch_of(models[i], i, seed, o);
  Count all;
  for (const Count& c : counts) {
    all.cases += c.cases;
    all.exact += c.exact;
    all.differences += c.differences;
  }
  return all;
}

/// Seeds of the journal's lines; a line that a kill cut short does not count.
std::set<std::uint64_t> done(const std::string& journal) {
  std::set<std::uint64_t> seeds;
  std::ifstream file(journal);
  for (std::string line; std::getline(file, line);) {
    const auto row = nlohmann::json::parse(line, nullptr, false);
    if (row.is_object() && row.contains("seed")) seeds.insert(row["seed"].get<std::uint64_t>());
  }
  return seeds;
}

int run(const Options& o) {
  const std::set<std::uint64_t> before = done(o.journal);
  Count all;
  for (std::uint64_t seed = o.first; seed < o.first + static_cast<std::uint64_t>(o.seeds); ++seed) {
    if (before.contains(seed)) continue;
    const auto begin = std::chrono::steady_clock::now();
    const Count c = batch(seed, o);
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    all.cases += c.cases;
    all.exact += c.exact;
    all.differences += c.differences;
    if (o.journal.empty()) continue;
    std::ofstream file(o.journal, std::ios::app);
    file
        << fmt::format(
               R"({{"seed": {}, "cases": {}, "exact": {}, "differences": {}, "seconds": {:.2f}, "commit": "{}", "at": "{:%Y-%m-%dT%H:%M:%SZ}"}})",
               seed, c.cases, c.exact, c.differences, seconds, o.commit,
               fmt::gmtime(std::time(nullptr)))
        << std::endl;
    if (!file) {
      fmt::print(stderr, "mma_sweep: cannot write {}\n", o.journal);
      return 4;
    }
  }
  fmt::print(
      "{} cases, {} of them in big integers too, {} differences; {} seeds were done before\n",
      all.cases, all.exact, all.differences, before.size());
  if (all.cases == 0 && before.empty()) return 5;
  return all.differences == 0 ? 0 : 1;
}

}  // namespace
}  // namespace assay::exhaustive

int main(int argc, char** argv) {
  CLI::App app("The interpreter of matrix units against the definition, on drawn operands");
  assay::exhaustive::Options o;
  app.add_option("--first", o.first, "first seed (default 1)");
  app.add_option("--seeds", o.seeds, "batches, of successive seeds (default 1)");
  app.add_option("--cases", o.cases, "of each model and family in a batch (default 700)");
  app.add_option("--exact", o.exact, "of them held against big integers too (default 4)");
  app.add_option("--threads", o.threads, "default 1; the cases do not depend on it");
  app.add_option("--journal", o.journal, "a line per batch; seeds that have one are left out");
  app.add_option("--commit", o.commit, "what the journal says of the tree");
  CLI11_PARSE(app, argc, argv);
  return assay::exhaustive::run(o);
}

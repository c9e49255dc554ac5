// SPDX-License-Identifier: Apache-2.0
// Every planted fault is found, by two properties or with the reason why one alone can, and nine in
// ten are named. A mutant that survives says that the suite, not the mutant, is wrong.
//
// Naming takes far longer than finding, so a run names a third of the mutants, every day another
// one; ASSAY_MUTANTS=K/3 repeats a third, ASSAY_MUTANTS=all names all (exhaustive.mutants;
// docs/evidence/mutants.md is the last such run).
#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>
#include <iostream>
#include <span>
#include <string>

#include "kernels/mutants/mutants.h"
#include "proptests/device.h"
#include "proptests/mutation_run.h"

namespace assay::proptests {
namespace {

constexpr std::size_t thirds = 3;

bool is_named_today(std::size_t mutant) {
  const char* const asked = std::getenv("ASSAY_MUTANTS");
  const std::string part = asked == nullptr ? "" : asked;
  if (part == "all") return true;
  std::size_t third = static_cast<std::size_t>(std::time(nullptr)) / 86400 % thirds;
  if (part.size() == 3 && part.substr(1) == "/3" && part[0] >= '0' && part[0] < '3')
    third = static_cast<std::size_t>(part[0] - '0');
  else
    EXPECT_EQ(part, "") << "ASSAY_MUTANTS is K/3 or all";
  return mutant / 2 % thirds == third;  // of either half
}

/// In two halves, each held to the whole's standard, so that two processors share them.
class Mutation : public testing::TestWithParam<std::size_t> {};
INSTANTIATE_TEST_SUITE_P(Half, Mutation, testing::Values(0, 1));

TEST_P(Mutation, EveryMutantIsRejectedAndMostAreNamed) {
  const std::vector<Property> properties = device_properties();
  const std::span<const kernels::mutants::Mutant> mutants = kernels::mutants::all_mutants();
  std::size_t all = 0;  // that are named today
  std::size_t named = 0;
  for (std::size_t i = GetParam(); i < mutants.size(); i += 2) {
    const kernels::mutants::Mutant& mutant = mutants[i];
    MutationOptions options;
    options.diagnose = is_named_today(i);
    SCOPED_TRACE(std::string(mutant.id) + ": " + std::string(mutant.description));
    const auto device = in_process(kernels::mutants::make_mutant(mutant.id));
    const MutantRun run = run_mutant(*device, properties, options);
    EXPECT_EQ(run.error, "");
    EXPECT_TRUE(run.killed()) << "survived";
    EXPECT_TRUE(run.killers.size() >= 2 || !mutant.lone.empty())
        << "one property alone rejects it, and its row does not say why";
    std::cout << mutant.id << ": " << run.killers.size() << " properties, the first after "
              << run.cases_to_kill << " cases";
    if (options.diagnose) {
      const bool right = run.named(std::vector{std::string(mutant.fault)});
      ++all;
      named += right ? 1 : 0;
      std::cout << "; "
                << (run.diagnosis.candidates.empty()
                        ? "not named"
                        : "named " + run.diagnosis.candidates.front().id)
                << (right ? "" : " (wrong)");
    }
    std::cout << std::endl;
  }
  std::cout << "named right: " << named << " of " << all << "\n";
  EXPECT_GE(10 * named, 9 * all);
}

TEST(Unmutated, TheKernelTheyAreMadeFromPasses) {
  const auto device = in_process(kernels::mutants::make_unmutated());
  MutationOptions options;
  options.rounds = {64};
  const MutantRun run = run_mutant(*device, device_properties(), options);
  EXPECT_EQ(run.error, "");
  EXPECT_FALSE(run.killed()) << run.killers.front();
}

}  // namespace
}  // namespace assay::proptests

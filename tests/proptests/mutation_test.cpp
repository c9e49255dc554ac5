// SPDX-License-Identifier: Apache-2.0
// Every planted fault is found. A mutant that survives says that the suite, not the mutant, is
// wrong.
#include <gtest/gtest.h>

#include <iostream>
#include <string>

#include "kernels/mutants/mutants.h"
#include "proptests/certify.h"

namespace assay::proptests {
namespace {

class Mutation : public testing::TestWithParam<kernels::mutants::Mutant> {};

TEST_P(Mutation, IsRejected) {
  const auto device = in_process(kernels::mutants::make_mutant(GetParam().id));
  CertifyOptions options;
  options.target = device->name();
  options.shrink_trials = 0;
  // A few cases of every property first: most faults need no more.
  for (const std::int64_t cases : {8, 100, 1000}) {
    options.cases = cases;
    for (const Property& property : catalogue()) {
      if (!property.applies) continue;  // the library's own codec is no mutant's
      const Verdict verdict = run_property(property, *device, options);
      ASSERT_NE(verdict.status, Status::error) << verdict.detail;
      if (verdict.status != Status::fail) continue;
      std::cout << GetParam().id << ": killed by " << verdict.property << " after " << verdict.cases
                << " cases (" << GetParam().description << ")\n";
      return;
    }
  }
  FAIL() << GetParam().id << " survived: " << GetParam().description;
}

INSTANTIATE_TEST_SUITE_P(All, Mutation,
                         testing::ValuesIn(kernels::mutants::all_mutants().begin(),
                                           kernels::mutants::all_mutants().end()),
                         [](const auto& info) { return std::string(info.param.id); });

}  // namespace
}  // namespace assay::proptests

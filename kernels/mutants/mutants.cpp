// SPDX-License-Identifier: Apache-2.0
#include "kernels/mutants/mutants.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "formats/names.h"
#include "kernels/mutants/scalar_device.h"
#include "kernels/mutants/wrong_steps.h"

namespace assay::kernels::mutants {

std::span<const Mutant> all_mutants() {
  static const std::vector<Mutant> all = [] {
    std::vector<Mutant> rows;
    for (const auto part : {quantizer_mutants(), product_mutants(), training_mutants(),
                            behaviour_mutants(), call_mutants(), operation_mutants()})
      rows.insert(rows.end(), part.begin(), part.end());
    return rows;
  }();
  return all;
}

std::unique_ptr<DeviceUnderTest> make_unmutated() {
  return make_scalar_device("mutants.none", right_steps());
}

std::unique_ptr<DeviceUnderTest> make_mutant(std::string_view id) {
  if (id == "none") return make_unmutated();
  const auto all = all_mutants();
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const Mutant& m) { return m.id == id; });
  if (found == all.end()) {
    std::vector<std::string_view> known{"none"};
    for (const Mutant& m : all) known.push_back(m.id);
    throw std::invalid_argument("no mutant is called '" + std::string(id) + "'; did you mean '" +
                                std::string(formats::nearest_name(id, known)) +
                                "'? 'assay mutants --list' prints them all, and 'none' is right");
  }
  if (found->spoil == nullptr) return found->make(found->id);
  Steps steps = right_steps();
  found->spoil(steps);
  return make_scalar_device("mutants." + std::string(id), steps);
}

}  // namespace assay::kernels::mutants

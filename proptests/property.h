// SPDX-License-Identifier: Apache-2.0
#pragma once
// A property: what must hold, the section of a specification it follows from, and where its cases
// come from. The catalogue is the list of all of them; ids are stable and are never renumbered.

#include <rapidcheck.h>

#include <functional>
#include <string>
#include <vector>

#include "proptests/experiment.h"

namespace assay::proptests {

struct Property {
  std::string id;  ///< a slug: operation.format.aspect
  std::string section;
  std::string statement;
  /// Whether a claim is something this property is about. Null: the property is about the library's
  /// own host code, not about a device.
  std::function<bool(const kernels::Claim&)> applies;
  /// A case for this claim, with its shrinks. Depends on the arguments alone.
  std::function<rc::Shrinkable<ExperimentPtr>(const kernels::Claim&, const rc::Random&)> generate;
  /// Set instead of `generate` where the cases go through a finite domain: case 0, 1, 2, ... of
  /// this claim; the random words decide what the domain leaves open. Beyond its size it starts
  /// over.
  std::function<rc::Shrinkable<ExperimentPtr>(const kernels::Claim&, std::int64_t index,
                                              const rc::Random&)>
      enumerate = {};
};

[[nodiscard]] std::vector<Property> quantize_properties();
[[nodiscard]] std::vector<Property> dequantize_properties();
[[nodiscard]] std::vector<Property> gemm_properties();
[[nodiscard]] std::vector<Property> qat_properties();
[[nodiscard]] std::vector<Property> codec_properties();
[[nodiscard]] std::vector<Property> convert_properties();
[[nodiscard]] std::vector<Property> grouped_properties();
[[nodiscard]] std::vector<Property> fused_properties();
[[nodiscard]] std::vector<Property> gated_properties();
[[nodiscard]] std::vector<Property> layout_properties();
[[nodiscard]] std::vector<Property> stochastic_properties();
[[nodiscard]] std::vector<Property> transpose_properties();

/// All of the above, in this order.
[[nodiscard]] std::vector<Property> catalogue();

/// Turns a generator of plain cases and a function that lists simpler cases into
/// Property::generate. `simpler` returns an rc::Seq<Case>; every case in it must be strictly
/// simpler, so that shrinking ends.
template <class Case, class Generate, class Simpler, class Wrap>
rc::Shrinkable<ExperimentPtr> shrinkable_experiment(const Generate& generate, Simpler simpler,
                                                    const Wrap& wrap) {
  rc::Shrinkable<Case> cases = rc::shrinkable::shrinkRecur(Case(generate()), simpler);
  return rc::shrinkable::map(std::move(cases),
                             [wrap](Case&& c) -> ExperimentPtr { return wrap(std::move(c)); });
}

}  // namespace assay::proptests

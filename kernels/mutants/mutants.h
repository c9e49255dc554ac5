// SPDX-License-Identifier: Apache-2.0
#pragma once
// Kernels that are wrong on purpose, each in exactly one way that was found in real kernels.
// Certification must reject every one of them.

#include <memory>
#include <span>
#include <string_view>

#include "kernels/device_under_test.h"

namespace assay::kernels::mutants {

struct Steps;

struct Mutant {
  std::string_view id;           ///< a slug
  std::string_view description;  ///< what is wrong, in one line
  std::string_view source;       ///< the class of real bugs it stands for
  std::string_view fault;        ///< the hypothesis (proptests/diagnosis) that should name it
  /// Replaces a step of the right kernel; or, where conduct and not arithmetic is wrong, `make`.
  void (*spoil)(Steps& steps) = nullptr;
  std::unique_ptr<DeviceUnderTest> (*make)(std::string_view id) = nullptr;
  /// Why one property alone can reject it; empty: two must.
  std::string_view lone = {};
};

[[nodiscard]] std::span<const Mutant> all_mutants();

/// The device "mutants.<id>". Throws std::invalid_argument for an unknown id.
[[nodiscard]] std::unique_ptr<DeviceUnderTest> make_mutant(std::string_view id);

/// The kernel that the mutants are made from, unchanged: device "mutants.none". It must pass.
[[nodiscard]] std::unique_ptr<DeviceUnderTest> make_unmutated();

}  // namespace assay::kernels::mutants

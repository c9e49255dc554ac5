// SPDX-License-Identifier: Apache-2.0
#pragma once
// Frozen lists of properties that a kernel must pass to carry a profile's name. A list never
// changes: a property that is added later goes into the next version (quantize-1.1), so that two
// certificates of the same name mean the same. The lists are the files profiles/NAME.txt, an
// id per line, embedded in the library.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/device_under_test.h"

namespace assay::proptests {

struct Profile {
  std::string_view name;       ///< quantize-1.0, ...
  std::string_view statement;  ///< what it covers, in one sentence
  /// Whether an entry with this claim can carry the profile.
  bool (*about)(const kernels::Claim&);
  std::string_view text;  ///< the file, byte for byte
  std::vector<std::string_view> ids;
};

[[nodiscard]] std::span<const Profile> all_profiles();
/// Throws std::invalid_argument that suggests the nearest name.
[[nodiscard]] const Profile& find_profile(std::string_view name);
/// FNV-1a over the file, 16 hexadecimal digits: what a report names beside the profile, so that
/// changed lists are noticed. No protection against forgery.
[[nodiscard]] std::string hash_of(const Profile& profile);

}  // namespace assay::proptests

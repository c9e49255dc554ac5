// SPDX-License-Identifier: Apache-2.0
#include "tools/selection.h"

#include <algorithm>
#include <stdexcept>

#include "kernels/abi/claim_text.h"
#include "proptests/profiles.h"

namespace assay::tools {

std::vector<proptests::Property> selected_properties(const std::string& selection,
                                                     const kernels::Claim& claim) {
  const auto profiles = proptests::all_profiles();
  const auto profile = std::find_if(profiles.begin(), profiles.end(),
                                    [&](const auto& p) { return p.name == selection; });
  proptests::Selection chosen;
  if (profile == profiles.end())
    chosen.property = selection;
  else
    chosen.ids.assign(profile->ids.begin(), profile->ids.end());
  std::vector<proptests::Property> properties = proptests::select(chosen);
  std::erase_if(properties,
                [&](const proptests::Property& p) { return !p.applies || !p.applies(claim); });
  if (properties.empty())
    throw std::invalid_argument("no property of '" + selection + "' is about the claim '" +
                                kernels::abi::text_of(claim) +
                                "'; `assay list` prints properties and profiles");
  return properties;
}

}  // namespace assay::tools

// SPDX-License-Identifier: Apache-2.0
#pragma once
// "a, b, c" for the errors that say what is known.

#include <string>

namespace assay::simulator {

template <class Names>
std::string name_list(const Names& names) {
  std::string text;
  for (const auto& n : names) text += (text.empty() ? "" : ", ") + std::string(n);
  return text;
}

}  // namespace assay::simulator

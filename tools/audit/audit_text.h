// SPDX-License-Identifier: Apache-2.0
#pragma once
// The audit as text, Markdown and JSON.

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tools/audit/audit.h"

namespace assay::tools::audit {

struct Audit {
  std::vector<Peer> peers;  ///< the results point into it
  std::vector<Result> results;
  std::string date, machine, version, compiler, command;
  bool full = false;
};

std::string to_text(const Audit& audit);
std::string to_markdown(const Audit& audit);
nlohmann::ordered_json to_json(const Audit& audit);

/// "as predicted", or what was found against the predictions.
std::string verdict(const Result& result);

}  // namespace assay::tools::audit

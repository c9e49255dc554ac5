// SPDX-License-Identifier: Apache-2.0
#pragma once
// The pass that predictions share, kept beside a journal: the longest part of a replay.

#include <filesystem>
#include <optional>
#include <string>

#include "simulator/graph/responses.h"

namespace assay::tools {

/// `key` names the run, as a journal's does. A file that was not written to its end is known by its
/// hash. Throws OutputError.
void save_responses(const std::filesystem::path& path, const std::string& key,
                    const simulator::Responses& responses);

/// To the last bit what was saved under this key; nothing where there is no such file, where it is
/// of another run, and where its bytes are not those that were written: then measure again.
[[nodiscard]] std::optional<simulator::Responses> load_responses(const std::filesystem::path& path,
                                                                 const std::string& key);

}  // namespace assay::tools

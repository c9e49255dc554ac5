// SPDX-License-Identifier: Apache-2.0
#pragma once
// Recordings of several ranks: every rank writes part-RRRRR-of-NNNNN.json beside its own files, and
// reading merges them. No rank waits for another, and a rank that was killed leaves no part.

#include <filesystem>
#include <string>
#include <vector>

#include "simulator/recording.h"

namespace assay::simulator {

/// The parts in a folder, in the order of their names; empty where there is none.
[[nodiscard]] std::vector<std::filesystem::path> recording_parts(
    const std::filesystem::path& folder);

/// One header of the parts of all ranks, `names` their files: tensors of one name are one tensor of
/// all their shards; ops of one id are one op with the tensors of all ranks, in the order of stages
/// and ranks. Throws InputError that names the file where a rank is missing or twice, where parts
/// are of different runs, steps or graphs, or where a tensor's shards do not tile it.
[[nodiscard]] RecordingHeader merge_parts(std::vector<RecordingHeader> parts,
                                          const std::vector<std::string>& names);

}  // namespace assay::simulator

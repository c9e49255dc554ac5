// SPDX-License-Identifier: Apache-2.0
#pragma once
// Whether the files of a recording are those that its recorder wrote.

#include "simulator/recording.h"

namespace assay::tools {

/// Reads every file and holds its SHA-256 against the recording's list. Throws InputError that
/// names the file, also where the recording has no such list.
void verify_files(const simulator::Recording& recording);

}  // namespace assay::tools

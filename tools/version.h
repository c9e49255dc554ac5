// SPDX-License-Identifier: Apache-2.0
#pragma once
// What decides the bits: version, commit, compiler, CUDA headers, specifications.

#include <string>

namespace assay::tools {

std::string version_text();

}  // namespace assay::tools

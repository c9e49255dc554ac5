// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace assay::tools {

/// The processor of this machine, as the system names it.
std::string processor();

}  // namespace assay::tools

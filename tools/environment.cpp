// SPDX-License-Identifier: Apache-2.0
#include "tools/environment.h"

#include <utility>

#include "tools/build_info.h"

namespace assay::tools {

analysis::Environment environment(std::string command) {
  return {std::string(build_info::version), std::string(build_info::commit),
          std::string(build_info::compiler), std::string(build_info::cuda_headers),
          std::move(command)};
}

}  // namespace assay::tools

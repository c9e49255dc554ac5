// SPDX-License-Identifier: Apache-2.0
#include "tools/machine.h"

#include <fstream>

namespace assay::tools {

std::string processor() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  }
  return "unknown processor";
}

}  // namespace assay::tools

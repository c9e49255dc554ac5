// SPDX-License-Identifier: Apache-2.0
// assay-runner TARGET: a device in a process of its own. It is linked with the kernels alone; what
// they should compute is known to the process that started it (proptests/devices/process.h).
#include <cstdio>
#include <exception>
#include <memory>
#include <string>

#include "kernels/open_device.h"
#include "tools/serve.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs(
        "usage: assay-runner TARGET (cpu, cuda, mutants.ID or the path of a plugin)\n"
        "It is started by assay certify.\n",
        stderr);
    return 4;
  }
  try {
    std::string reason;
    const auto device = assay::kernels::open_device(argv[1], reason);
    if (device != nullptr) return assay::tools::serve(*device);
    assay::tools::announce_failure(reason.c_str());
  } catch (const std::exception& e) {
    try {
      assay::tools::announce_failure(e.what());
    } catch (const std::exception&) {
      std::fprintf(stderr, "assay-runner: %s\n", e.what());
    }
  }
  return 1;
}

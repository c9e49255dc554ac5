// SPDX-License-Identifier: Apache-2.0
// assay-runner TARGET: a device in a process of its own. It is linked with the kernels alone; what
// they should compute is known to the process that started it (proptests/devices/process.h).
#include <cstdio>
#include <exception>
#include <memory>
#include <string>

#include "kernels/open_device.h"
#include "tools/serve.h"

namespace {

constexpr const char* usage =
    "usage: assay-runner TARGET\n\n"
    "TARGET: cpu, cuda, mutants.ID, cuda-mutants.ID or the path of a plugin.\n\n"
    "The process in which a kernel runs while assay judges it from another one. Nobody needs to\n"
    "start it: 'assay certify TARGET' does, and speaks to it through the socket and the shared\n"
    "memory that it hands over (proptests/wire.h is the protocol). Started by hand it has "
    "neither,\n"
    "and ends. To call a kernel under a debugger: assay certify TARGET --in-process.\n";

}  // namespace

int main(int argc, char** argv) {
  const std::string argument = argc == 2 ? argv[1] : "";
  if (argument == "--help" || argument == "-h") {
    std::fputs(usage, stdout);
    return 0;
  }
  if (argument.empty() || argument.front() == '-') {
    std::fprintf(stderr, "assay-runner: it takes one TARGET and no options\n\n%s", usage);
    return 4;
  }
  try {
    std::string reason;
    const auto device = assay::kernels::open_device(argument, reason);
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

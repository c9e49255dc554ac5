// SPDX-License-Identifier: Apache-2.0
// The C++ reader as a program, for record_test.py:
//   recording_probe FOLDER           one line "name role dtype shape" for each tensor
//   recording_probe FOLDER TENSOR    its values as raw little-endian floats
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "simulator/recording.h"

using namespace assay::simulator;

namespace {

void list(const Recording& recording) {
  for (const TensorEntry& tensor : recording.header().tensors) {
    std::string shape;
    for (const auto extent : tensor.shape)
      shape += (shape.empty() ? "" : "x") + std::to_string(extent);
    const std::string line = tensor.name + " " + std::string(name(tensor.role)) + " " +
                             std::string(info(tensor.dtype).name) + " " + shape;
    std::puts(line.c_str());
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 && argc != 3) return 4;
  try {
    const Recording recording = Recording::open(argv[1]);
    if (argc == 2) {
      list(recording);
      return 0;
    }
    const std::vector<float> values = recording.tensor(argv[2]).read();
    return std::fwrite(values.data(), sizeof(float), values.size(), stdout) == values.size() ? 0
                                                                                             : 3;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 4;
  }
}

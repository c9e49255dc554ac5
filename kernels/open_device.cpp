// SPDX-License-Identifier: Apache-2.0
#include "kernels/open_device.h"

#include <array>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "formats/names.h"
#include "kernels/abi/plugin.h"
#include "kernels/cpu/cpu_device.h"
#include "kernels/cuda/cuda_device.h"
#include "kernels/mutants/mutants.h"

namespace assay::kernels {
namespace {

struct Target {
  std::string_view name;
  std::unique_ptr<DeviceUnderTest> (*make)(std::string& reason);
};
constexpr std::array targets{
    Target{"cpu",
           [](std::string&) -> std::unique_ptr<DeviceUnderTest> { return make_cpu_device(); }},
    Target{"cuda", [](std::string& reason) -> std::unique_ptr<DeviceUnderTest> {
             return make_cuda_device(reason);
           }}};

constexpr std::string_view mutant_prefix = "mutants.";
constexpr std::string_view cuda_mutant_prefix = "cuda-mutants.";

}  // namespace

std::shared_ptr<const DeviceUnderTest> open_device(const std::string& target, std::string& reason) {
  std::vector<std::string_view> known;
  for (const Target& row : targets) {
    if (row.name == target) return row.make(reason);
    known.push_back(row.name);
  }
  if (target.starts_with(mutant_prefix))
    return mutants::make_mutant(target.substr(mutant_prefix.size()));
  if (target.starts_with(cuda_mutant_prefix))
    return make_cuda_mutant(target.substr(cuda_mutant_prefix.size()), reason);
  if (target.find('/') != std::string::npos || target.ends_with(".so"))
    return abi::open_plugin(target);
  throw std::invalid_argument(formats::unknown_name("device", target, known) +
                              ", mutants.ID, cuda-mutants.ID, the path of a plugin");
}

}  // namespace assay::kernels

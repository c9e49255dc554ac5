// SPDX-License-Identifier: Apache-2.0
// A plugin whose entries throw C++ exceptions through the C interface.
#include <cstdio>
#include <stdexcept>

#include "kernels/abi/assay_dut.h"

namespace {

std::int32_t describe(std::int32_t entry, assay_dut_claim* claim) {
  claim->operation = ASSAY_DUT_DEQUANTIZE;
  std::snprintf(claim->name, sizeof claim->name, "%s",
                entry == 0 ? "throws_an_exception" : "throws_a_number");
  std::snprintf(claim->a, sizeof claim->a, "mxfp4-floor");
  return 0;
}
std::int32_t run(const assay_dut_call* call) {
  if (call->entry == 0) throw std::runtime_error("no such tile");
  throw 42;
}

}  // namespace

extern "C" const assay_dut_api* assay_dut_get_api(std::uint32_t) {
  static const assay_dut_api api = {
      sizeof api, ASSAY_DUT_ABI_VERSION, "throws", 2, nullptr, describe, run, nullptr};
  return &api;
}

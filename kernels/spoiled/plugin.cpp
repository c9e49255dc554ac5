// SPDX-License-Identifier: Apache-2.0
// The entries: right ones first, then one fault each.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>

#include "kernels/cpu/cpu_device.h"
#include "kernels/spoiled/spoiled.h"

namespace spoiled {
namespace {

struct Entry {
  std::string name;
  Claim claim;
  Run run;
};

const assay::kernels::DeviceUnderTest& device() {
  static const std::unique_ptr<assay::kernels::TypedDevice> cpu = assay::kernels::make_cpu_device();
  return *cpu;
}

const std::vector<Entry>& entries() {
  static const std::vector<Entry> all = [] {
    std::vector<Entry> list, wrong;
    const std::vector<Claim> claims = device().claims();
    for (const Fault& fault : faults()) {
      const auto found = std::find_if(claims.begin(), claims.end(), [&](const Claim& claim) {
        return name_of(claim) == fault.kernel;
      });
      if (found == claims.end())
        throw std::logic_error(std::string("the CPU device has no kernel ") + fault.kernel);
      const std::string name = std::string("right.") + fault.kernel;
      if (std::none_of(list.begin(), list.end(), [&](const Entry& e) { return e.name == name; }))
        list.push_back({name, *found, right});
      wrong.push_back({fault.name, *found, fault.run});
    }
    list.insert(list.end(), wrong.begin(), wrong.end());
    return list;
  }();
  return all;
}

std::uint32_t number_of(const std::string& operation) {
  constexpr const char* names[] = {"convert",
                                   "quantize",
                                   "dequantize",
                                   "gemm",
                                   "quantize_gemm",
                                   "gated_gemm",
                                   "grouped_gemm",
                                   "qat_forward",
                                   "qat_backward",
                                   "stochastic_quantize",
                                   "transpose_requantize",
                                   "layout"};
  const auto* found = std::find(std::begin(names), std::end(names), operation);
  return static_cast<std::uint32_t>(found - std::begin(names)) + ASSAY_DUT_CONVERT;
}

template <std::size_t N>
void print(char (&to)[N], std::string_view from) {
  std::snprintf(to, N, "%.*s", static_cast<int>(from.size()), from.data());
}

/// The accumulator stays at its default, any order: what kernels of GPUs claim.
std::int32_t describe(std::int32_t number, assay_dut_claim* to) {
  const Entry& e = entries().at(number);
  const Claim& claim = e.claim;
  const bool product = claim.operation.find("gemm") != std::string::npos;
  to->operation = number_of(claim.operation);
  print(to->name, e.name);
  if (claim.a != nullptr) print(to->a, claim.a->name);
  if (claim.code != nullptr) print(to->a, claim.code->name);
  if (claim.a == nullptr && product) print(to->a, "bf16");
  if (claim.b != nullptr) print(to->b, claim.b->name);
  print(to->d, claim.output->name);
  to->rounding = static_cast<std::uint32_t>(claim.rounding);
  to->scale_layout = static_cast<std::uint32_t>(claim.scale_layout);
  to->gate_layout = claim.gate_layout;
  to->group_layout = claim.group_layout;
  to->random = claim.random;
  to->random_bits = claim.random_bits;
  to->estimators = static_cast<std::int32_t>(claim.estimators);
  to->flags |= ASSAY_DUT_STRIDES;
  return 0;
}

std::int32_t run(const assay_dut_call* call) {
  const Entry& e = entries().at(call->entry);
  switch (e.run(e.claim, *call)) {
    case Status::ok:
      return ASSAY_DUT_OK;
    case Status::not_supported:
      return ASSAY_DUT_DECLINED;
    default:
      return ASSAY_DUT_ERROR;
  }
}

}  // namespace

Status right(const Claim& claim, const assay_dut_call& call) { return device().run(claim, call); }

}  // namespace spoiled

extern "C" const assay_dut_api* assay_dut_get_api(std::uint32_t host_version);

const assay_dut_api* assay_dut_get_api(std::uint32_t host_version) {
  static const assay_dut_api api = [] {
    assay_dut_api a{};
    a.size = sizeof a;
    a.version = ASSAY_DUT_ABI_VERSION;
    a.name = spoiled::set_name;
    a.entries = static_cast<std::int32_t>(spoiled::entries().size());
    a.describe = spoiled::describe;
    a.run = spoiled::run;
    return a;
  }();
  return host_version < ASSAY_DUT_ABI_VERSION ? nullptr : &api;
}

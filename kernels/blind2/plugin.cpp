// SPDX-License-Identifier: Apache-2.0
// The entries: right ones first, then one fault each.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>

#include "kernels/blind2/blind2.h"
#include "kernels/cpu/cpu_device.h"

namespace blind2 {
namespace {

struct Fault {
  const char* name;
  const char* kernel;  ///< of kernels/cpu, which it spoils
  Run run;
};
constexpr Fault faults[] = {
    {"blind2.01", "quantize.nvfp4", amax_kept_between_calls},
    {"blind2.02", "quantize.mxfp4-floor.swizzled", padding_columns_one},
    {"blind2.03", "quantize.mxfp4-rceil", odd_elements_signed_in_amax},
    {"blind2.04", "dequantize.nvfp4.swizzled", scale_tiles_rounded_down},
    {"blind2.05", "dequantize.mxfp4-floor", rows_beyond_grid_limit},
    {"blind2.06", "gemm.mxfp4-rceil.mxfp4-rceil.fp32", parts_of_k_in_any_order},
    {"blind2.07", "gemm.nvfp4.nvfp4.bf16", store_of_pairs},
    {"blind2.08", "gemm.bf16.nvfp4.fp32", zero_weights_skipped},
    {"blind2.09", "quantize_gemm.nvfp4.nvfp4.fp32", input_through_bf16},
    {"blind2.10", "quantize_gemm.mxfp4-floor.mxfp4-rceil.fp32", one_row_unquantized},
    {"blind2.11", "gated_gemm.bf16.mxfp4-rceil.bf16.interleaved", up_not_clamped_below},
    {"blind2.12", "gated_gemm.nvfp4.nvfp4.fp32.concatenated", sigmoid_overflows},
    {"blind2.13", "grouped_gemm.nvfp4.nvfp4.fp32.contiguous", factor_of_nth_busy_group},
    {"blind2.14", "grouped_gemm.mxfp4-rceil.mxfp4-rceil.fp32.masked", whole_tiles_of_masked_rows},
    {"blind2.15", "grouped_gemm.bf16.mxfp4-rceil.fp32.contiguous", first_offset_taken_as_zero},
    {"blind2.16", "qat_forward.nvfp4-divide", bias_through_bf16},
    {"blind2.17", "qat_backward.article", lsq_gain_of_full_block},
    {"blind2.18", "qat_backward.article", pact_sign_lost},
    {"blind2.19", "qat_backward.article", dge_without_cap},
    {"blind2.20", "stochastic_quantize.nvfp4.words", low_bits_of_words},
    {"blind2.21", "stochastic_quantize.mxfp4-rceil.philox", same_words_in_every_row},
    {"blind2.22", "transpose_requantize.nvfp4-divide", tensor_scale_taken_over},
    {"blind2.23", "layout.nvfp4", last_odd_row_dropped},
    {"blind2.24", "convert.fp32.e4m3.nearest_even.saturating", sticky_bit_lost_in_subnormals},
};

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
    for (const Fault& fault : faults) {
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

}  // namespace blind2

extern "C" const assay_dut_api* assay_dut_get_api(std::uint32_t host_version);

const assay_dut_api* assay_dut_get_api(std::uint32_t host_version) {
  static const assay_dut_api api = [] {
    assay_dut_api a{};
    a.size = sizeof a;
    a.version = ASSAY_DUT_ABI_VERSION;
    a.name = "blind2";
    a.entries = static_cast<std::int32_t>(blind2::entries().size());
    a.describe = blind2::describe;
    a.run = blind2::run;
    return a;
  }();
  return host_version < ASSAY_DUT_ABI_VERSION ? nullptr : &api;
}

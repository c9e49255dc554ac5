// SPDX-License-Identifier: Apache-2.0
// The entries: right ones first, then one fault each.

#include <cstdio>
#include <cstring>
#include <iterator>

#include "kernels/blind/blind.h"

namespace blind {
namespace {

struct Entry {
  const char* name;
  std::uint32_t operation;
  Format format;
  const char* d = "fp32";
  Fault fault = Fault::none;
  bool swizzled = false;
};

constexpr auto nv = Format::nvfp4;
constexpr auto mf = Format::mxfp4_floor;
constexpr auto mr = Format::mxfp4_rceil;
constexpr std::uint32_t quant = ASSAY_DUT_QUANTIZE, dequant = ASSAY_DUT_DEQUANTIZE,
                        product = ASSAY_DUT_GEMM, forward = ASSAY_DUT_QAT_FORWARD,
                        backward = ASSAY_DUT_QAT_BACKWARD;

constexpr Entry entries[] = {
    {"right.quantize.nvfp4", quant, nv},
    {"right.quantize.nvfp4.swizzled", quant, nv, "fp32", Fault::none, true},
    {"right.quantize.mxfp4-floor", quant, mf},
    {"right.quantize.mxfp4-rceil", quant, mr},
    {"right.dequantize.nvfp4", dequant, nv},
    {"right.dequantize.mxfp4-floor", dequant, mf},
    {"right.dequantize.mxfp4-rceil", dequant, mr},
    {"right.gemm.nvfp4", product, nv},
    {"right.gemm.nvfp4.bf16", product, nv, "bf16"},
    {"right.gemm.bf16.mxfp4", product, mr},
    {"right.qat_forward.mxfp4", forward, mr},
    {"right.qat_forward.nvfp4", forward, nv},
    {"right.qat_backward.mxfp4", backward, mr},
    {"right.qat_backward.nvfp4", backward, nv},
    {"blind.01", quant, nv, "fp32", Fault::amax_skips_last},
    {"blind.02", quant, nv, "fp32", Fault::scale_not_stored_one},
    {"blind.03", quant, nv, "fp32", Fault::subnormal_scale_flushed},
    {"blind.04", quant, mf, "fp32", Fault::tie_after_two_goes_up},
    {"blind.05", quant, mr, "fp32", Fault::amax_through_bf16},
    {"blind.06", quant, mr, "fp32", Fault::tail_block_keeps_scale},
    {"blind.07", quant, nv, "fp32", Fault::nibbles_swapped_in_odd_rows},
    {"blind.08", quant, mf, "fp32", Fault::minus_zero_lost},
    {"blind.09", quant, nv, "fp32", Fault::nan_is_a_number},
    {"blind.10", quant, nv, "fp32", Fault::tensor_scale_inverted},
    {"blind.11", quant, nv, "fp32", Fault::tensor_amax_of_64_columns},
    {"blind.12", quant, mf, "fp32", Fault::denormal_inputs_are_zero},
    {"blind.13", quant, mr, "fp32", Fault::element_through_half},
    {"blind.14", quant, nv, "fp32", Fault::rows_within_tile_transposed, true},
    {"blind.15", quant, mf, "fp32", Fault::scale_off_by_one_at_power},
    {"blind.16", dequant, nv, "fp32", Fault::nan_scale_is_480},
    {"blind.17", dequant, nv, "fp32", Fault::subnormal_scale_as_normal},
    {"blind.18", dequant, mf, "fp32", Fault::smallest_scale_is_zero},
    {"blind.19", dequant, mr, "fp32", Fault::code_15_is_minus_four},
    {"blind.20", dequant, nv, "fp32", Fault::scales_multiplied_first},
    {"blind.21", product, nv, "fp32", Fault::k_tail_skipped},
    {"blind.22", product, nv, "fp32", Fault::b_scale_row_before},
    {"blind.23", product, nv, "fp32", Fault::b_tensor_scale_forgotten},
    {"blind.24", product, nv, "fp32", Fault::alpha_on_everything},
    {"blind.25", product, nv, "fp32", Fault::bias_by_row},
    {"blind.26", product, nv, "bf16", Fault::bf16_truncated},
    {"blind.27", product, nv, "fp32", Fault::bf16_between_tiles},
    {"blind.28", product, nv, "fp32", Fault::beta_is_a_flag},
    {"blind.29", product, mr, "fp32", Fault::nan_becomes_zero},
    {"blind.30", product, mr, "fp32", Fault::c_rows_dense},
    {"blind.31", product, mr, "fp32", Fault::last_odd_k_dropped},
    {"blind.32", product, mr, "fp32", Fault::odd_scale_block_from_left},
    {"blind.33", product, mr, "fp32", Fault::denormal_activation_is_zero},
    {"blind.34", product, mr, "fp32", Fault::scale_exponent_signed},
    {"blind.35", product, nv, "fp32", Fault::second_row_tile_repeats},
    {"blind.36", product, nv, "fp32", Fault::tensor_scales_in_half},
    {"blind.37", forward, mr, "fp32", Fault::odd_weight_rows_unquantized},
    {"blind.38", forward, nv, "fp32", Fault::weights_toward_zero},
    {"blind.39", backward, mr, "fp32", Fault::mask_strict},
    {"blind.40", backward, nv, "fp32", Fault::mask_one_sided},
    {"blind.41", backward, mr, "fp32", Fault::dx_from_master},
    {"blind.42", backward, nv, "fp32", Fault::dbias_mean},
    {"blind.43", backward, nv, "fp32", Fault::mask_of_rounded},
    {"blind.44", backward, nv, "fp32", Fault::last_odd_token_dropped},
};

const char* name_of(Format format) {
  constexpr const char* names[] = {"nvfp4", "mxfp4-floor", "mxfp4-rceil"};
  return names[static_cast<int>(format)];
}

std::int32_t describe(std::int32_t number, assay_dut_claim* claim) {
  const Entry& e = entries[number];
  claim->operation = e.operation;
  std::snprintf(claim->name, sizeof claim->name, "%s", e.name);
  std::snprintf(claim->d, sizeof claim->d, "%s", e.d);
  const bool training = e.operation == forward || e.operation == backward;
  const char* format = name_of(e.format);
  const char* a = e.operation == product && e.format != nv ? "bf16" : format;
  if (!training) std::snprintf(claim->a, sizeof claim->a, "%s", a);
  if (training || e.operation == product) std::snprintf(claim->b, sizeof claim->b, "%s", format);
  claim->scale_layout = e.swizzled ? ASSAY_DUT_SCALES_128X4 : ASSAY_DUT_STRIDED;
  claim->estimators = 1 << ASSAY_DUT_IDENTITY | 1 << ASSAY_DUT_CLIP_MASK;
  claim->flags |= ASSAY_DUT_STRIDES;
  return 0;
}

std::int32_t run(const assay_dut_call* call) {
  const Entry& e = entries[call->entry];
  switch (e.operation) {
    case quant:
      return run_quantize(e.format, *call, e.fault);
    case dequant:
      return run_dequantize(e.format, *call, e.fault);
    case product:
      return run_gemm(e.format, *call, e.fault);
    case forward:
      return run_forward(e.format, *call, e.fault);
    default:
      return run_backward(e.format, *call, e.fault);
  }
}

}  // namespace
}  // namespace blind

extern "C" const assay_dut_api* assay_dut_get_api(std::uint32_t host_version);

const assay_dut_api* assay_dut_get_api(std::uint32_t host_version) {
  static const assay_dut_api api = [] {
    assay_dut_api a{};
    a.size = sizeof a;
    a.version = ASSAY_DUT_ABI_VERSION;
    a.name = "blind";
    a.entries = static_cast<std::int32_t>(std::size(blind::entries));
    a.describe = blind::describe;
    a.run = blind::run;
    return a;
  }();
  return host_version < ASSAY_DUT_ABI_VERSION ? nullptr : &api;
}

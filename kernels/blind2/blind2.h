// SPDX-License-Identifier: Apache-2.0
#pragma once
// Entries over every operation of the C interface. What is wrong with which entry: truth.json.

#include "kernels/spoiled/spoiled.h"

namespace blind2 {

using namespace spoiled;

// quantizers.cpp
Status amax_kept_between_calls(const Claim& claim, const assay_dut_call& call);
Status padding_columns_one(const Claim& claim, const assay_dut_call& call);
Status odd_elements_signed_in_amax(const Claim& claim, const assay_dut_call& call);
Status scale_tiles_rounded_down(const Claim& claim, const assay_dut_call& call);
Status rows_beyond_grid_limit(const Claim& claim, const assay_dut_call& call);
// products.cpp
Status parts_of_k_in_any_order(const Claim& claim, const assay_dut_call& call);
Status store_of_pairs(const Claim& claim, const assay_dut_call& call);
Status zero_weights_skipped(const Claim& claim, const assay_dut_call& call);
Status input_through_bf16(const Claim& claim, const assay_dut_call& call);
Status one_row_unquantized(const Claim& claim, const assay_dut_call& call);
Status up_not_clamped_below(const Claim& claim, const assay_dut_call& call);
Status sigmoid_overflows(const Claim& claim, const assay_dut_call& call);
Status factor_of_nth_busy_group(const Claim& claim, const assay_dut_call& call);
Status whole_tiles_of_masked_rows(const Claim& claim, const assay_dut_call& call);
Status first_offset_taken_as_zero(const Claim& claim, const assay_dut_call& call);
// training.cpp
Status bias_through_bf16(const Claim& claim, const assay_dut_call& call);
Status lsq_gain_of_full_block(const Claim& claim, const assay_dut_call& call);
Status pact_sign_lost(const Claim& claim, const assay_dut_call& call);
Status dge_without_cap(const Claim& claim, const assay_dut_call& call);
// movers.cpp
Status low_bits_of_words(const Claim& claim, const assay_dut_call& call);
Status same_words_in_every_row(const Claim& claim, const assay_dut_call& call);
Status tensor_scale_taken_over(const Claim& claim, const assay_dut_call& call);
Status last_odd_row_dropped(const Claim& claim, const assay_dut_call& call);
Status sticky_bit_lost_in_subnormals(const Claim& claim, const assay_dut_call& call);

}  // namespace blind2

// SPDX-License-Identifier: Apache-2.0
#pragma once
// The products that have properties, and operands for them.

#include <span>
#include <string>
#include <vector>

#include "proptests/generators.h"
#include "proptests/properties/gemm_case.h"
#include "proptests/property.h"

namespace assay::proptests {

/// A pair of operand kinds: properties are about products of these, whatever the rule that chose
/// the scale factors.
struct Product {
  const char* name;
  const formats::FormatSpec* a_element;  ///< null: A is bf16
  const formats::FormatSpec* b_scale;
  const char* section;  ///< what defines the product
};
[[nodiscard]] std::span<const Product> gemm_products();
[[nodiscard]] bool is_product(const Product& product, const kernels::Claim& claim);
/// "gemm.nvfp4_nvfp4.slug".
[[nodiscard]] std::string gemm_id(const Product& product, const char* slug);

/// Rounds the sides up to what the claim accepts.
void make_accepted(GemmCase& c);
/// Fills A and B of a case whose shape and claim are set.
void draw_operands(Draw& draw, GemmCase& c, Codes a_codes, Codes b_codes, Scales scales);

/// The properties that are about the call rather than the numbers: strides, padding, empty shapes,
/// the rest of the batch, and every position along k in turn.
void add_gemm_probes(const Product& product, std::vector<Property>& to);

}  // namespace assay::proptests

// SPDX-License-Identifier: Apache-2.0
#include "kernels/abi/claim.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>
#include <string>

#include "formats/block.h"
#include "formats/names.h"

namespace assay::kernels::abi {
namespace {

constexpr std::array operation_names{
    OperationName{ASSAY_DUT_CONVERT, "convert"},
    OperationName{ASSAY_DUT_QUANTIZE, "quantize"},
    OperationName{ASSAY_DUT_DEQUANTIZE, "dequantize"},
    OperationName{ASSAY_DUT_GEMM, "gemm"},
    OperationName{ASSAY_DUT_QUANTIZE_GEMM, "quantize_gemm"},
    OperationName{ASSAY_DUT_GATED_GEMM, "gated_gemm"},
    OperationName{ASSAY_DUT_GROUPED_GEMM, "grouped_gemm"},
    OperationName{ASSAY_DUT_QAT_FORWARD, "qat_forward"},
    OperationName{ASSAY_DUT_QAT_BACKWARD, "qat_backward"},
    OperationName{ASSAY_DUT_STOCHASTIC_QUANTIZE, "stochastic_quantize"},
    OperationName{ASSAY_DUT_TRANSPOSE_REQUANTIZE, "transpose_requantize"},
    OperationName{ASSAY_DUT_LAYOUT, "layout"}};

/// Which formats an operation cannot do without; a GEMM's A may be bf16.
struct Needs {
  std::uint32_t operation;
  bool a, b;
};
constexpr std::array needs{Needs{ASSAY_DUT_QUANTIZE, true, false},
                           Needs{ASSAY_DUT_DEQUANTIZE, true, false},
                           Needs{ASSAY_DUT_GEMM, false, true},
                           Needs{ASSAY_DUT_QUANTIZE_GEMM, true, true},
                           Needs{ASSAY_DUT_GATED_GEMM, false, true},
                           Needs{ASSAY_DUT_GROUPED_GEMM, false, true},
                           Needs{ASSAY_DUT_QAT_FORWARD, false, true},
                           Needs{ASSAY_DUT_QAT_BACKWARD, false, true},
                           Needs{ASSAY_DUT_STOCHASTIC_QUANTIZE, true, false},
                           Needs{ASSAY_DUT_TRANSPOSE_REQUANTIZE, true, false},
                           Needs{ASSAY_DUT_LAYOUT, true, false}};

template <std::size_t N>
void put(char (&to)[N], std::string_view text) {
  std::memset(to, 0, N);
  std::memcpy(to, text.data(), std::min(text.size(), N - 1));
}
/// A plugin may have forgotten the zero at the end.
template <std::size_t N>
std::string_view get(const char (&from)[N]) {
  return {from, static_cast<std::size_t>(std::find(from, from + N, '\0') - from)};
}

[[noreturn]] void reject(const assay_dut_claim& claim, const std::string& why) {
  throw std::invalid_argument("the claim of entry '" + std::string(get(claim.name)) + "': " + why);
}

const formats::BlockFormat* block_format(const assay_dut_claim& claim, std::string_view name) {
  if (name.empty() || name == "bf16") return nullptr;
  try {
    return &formats::find_block_format(name);
  } catch (const std::invalid_argument& e) {
    reject(claim, e.what());
  }
}

void check_range(const assay_dut_claim& claim, const char* field, std::int64_t value,
                 std::int64_t first, std::int64_t last) {
  if (value < first || value > last)
    reject(claim, std::string(field) + " is " + std::to_string(value) + ", must be " +
                      std::to_string(first) + " to " + std::to_string(last));
}

void check(const assay_dut_claim& c) {
  constexpr std::int64_t largest_multiple = 65536;
  check_range(c, "operation", c.operation, ASSAY_DUT_CONVERT, ASSAY_DUT_LAYOUT);
  check_range(c, "rounding", c.rounding, 0, ASSAY_DUT_STOCHASTIC);
  check_range(c, "accumulator", c.accumulator, 0, ASSAY_DUT_TRUNCATING);
  check_range(c, "scale_layout", c.scale_layout, 0, ASSAY_DUT_SCALES_128X4);
  check_range(c, "gate_layout", c.gate_layout, 0, ASSAY_DUT_INTERLEAVED);
  check_range(c, "group_layout", c.group_layout, 0, ASSAY_DUT_MASKED);
  check_range(c, "random", c.random, 0, ASSAY_DUT_RANDOM_PHILOX);
  check_range(c, "random_bits", c.random_bits, 1, 16);
  check_range(c, "promotion", c.promotion, 0, 1 << 30);
  if (c.accumulator == ASSAY_DUT_TRUNCATING)
    check_range(c, "fraction_bits", c.fraction_bits, 1, 64);
  for (const std::int64_t multiple : {c.m_multiple, c.n_multiple, c.k_multiple})
    check_range(c, "a shape multiple", multiple, 1, largest_multiple);
  check_range(c, "tactics", c.tactics, 1, 1024);
  if (get(c.name).empty()) reject(c, "name is empty");
  if (!get(c.mma_model).empty() && c.operation != ASSAY_DUT_GEMM)
    reject(c,
           "mma_model is of a gemm; claim accumulator truncating with the unit's fraction_bits, "
           "or fp32 in any order");
}

}  // namespace

std::span<const OperationName> operations() { return operation_names; }

std::uint32_t operation_of(std::string_view name) {
  for (const OperationName& row : operation_names)
    if (row.name == name) return row.operation;
  throw std::invalid_argument("no operation is called '" + std::string(name) + "'");
}

std::string_view name_of_operation(std::uint32_t operation) {
  for (const OperationName& row : operation_names)
    if (row.operation == operation) return row.name;
  throw std::invalid_argument("no operation has the number " + std::to_string(operation));
}

assay_dut_claim default_claim() {
  assay_dut_claim c{};
  c.size = sizeof c;
  put(c.d, "fp32");
  put(c.profile, "saturating");
  c.accumulator = ASSAY_DUT_FP32_ANY_ORDER;
  c.random = ASSAY_DUT_RANDOM_OPAQUE;
  c.random_bits = 16;
  c.estimators = 1 << ASSAY_DUT_IDENTITY;
  c.m_multiple = c.n_multiple = c.k_multiple = 1;
  c.tactics = 1;
  c.flags = ASSAY_DUT_DETERMINISTIC;
  return c;
}

assay_dut_claim to_abi(const Claim& claim) {
  assay_dut_claim c = default_claim();
  c.operation = operation_of(claim.operation);
  put(c.name, name_of(claim));
  if (claim.a != nullptr) put(c.a, claim.a->name);
  if (claim.a == nullptr && claim.code != nullptr) put(c.a, claim.code->name);
  if (claim.b != nullptr) put(c.b, claim.b->name);
  put(c.d, claim.output->name);
  put(c.profile, claim.profile->name);
  c.rounding = static_cast<std::uint32_t>(claim.rounding);
  c.accumulator = static_cast<std::uint32_t>(claim.accumulator);
  c.scale_layout = static_cast<std::uint32_t>(claim.scale_layout);
  c.gate_layout = claim.gate_layout;
  c.group_layout = claim.group_layout;
  c.random = claim.random;
  c.fraction_bits = claim.fraction_bits;
  c.promotion = claim.promotion;
  put(c.mma_model, claim.mma_model);
  c.random_bits = claim.random_bits;
  c.estimators = static_cast<std::int32_t>(claim.estimators);
  c.m_multiple = claim.m_multiple;
  c.n_multiple = claim.n_multiple;
  c.k_multiple = claim.k_multiple;
  c.tactics = claim.tactics;
  c.flags = claim.flags;
  return c;
}

Claim from_abi(const assay_dut_claim& c) {
  check(c);
  Claim claim;
  claim.operation = name_of_operation(c.operation);
  claim.name = get(c.name);
  try {
    if (c.operation == ASSAY_DUT_CONVERT)
      claim.code = &formats::find_format(get(c.a));
    else
      claim.a = block_format(c, get(c.a));
    claim.b = block_format(c, get(c.b));
    claim.output = &formats::find_format(get(c.d));
    claim.profile = &formats::find_profile(get(c.profile));
  } catch (const std::invalid_argument& e) {
    reject(c, e.what());
  }
  for (const Needs& row : needs)
    if (row.operation == c.operation &&
        ((row.a && claim.a == nullptr) || (row.b && claim.b == nullptr)))
      reject(c, claim.operation + " needs the name of a block format in " +
                    (row.a && claim.a == nullptr ? "a" : "b"));
  claim.rounding = static_cast<formats::RoundingMode>(c.rounding);
  claim.accumulator = static_cast<Accumulator>(c.accumulator);
  claim.scale_layout = static_cast<formats::ScaleLayout>(c.scale_layout);
  claim.gate_layout = c.gate_layout;
  claim.group_layout = c.group_layout;
  claim.random = c.random;
  claim.fraction_bits = c.fraction_bits;
  claim.promotion = c.promotion;
  claim.mma_model = get(c.mma_model);
  claim.random_bits = c.random_bits;
  claim.estimators = static_cast<std::uint32_t>(c.estimators);
  claim.m_multiple = c.m_multiple;
  claim.n_multiple = c.n_multiple;
  claim.k_multiple = c.k_multiple;
  claim.tactics = c.tactics;
  claim.flags = c.flags;
  return claim;
}

}  // namespace assay::kernels::abi

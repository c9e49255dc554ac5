// SPDX-License-Identifier: Apache-2.0
#pragma once
// The one interface behind which every kernel stands, as C++ sees it. abi/assay_dut.h is the same
// in C and defines operations, operands and layouts; a call crosses this interface as it is there,
// so that a kernel of this tree, a plugin and a process of its own are called alike.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "formats/presets.h"
#include "kernels/abi/assay_dut.h"

namespace assay::kernels {

/// What a kernel says its accumulator does; golden/bounds.h derives the error bound of each class.
enum class Accumulator : std::uint8_t {
  exact = ASSAY_DUT_EXACT,                        ///< no rounding before the output
  fp32_any_order = ASSAY_DUT_FP32_ANY_ORDER,      ///< FP32 additions in any order and association
  fp32_fixed_order = ASSAY_DUT_FP32_FIXED_ORDER,  ///< FP32, k ascending, one accumulator, no FMA
  truncating = ASSAY_DUT_TRUNCATING,  ///< `fraction_bits` kept, promoted to FP32 every `promotion`
};

/// What one entry says it computes. The claim selects the oracle and the criterion. Fields beyond
/// the formats keep their defaults where an operation does not have them.
struct Claim {
  std::string operation;  ///< a name of abi/claim.h: quantize, gemm, qat_forward, ...
  const formats::BlockFormat* a = nullptr;  ///< operand A, or the format quantized to / from
  const formats::BlockFormat* b = nullptr;  ///< operand B (gemm; weights); a == nullptr: A is bf16
  formats::RoundingMode rounding = formats::RoundingMode::nearest_even;
  formats::ScaleLayout scale_layout = formats::ScaleLayout::row_major;
  Accumulator accumulator = Accumulator::fp32_any_order;
  int fraction_bits = 0;       ///< of a truncating accumulator
  int promotion = 0;           ///< its promotion interval in k; 0: never
  std::string mma_model = {};  ///< of a gemm: the unit whose bits it has, in place of `accumulator`
  const formats::FormatSpec* output = &formats::fp32;
  std::int64_t k_multiple = 1;  ///< shapes the entry accepts
  std::int64_t m_multiple = 1, n_multiple = 1;
  const formats::FormatSpec* code = nullptr;  ///< the format a conversion goes to (from `output`)
  const formats::Profile* profile = &formats::saturating;
  std::uint32_t gate_layout = ASSAY_DUT_CONCATENATED;
  std::uint32_t group_layout = ASSAY_DUT_CONTIGUOUS;
  std::uint32_t random = ASSAY_DUT_RANDOM_PHILOX;
  int random_bits = 16;
  std::uint32_t estimators = 1;  ///< bit e: Estimator e
  std::uint32_t flags = ASSAY_DUT_DETERMINISTIC;
  std::string name = {};   ///< of the entry; empty: name_of(claim) stands for it
  std::int32_t entry = 0;  ///< its number in the device
  std::int32_t tactic = 0, tactics = 1;
};

/// "gemm.nvfp4.nvfp4.fp32", with the scale layout where it is not row-major; the entry's own name
/// where it has one.
[[nodiscard]] std::string name_of(const Claim& claim);

enum class Status : std::uint8_t { ok, not_supported, failed };

/// Straight-through estimators of the QAT step; formulas and sources in golden/estimator.h.
enum class Estimator : std::uint8_t {
  identity = ASSAY_DUT_IDENTITY,
  clip_mask = ASSAY_DUT_CLIP_MASK,
  lsq = ASSAY_DUT_LSQ,
  pact = ASSAY_DUT_PACT,
  ewgs = ASSAY_DUT_EWGS,
  dge = ASSAY_DUT_DGE,
  trust_mask = ASSAY_DUT_TRUST_MASK
};
inline constexpr std::array<std::string_view, 7> estimator_names{
    "identity", "clip_mask", "lsq", "pact", "ewgs", "dge", "trust_mask"};
inline constexpr std::uint32_t every_estimator = (1U << estimator_names.size()) - 1;
/// Whether a backward call with it has DSCALE.
[[nodiscard]] constexpr bool has_scale_gradient(Estimator estimator) {
  return estimator == Estimator::lsq || estimator == Estimator::pact;
}

/// A kernel library. A call that it does not take returns not_supported; a test then is not a
/// pass.
class DeviceUnderTest {
 public:
  virtual ~DeviceUnderTest() = default;
  [[nodiscard]] virtual std::string name() const = 0;
  [[nodiscard]] virtual std::vector<Claim> claims() const = 0;
  /// Tensors of the call lie in host memory; `claim` is one of claims().
  virtual Status run(const Claim& claim, const assay_dut_call& call) const = 0;
  /// What the last failure was, for the report; empty where there is nothing to say.
  [[nodiscard]] virtual std::string last_error() const { return {}; }
};

/// Its claims with their entry numbers: entries count from 0 in order, the tactics of one share it.
[[nodiscard]] std::vector<Claim> numbered_claims(const DeviceUnderTest& device);

}  // namespace assay::kernels

// SPDX-License-Identifier: Apache-2.0
#pragma once
// Many dot products with a matrix unit's bits, fast: inputs of up to 16 bits and TF32, with and
// without block scales. A column of B is a lane (`fused`), or the products of a group are
// (`grouped`); equal to dot() (simulator/mma/dot.h) by test, and dot() itself takes what holds NaN
// or infinities.

#include <cstdint>
#include <span>
#include <vector>

#include "simulator/mma/model.h"

namespace assay::simulator {

/// A matrix of codes whose rows are operands of dot products, taken apart for the unit.
struct MmaOperand {
  std::int64_t rows = 0, k = 0;
  std::int64_t blocks = 0;  ///< scale factors of a row
  /// Of `fused` models: signed, in units of the last bit of the encoding. B's lie in tiles of 16
  /// rows, in which k comes before the row; so do its scale exponents.
  std::vector<std::int16_t> significands;
  std::vector<std::int16_t> exponents;  ///< of the encoding; far below all others for zero
  std::vector<std::int8_t> integers;    ///< of `grouped` models: in units of the smallest number
  std::vector<std::uint16_t> nonzero;   ///< likewise: a bit per element, 16 of a row together
  std::vector<std::int16_t> scale_exponents;
  std::vector<std::int8_t> scale_significands;
  std::vector<std::uint8_t> special;  ///< per row: an element or a scale is NaN or infinite
  std::vector<std::uint32_t> codes, scale_codes;  ///< what dot() reads
};

/// Whether mma_gemm() takes the model: `fused` or `grouped`, significands of at most 11 bits, one
/// scale factor at most for the products of a step or group.
[[nodiscard]] bool has_fast_mma(const MmaModel& model);

enum class Side : std::uint8_t { a, b };

/// `codes`: rows x k, one a word; `scales`: rows x k / scale_block, empty without. Throws
/// std::invalid_argument for sizes that do not fit, a k that is no chain, a model that is not fast.
[[nodiscard]] MmaOperand unpack_mma(const MmaModel& model, Side side, std::int64_t rows,
                                    std::int64_t k, std::span<const std::uint32_t> codes,
                                    std::span<const std::uint32_t> scales = {});

/// D[m, n] = the unit's bits of sum_k A[m, k] B[n, k] + C[m, n], codes of D's format, row-major.
/// `c` is empty for zeros. The bits do not depend on the number of threads.
void mma_gemm(const MmaModel& model, const MmaOperand& a, const MmaOperand& b,
              std::span<const std::uint32_t> c, std::span<std::uint32_t> d, int threads = 1);

}  // namespace assay::simulator

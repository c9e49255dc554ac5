// SPDX-License-Identifier: Apache-2.0
#pragma once
// The cells of the sweeps over all 2^32 FP32 inputs: which conversion, and what answers for it.

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "formats/codec.h"

namespace assay::exhaustive {

/// What bit patterns [first, first + count) must become. Both numbers are multiples of 2.
/// Thread-safe.
struct Oracle {
  /// Writes their packed codes (array.h's packing).
  std::function<void(std::uint64_t first, std::size_t count, std::span<std::uint8_t> out)> fill;
  /// Their code where all have the same, else nothing; empty: never asked. An interval of golden
  /// covers most ranges, and a constant need not be written to be compared with.
  std::function<std::optional<std::uint32_t>(std::uint64_t first, std::size_t count)> constant;
};

struct Cell {
  std::string oracle_name;  ///< golden or cuda
  std::string profile;      ///< of a cuda cell; empty: the policy is spelt out
  const formats::FormatSpec* spec;
  formats::RoundingMode mode;
  formats::Policy policy;
  std::function<Oracle()> make_oracle;  ///< costly for golden: made when the cell runs

  [[nodiscard]] std::string name() const;
};

/// Every format of at most 8 bits, and bf16, in six modes and every policy they can express, held
/// against golden::decision_intervals. The six modes of a policy follow each other.
std::vector<Cell> golden_cells();

/// `cuda13` and `cuda13-nosat` held against the host functions of the CUDA headers; empty where the
/// headers were not found.
std::vector<Cell> cuda_cells();

}  // namespace assay::exhaustive

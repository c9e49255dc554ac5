// SPDX-License-Identifier: Apache-2.0
#pragma once
// Where the tensors of one call lie while a device works on them, and what became of them. Shared
// by the transports, so that all of them notice the same faults.

#include <cstdint>
#include <string>
#include <vector>

#include "proptests/device.h"

namespace assay::proptests {

/// Bytes in front of and behind every tensor that nobody may write to.
inline constexpr std::size_t arena_gap = 64;
inline constexpr std::size_t arena_page = 4096;
/// Rows at least this many bytes apart: only they are filled and looked at, with a page around
/// each, so that the memory between them need not exist (ASSAY_DUT_FAR_ROWS).
inline constexpr std::size_t far_apart = std::size_t{1} << 24U;
[[nodiscard]] bool has_far_rows(const Call& call);

/// Private memory, page-aligned, of which only what is touched takes room.
class SparseMemory {
 public:
  explicit SparseMemory(std::size_t bytes);
  ~SparseMemory();
  SparseMemory(const SparseMemory&) = delete;
  SparseMemory& operator=(const SparseMemory&) = delete;
  [[nodiscard]] std::uint8_t* data() const { return data_; }

 private:
  std::uint8_t* data_ = nullptr;
  std::size_t bytes_ = 0;
};

/// What an output holds before a run, and what surrounds the tensors. Neither byte makes a NaN, an
/// infinity or a bf16 number when it fills an FP32 output: what a kernel does not write is never
/// what was asked for, and differs between the runs.
struct Placement {
  std::uint8_t poison = 0xA5;
  bool guard_pages = false;  ///< every tensor on pages of its own, an unused page on either side
  bool at_end = true;        ///< a tensor ends at its last page's end (16-byte aligned), or begins
};
inline constexpr Placement first_run{0xA5, false, true};
inline constexpr Placement second_run{0xDB, false, false};

/// A call placed in memory: tensors point into it, inputs first. `base` may be replaced by another
/// mapping's address (relocate).
struct Placed {
  assay_dut_call call{};
  std::vector<assay_dut_tensor> tensors;
  std::vector<std::size_t> offsets;      ///< of the tensors' data, from the start of the memory
  std::vector<std::size_t> guard_pages;  ///< offsets of pages that a device must not touch
};

[[nodiscard]] std::size_t arena_bytes(const Call& call, const Placement& placement);
/// Fills `memory` (page-aligned where guard pages are asked for, arena_bytes() long): poison
/// everywhere (of rows far apart: around them), inputs in their places.
[[nodiscard]] Placed place(const Call& call, const Placement& placement, std::uint8_t* memory);
/// What a run left: outputs gathered, everything else compared with what `place` had put there.
[[nodiscard]] Answer collect(const Call& call, const Placement& placement, const Placed& placed,
                             const std::uint8_t* memory);

/// "byte 16 behind the end of output 0 (112 bytes long)": where byte `at` of the memory lies, seen
/// from the tensor next to it.
[[nodiscard]] std::string place_of(const Placed& placed, std::size_t at);

}  // namespace assay::proptests

// SPDX-License-Identifier: Apache-2.0
#pragma once
// Matrix instructions of the GPU at hand, alone: one instruction on given operands, and many of
// them on drawn operands beside the model (simulator/mma/unit.h) in the same kernel.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "kernels/cuda/probe_operands.h"

namespace assay::kernels::cuda {

/// One form of an instruction, and the model that is to describe it.
struct ProbeInstruction {
  const char* model;     ///< a name of simulator/mma
  const char* mnemonic;  ///< as PTX spells it
  int k;
};
/// Those of compute capability 9.0: mma.sync and wgmma.
[[nodiscard]] std::span<const ProbeInstruction> probe_instructions();

/// Operands of one tile of 64 x 8 outputs: A 64 x k, B 8 x k, C 64 x 8, D 64 x 8 codes.
struct ProbeTile {
  std::vector<std::uint32_t> a, b, c, d;
};
/// Fills d.
void run_probe_tile(const ProbeInstruction& instruction, ProbeTile& tile);

struct ProbeMismatch {
  std::uint64_t tile = 0;
  int row = 0, col = 0;
  std::uint32_t device = 0, model = 0;
};

struct ProbeCount {
  std::uint64_t outputs = 0, mismatches = 0;
  std::uint64_t digest = 0;  ///< sum of a hash of (output index, bits): the order does not matter
  std::vector<ProbeMismatch> first;  ///< at most four
};
/// `tiles` tiles from `first` on; the operands are those of draw_probe_code().
[[nodiscard]] ProbeCount probe_tiles(const ProbeInstruction& instruction,
                                     const simulator::MmaUnit& unit, ProbeFamily family,
                                     std::uint64_t seed, std::uint64_t first, std::uint64_t tiles);

/// Name, driver and toolkit; empty where there is no GPU of compute capability 9.0, with `reason`.
[[nodiscard]] std::string probe_gpu(int device, std::string& reason);

}  // namespace assay::kernels::cuda

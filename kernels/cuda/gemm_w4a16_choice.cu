// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/check.h"
#include "kernels/cuda/gemm_w4a16.cuh"
#include "kernels/cuda/gemm_w4a16_packed.cuh"

namespace assay::kernels::cuda {

namespace {

/// By tactic. rows is 0 where the tile of B is the tactic's own business.
struct Row {
  const char* name;
  int columns, rows;
  bool packed = false;
};
constexpr Row kTactics[] = {{"tiled", 0, 0},
                            {"batch8", 8, 0},
                            {"batch16", 16, 0},
                            {"batch32", 32, 0},
                            {"batch64", 64, 0},
                            {"wgmma64x128", 64, 128},
                            {"wgmma128x128", 128, 128},
                            {"wgmma128x256", 128, 256},
                            {"packed8", 8, 0, true},
                            {"packed16", 16, 0, true},
                            {"packed64x128", 64, 128, true},
                            {"packed128x128", 128, 128, true},
                            {"packed256x128", 256, 128, true}};
const Row& row_of(W4a16Tactic tactic) { return kTactics[static_cast<int>(tactic)]; }

}  // namespace

const char* name_of(W4a16Tactic tactic) { return row_of(tactic).name; }

bool takes(W4a16Tactic tactic, const GemmW4a16& p) {
  if (tactic == W4a16Tactic::tiled) return true;
  const Row& row = row_of(tactic);
  if (row.packed)
    return row.rows == 0 ? w4a16_packed_takes(row.columns, p) : w4a16_packed_wgmma_takes(p);
  return row.rows == 0 ? w4a16_batch_takes(row.columns, p) : w4a16_wgmma_takes(p);
}

W4a16Tactic choose_w4a16(const GemmW4a16& p) {
  for (const W4a16Tactic tactic : {W4a16Tactic::packed8, W4a16Tactic::packed16})
    if (p.m <= row_of(tactic).columns && takes(tactic, p)) return tactic;
  const bool packed = takes(W4a16Tactic::packed64x128, p);
  if (!packed)
    for (const W4a16Tactic tactic :
         {W4a16Tactic::batch8, W4a16Tactic::batch16, W4a16Tactic::batch32, W4a16Tactic::batch64})
      if (p.m <= row_of(tactic).columns && takes(tactic, p)) return tactic;
  // Large tiles reuse more, if there are enough of them for the multiprocessors and they are at
  // least half full.
  const auto tiles = [&](W4a16Tactic tactic) {
    const Row& row = row_of(tactic);
    return (p.m + row.columns - 1) / row.columns * ((p.n + row.rows - 1) / row.rows);
  };
  constexpr std::int64_t enough = 100;
  for (const W4a16Tactic tactic : {packed ? W4a16Tactic::packed256x128 : W4a16Tactic::wgmma128x256,
                                   packed ? W4a16Tactic::packed128x128 : W4a16Tactic::wgmma128x128})
    if (tiles(tactic) >= enough && p.m > row_of(tactic).columns / 2 && takes(tactic, p))
      return tactic;
  if (packed && p.m > 64) return W4a16Tactic::packed128x128;
  if (packed) return W4a16Tactic::packed64x128;
  return takes(W4a16Tactic::wgmma64x128, p) ? W4a16Tactic::wgmma64x128 : W4a16Tactic::tiled;
}

void launch_w4a16(W4a16Tactic tactic, const GemmW4a16& p, cudaStream_t stream) {
  if (p.m == 0 || p.n == 0) return;  // a grid without blocks is an error
  const Row& row = row_of(tactic);
  if (tactic == W4a16Tactic::tiled)
    launch_w4a16_tiled(p, stream);
  else if (row.packed && row.rows == 0)
    launch_w4a16_packed(row.columns, p, stream);
  else if (row.packed)
    launch_w4a16_packed_wgmma(row.columns, p, stream);
  else if (row.rows == 0)
    launch_w4a16_batch(row.columns, p, stream);
  else
    launch_w4a16_wgmma(row.columns, row.rows, p, stream);
}

void gemm_w4a16(const GemmW4a16& p) {
  launch_w4a16(choose_w4a16(p), p);
  check_kernel("gemm_w4a16");
}

}  // namespace assay::kernels::cuda

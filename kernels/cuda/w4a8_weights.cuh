// SPDX-License-Identifier: Apache-2.0
#pragma once
// MXFP4 weights for FP8 matrix units that have no FP4: E2M1 with an E8M0 scale factor per 1x32
// becomes E4M3 with one power of two S per 128 columns, without losing a bit wherever the
// scale factors lie near enough (golden/lossless.h, docs/theorems.md; formats/reencode.h is the
// host's code for it).

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda/check.h"
#include "kernels/cuda/host_device.h"
#include "kernels/cuda/w4a8_arithmetic.h"

namespace assay::kernels::cuda {

/// What shares an S. Each takes more weights than the one before and costs the product more.
enum class W4a8Scales : int {
  block,  ///< 128 rows x 128 columns: scales within 2^11, so that all codes are normal E4M3 numbers
  row,    ///< 1 x 128: whatever is lossless
  fine    ///< 1 x 32: always lossless; the product must be promoted every 32
};

/// Weights as launch_w4a8 takes them, device memory: `groups` matrices of n x k.
struct W4a8Weights {
  const std::uint8_t* codes = nullptr;  ///< groups * n rows of padded_k bytes
  const float* scales = nullptr;        ///< S: [group][column / width][row, padded_n of them]
  std::int64_t groups = 1, n = 0, k = 0;
  W4a8Scales kind = W4a8Scales::block;

  [[nodiscard]] ASSAY_HOST_DEVICE std::int64_t padded_k() const { return (k + 127) / 128 * 128; }
  [[nodiscard]] ASSAY_HOST_DEVICE std::int64_t padded_n() const { return (n + 127) / 128 * 128; }
  [[nodiscard]] ASSAY_HOST_DEVICE std::int64_t scale_rows() const {
    return padded_k() / (kind == W4a8Scales::fine ? 32 : 128);
  }
};

/// Owns what it makes of MXFP4 weights in device memory (row-major, low nibble first; scale factors
/// groups * n x k / 32): of the first kind from `least` on that loses nothing. k is a multiple
/// of 32.
class ReencodedWeights {
 public:
  ReencodedWeights(const std::uint8_t* codes, const std::uint8_t* scales, std::int64_t groups,
                   std::int64_t n, std::int64_t k, W4a8Scales least = W4a8Scales::block);
  [[nodiscard]] const W4a8Weights& view() const { return view_; }

 private:
  W4a8Weights view_;
  DeviceBuffer<std::uint8_t> codes_;
  DeviceBuffer<float> scales_;
};

}  // namespace assay::kernels::cuda

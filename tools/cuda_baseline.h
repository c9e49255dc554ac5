// SPDX-License-Identifier: Apache-2.0
#pragma once
// The plain loops over the CUDA headers' host functions that the benchmark measures against,
// compiled alone with -O3 -march=native. Plain arrays and no standard containers: nothing inline
// from here may be merged with the code of the rest, which runs on any machine.

#include <cstddef>
#include <cstdint>

namespace assay::tools::cuda_baseline {

/// Compiler flags of the loops; null where the CUDA headers were not found and nothing below may be
/// called.
const char* flags();

void e2m1(const float* in, std::size_t count, std::uint8_t* packed);
void e2m3(const float* in, std::size_t count, std::uint8_t* codes);
void e3m2(const float* in, std::size_t count, std::uint8_t* codes);
void e4m3(const float* in, std::size_t count, std::uint8_t* codes);
void e5m2(const float* in, std::size_t count, std::uint8_t* codes);
/// |x| as E4M3: the headers have no UE4M3.
void ue4m3(const float* in, std::size_t count, std::uint8_t* codes);
/// |x| rounded up: the headers have no E8M0 to nearest.
void e8m0_up(const float* in, std::size_t count, std::uint8_t* codes);
/// Clamped to +-7 and rounded by rintf: the headers have no INT4. For numbers.
void int4(const float* in, std::size_t count, std::uint8_t* packed);

/// Blocks of 32, scale = E8M0 of amax/4 rounded down, or of amax/6 rounded up. For blocks whose
/// scale lies well inside E8M0 (codes 1..253) and finite input.
void mxfp4(const float* in, std::size_t count, bool rceil, std::uint8_t* packed,
           std::uint8_t* scales);

/// The largest magnitude; of finite input.
float amax(const float* in, std::size_t count);

/// Blocks of 16: s = E4M3((amax/6)/g), code = E2M1(x/(s*g)); nonzero s*g.
void nvfp4_divide(const float* in, std::size_t count, float tensor_scale, std::uint8_t* packed,
                  std::uint8_t* scales);

}  // namespace assay::tools::cuda_baseline

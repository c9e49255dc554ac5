// SPDX-License-Identifier: Apache-2.0
#include "tools/cuda_baseline.h"
#include "tools/cuda_blocks.h"

namespace assay::tools::cuda_baseline {

const char* flags() { return nullptr; }
void e2m1(const float*, std::size_t, std::uint8_t*) {}
void e2m3(const float*, std::size_t, std::uint8_t*) {}
void e3m2(const float*, std::size_t, std::uint8_t*) {}
void e4m3(const float*, std::size_t, std::uint8_t*) {}
void e5m2(const float*, std::size_t, std::uint8_t*) {}
void ue4m3(const float*, std::size_t, std::uint8_t*) {}
void e8m0_up(const float*, std::size_t, std::uint8_t*) {}
void int4(const float*, std::size_t, std::uint8_t*) {}
void mxfp4(const float*, std::size_t, bool, std::uint8_t*, std::uint8_t*) {}
float amax(const float*, std::size_t) { return 0; }
void nvfp4_divide(const float*, std::size_t, float, std::uint8_t*, std::uint8_t*) {}
BlockLoop block_loop(const char*) { return nullptr; }

}  // namespace assay::tools::cuda_baseline

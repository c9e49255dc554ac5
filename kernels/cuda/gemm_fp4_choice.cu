// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/check.h"
#include "kernels/cuda/gemm_fp4.cuh"

namespace assay::kernels::cuda {
namespace {

int attribute(cudaDeviceAttr which) {
  int device = 0;
  int value = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&value, which, device), "cudaDeviceGetAttribute");
  return value;
}

}  // namespace

Fp4Unit fp4_unit() {
  const int major = attribute(cudaDevAttrComputeCapabilityMajor);
  if (major == 12 && has_fp4_mma_sync()) return Fp4Unit::mma_sync;
  if (major == 10 && has_fp4_tcgen05()) return Fp4Unit::tcgen05;
  return Fp4Unit::none;
}

bool gemm_fp4(Fp4Kind kind, const GemmFp4& p) {
  switch (fp4_unit()) {
    case Fp4Unit::none:
      return false;
    case Fp4Unit::mma_sync:
      launch_fp4_mma_sync(kind, p, nullptr);
      break;
    case Fp4Unit::tcgen05: {
      // Wide tiles reuse more, if there are enough of them for the multiprocessors.
      const std::int64_t wide = (p.m + 127) / 128 * ((p.n + 255) / 256);
      launch_fp4_tcgen05(kind, wide >= attribute(cudaDevAttrMultiProcessorCount) ? 256 : 128, p,
                         nullptr);
      break;
    }
  }
  check_kernel("gemm_fp4");
  return true;
}

}  // namespace assay::kernels::cuda

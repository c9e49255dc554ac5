// SPDX-License-Identifier: Apache-2.0
// cuBLAS's FP64 GEMM, opened at run time: nothing here is built against it.
#include <dlfcn.h>

#include <algorithm>

#include "kernels/cuda/check.h"
#include "kernels/cuda/cublas.h"
#include "kernels/cuda/exact_gemm.h"

namespace assay::kernels::cuda {
namespace {

__global__ void draw(double* to, std::int64_t count, std::uint64_t seed) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= count) return;
  std::uint64_t x = (seed + static_cast<std::uint64_t>(i)) * 0x9E3779B97F4A7C15U;  // splitmix64
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9U;
  x = (x ^ x >> 27) * 0x94D049BB133111EBU;
  to[i] = static_cast<double>(static_cast<std::int64_t>(x ^ x >> 31)) * 0x1p-63;
}

/// As cublas_api.h declares them; 1 is CUBLAS_OP_T, 0 CUBLAS_OP_N.
using Create = int (*)(void** handle);
using Destroy = int (*)(void* handle);
using Dgemm = int (*)(void* handle, int transa, int transb, int m, int n, int k,
                      const double* alpha, const double* a, int lda, const double* b, int ldb,
                      const double* beta, double* c, int ldc);

}  // namespace

double cublas_fp64_seconds(std::int64_t m, std::int64_t n, std::int64_t k, int repeats,
                           std::string& reason) {
  // It loads libcublasLt itself where that lies beside it or is loaded already.
  void* lt = open_cublas_library({"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"});
  void* library = open_cublas_library({"libcublas.so.13", "libcublas.so.12", "libcublas.so"});
  if (lt == nullptr || library == nullptr) {
    reason = "libcublas and libcublasLt were not found; ASSAY_CUBLAS_PATH may name their directory";
    return 0;
  }
  const auto create = reinterpret_cast<Create>(dlsym(library, "cublasCreate_v2"));
  const auto destroy = reinterpret_cast<Destroy>(dlsym(library, "cublasDestroy_v2"));
  const auto dgemm = reinterpret_cast<Dgemm>(dlsym(library, "cublasDgemm_v2"));
  void* handle = nullptr;
  if (create == nullptr || destroy == nullptr || dgemm == nullptr || create(&handle) != 0) {
    reason = "cuBLAS could not be started";
    return 0;
  }
  DeviceBuffer<double> a(static_cast<std::size_t>(m * k));
  DeviceBuffer<double> b(static_cast<std::size_t>(n * k));
  DeviceBuffer<double> c(static_cast<std::size_t>(m * n));
  draw<<<static_cast<unsigned>((m * k + 255) / 256), 256>>>(a.data(), m * k, 1);
  draw<<<static_cast<unsigned>((n * k + 255) / 256), 256>>>(b.data(), n * k, 2);
  check_kernel("draw");
  cudaEvent_t begin{};
  cudaEvent_t end{};
  check(cudaEventCreate(&begin), "cudaEventCreate");
  check(cudaEventCreate(&end), "cudaEventCreate");
  const double one = 1;
  const double zero = 0;
  std::vector<float> times;
  int status = 0;
  for (int i = 0; i <= repeats && status == 0; ++i) {  // the first warms up
    check(cudaEventRecord(begin), "cudaEventRecord");
    // Column-major: C^T = B A^T with A^T and B^T as they lie there, k the leading extent.
    status = dgemm(handle, 1, 0, static_cast<int>(n), static_cast<int>(m), static_cast<int>(k),
                   &one, b.data(), static_cast<int>(k), a.data(), static_cast<int>(k), &zero,
                   c.data(), static_cast<int>(n));
    check(cudaEventRecord(end), "cudaEventRecord");
    check(cudaEventSynchronize(end), "cudaEventSynchronize");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin, end), "cudaEventElapsedTime");
    if (i > 0 || repeats == 0) times.push_back(milliseconds);
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  destroy(handle);
  if (status != 0) {
    reason = "cuBLAS answered " + std::to_string(status);
    return 0;
  }
  std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2),
                   times.end());
  return 1e-3 * static_cast<double>(times[times.size() / 2]);
}

}  // namespace assay::kernels::cuda

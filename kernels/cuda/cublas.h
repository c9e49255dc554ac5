// SPDX-License-Identifier: Apache-2.0
#pragma once
// NVIDIA's matrix libraries as a baseline, found at run time and never linked: the toolkit's, or
// those that come with PyTorch. Absent, there is no baseline.

#include <cuda_runtime.h>

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>

namespace assay::kernels::cuda {

/// The first library of these names that the loader finds, in its path or else in the directories
/// of ASSAY_CUBLAS_PATH (colons between); null where there is none.
[[nodiscard]] void* open_cublas_library(std::initializer_list<const char*> names);

class Cublas {
 public:
  /// Null with a reason where the libraries are not found.
  static std::unique_ptr<Cublas> open(std::string& reason);
  ~Cublas();
  Cublas(const Cublas&) = delete;
  Cublas& operator=(const Cublas&) = delete;

  [[nodiscard]] std::string version() const;
  /// D (m x n, row-major, bf16 or FP32) = A B', A m x k, B n x k bf16. False: the library declined.
  bool bf16(const void* a, const void* b, void* d, std::int64_t m, std::int64_t n, std::int64_t k,
            bool bf16_out, cudaStream_t stream);
  /// The same with E4M3 operands of unit scale and bf16 out, by cuBLASLt's best proposal.
  bool e4m3(const void* a, const void* b, void* d, std::int64_t m, std::int64_t n, std::int64_t k,
            cudaStream_t stream);

 private:
  Cublas() = default;
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace assay::kernels::cuda

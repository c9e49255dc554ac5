// SPDX-License-Identifier: Apache-2.0
#pragma once
// Every CUDA call is checked; an error names the call. Device memory is owned and plain
// (cudaMalloc).

#include <cuda_runtime.h>

#include <cstddef>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace assay::kernels::cuda {

/// Throws std::runtime_error naming `what` unless `status` is cudaSuccess.
inline void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(status));
}

/// The last launch and everything before it on the default stream, finished without error.
inline void check_kernel(const char* kernel) {
  check(cudaGetLastError(), kernel);
  check(cudaDeviceSynchronize(), kernel);
}

/// `count` objects of T in device memory; at least one byte, so that data() is never null.
template <typename T>
class DeviceBuffer {
 public:
  explicit DeviceBuffer(std::size_t count) : count_(count) {
    check(cudaMalloc(&data_, count * sizeof(T) + 16), "cudaMalloc");
  }
  explicit DeviceBuffer(std::span<const T> host) : DeviceBuffer(host.size()) {
    check(cudaMemcpy(data_, host.data(), host.size_bytes(), cudaMemcpyHostToDevice),
          "cudaMemcpy to device");
  }
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;
  DeviceBuffer(DeviceBuffer&& other) noexcept : data_(other.data_), count_(other.count_) {
    other.data_ = nullptr;
  }
  ~DeviceBuffer() { cudaFree(data_); }

  T* data() { return data_; }
  /// All bytes set to `byte`, e.g. 0xFF so that what a kernel does not write shows as NaN.
  void fill(int byte) { check(cudaMemset(data_, byte, count_ * sizeof(T)), "cudaMemset"); }
  void copy_to(std::span<T> host) const {
    check(cudaMemcpy(host.data(), data_, host.size_bytes(), cudaMemcpyDeviceToHost),
          "cudaMemcpy to host");
  }

 private:
  T* data_ = nullptr;
  std::size_t count_;
};

}  // namespace assay::kernels::cuda

// SPDX-License-Identifier: Apache-2.0
#pragma once
// A launch in clusters of blocks, whose shared memory is above what a block gets unasked.

#include <cuda_runtime.h>

#include <array>
#include <cstddef>
#include <utility>

#include "kernels/cuda/check.h"

namespace assay::kernels::cuda {

struct ClusterLaunch {
  const char* what;  ///< for the error
  unsigned blocks, threads;
  int cluster;       ///< divides `blocks`
  int shared_bytes;  ///< dynamic
  /// Programmatic dependent launch: it begins while the kernel before it ends, and says itself
  /// (griddepcontrol.wait) when it needs what that one leaves.
  bool early = false;
};

/// Throws std::runtime_error naming `how.what` where CUDA refuses.
template <class... Parameters, class... Arguments>
void launch_clusters(const ClusterLaunch& how, cudaStream_t stream, void (*kernel)(Parameters...),
                     Arguments&&... arguments) {
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, how.shared_bytes),
        how.what);
  std::array<cudaLaunchAttribute, 2> attributes{};
  attributes[0].id = cudaLaunchAttributeClusterDimension;
  attributes[0].val.clusterDim = {static_cast<unsigned>(how.cluster), 1, 1};
  attributes[1].id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attributes[1].val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(how.blocks);
  config.blockDim = dim3(how.threads);
  config.dynamicSmemBytes = static_cast<std::size_t>(how.shared_bytes);
  config.stream = stream;
  config.attrs = attributes.data();
  config.numAttrs = how.early ? 2 : 1;
  check(cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...), how.what);
}

}  // namespace assay::kernels::cuda

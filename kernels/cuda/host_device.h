// SPDX-License-Identifier: Apache-2.0
#pragma once
// Index and bit arithmetic of kernels that is host code too, so that tests need no GPU.

#ifdef __CUDACC__
#define ASSAY_HOST_DEVICE __host__ __device__
#else
#define ASSAY_HOST_DEVICE
#endif

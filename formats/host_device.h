// SPDX-License-Identifier: Apache-2.0
#pragma once
// ASSAY_HOST_DEVICE: a function that CUDA code may call too. Nothing else differs between
// compilers.

#ifdef __CUDACC__
#define ASSAY_HOST_DEVICE __host__ __device__
#else
#define ASSAY_HOST_DEVICE
#endif

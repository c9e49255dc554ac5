// SPDX-License-Identifier: Apache-2.0
#pragma once
// The in-tree CPU kernels: quantize, dequantize, FP4 GEMM with FP32 accumulation, the QAT step,
// and the operations of cpu/operations.h. Plain loops over OpenMP threads; every result is the same
// for any number of threads.

#include <memory>

#include "kernels/typed_device.h"

namespace assay::kernels {

/// What it accepts is in claims(); layouts other than row_major codes are not_supported.
std::unique_ptr<TypedDevice> make_cpu_device();

}  // namespace assay::kernels

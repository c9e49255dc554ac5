// SPDX-License-Identifier: Apache-2.0
#pragma once
// `assay bench golden --device N`: the exact GEMM on the GPU. Every element is held against the
// CPU's exact GEMM, and cuBLAS's FP64 GEMM of the same shape runs beside it where it is found.

#include "tools/bench_golden.h"
#include "tools/exit_code.h"

namespace assay::tools {

/// Prints the table; `absent` without a GPU, `fail` where any bit differs. Throws
/// std::invalid_argument for options out of range or a file that cannot be written.
ExitCode bench_golden_device(const BenchGoldenOptions& options, int device);

}  // namespace assay::tools

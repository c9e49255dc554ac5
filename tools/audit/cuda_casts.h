// SPDX-License-Identifier: Apache-2.0
#pragma once
// The conversions that the host functions of the CUDA headers offer, as rows: what is called, what
// it converts, and the profile that says what it does.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "formats/spec.h"

namespace assay::tools::audit {

struct CudaCast {
  const char* function;               ///< the host function, with its arguments
  const formats::FormatSpec* source;  ///< fp32, fp16 or bf16
  const formats::FormatSpec* destination;
  formats::RoundingMode mode;
  const formats::Profile* profile;
  /// Codes of the source, in the low bits, to codes of the destination. Thread-safe.
  void (*convert)(const std::uint32_t* in, std::size_t count, std::uint32_t* out);
};

/// Empty where the CUDA headers were not found when this was built.
std::vector<CudaCast> cuda_casts();

}  // namespace assay::tools::audit

// SPDX-License-Identifier: Apache-2.0
#pragma once
// The files NAME.txt; lists.cpp.in becomes their definitions when the build is configured.

#include <string_view>

namespace assay::proptests::lists {

extern const std::string_view quantize_1_0;
extern const std::string_view quantize_1_1;
extern const std::string_view quantize_1_2;
extern const std::string_view gemm_nvfp4_1_0;
extern const std::string_view gemm_nvfp4_1_1;
extern const std::string_view gemm_mxfp4_1_0;
extern const std::string_view gemm_mxfp4_1_1;
extern const std::string_view w4a16_1_0;
extern const std::string_view w4a16_1_1;
extern const std::string_view w4a16_1_2;
extern const std::string_view w4a8_1_0;
extern const std::string_view qat_1_0;
extern const std::string_view qat_1_1;
extern const std::string_view layout_1_0;

}  // namespace assay::proptests::lists

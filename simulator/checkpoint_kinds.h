// SPDX-License-Identifier: Apache-2.0
#pragma once
// How quantizers name and store the parts of a weight in safetensors files, as data.
// Private to checkpoint readers.

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "simulator/checkpoint.h"
#include "simulator/dtype.h"

namespace assay::simulator {

/// What an element of the stored weight is.
enum class StoredCode : std::uint8_t {
  number,      ///< of the tensor's dtype
  e2m1_pair,   ///< two E2M1 codes to a byte, the even one in the low nibble
  e2m1_block,  ///< the same, with the bytes of a block as an extent of their own: [.., blocks, 16]
  int_words,   ///< offset integers (code - 2^(bits-1)) of 4 or 8 bits, lowest first in 32-bit words
};

/// Extent of a block, in elements; `from_shapes` where the shapes of weight and scales tell it.
struct StoredBlock {
  std::int64_t rows;
  std::int64_t cols;
};
inline constexpr std::int64_t from_shapes = 0;

/// One way to store a weight. Its parts are PREFIX + the suffix; PREFIX + `weight` names the
/// result.
struct CheckpointKind {
  std::string_view name;
  std::string_view codes;  ///< suffix of the codes
  std::span<const Dtype> code_dtypes;
  StoredCode code;
  std::string_view scales;              ///< suffix of the scale factors
  std::span<const Dtype> scale_dtypes;  ///< U8: E8M0 codes
  StoredBlock block;
  std::string_view global;                ///< suffix of the global scale; empty: none
  std::optional<GlobalScale> convention;  ///< none although there is a global scale: ambiguous
  std::string_view maker;   ///< the value of quant_method or producer that goes with it; empty: any
  std::string_view weight;  ///< suffix of the result
  std::string_view source;
};

namespace kinds {

inline constexpr std::array u8{Dtype::u8};
inline constexpr std::array i32{Dtype::i32};
inline constexpr std::array i8{Dtype::i8};
inline constexpr std::array e4m3{Dtype::f8_e4m3};
inline constexpr std::array e8m0{Dtype::u8, Dtype::f8_e8m0};
inline constexpr std::array true_e8m0{Dtype::f8_e8m0};
inline constexpr std::array nibbles{Dtype::i8, Dtype::u8};
inline constexpr std::array real{Dtype::f32, Dtype::bf16, Dtype::f16};
inline constexpr std::string_view compressed_tensors = "compressed-tensors";
inline constexpr std::string_view modelopt = "modelopt";

}  // namespace kinds

/// The first row whose codes and scales are there decides.
inline constexpr std::array checkpoint_kinds{
    CheckpointKind{
        "nvfp4-pack-quantized",
        ".weight_packed",
        kinds::u8,
        StoredCode::e2m1_pair,
        ".weight_scale",
        kinds::e4m3,
        {1, 16},
        ".weight_global_scale",
        GlobalScale::divisor,
        kinds::compressed_tensors,
        ".weight",
        "compressed-tensors, NVFP4PackedCompressor; dequantize divides scale by global_scale"},
    CheckpointKind{"nvfp4, names of two conventions",
                   ".weight_packed",
                   kinds::u8,
                   StoredCode::e2m1_pair,
                   ".weight_scale",
                   kinds::e4m3,
                   {1, 16},
                   ".weight_scale_2",
                   std::nullopt,
                   "",
                   ".weight",
                   "no source: the names contradict each other"},
    CheckpointKind{"mxfp4-pack-quantized",
                   ".weight_packed",
                   kinds::u8,
                   StoredCode::e2m1_pair,
                   ".weight_scale",
                   kinds::e8m0,
                   {1, 32},
                   "",
                   std::nullopt,
                   "",
                   ".weight",
                   "compressed-tensors, MXFP4PackedCompressor: scales as exponents with bias 127"},
    CheckpointKind{"pack-quantized",
                   ".weight_packed",
                   kinds::i32,
                   StoredCode::int_words,
                   ".weight_scale",
                   kinds::real,
                   {from_shapes, from_shapes},
                   "",
                   std::nullopt,
                   "",
                   ".weight",
                   "compressed-tensors, pack_to_int32: value + 2^(bits-1), lowest first"},
    CheckpointKind{"modelopt nvfp4",
                   ".weight",
                   kinds::u8,
                   StoredCode::e2m1_pair,
                   ".weight_scale",
                   kinds::e4m3,
                   {1, 16},
                   ".weight_scale_2",
                   GlobalScale::multiplier,
                   kinds::modelopt,
                   ".weight",
                   "NVIDIA ModelOpt, NVFP4QTensor: weight_scale_2 = amax / (6 * 448)"},
    CheckpointKind{"nvfp4, names of two conventions",
                   ".weight",
                   kinds::u8,
                   StoredCode::e2m1_pair,
                   ".weight_scale",
                   kinds::e4m3,
                   {1, 16},
                   ".weight_global_scale",
                   std::nullopt,
                   "",
                   ".weight",
                   "no source: the names contradict each other"},
    CheckpointKind{"modelopt mxfp4",
                   ".weight",
                   kinds::u8,
                   StoredCode::e2m1_pair,
                   ".weight_scale",
                   kinds::e8m0,
                   {1, 32},
                   "",
                   std::nullopt,
                   "",
                   ".weight",
                   "NVIDIA ModelOpt, MXFP4QTensor"},
    CheckpointKind{"deepseek fp8",
                   ".weight",
                   kinds::e4m3,
                   StoredCode::number,
                   ".weight_scale_inv",
                   kinds::real,
                   {128, 128},
                   "",
                   std::nullopt,
                   "",
                   ".weight",
                   "DeepSeek-V3, inference/kernel.py weight_dequant: the inverse MULTIPLIES"},
    CheckpointKind{"mxfp8",
                   ".weight",
                   kinds::e4m3,
                   StoredCode::number,
                   ".weight_scale",
                   kinds::e8m0,
                   {1, 32},
                   "",
                   std::nullopt,
                   "",
                   ".weight",
                   "compressed-tensors and ModelOpt, MXFP8"},
    CheckpointKind{"float-quantized",
                   ".weight",
                   kinds::e4m3,
                   StoredCode::number,
                   ".weight_scale",
                   kinds::real,
                   {from_shapes, from_shapes},
                   "",
                   std::nullopt,
                   "",
                   ".weight",
                   "compressed-tensors, FloatQuantizationCompressor; ModelOpt FP8"},
    CheckpointKind{"int-quantized",
                   ".weight",
                   kinds::i8,
                   StoredCode::number,
                   ".weight_scale",
                   kinds::real,
                   {from_shapes, from_shapes},
                   "",
                   std::nullopt,
                   "",
                   ".weight",
                   "compressed-tensors, IntQuantizationCompressor"},
    CheckpointKind{"deepseek-v4 mxfp4",
                   ".weight",
                   kinds::nibbles,
                   StoredCode::e2m1_pair,
                   ".scale",
                   kinds::true_e8m0,
                   {1, 32},
                   "",
                   std::nullopt,
                   "",
                   ".weight",
                   "DeepSeek-V4 routed experts: I8 [rows, cols/2], E8M0 [rows, cols/32]"},
    CheckpointKind{"deepseek-v4 fp8",
                   ".weight",
                   kinds::e4m3,
                   StoredCode::number,
                   ".scale",
                   kinds::true_e8m0,
                   {128, 128},
                   "",
                   std::nullopt,
                   "",
                   ".weight",
                   "DeepSeek-V4 linears other than routed experts"},
    CheckpointKind{"gpt-oss mxfp4",
                   "_blocks",
                   kinds::u8,
                   StoredCode::e2m1_block,
                   "_scales",
                   kinds::e8m0,
                   {1, 32},
                   "",
                   std::nullopt,
                   "",
                   "",
                   "gpt-oss as published for transformers: gate_up_proj_blocks, _scales"},
    CheckpointKind{"gpt-oss mxfp4",
                   ".blocks",
                   kinds::u8,
                   StoredCode::e2m1_block,
                   ".scales",
                   kinds::e8m0,
                   {1, 32},
                   "",
                   std::nullopt,
                   "",
                   "",
                   "openai/gpt-oss, gpt_oss/torch/weights.py"},
};

/// Parts that change the formula in a way that is not read: the weight is refused.
inline constexpr std::array<std::string_view, 2> refused_parts{".weight_zero_point",
                                                               ".weight_g_idx"};

}  // namespace assay::simulator

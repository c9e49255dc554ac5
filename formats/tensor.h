// SPDX-License-Identifier: Apache-2.0
#pragma once
// Block-scaled tensors as data: which elements share a scale factor, how a scale factor is computed
// (an OperationOrder: a list of exact operations, each followed by its declared rounding), and how
// codes and scale factors lie in memory. Like spec.h this header computes nothing; the fast
// quantizers and the golden model each interpret it on their own. Presets are in presets.h.

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "formats/spec.h"

namespace assay::formats {

/// The values that an OperationOrder reads and writes. `x` is the element; `amax_*` are largest
/// magnitudes over the finite elements (of the tensor, of the block); `tensor_scale` is the stored
/// second-level factor; `scale` is the stored (rounded) scale factor of the block; t0..t3 are
/// temporaries, which survive from the tensor phase to the block phase to the element phase.
enum class Register : std::uint8_t {
  x,
  amax_tensor,
  amax_block,
  tensor_scale,
  scale,
  t0,
  t1,
  t2,
  t3,
  constant,  ///< the operation's own constant num/den (exact)
};

enum class OpCode : std::uint8_t {
  copy,      ///< dst = a
  multiply,  ///< dst = a * b
  divide,    ///< dst = a / b; a nonzero a over zero is Inf of a's sign, 0/0 is NaN
  minimum,   ///< dst = min(a, b)
  maximum,   ///< dst = max(a, b)
  if_zero,   ///< dst = (a == 0) ? b : dst
};

/// The rounding that follows an operation. format == nullptr: none, the exact value is kept.
struct Rounding {
  const FormatSpec* format = nullptr;
  RoundingMode mode = RoundingMode::nearest_even;
  Overflow overflow = Overflow::to_infinity;
};

/// An exact constant num / den * 2^exponent.
struct Constant {
  std::int64_t num = 0;
  std::int64_t den = 1;
  int exponent = 0;
};

/// dst = round(op(a, b)); operands that name Register::constant take `constant`.
struct Operation {
  OpCode op;
  Register dst;
  Register a;
  Register b = Register::constant;
  Constant constant = {};
  Rounding round = {};
};

/// How a kernel computes scale factors and scaled elements. The element phase leaves the scaled
/// element in `x`; its rounding to the element format (mode and policy are the caller's) follows.
/// Real kernels differ from each other exactly here (multiply by a reciprocal or divide, ...).
struct OperationOrder {
  std::string_view name;
  std::span<const Operation> tensor;  ///< from amax_tensor; sets tensor_scale if the format has one
  std::span<const Operation> block;   ///< from amax_block; sets scale
  std::span<const Operation> element;  ///< from x
  std::string_view source;
};

/// The rule that a scale factor follows in exact arithmetic, a = amax of the block, max = largest
/// finite element value, emax = its exponent. An OperationOrder is how a kernel evaluates the rule.
enum class ScaleRule : std::uint8_t {
  floor,          ///< 2^(floor(log2 a) - emax): OCP MX v1.0 section 6.3; clips up to 2^(emax+1)/max
  ceil,           ///< 2^(ceil(log2 a) - emax): never clips (torchao CEIL)
  rceil,          ///< 2^ceil(log2(a / max)): never clips (NVIDIA, DeepSeek, cuBLAS)
  even,           ///< floor, of a rounded half up to the element's mantissa bits (torchao EVEN)
  nearest,        ///< a / max (over the tensor scale), to the nearest scale code (NVFP4)
  up,             ///< the same to the next scale code up, saturating (cuDNN)
  amax_over_max,  ///< a / max in the scale format's own precision, FP32
  given,          ///< learned: the caller supplies the scale factors
};

/// What the codes of a block miss: over its elements, row by row, with d = the dequantized element
/// rounded once to FP32, e = |d - x| rounded to FP32; every sum is rounded to FP32 after each
/// element, in that order.
enum class ErrorMeasure : std::uint8_t {
  squared,   ///< the sum of e^2, e^2 rounded to FP32
  absolute,  ///< the sum of e
  largest,   ///< the largest e
};

/// Orders that a block is quantized by, each with its own block and element phase; their tensor
/// phases are equal and run once. The block keeps the scale factor and codes of the least error,
/// of the earliest order among equals; a NaN error is not less than any, nor any than it. With
/// stochastic rounding each order takes the same random words.
struct Candidates {
  std::span<const OperationOrder* const> orders;
  ErrorMeasure measure;
};

enum class TensorScale : std::uint8_t {
  none,
  fp32,  ///< a second-level FP32 factor g; value = element * scale * g
};

/// Elements that share one scale factor: `rows` x `cols` of them. 0 means the whole extent: {1, 0}
/// is one scale per row, {0, 0} one per tensor. A partial block at the edge is a block of what is
/// there.
struct BlockShape {
  std::int64_t rows = 1;
  std::int64_t cols = 0;
};

/// A block-scaled format. Dequantized value = element * scale factor * tensor scale (1 if none),
/// exact.
///
/// Not-a-number and infinite elements (this project's definition; the specifications leave it
/// open): they do not count in any amax; a block that has one stores the scale format's canonical
/// NaN and element codes 0, and dequantizes to NaN throughout.
struct BlockFormat {
  std::string_view name;
  const FormatSpec* element;
  BlockShape block;
  const FormatSpec* scale;
  ScaleRule rule;
  TensorScale tensor_scale;
  const OperationOrder* order;
  std::string_view source;
  /// Null: `order` alone. Else its orders, `order` being the first of them.
  const Candidates* candidates = nullptr;
};

/// Where the code of element (r, c) lies. 4-bit codes: two to a byte, the even index in the low
/// nibble, each row (column) starting at a byte; the unused nibble is zero.
/// split_nibbles: GGML's order of 4-bit codes, row by row: of every 32 codes of a row, code j < 16
/// is the low nibble of byte j and code 16 + j the high one. Rows are multiples of 32 codes.
enum class Layout : std::uint8_t { row_major, column_major, split_nibbles };

/// Where the scale factor of block (br, bc) lies, bc counting along the row, R x C blocks.
/// row_major: br * C + bc.
/// swizzled_128x4 (cuBLAS and CUTLASS "128x4", scales of 1 byte):
/// ((r/128) * ceil(C/4) + c/4) * 512 + (r%32) * 16 + ((r%128)/32) * 4 + c%4,
/// allocated as ceil(R/128)*128 x ceil(C/4)*4 bytes; padding is read by the hardware and is 0 here.
/// mn_major (DeepGEMM on sm_90, FP32 scales): c * R4 + r with R4 = R rounded up to 4, so that every
/// column of scales starts 16-byte aligned.
/// mn_major_packed (DeepGEMM on sm_100, scales of 1 byte): the four scales c = 4i .. 4i+3 are the
/// bytes, lowest first, of a 32-bit word at i * R4 + r: byte ((c/4) * R4 + r) * 4 + c%4.
/// Source of both: DeepGEMM, get_mn_major_tma_aligned_tensor and its packed_ue8m0 variant.
enum class ScaleLayout : std::uint8_t { row_major, swizzled_128x4, mn_major, mn_major_packed };

/// What a quantization is asked for beyond its format: one struct for the fast quantizer and
/// golden.
struct QuantizeOptions {
  RoundingMode rounding =
      RoundingMode::nearest_even;  ///< of elements; scale factors follow the order
  const Profile* profile =
      &saturating;       ///< its row for the element format; never for scale factors
  int random_bits = 16;  ///< stochastic: 1..16 bits of Philox word row * cols + col
  std::uint64_t seed = 0;
  Layout layout = Layout::row_major;
  ScaleLayout scale_layout = ScaleLayout::row_major;
  /// ScaleRule::given, and no other: the finite scale factor of block (br, bc) at
  /// br * ceil(cols / block.cols) + bc, rounded to the scale format to nearest even, saturating.
  std::span<const float> scales = {};
};

/// A quantized matrix in raw codes.
struct BlockScaledTensor {
  const BlockFormat* format = nullptr;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  Layout layout = Layout::row_major;
  ScaleLayout scale_layout = ScaleLayout::row_major;
  std::vector<std::uint8_t> codes;   ///< packed, little endian for elements wider than a byte
  std::vector<std::uint8_t> scales;  ///< codes of the scale format, little endian (FP32: 4 bytes)
  float tensor_scale = 1.0F;         ///< multiplies; 1 where the format has none
};

/// Bit fields of `bits` bits that fill bytes from `at` on: `run` bytes hold the lowest fields of
/// `run` elements, then their next fields hold the next `run` elements, and so on until the bytes
/// are full; then the next `run` bytes. Element i with f = 8/bits and j = i % (f * run) is at byte
/// at + i / (f * run) * run + j % run, shift bits * (j / run). bits == 0: no such field.
struct PackedField {
  int at = 0;
  int bits = 0;
  int run = 1;
};

/// What the code of an element of a packed block stands for.
enum class PackedElement : std::uint8_t {
  e2m1,
  offset_integer,  ///< code - 2^(bits - 1)
  natural,         ///< code
  twos_complement,
};

/// How the scale factor of a sub-block comes about.
enum class PackedScale : std::uint8_t {
  own,       ///< one code of the scale format for each sub-block, one after the other
  shared,    ///< one code of the scale format for the block
  six_bits,  ///< shared, times the sub-block's 6-bit integer (PackedBlock::sub_scales_at)
  int8,      ///< shared, times the sub-block's two's complement byte (PackedBlock::sub_scales_at)
};

/// What is added to scale * element.
enum class PackedOffset : std::uint8_t {
  none,
  added,       ///< an FP16 for the block
  subtracted,  ///< an FP16 for the block, times the sub-block's other 6-bit integer
};

/// How a quantizer finds the codes.
enum class PackedRule : std::uint8_t {
  none,        ///< read only
  signed_max,  ///< GGML Q4_0: the element of largest magnitude becomes code 0, that is -8
  search,      ///< GGML Q4_K: 21 candidate scales, least weighted squared error
};

/// Codes and scale factors in one run of bytes, block after block along a row (GGML). Rows are
/// whole blocks. Value of an element, exact: scale * element, + or - the offset. The 6-bit integers
/// of the eight sub-blocks j, s_j for scales and m_j for offsets, lie in 12 bytes b:
///   j < 4: s_j = b[j] % 64,                         m_j = b[j+4] % 64
///   else:  s_j = b[j+4] % 16 + b[j-4] / 64 * 16,    m_j = b[j+4] / 16 + b[j] / 64 * 16
/// with integer quotients.
struct PackedBlock {
  std::string_view name;
  std::uint32_t gguf_type = 0;  ///< its number in a GGUF file
  int elements = 0;
  int bytes = 0;
  int sub_block = 0;  ///< elements that share a scale factor
  PackedElement element = PackedElement::natural;
  PackedField low = {};   ///< of the code
  PackedField high = {};  ///< its bits above those of `low`
  const FormatSpec* scale = nullptr;
  int scale_at = 0;
  PackedScale scale_kind = PackedScale::shared;
  int sub_scales_at = 0;  ///< of six_bits and int8
  PackedOffset offset_kind = PackedOffset::none;
  int offset_at = 0;
  PackedRule rule = PackedRule::none;
  std::string_view source;
};

}  // namespace assay::formats

// SPDX-License-Identifier: Apache-2.0
#pragma once
// The exact GEMM of block-scaled operands at speed: D[m,n] = round(sum_k A[m,k] B[n,k]), one
// rounding of the exact sum. Equal to golden::gemm and golden::round_to on every input, by test;
// it shares nothing with them but the format rows, and they know nothing of it.
//
// How it is exact: codes are integers times powers of two, so every sum is one of integers.
// Products are summed in 32 bits over a chunk of k, chunks in 64 bits, or 128, or as many as it
// takes; beside each step stands the bound that says which inputs it may take (exact_gemm_tile.h,
// exact_gemm_pack_bytes.cpp, exact_gemm_pack_words.cpp).

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "formats/tensor.h"

namespace assay::golden {

namespace exact_parts {
struct Operand;
struct Limits;
}  // namespace exact_parts

enum class ExactSide : std::uint8_t { a, b };

/// An operand, taken apart and laid out for the products; cheap to copy, immutable.
struct ExactOperand {
  std::shared_ptr<const exact_parts::Operand> parts;
};

/// `tensor` is rows x k, row-major codes of at most 8 bits and row-major scale factors in any
/// format, blocks of a multiple of 16 columns or of the whole extent; `other` is the format of the
/// operand it will meet. Throws std::invalid_argument for anything else.
[[nodiscard]] ExactOperand pack_exact(ExactSide side, const formats::BlockScaledTensor& tensor,
                                      const formats::BlockFormat& other, int threads = 1);

/// The instructions to use. `best` is what the machine has.
enum class ExactIsa : std::uint8_t { best, portable, avx2, avx512_vnni };

/// What `best` means here: "portable", "avx2" or "avx512_vnni".
[[nodiscard]] std::string_view exact_gemm_isa();

struct ExactGemmOptions {
  /// fp32, bf16 or fp16; every deterministic rounding mode.
  const formats::FormatSpec* output = &formats::fp32;
  formats::RoundingMode rounding = formats::RoundingMode::nearest_even;
  formats::Policy policy{formats::Overflow::to_infinity, formats::NanRule::canonical,
                         formats::UnsignedRule::clamp};
  int threads = 1;
  ExactIsa isa = ExactIsa::best;
  /// For tests: range checks other than the proven ones. Null: the proven ones.
  const exact_parts::Limits* limits = nullptr;
};

/// Which ways the elements of D went, and the chunks of E2M1 products.
struct ExactGemmCounts {
  std::int64_t in_64_bits = 0;
  std::int64_t in_128_bits = 0;
  std::int64_t in_big_integers = 0;
  std::int64_t special = 0;  ///< NaN or infinite operands
  std::int64_t chunks = 0;   ///< of a tile of D, scale factors multiplied in 16 bits
  std::int64_t chunks_by_group = 0;
};

/// D, row-major: one code a word. The bits do not depend on threads or instructions. Throws
/// std::invalid_argument for operands that were not packed for each other, a `d` of another size
/// than m * n, an output or rounding mode that is not offered, instructions the machine lacks.
ExactGemmCounts exact_gemm(const ExactOperand& a, const ExactOperand& b, std::span<std::uint32_t> d,
                           const ExactGemmOptions& options = {});

}  // namespace assay::golden

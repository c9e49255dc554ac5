// SPDX-License-Identifier: Apache-2.0
// Packed blocks: every bit of a block belongs to one thing, the fast reader is golden's, and both
// are the bytes that ggml's structs describe.
#include "formats/packed.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>

#include "formats/presets.h"
#include "golden/codec.h"
#include "golden/packed.h"
#include "golden/packed_quantize.h"

namespace assay::formats {
namespace {

using Bytes = std::vector<std::uint8_t>;

/// The value rounded once.
std::uint32_t rounded(const golden::Value& x) {
  return golden::encode(fp32, x, RoundingMode::nearest_even,
                        {Overflow::to_infinity, NanRule::canonical, UnsignedRule::clamp});
}

void expect_golden(const PackedBlock& block, const Bytes& bytes) {
  const std::size_t blocks = bytes.size() / static_cast<std::size_t>(block.bytes);
  std::vector<float> out(blocks * static_cast<std::size_t>(block.elements));
  dequantize_packed(block, bytes, out);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::size_t b = i / static_cast<std::size_t>(block.elements);
    const auto of_block = std::span(bytes).subspan(b * static_cast<std::size_t>(block.bytes),
                                                   static_cast<std::size_t>(block.bytes));
    const golden::Value exact = golden::packed_value(
        block, of_block, static_cast<int>(i % static_cast<std::size_t>(block.elements)));
    if (exact.is_nan()) {
      ASSERT_TRUE(std::isnan(out[i])) << block.name << " element " << i;
    } else {
      ASSERT_EQ(std::bit_cast<std::uint32_t>(out[i]), rounded(exact)) << block.name << ' ' << i;
    }
  }
}

TEST(Packed, EveryBitOfABlockIsUsedOnce) {
  for (const PackedBlock* block : all_packed_blocks) {
    std::vector<int> used(static_cast<std::size_t>(block->bytes) * 8);
    // Bits of the codes: the ones that a lone bit of the block lights up.
    for (std::size_t bit = 0; bit < used.size(); ++bit) {
      Bytes bytes(static_cast<std::size_t>(block->bytes));
      bytes[bit / 8] = static_cast<std::uint8_t>(1U << (bit % 8));
      int lit = 0;
      for (int i = 0; i < block->elements; ++i)
        lit += std::popcount(golden::packed_code(*block, bytes, i));
      used[bit] += lit;
    }
    const auto mark = [&](int at, int count) {
      for (int i = 8 * at; i < 8 * (at + count); ++i) ++used[static_cast<std::size_t>(i)];
    };
    const int sub_blocks = block->elements / block->sub_block;
    const int width = block->scale->storage_bits / 8;
    mark(block->scale_at, block->scale_kind == PackedScale::own ? width * sub_blocks : width);
    if (block->scale_kind == PackedScale::six_bits) mark(block->sub_scales_at, 12);
    if (block->scale_kind == PackedScale::int8) mark(block->sub_scales_at, sub_blocks);
    if (block->offset_kind != PackedOffset::none) mark(block->offset_at, 2);
    for (std::size_t bit = 0; bit < used.size(); ++bit)
      EXPECT_EQ(used[bit], 1) << block->name << " bit " << bit;
  }
}

TEST(Packed, ReaderIsGoldensForEveryScaleCodeAndRandomBytes) {
  std::mt19937 random(5);
  for (const PackedBlock* block : all_packed_blocks) {
    const auto draw = [&](std::size_t count) {
      Bytes bytes(count * static_cast<std::size_t>(block->bytes));
      for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random());
      return bytes;
    };
    expect_golden(*block, draw(40));
    // Every code of the scale format (of FP16: every exponent and sign with some mantissas).
    const bool half = block->scale->storage_bits == 16;
    for (std::uint32_t code = 0; code < (half ? 0x10000U : 256U); code += half ? 0x55U : 1U) {
      Bytes bytes = draw(1);
      for (int b = 0; b < block->scale->storage_bits / 8; ++b)
        bytes[static_cast<std::size_t>(block->scale_at + b)] =
            static_cast<std::uint8_t>(code >> (8 * b));
      expect_golden(*block, bytes);
    }
  }
}

TEST(Packed, SixBitIntegersAreOneToOne) {
  // The twelve bytes of Q4_K, bit by bit: each lights one bit of one integer. d = dmin = 1.
  std::vector<int> seen(96);
  for (std::size_t bit = 0; bit < 96; ++bit) {
    Bytes bytes(144);
    bytes[1] = 0x3C;
    bytes[3] = 0x3C;
    bytes[4 + bit / 8] = static_cast<std::uint8_t>(1U << (bit % 8));
    for (std::size_t i = 16; i < 144; ++i) bytes[i] = 0x11;  // every code 1: value = s - m
    std::vector<float> out(256);
    dequantize_packed(packed::q4_k, bytes, out);
    int changed = 0;
    for (std::size_t j = 0; j < 8; ++j) {
      const float value = out[32 * j];
      if (value == 0) continue;
      ++changed;
      const int power = std::ilogb(std::fabs(value));
      ASSERT_EQ(std::fabs(value), std::ldexp(1.0F, power));
      ++seen[j * 12 + (value > 0 ? 0 : 6) + static_cast<std::size_t>(power)];
    }
    EXPECT_EQ(changed, 1) << bit;
  }
  for (const int count : seen) EXPECT_EQ(count, 1);
}

TEST(Packed, BlocksByHand) {
  // Q4_0, d = 2: byte 3 = 0x9E is element 3 = (14 - 8) * 2 and element 19 = (9 - 8) * 2.
  Bytes q4_0(18, 0x88);
  q4_0[0] = 0x00;
  q4_0[1] = 0x40;
  q4_0[2 + 3] = 0x9E;
  std::vector<float> out(32);
  dequantize_packed(packed::q4_0, q4_0, out);
  for (std::size_t i = 0; i < 32; ++i) EXPECT_EQ(out[i], i == 3 ? 12 : i == 19 ? 2 : 0) << i;
  // MXFP4, 2^(128-127): code 7 is 6, code 0xF is -6.
  Bytes mxfp4(17);
  mxfp4[0] = 128;
  mxfp4[1 + 15] = 0xF7;
  dequantize_packed(packed::mxfp4, mxfp4, out);
  EXPECT_EQ(out[15], 12.0F);
  EXPECT_EQ(out[31], -12.0F);
  EXPECT_EQ(out[14], 0.0F);
  // NVFP4: element 16 + 9 is the high nibble of byte 1 of the second eight; its scale, 0x38, is 1.
  Bytes nvfp4(36);
  nvfp4[1] = 0x38;
  nvfp4[4 + 8 + 1] = 0x50;
  std::vector<float> wide(64);
  dequantize_packed(packed::nvfp4, nvfp4, wide, 0.5F);
  for (std::size_t i = 0; i < 64; ++i) EXPECT_EQ(wide[i], i == 25 ? 1.5F : 0.0F) << i;
  EXPECT_THROW(dequantize_packed(packed::mxfp4, mxfp4, wide), std::invalid_argument);
  EXPECT_THROW(packed_block_bytes(packed::q4_k, 255), std::invalid_argument);
  EXPECT_THROW((void)find_packed_block("q4k"), std::invalid_argument);
}

std::vector<float> draw(std::mt19937& random, int kind, std::size_t n) {
  std::normal_distribution<float> normal;
  std::vector<float> x(n);
  const float size = std::ldexp(1.0F, static_cast<int>(random() % 40) - 20);
  for (float& v : x) {
    v = normal(random) * size;
    if (kind == 1) v = std::fabs(v);
    if (kind == 2) v = -std::fabs(v) - 3 * size;
    if (kind == 3 && random() % 2 == 0) v = 0;
    if (kind == 4) v = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
    if (kind == 5) v = static_cast<float>(static_cast<int>(random() % 17) - 8) * size;
    if (kind == 6) v = size;
    if (kind == 7) v = normal(random) * 1e-41F;
    if (kind == 8) v = -1000 - normal(random) * 1e-4F;
  }
  return x;
}

TEST(Packed, QuantizersAreGoldens) {
  std::mt19937 random(9);
  for (const auto& [block, rounds] : {std::pair{&packed::q4_0, 60}, {&packed::q4_k, 2}})
    for (int kind = 0; kind < 9; ++kind)
      for (int round = 0; round < rounds; ++round) {
        const std::vector<float> x = draw(random, kind, static_cast<std::size_t>(block->elements));
        ASSERT_EQ(quantize_packed(*block, x), golden::quantize_packed(*block, x))
            << block->name << " kind " << kind << " round " << round;
      }
}

TEST(Packed, Q4_0ByHand) {
  // The largest magnitude becomes -8, its opposite saturates at 7; ties go up.
  std::vector<float> x(32);
  x[0] = 8;      // d = -1: code 0, read as 8
  x[1] = -8;     // 16.5 -> 15, read as -7
  x[2] = 0.5F;   // -0.5 + 8.5 = 8 -> 0
  x[3] = -0.5F;  // 9 -> -1
  x[4] = 1;
  const Bytes bytes = quantize_packed(packed::q4_0, x);
  EXPECT_EQ(bytes[0], 0x00);
  EXPECT_EQ(bytes[1], 0xBC);  // FP16(-1)
  EXPECT_EQ(bytes[2], 0x80);
  EXPECT_EQ(bytes[3], 0x8F);
  EXPECT_EQ(bytes[4], 0x88);
  EXPECT_EQ(bytes[5], 0x89);
  EXPECT_EQ(bytes[6], 0x87);
  x[9] = std::numeric_limits<float>::infinity();
  Bytes poisoned(18);
  poisoned[1] = 0x7E;
  EXPECT_EQ(quantize_packed(packed::q4_0, x), poisoned);
  EXPECT_THROW(quantize_packed(packed::q8_0, x), std::invalid_argument);
}

TEST(Packed, Q4KKeepsWhatItCanHold) {
  // 16 equidistant levels in every sub-block, scales in the ratio of 6-bit integers: exact.
  std::vector<float> x(256);
  for (std::size_t i = 0; i < 256; ++i) {
    const auto scale = static_cast<float>(63 - 7 * (i / 32));
    x[i] = scale * static_cast<float>(i % 16) - 63.0F * 2;
  }
  std::vector<float> out(256);
  dequantize_packed(packed::q4_k, quantize_packed(packed::q4_k, x), out);
  for (std::size_t i = 0; i < 256; ++i) EXPECT_EQ(out[i], x[i]) << i;
}

}  // namespace
}  // namespace assay::formats

// SPDX-License-Identifier: Apache-2.0
// The maps of the Blackwell FP4 kernels against what PTX ISA 9.0 documents, restated here in the
// document's own terms, and that they are one to one. No GPU is needed.
#include <gtest/gtest.h>

#include <array>
#include <set>
#include <utility>

#include "kernels/cuda/gemm_fp4_tiles.h"
#include "kernels/cuda/gemm_fp4_warps.h"
#include "kernels/cuda/mma_fp4_maps.h"
#include "kernels/cuda/tcgen05_fp4_maps.h"

namespace assay::kernels::cuda {
namespace {

using Pair = std::pair<int, int>;

// Section 9.7.14.5.11: a0..a31, b0..b15 and c0..c3 of a lane, eight nibbles to a register.
TEST(MmaFp4Maps, FragmentsAreTheDocumentedOnes) {
  std::set<Pair> a, b, d;
  for (int lane = 0; lane < 32; ++lane) {
    const int group = lane >> 2, in_group = lane % 4;
    for (int i = 0; i < 32; ++i) {
      const MmaPlace at = mma_fp4_a(lane, i / 8, i % 8);
      EXPECT_EQ(at.row, i < 8 || (16 <= i && i < 24) ? group : group + 8);
      EXPECT_EQ(at.col, in_group * 8 + (i & 7) + (i >= 16 ? 32 : 0));
      a.emplace(at.row, at.col);
    }
    for (int i = 0; i < 16; ++i) {
      const MmaPlace at = mma_fp4_b(lane, i / 8, i % 8);
      EXPECT_EQ(at.row, in_group * 8 + (i & 7) + (i >= 8 ? 32 : 0));
      EXPECT_EQ(at.col, group);
      b.emplace(at.row, at.col);
    }
    for (int i = 0; i < 4; ++i) {
      const MmaPlace at = mma_fp4_d(lane, i);
      EXPECT_EQ(at.row, i < 2 ? group : group + 8);
      EXPECT_EQ(at.col, in_group * 2 + (i & 1));
      d.emplace(at.row, at.col);
    }
  }
  EXPECT_EQ(a.size(), 16U * 64);  // as many as there are: one to one
  EXPECT_EQ(b.size(), 64U * 8);
  EXPECT_EQ(d.size(), 16U * 8);
  EXPECT_EQ(*a.rbegin(), Pair(15, 63));
  EXPECT_EQ(*b.rbegin(), Pair(63, 7));
  EXPECT_EQ(*d.rbegin(), Pair(15, 7));
}

// Section 9.7.14.3, the selectors of its last table: a selector reads every scale factor from one
// byte of one lane, and no byte serves two selectors.
TEST(MmaFp4Maps, SelectorsReadEveryScaleFactorOnce) {
  for (const int count : {2, 4}) {
    std::set<Pair> used_a, used_b;
    for (int byte_id = 0; byte_id < 4; byte_id += count) {
      for (int thread_id = 0; thread_id < 2; ++thread_id) {
        std::set<Pair> found;
        for (int lane = 0; lane < 32; ++lane)
          for (int byte = 0; byte < 4; ++byte) {
            const MmaPlace at = mma_fp4_scale_a(lane, byte, count, byte_id, thread_id);
            if (at.row < 0) continue;
            EXPECT_EQ(lane % 4 / 2, thread_id);  // lower or upper two threads of the quad
            EXPECT_EQ(at.row % 8, lane / 4);
            EXPECT_TRUE(used_a.emplace(lane, byte).second);
            EXPECT_TRUE(found.emplace(at.row, at.col).second);
          }
        EXPECT_EQ(found.size(), 16U * count);
        EXPECT_EQ(*found.rbegin(), Pair(15, count - 1));
      }
      for (int thread_id = 0; thread_id < 4; ++thread_id) {
        std::set<Pair> found;
        for (int lane = 0; lane < 32; ++lane)
          for (int byte = 0; byte < 4; ++byte) {
            const MmaPlace at = mma_fp4_scale_b(lane, byte, count, byte_id, thread_id);
            if (at.row < 0) continue;
            EXPECT_EQ(lane % 4, thread_id);
            EXPECT_TRUE(used_b.emplace(lane, byte).second);
            EXPECT_TRUE(found.emplace(at.row, at.col).second);
          }
        EXPECT_EQ(found.size(), 8U * count);
        EXPECT_EQ(*found.rbegin(), Pair(count - 1, 7));
      }
    }
    EXPECT_EQ(used_a.size(), 32U * 4);
    EXPECT_EQ(used_b.size(), 32U * 4);
  }
}

template <class Plan>
class WarpPlan : public testing::Test {};
using WarpPlans = testing::Types<Fp4Warps<Fp4Kind::nvfp4>, Fp4Warps<Fp4Kind::mxfp4>>;
TYPED_TEST_SUITE(WarpPlan, WarpPlans);

TYPED_TEST(WarpPlan, CopiesFillTheStageOnce) {
  using Plan = TypeParam;
  const std::array<std::uint8_t, 1> none{};
  const GemmFp4 p{none.data(), none.data(), none.data(), none.data(), 256,     256,     512,
                  1,           1,           1,           0,           nullptr, nullptr, nullptr};
  std::set<int> filled;
  std::set<std::pair<int, std::int64_t>> sources;  // operand, offset
  for (int i = 0; i < Plan::chunks; ++i) {
    const auto copy = Plan::copy(p, 128, 128, 256, i);
    EXPECT_EQ(copy.to % 16, 0);
    EXPECT_EQ(copy.offset % 16, 0);
    EXPECT_TRUE(copy.inside);
    EXPECT_TRUE(filled.insert(copy.to).second);
    const int operand = (copy.to >= Plan::b_codes_at) + (copy.to >= Plan::a_scales_at) +
                        (copy.to >= Plan::b_scales_at);
    EXPECT_TRUE(sources.emplace(operand, copy.offset).second);
  }
  EXPECT_EQ(filled.size() * 16, static_cast<std::size_t>(Plan::stage_bytes));
  EXPECT_EQ(*filled.rbegin(), Plan::stage_bytes - 16);
}

TYPED_TEST(WarpPlan, FragmentsAreWholeWordsInDifferentBanks) {
  using Plan = TypeParam;
  for (int lane = 0; lane < 32; ++lane)
    for (int r = 0; r < 4; ++r)
      for (int i = 0; i < 8; ++i) {  // a register is eight codes in a row of memory
        EXPECT_EQ(mma_fp4_a(lane, r, i).row, mma_fp4_a(lane, r, 0).row);
        EXPECT_EQ(mma_fp4_a(lane, r, i).col, mma_fp4_a(lane, r, 0).col + i);
        EXPECT_EQ(mma_fp4_b(lane, r % 2, i).col, mma_fp4_b(lane, r % 2, 0).col);
        EXPECT_EQ(mma_fp4_b(lane, r % 2, i).row, mma_fp4_b(lane, r % 2, 0).row + i);
      }
  for (int warp = 0; warp < Plan::warps; ++warp)
    for (int i = 0; i < 4; ++i)
      for (int step = 0; step < Plan::steps; ++step)
        for (int r = 0; r < 4; ++r) {
          std::set<int> banks_a, banks_b;
          for (int lane = 0; lane < 32; ++lane) {
            const int a = Plan::a_word(warp, lane, i, step, r);
            const int b = Plan::b_word(warp, lane, i, step, r % 2);
            EXPECT_EQ(a % 4, 0);
            EXPECT_LT(a, Plan::b_codes_at);
            EXPECT_EQ(b % 4, 0);
            EXPECT_GE(b, Plan::b_codes_at);
            EXPECT_LT(b, Plan::a_scales_at);
            banks_a.insert(a / 4 % 32);
            banks_b.insert(b / 4 % 32);
          }
          EXPECT_EQ(banks_a.size(), 32U);
          EXPECT_EQ(banks_b.size(), 32U);
        }
}

TYPED_TEST(WarpPlan, OutputsCoverTheTileOnce) {
  using Plan = TypeParam;
  std::set<Pair> outputs;
  for (int warp = 0; warp < Plan::warps; ++warp)
    for (int lane = 0; lane < 32; ++lane)
      for (int i = 0; i < Plan::m_count; ++i)
        for (int j = 0; j < Plan::n_count; ++j)
          for (int r = 0; r < 4; ++r) {
            const MmaPlace at = Plan::output(warp, lane, i, j, r);
            EXPECT_TRUE(outputs.emplace(at.row, at.col).second);
          }
  EXPECT_EQ(outputs.size(), std::size_t{Plan::tile} * Plan::tile);
  EXPECT_EQ(*outputs.rbegin(), Pair(Plan::tile - 1, Plan::tile - 1));
}

// Section 9.7.16.4.1.
TEST(Tcgen05Maps, SharedMemoryDescriptors) {
  EXPECT_EQ(fp4_rows_descriptor(0x2C400),
            0x2C40ULL | 64ULL << 32 | 1ULL << 46 | 2ULL << 61);  // SBO 1024, 128-byte swizzle
  EXPECT_EQ(scale_block_descriptor(0x12340),
            0x1234ULL | 8ULL << 32 | 1ULL << 46);  // SBO 128, no swizzle
  EXPECT_EQ(shared_descriptor(0x3FFF0, 0x3FFF0, 0x3FFF0, SharedSwizzle::none),
            0x3FFFULL | 0x3FFFULL << 16 | 0x3FFFULL << 32 | 1ULL << 46);
}

// Section 9.7.16.4.2, the table of .kind::mxf4 and .kind::mxf4nvf4, field by field.
TEST(Tcgen05Maps, InstructionDescriptors) {
  const auto field = [](std::uint32_t word, int first, int last) {
    return word >> first & ((1U << (last - first + 1)) - 1);
  };
  for (const Fp4Kind kind : {Fp4Kind::nvfp4, Fp4Kind::mxfp4})
    for (const int columns : {8, 128, 256})
      for (const int id : {0, 2}) {
        const std::uint32_t word = fp4_instruction_descriptor(kind, columns, id);
        EXPECT_EQ(field(word, 0, 3), 0U);  // dense
        EXPECT_EQ(field(word, 4, 5), static_cast<std::uint32_t>(id));
        EXPECT_EQ(field(word, 7, 9), 1U);    // E2M1
        EXPECT_EQ(field(word, 10, 11), 1U);  // E2M1
        EXPECT_EQ(field(word, 12, 16), 0U);  // not negated, not transposed
        EXPECT_EQ(field(word, 17, 22), static_cast<std::uint32_t>(columns / 8));
        EXPECT_EQ(field(word, 23, 23), kind == Fp4Kind::nvfp4 ? 0U : 1U);  // UE4M3, UE8M0
        EXPECT_EQ(field(word, 24, 26), 0U);
        EXPECT_EQ(field(word, 27, 28), 1U);  // 128 rows
        EXPECT_EQ(field(word, 29, 30), static_cast<std::uint32_t>(id));
        EXPECT_EQ(field(word, 31, 31), 0U);  // K = 64
      }
  EXPECT_EQ(fp4_instruction_descriptor(Fp4Kind::nvfp4, 128, 0), 0x08200480U);
}

// Section 5.5.7: address bits 4 to 6 are xored with bits 7 to 9.
TEST(Tcgen05Maps, SwizzleIsThatOfTheAddress) {
  std::set<int> seen;
  for (int row = 0; row < 256; ++row)
    for (int byte = 0; byte < 128; ++byte) {
      const int linear = row * 128 + byte;
      EXPECT_EQ(swizzled_byte(row, byte), linear ^ (linear >> 7 & 7) << 4);
      seen.insert(swizzled_byte(row, byte));
    }
  EXPECT_EQ(seen.size(), 256U * 128);
}

// tcgen05.cp.32x128b (9.7.16.9.2) brings 16 bytes of row i of a block to lane i, four columns.
TEST(Tcgen05Maps, ScaleBlocksArriveWhereTheInstructionReads) {
  std::set<Pair> words;
  for (int row = 0; row < scale_block_rows; ++row) {
    const int at = scale_word(row);
    const TensorPlace place = tensor_scale_word(row);
    EXPECT_EQ(place.lane, at / 16);
    EXPECT_EQ(place.column, at % 16 / 4);
    words.emplace(place.lane, place.column);
  }
  EXPECT_EQ(words.size(), 128U);
}

TEST(Tcgen05Maps, FourWarpsInARowLoadEveryLane) {
  for (int first = 0; first < 4; ++first) {
    std::set<int> lanes;
    for (int warp = first; warp < first + 4; ++warp)
      for (int lane = 0; lane < 32; ++lane) {
        EXPECT_EQ(tensor_loaded(warp, lane, 0).lane / 32, warp % 4);
        lanes.insert(tensor_loaded(warp, lane, 0).lane);
      }
    EXPECT_EQ(lanes.size(), 128U);
  }
}

template <class Plan>
class TilePlan : public testing::Test {};
using TilePlans = testing::Types<Fp4Tiles<Fp4Kind::nvfp4, 128>, Fp4Tiles<Fp4Kind::nvfp4, 256>,
                                 Fp4Tiles<Fp4Kind::mxfp4, 128>, Fp4Tiles<Fp4Kind::mxfp4, 256>>;
TYPED_TEST_SUITE(TilePlan, TilePlans);

TYPED_TEST(TilePlan, ColumnsOfTensorMemoryDoNotOverlap) {
  using Plan = TypeParam;
  std::set<int> used;
  const auto take = [&](int first, int count) {
    for (int c = first; c < first + count; ++c) {
      EXPECT_TRUE(used.insert(c).second) << "column " << c;
      EXPECT_LT(c, Plan::allocated);
    }
  };
  take(0, Plan::cols);
  for (int stage = 0; stage < Plan::stages; ++stage)
    for (int block = 0; block < Plan::blocks; ++block) {
      take(Plan::a_scales_column(stage, block), Plan::scale_columns);
      take(Plan::b_scales_column(stage, block), Plan::scale_columns * Plan::halves);
    }
  EXPECT_EQ(Plan::allocated & (Plan::allocated - 1), 0);
  EXPECT_LE(Plan::allocated, 512);
  // 227 KiB of shared memory a block, with the alignment of the stages and the barriers.
  EXPECT_LE(Plan::stages * Plan::stage_bytes + 1024 + 128, 227 * 1024);
}

}  // namespace
}  // namespace assay::kernels::cuda

// SPDX-License-Identifier: Apache-2.0
// The index plans of the Blackwell FP4 kernels, run whole on the CPU: copies, fragments, selectors,
// descriptors, tensor memory and epilogue are the kernels' own functions, the instructions are
// fp4_emulator.h. The result is simulator::gemm's, bit for bit. What this leaves to a GPU are the
// instructions themselves and the barriers between the warps.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "fp4_emulator.h"
#include "fp4_problem.h"
#include "kernels/cuda/gemm_fp4_tiles.h"
#include "kernels/cuda/gemm_fp4_warps.h"

namespace assay::kernels::cuda {
namespace {

using simulator::MmaModel;
using tests::Fp4Problem;
using tests::Fp4Shape;
using tests::Words;

std::uint32_t word_at(const std::vector<std::uint8_t>& memory, int byte) {
  std::uint32_t word = 0;
  for (int i = 3; i >= 0; --i) word = word << 8 | memory.at(static_cast<std::size_t>(byte + i));
  return word;
}

/// The kernel of gemm_fp4_mma_sync.cu with this plan, block by block.
template <Fp4Kind kind, class Plan = Fp4Warps<kind>>
void emulate_warps(const MmaModel& model, const Fp4Problem& problem, const GemmFp4& p) {
  for (std::int64_t row0 = 0; row0 < p.m; row0 += Plan::tile)
    for (std::int64_t col0 = 0; col0 < p.n; col0 += Plan::tile) {
      std::vector<std::array<std::array<std::uint32_t[32][4], 4>, 4>> sum(Plan::warps);
      for (auto& warp : sum)
        for (auto& line : warp)
          for (auto& d : line) std::memset(d, 0, sizeof d);
      for (std::int64_t k0 = 0; k0 < p.k; k0 += Plan::stage_k) {
        std::vector<std::uint8_t> stage(Plan::stage_bytes, 0xEE);
        for (int i = 0; i < Plan::chunks; ++i) {
          const auto copy = Plan::copy(p, row0, col0, k0, i);
          const std::size_t size = copy.from == p.a_codes    ? problem.a_codes.size()
                                   : copy.from == p.b_codes  ? problem.b_codes.size()
                                   : copy.from == p.a_scales ? problem.a_scales.size()
                                                             : problem.b_scales.size();
          ASSERT_TRUE(!copy.inside || static_cast<std::size_t>(copy.offset) + 16 <= size);
          for (int b = 0; b < 16; ++b)
            stage.at(static_cast<std::size_t>(copy.to + b)) =
                copy.inside ? copy.from[copy.offset + b] : 0;
        }
        for (int warp = 0; warp < Plan::warps; ++warp)
          for (int step = 0; step < Plan::steps; ++step)
            for (int i = 0; i < Plan::m_count; ++i)
              for (int j = 0; j < Plan::n_count; ++j) {
                tests::WarpRegisters w;
                for (int lane = 0; lane < 32; ++lane) {
                  for (int r = 0; r < 4; ++r)
                    w.a[lane][r] = word_at(stage, Plan::a_word(warp, lane, i, step, r));
                  for (int r = 0; r < 2; ++r)
                    w.b[lane][r] = word_at(stage, Plan::b_word(warp, lane, j, step, r));
                  w.scale_a[lane] = word_at(stage, Plan::a_scale_word(warp, lane, i & ~1, step));
                  w.scale_b[lane] = word_at(stage, Plan::b_scale_word(warp, lane, step));
                }
                tests::warp_multiply(model, fp4_scales(kind), w, Plan::byte_id(step),
                                     Plan::thread_id_a(i), Plan::byte_id(step),
                                     Plan::thread_id_b(j), sum[warp][i][j]);
              }
      }
      for (int warp = 0; warp < Plan::warps; ++warp)
        for (int lane = 0; lane < 32; ++lane)
          for (int i = 0; i < Plan::m_count; ++i)
            for (int j = 0; j < Plan::n_count; ++j)
              for (int r = 0; r < 4; ++r) {
                const MmaPlace at = Plan::output(warp, lane, i, j, r);
                if (row0 + at.row < p.m && col0 + at.col < p.n)
                  store_fp4(p, row0 + at.row, col0 + at.col,
                            std::bit_cast<float>(sum[warp][i][j][lane][r]));
              }
    }
}

/// Fp4Tiles' machines of gemm_fp4_tcgen05.cu on the CPU.
template <class Plan>
struct Machine {
  tests::TensorCore core;
  const GemmFp4& p;
  int expected = 0, arrived = 0;  ///< bytes on the stage's barrier
  int lane = 0;                   ///< of the thread that loads

  void expect(int bytes) { expected = bytes; }
  void box(bool is_a, int to, std::int64_t byte, std::int64_t row) {
    const int rows = is_a ? Plan::rows : Plan::cols;
    for (int r = 0; r < rows; ++r)
      for (int b = 0; b < 128; ++b) {
        const bool inside = row + r < (is_a ? p.m : p.n) && byte + b < p.k / 2;
        const std::uint8_t* codes = is_a ? p.a_codes : p.b_codes;
        const int linear = r * 128 + b;  // 128-byte swizzle: address bits 4..6 ^= bits 7..9
        core.shared.at(static_cast<std::size_t>(to + (linear ^ (linear >> 7 & 7) << 4))) =
            inside ? codes[(row + r) * (p.k / 2) + byte + b] : 0;
      }
    arrived += rows * 128;
  }
  void bytes(int to, const std::uint8_t* from, int count) {
    for (int i = 0; i < count; ++i) core.shared.at(static_cast<std::size_t>(to + i)) = from[i];
    arrived += count;
  }
  void copy_scales(std::uint32_t to, std::uint64_t from) { core.copy_scales(to, from); }
  void multiply(std::uint32_t d, std::uint64_t a, std::uint64_t b, std::uint32_t instruction,
                std::uint32_t scale_a, std::uint32_t scale_b, bool accumulate) {
    core.multiply(d, a, b, instruction, scale_a, scale_b, accumulate);
  }
  /// tcgen05.ld.32x32b: lane l of a warp has lane l from the address on, registers are columns.
  void load(std::uint32_t from, float (&x)[32]) {
    EXPECT_EQ(from >> 16 & 31U, 0U);
    for (int r = 0; r < 32; ++r)
      x[r] = std::bit_cast<float>(
          core.cell(static_cast<int>(from >> 16) + lane, static_cast<int>(from & 0xFFFFU) + r));
  }
};

template <Fp4Kind kind, int columns>
void emulate_tiles(const MmaModel& model, const GemmFp4& p) {
  using Plan = Fp4Tiles<kind, columns>;
  for (std::int64_t row0 = 0; row0 < p.m; row0 += Plan::rows)
    for (std::int64_t col0 = 0; col0 < p.n; col0 += columns) {
      Machine<Plan> machine{{model, std::size_t{Plan::stages} * Plan::stage_bytes}, p};
      for (int s = 0; s < Plan::stage_count(p.k); ++s) {
        const int slot = s % Plan::stages;
        machine.arrived = 0;
        Plan::load(machine, p, row0, col0, std::int64_t{s} * Plan::stage_k,
                   slot * Plan::stage_bytes);
        EXPECT_EQ(machine.arrived, machine.expected);
        Plan::multiply(machine, p, std::int64_t{s} * Plan::stage_k,
                       static_cast<std::uint32_t>(slot * Plan::stage_bytes), slot, 0);
      }
      for (int warp = 2; warp < 6; ++warp)
        for (machine.lane = 0; machine.lane < 32; ++machine.lane)
          Plan::store(machine, p, row0, col0, warp, machine.lane, 0);
    }
}

/// Outputs that differ; NaN is NaN.
int differences(const Words& expected, const std::vector<float>& d) {
  int count = 0;
  for (std::size_t i = 0; i < d.size(); ++i) {
    const float wanted = std::bit_cast<float>(expected[i]);
    if (std::isnan(wanted) ? !std::isnan(d[i]) : std::bit_cast<std::uint32_t>(d[i]) != expected[i])
      ++count;
  }
  return count;
}

template <Fp4Kind kind>
void check_warps(Fp4Shape shape, unsigned seed) {
  const MmaModel& model = simulator::find_mma_model(kind == Fp4Kind::nvfp4 ? "sm120.mma.nvfp4.f32"
                                                                           : "sm120.mma.mxfp4.f32");
  const Fp4Problem problem(kind, shape, seed);
  std::vector<float> d;
  const GemmFp4 p = problem.device(d);
  emulate_warps<kind>(model, problem, p);
  EXPECT_EQ(differences(problem.expected(model, Fp4Warps<kind>::stage_k), d), 0);
}
template <Fp4Kind kind, int columns>
void check_tiles(Fp4Shape shape, unsigned seed) {
  const MmaModel& model = simulator::find_mma_model(
      kind == Fp4Kind::nvfp4 ? "blackwell.tcgen05.nvfp4.f32" : "blackwell.tcgen05.mxfp4.f32");
  const Fp4Problem problem(kind, shape, seed);
  std::vector<float> d;
  emulate_tiles<kind, columns>(model, problem.device(d));
  EXPECT_EQ(differences(problem.expected(model, fp4_instruction_k), d), 0);
}

TEST(Fp4Emulation, MmaSyncNvfp4) {
  check_warps<Fp4Kind::nvfp4>({128, 128, 128}, 1);
  check_warps<Fp4Kind::nvfp4>({131, 150, 416}, 2);
  check_warps<Fp4Kind::nvfp4>({1, 7, 32}, 3);
}
TEST(Fp4Emulation, MmaSyncMxfp4) {
  check_warps<Fp4Kind::mxfp4>({128, 128, 128}, 4);
  check_warps<Fp4Kind::mxfp4>({131, 150, 416}, 5);
  check_warps<Fp4Kind::mxfp4>({1, 7, 32}, 6);
}
TEST(Fp4Emulation, Tcgen05Nvfp4) {
  check_tiles<Fp4Kind::nvfp4, 128>({130, 131, 352}, 7);
  check_tiles<Fp4Kind::nvfp4, 128>({3, 5, 1312}, 8);  // slots are used again
  check_tiles<Fp4Kind::nvfp4, 256>({20, 300, 288}, 9);
}
TEST(Fp4Emulation, Tcgen05Mxfp4) {
  check_tiles<Fp4Kind::mxfp4, 128>({130, 131, 352}, 10);
  check_tiles<Fp4Kind::mxfp4, 128>({3, 5, 1312}, 11);
  check_tiles<Fp4Kind::mxfp4, 256>({20, 300, 288}, 12);
}

TEST(Fp4Emulation, WithoutKTheEpilogueRemains) {
  const Fp4Problem problem(Fp4Kind::nvfp4, {5, 6, 0}, 14);
  for (const bool warps : {true, false}) {
    std::vector<float> d;
    const GemmFp4 p = problem.device(d);
    if (warps)
      emulate_warps<Fp4Kind::nvfp4>(simulator::find_mma_model("sm120.mma.nvfp4.f32"), problem, p);
    else
      emulate_tiles<Fp4Kind::nvfp4, 128>(simulator::find_mma_model("blackwell.tcgen05.nvfp4.f32"),
                                         p);
    for (std::size_t i = 0; i < d.size(); ++i)
      EXPECT_EQ(d[i], problem.beta * problem.c[i] + problem.bias[i % 6]);
  }
}

// Faults of such kernels, as plans. Each changes the result of a product that is otherwise right.
template <Fp4Kind kind>
struct NeighboursScale : Fp4Warps<kind> {
  static int thread_id_b(int j) { return j ^ 1; }
};
template <Fp4Kind kind>
struct SwappedHalves : Fp4Warps<kind> {
  static int thread_id_a(int i) { return 1 - i % 2; }
};
template <Fp4Kind kind>
struct StaleScale : Fp4Warps<kind> {
  static int b_scale_word(int warp, int lane, int) {
    return Fp4Warps<kind>::b_scale_word(warp, lane, 0);
  }
  static int byte_id(int) { return 0; }
};
template <Fp4Kind kind>
struct DroppedTail : Fp4Warps<kind> {
  static typename Fp4Warps<kind>::Copy copy(const GemmFp4& p, std::int64_t row0, std::int64_t col0,
                                            std::int64_t k0, int i) {
    GemmFp4 shorter = p;
    auto copy = Fp4Warps<kind>::copy(p, row0, col0, k0, i);
    shorter.k -= 32;
    copy.inside = copy.inside && Fp4Warps<kind>::copy(shorter, row0, col0, k0, i).inside;
    return copy;
  }
};
template <Fp4Kind kind>
struct UnswizzledRead : Fp4Warps<kind> {
  static int a_word(int warp, int lane, int i, int step, int r) {
    const MmaPlace at = mma_fp4_a(lane, r, 0);
    return (Fp4Warps<kind>::warp_row(warp) + i * mma_fp4_m + at.row) * 64 +
           (step * fp4_instruction_k + at.col) / 2;
  }
};

template <Fp4Kind kind, class Plan>
void expect_noticed(const char* fault) {
  const MmaModel& model = simulator::find_mma_model(kind == Fp4Kind::nvfp4 ? "sm120.mma.nvfp4.f32"
                                                                           : "sm120.mma.mxfp4.f32");
  const Fp4Problem problem(kind, {40, 24, 96}, 13);
  std::vector<float> d;
  const GemmFp4 p = problem.device(d);
  emulate_warps<kind, Plan>(model, problem, p);
  EXPECT_GT(differences(problem.expected(model, 128), d), 100) << fault;
}
template <Fp4Kind kind>
void expect_all_noticed() {
  expect_noticed<kind, NeighboursScale<kind>>("scale factors of B from the next lane");
  expect_noticed<kind, SwappedHalves<kind>>("scale factors of A from the other half of the quad");
  expect_noticed<kind, StaleScale<kind>>("scale factors of the first step for all");
  expect_noticed<kind, DroppedTail<kind>>("the last 32 of k left out");
  expect_noticed<kind, UnswizzledRead<kind>>("A read as if its rows were not swizzled");
}
TEST(Fp4Emulation, NoticesFaults) {
  expect_all_noticed<Fp4Kind::nvfp4>();
  expect_all_noticed<Fp4Kind::mxfp4>();
}

}  // namespace
}  // namespace assay::kernels::cuda

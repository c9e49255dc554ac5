// SPDX-License-Identifier: Apache-2.0
// The fast models against the interpreter: every model that has one, every family of operands.
#include "simulator/mma/fast.h"

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include "mma/operand_families.h"
#include "simulator/mma/dot.h"

namespace assay::simulator {
namespace {

using tests::Operands;

struct Batch {
  std::vector<std::uint32_t> a, b, scale_a, scale_b;
  std::vector<std::uint32_t> c;
};

void append(std::vector<std::uint32_t>& to, const std::vector<std::uint32_t>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

/// With the kernels of each instruction set that this machine has.
template <class F>
void for_each_instruction_set(F f) {
  for (std::int64_t rest = hwy::SupportedTargets(); rest != 0; rest &= rest - 1) {
    hwy::SetSupportedTargetsForTest(rest & -rest);
    hwy::GetChosenTarget().DeInit();
    f(rest & -rest);
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().DeInit();
}

/// Numbers in the table of those that have a fast form.
std::vector<std::size_t> fast_models() {
  std::vector<std::size_t> numbers;
  for (std::size_t i = 0; i < all_mma_models().size(); ++i)
    if (has_fast_mma(all_mma_models()[i])) numbers.push_back(i);
  return numbers;
}

class EveryFastModel : public testing::TestWithParam<std::size_t> {};

TEST_P(EveryFastModel, IsTheInterpreter) {
  MmaModel model = all_mma_models()[GetParam()];
  std::mt19937_64 random(GetParam() + 1);
  constexpr std::size_t m = 7;
  constexpr std::size_t n = 19;  // columns of more than one tile
  for (const ZeroRule rule : {ZeroRule::term, ZeroRule::floor}) {
    model.zero_rule = rule;
    for (const tests::Family family : tests::families) {
      for (const int steps : {1, 3}) {
        const std::int64_t k = steps * model.step;
        Batch batch;
        for (std::size_t i = 0; i < n; ++i) {
          const Operands o = draw(model, family, static_cast<std::size_t>(k), random);
          if (i < m) append(batch.a, o.a);
          if (i < m) append(batch.scale_a, o.scale_a);
          append(batch.b, o.b);
          append(batch.scale_b, o.scale_b);
          for (std::size_t j = 0; j < m; ++j) batch.c.push_back((i + j) % 5 == 0 ? 0 : o.c);
        }
        const MmaOperand a = unpack_mma(model, Side::a, m, k, batch.a, batch.scale_a);
        const MmaOperand b = unpack_mma(model, Side::b, n, k, batch.b, batch.scale_b);
        const auto width = static_cast<std::size_t>(k);
        const auto blocks = static_cast<std::size_t>(a.blocks);
        std::vector<std::uint32_t> expected;
        for (std::size_t i = 0; i < m; ++i)
          for (std::size_t j = 0; j < n; ++j)
            expected.push_back(
                dot(model, {std::span(a.codes).subspan(i * width, width),
                            std::span(b.codes).subspan(j * width, width), batch.c[i * n + j],
                            std::span(a.scale_codes).subspan(i * blocks, blocks),
                            std::span(b.scale_codes).subspan(j * blocks, blocks)}));
        const auto expect_equal = [&](std::int64_t target, int threads) {
          std::vector<std::uint32_t> d(m * n);
          mma_gemm(model, a, b, batch.c, d, threads);
          ASSERT_EQ(d, expected) << model.name << " "
                                 << tests::family_names[static_cast<int>(family)]
                                 << " on instruction set " << hwy::TargetName(target);
        };
        for_each_instruction_set([&](std::int64_t target) { expect_equal(target, 1); });
        expect_equal(0, 2);
      }
    }
  }
}
std::string title(const testing::TestParamInfo<std::size_t>& info) {
  std::string text = all_mma_models()[info.param].name;
  for (char& c : text)
    if (c == '.') c = '_';
  return text;
}
INSTANTIATE_TEST_SUITE_P(Mma, EveryFastModel, testing::ValuesIn(fast_models()), title);

}  // namespace
}  // namespace assay::simulator

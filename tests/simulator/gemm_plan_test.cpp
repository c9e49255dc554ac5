// SPDX-License-Identifier: Apache-2.0
// gemm(plan) against the same plan composed step by step: single instructions by dot(), every other
// operation in golden's exact arithmetic with the rounding that the plan declares.
#include "simulator/gemm_plan.h"

#include <gtest/gtest.h>

#include <bit>
#include <fstream>
#include <functional>
#include <sstream>

#include "golden/codec.h"
#include "mma/operand_families.h"
#include "simulator/gemm.h"
#include "simulator/input_error.h"
#include "simulator/mma/dot.h"

namespace assay::simulator {
namespace {

using formats::FormatSpec;
using formats::RoundingMode;
using golden::Value;
using Codes = std::vector<std::uint32_t>;

/// To FP32, nearest even.
Value fp32(const Value& x) {
  return golden::decode(formats::fp32,
                        golden::encode(formats::fp32, x, RoundingMode::nearest_even,
                                       golden::policy_of(formats::ieee, formats::fp32)));
}

struct Problem {
  std::int64_t m = 3, n = 4, k = 0;
  Codes a, b, scale_a, scale_b, c, bias;
  float alpha = 1, beta = 1, ta = 1, tb = 1, td = 1;

  [[nodiscard]] GemmOperands operands() const {
    return {m, n, k, a, b, scale_a, scale_b, c, bias, alpha, beta, ta, tb, td};
  }
};

Problem draw_problem(const GemmPlan& plan, std::int64_t k, tests::Family family,
                     std::mt19937_64& random) {
  Problem p;
  p.k = k;
  const auto append = [](Codes& to, const Codes& from) {
    to.insert(to.end(), from.begin(), from.end());
  };
  for (std::int64_t i = 0; i < std::max(p.m, p.n); ++i) {
    const tests::Operands o = draw(plan.model, family, static_cast<std::size_t>(k), random);
    if (i < p.m) append(p.a, o.a);
    if (i < p.m) append(p.scale_a, o.scale_a);
    if (i < p.n) append(p.b, o.b);
    if (i < p.n) append(p.scale_b, o.scale_b);
  }
  return p;
}

/// The definition of a plan, one output at a time.
class Composition {
 public:
  Composition(const GemmPlan& plan, const Problem& p) : plan_(plan), p_(p) {}

  std::uint32_t operator()(std::int64_t i, std::int64_t j) {
    i_ = i;
    j_ = j;
    const std::int64_t tiles = (p_.k + plan_.tile_k - 1) / plan_.tile_k;
    const int count = plan_.split.count;
    std::vector<std::vector<std::int64_t>> slices(static_cast<std::size_t>(count));
    for (std::int64_t t = 0; t < tiles; ++t) slices[slice_of(t, tiles)].push_back(t);
    std::vector<Value> sums;
    for (std::size_t s = 0; s < slices.size(); ++s)
      if (!slices[s].empty()) sums.push_back(slice(slices[s], s == 0));
    if (sums.size() > 1)
      for (Value& x : sums) x = in(*plan_.split.partials, x);
    return epilogue(reduce(sums));
  }

 private:
  static Value in(const FormatSpec& spec, const Value& x) {
    return golden::decode(spec, golden::encode(spec, x, RoundingMode::nearest_even,
                                               golden::policy_of(formats::ieee, spec)));
  }
  [[nodiscard]] std::size_t slice_of(std::int64_t t, std::int64_t tiles) const {
    const std::int64_t count = plan_.split.count;
    if (plan_.split.tiles == SplitTiles::interleaved) return static_cast<std::size_t>(t % count);
    if (plan_.split.tiles == SplitTiles::contiguous)
      return static_cast<std::size_t>(t / ((tiles + count - 1) / count));
    for (std::int64_t s = 0, first = 0;; ++s) {
      first += tiles / count + (s < tiles % count ? 1 : 0);
      if (t < first) return static_cast<std::size_t>(s);
    }
  }

  [[nodiscard]] std::uint32_t element(const Codes& x, std::int64_t row, std::int64_t k) const {
    return k < p_.k ? x[static_cast<std::size_t>(row * p_.k + k)] : 0;
  }

  [[nodiscard]] std::uint32_t instruction(std::int64_t first, std::uint32_t c) const {
    Codes a, b, sa, sb;
    for (std::int64_t k = first; k < first + plan_.instruction_k; ++k) {
      a.push_back(element(p_.a, i_, k));
      b.push_back(element(p_.b, j_, k));
      const int block = plan_.model.scale_block;
      if (block == 0 || k % block != 0) continue;
      const std::int64_t blocks = p_.k / block;
      sa.push_back(k < p_.k ? p_.scale_a[static_cast<std::size_t>(i_ * blocks + k / block)] : 0);
      sb.push_back(k < p_.k ? p_.scale_b[static_cast<std::size_t>(j_ * blocks + k / block)] : 0);
    }
    return dot(plan_.model, {a, b, c, sa, sb});
  }

  Value slice(std::vector<std::int64_t> tiles, bool first) const {
    if (plan_.tile_order == TileOrder::descending) std::reverse(tiles.begin(), tiles.end());
    const auto at = static_cast<std::size_t>(i_ * p_.n + j_);
    const bool promoted = plan_.promote_every != 0;
    const std::uint32_t start = plan_.start_from_c && first ? p_.c[at] : 0;
    Value sum = golden::decode(*plan_.model.d, promoted ? start : 0);
    std::uint32_t accumulator = promoted ? 0 : start;
    int since = 0;
    for (const std::int64_t t : tiles) {
      for (int k = 0; k < plan_.tile_k; k += plan_.instruction_k) {
        accumulator = instruction(t * plan_.tile_k + k, accumulator);
        since += plan_.instruction_k;
        if (!promoted || since < plan_.promote_every) continue;
        sum = fp32(sum + golden::decode(*plan_.model.d, accumulator));
        accumulator = 0;
        since = 0;
      }
    }
    if (!promoted) return golden::decode(*plan_.model.d, accumulator);
    return since == 0 ? sum : fp32(sum + golden::decode(*plan_.model.d, accumulator));
  }

  Value reduce(std::vector<Value> x) const {
    if (plan_.split.order == ReductionOrder::descending) std::reverse(x.begin(), x.end());
    while (x.size() > 1) {
      if (plan_.split.order != ReductionOrder::pairwise) {
        x[0] = fp32(x[0] + x[1]);
        x.erase(x.begin() + 1);
        continue;
      }
      for (std::size_t i = 0; i + 1 < x.size(); ++i) {
        x[i] = fp32(x[i] + x[i + 1]);
        x.erase(x.begin() + static_cast<std::ptrdiff_t>(i) + 1);
      }
    }
    return x[0];
  }

  [[nodiscard]] std::uint32_t epilogue(Value x) const {
    for (const EpilogueStep& s : plan_.epilogue) {
      Value f = golden::value_of(1.0F);
      for (const Factor factor : s.by) {
        const float y = factor == Factor::alpha     ? p_.alpha
                        : factor == Factor::scale_a ? p_.ta
                        : factor == Factor::scale_b ? p_.tb
                                                    : p_.td;
        f = fp32(f * golden::value_of(y));
      }
      const bool c = s.term == Addend::c;
      const bool absent = c ? p_.c.empty() || p_.beta == 0 : p_.bias.empty();
      Value t = Value::zero(true);
      if (!absent && s.op != EpilogueStep::Op::multiply) {
        t = c ? golden::decode(*plan_.c, p_.c[static_cast<std::size_t>(i_ * p_.n + j_)])
              : golden::decode(*plan_.bias, p_.bias[static_cast<std::size_t>(j_)]);
        if (c) t = golden::value_of(p_.beta) * t;
        if (!s.fused) t = fp32(t);
      }
      if (s.op == EpilogueStep::Op::add)
        x = absent ? x : fp32(x + t);
      else
        x = fp32(absent || s.op == EpilogueStep::Op::multiply ? x * f : x * f + t);
    }
    if (x.is_nan()) return golden::magnitude_mask(*plan_.output);
    formats::Policy policy = golden::policy_of(formats::ieee, *plan_.output);
    policy.overflow = plan_.overflow;
    return golden::encode(*plan_.output, x, plan_.rounding, policy);
  }

  const GemmPlan& plan_;
  const Problem& p_;
  std::int64_t i_ = 0, j_ = 0;
};

GemmPlan plan_of(const MmaModel& model) {
  GemmPlan p;
  p.name = "test";
  p.model = model;
  p.instruction_k = model.step;
  p.tile_k = 2 * model.step;
  return p;
}

/// A plan of every kind, from a seed.
GemmPlan random_plan(const MmaModel& model, std::mt19937_64& random) {
  GemmPlan p = plan_of(model);
  const auto pick = [&random](int n) {
    return static_cast<int>(random() % static_cast<unsigned>(n));
  };
  if (pick(3) == 0) p.instruction_k = model.shortest_k;
  if (pick(3) == 0) p.instruction_k = 2 * model.step;
  p.tile_k = p.instruction_k * (1 + pick(3));
  p.tile_order = static_cast<TileOrder>(pick(2));
  if (pick(2) == 0) p.promote_every = p.instruction_k * (1 + pick(3));
  p.split.count = 1 + pick(4);
  p.split.tiles = static_cast<SplitTiles>(pick(3));
  p.split.order = static_cast<ReductionOrder>(pick(3));
  const FormatSpec* numbers[] = {&formats::fp32, &formats::bf16, &formats::fp16};
  p.split.partials = numbers[pick(4) % 3];
  p.c = numbers[pick(3)];
  p.bias = numbers[pick(3)];
  if (pick(4) == 0) {
    p.start_from_c = true;
    p.c = model.d;
  }
  using Op = EpilogueStep::Op;
  const std::vector<std::vector<EpilogueStep>> epilogues{
      {},
      {{Op::multiply, {Factor::alpha}, {}, false}},
      {{Op::multiply, {Factor::scale_a, Factor::scale_b}, {}, false},
       {Op::multiply_add, {Factor::alpha}, Addend::c, false},
       {Op::add, {}, Addend::bias, false},
       {Op::multiply, {Factor::scale_d}, {}, false}},
      {{Op::multiply, {Factor::alpha, Factor::scale_a, Factor::scale_b}, {}, false},
       {Op::add, {}, Addend::c, true}},
      {{Op::multiply_add, {Factor::alpha}, Addend::bias, false}, {Op::add, {}, Addend::c, false}}};
  if (!p.start_from_c) p.epilogue = epilogues[random() % epilogues.size()];
  const FormatSpec* outputs[] = {&formats::fp32, &formats::bf16, &formats::fp16, &formats::e4m3,
                                 &formats::e5m2};
  p.output = outputs[pick(5)];
  p.rounding = pick(4) == 0 ? RoundingMode::toward_zero : RoundingMode::nearest_even;
  p.overflow = p.output == &formats::e4m3 || pick(2) == 0 ? formats::Overflow::saturate
                                                          : formats::Overflow::to_infinity;
  return p;
}

class EveryModel : public testing::TestWithParam<std::size_t> {};

TEST_P(EveryModel, GivesWhatTheStepsOfItsPlanGive) {
  const MmaModel& model = all_mma_models()[GetParam()];
  std::mt19937_64 random(GetParam() + 1);
  for (int round = 0; round < 40; ++round) {
    const GemmPlan plan = random_plan(model, random);
    const std::int64_t unit = std::max(1, model.scale_block);
    const std::int64_t most = 6 * plan.tile_k / unit;
    const std::int64_t k =
        unit * (1 + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(most)));
    Problem p = draw_problem(plan, k, tests::families[static_cast<std::size_t>(round) % 7], random);
    if (plan.start_from_c || random() % 2 == 0) {
      tests::CodeSource c(*plan.c, random);
      for (std::int64_t i = 0; i < p.m * p.n; ++i) p.c.push_back(c.near_exponent(0, 4));
    }
    if (random() % 2 == 0) {
      tests::CodeSource bias(*plan.bias, random);
      for (std::int64_t i = 0; i < p.n; ++i) p.bias.push_back(bias.near_exponent(0, 4));
    }
    const float numbers[] = {1.0F, 0.7F, -0x1.234567p3F, 0.0F, 0x1.fffffep-9F};
    const auto number = [&] { return numbers[random() % 5]; };
    p.alpha = number();
    p.beta = number();
    p.ta = number();
    p.tb = number();
    p.td = number();
    const Codes d = gemm(plan, p.operands());
    ASSERT_EQ(d, gemm(plan, p.operands(), 2));
    Composition composed(plan, p);
    for (std::int64_t i = 0; i < p.m; ++i)
      for (std::int64_t j = 0; j < p.n; ++j)
        ASSERT_EQ(d[static_cast<std::size_t>(i * p.n + j)], composed(i, j))
            << gemm_plan_json(plan) << "k " << k << " at " << i << ", " << j;
  }
}

std::string title(const testing::TestParamInfo<std::size_t>& info) {
  std::string text = all_mma_models()[info.param].name;
  for (char& c : text)
    if (c == '.') c = '_';
  return text;
}
INSTANTIATE_TEST_SUITE_P(GemmPlan, EveryModel,
                         testing::Range<std::size_t>(0, all_mma_models().size()), title);

// What plans are for: 1 + 4096 of 2^-14 is 1.25, and each order loses another part of it.
TEST(GemmPlan, PromotionAndSplitSaveWhatTheUnitDrops) {
  GemmPlan plan = plan_of(find_mma_model("hopper.wgmma.e4m3.f32"));
  Problem p;
  p.m = p.n = 1;
  p.k = 4096;
  p.a.assign(4096, 0x04);  // 2^-7
  p.b.assign(4096, 0x04);
  p.a[0] = p.b[0] = 0x38;  // 1
  const auto result = [&] { return std::bit_cast<float>(gemm(plan, p.operands())[0]); };
  EXPECT_EQ(result(), 1.0F);  // F = 13 keeps 2^-13 beside 1
  plan.promote_every = 128;
  EXPECT_EQ(result(), 1 + (4096 - 128) * 0x1p-14F);
  plan.promote_every = 0;
  plan.split.count = 4;
  EXPECT_EQ(result(), 1 + 3072 * 0x1p-14F);
}

TEST(GemmPlan, ScheduleNamesEveryElementOnce) {
  GemmPlan plan = plan_of(find_mma_model("hopper.wgmma.e4m3.f32"));
  plan.tile_k = 64;
  plan.split = {3, SplitTiles::contiguous, {}, &formats::fp32};
  plan.promote_every = 96;
  const Schedule s = schedule_of(plan, 400);  // 7 tiles: 3, 3, 1
  EXPECT_EQ(s.padded_k, 448);
  const Schedule expected{448,
                          {{{{0, 96}}, {{96, 96}}}, {{{192, 96}}, {{288, 96}}}, {{{384, 64}}}}};
  EXPECT_EQ(s, expected);
  plan.tile_order = TileOrder::descending;
  plan.promote_every = 0;
  EXPECT_EQ(schedule_of(plan, 400).slices[0][0], (Segment{{128, 64}, {64, 64}, {0, 64}}));
  plan.split.tiles = SplitTiles::balanced;
  EXPECT_EQ(schedule_of(plan, 400).slices[2][0], (Segment{{384, 64}, {320, 64}}));
}

TEST(GemmPlan, JsonSaysTheWholePlan) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 200; ++i) {
    const MmaModel& model = all_mma_models()[random() % all_mma_models().size()];
    const std::string text = gemm_plan_json(random_plan(model, random));
    EXPECT_EQ(gemm_plan_json(parse_gemm_plan(text, "plan.json")), text);
  }
}

TEST(GemmPlan, TheShippedExampleIsOne) {
  std::ifstream file(ASSAY_EXAMPLE_PLAN);
  std::ostringstream text;
  text << file.rdbuf();
  const GemmPlan plan = parse_gemm_plan(text.str(), "example");
  EXPECT_EQ(plan.model.name, "hopper.wgmma.e4m3.f32");
  EXPECT_EQ(plan.promote_every, 128);
  EXPECT_EQ(plan.epilogue.size(), 2U);
}

TEST(GemmPlan, WrongPlansAreRefusedWithTheirPlace) {
  const std::string good = R"({"schema": "assay-gemm-plan-1", "name": "p",
    "model": "hopper.wgmma.e4m3.f32", "output": {"format": "bf16"}EXTRA})";
  const auto with = [&good](const std::string& extra) {
    std::string text = good;
    return text.replace(text.find("EXTRA"), 5, extra);
  };
  EXPECT_EQ(parse_gemm_plan(with(""), "p").tile_k, 32);
  const std::pair<const char*, const char*> wrong[] = {
      {R"(, "tile": 64)", "unknown key \"tile\""},
      {R"(, "tile_k": 48)", "tile_k must be a multiple of instruction_k 32, not 48"},
      {R"(, "instruction_k": 16)", "instruction_k must be"},
      {R"(, "promote_every": 100)", "promote_every must be a multiple"},
      {R"(, "promote_every": 0)", "must lie in 1.."},
      {R"(, "split_k": {"count": 0})", "must lie in 1..1024"},
      {R"(, "split_k": {"count": 2, "partials": "e4m3"})", "partials must be"},
      {R"(, "split_k": {"count": 2, "tiles": "random"})", "contiguous"},
      {R"(, "tile_order": "ascending", "tile_order": "descending")",
       "has the key \"tile_order\" twice"},
      {R"(, "c": "bf16", "accumulator": "c")", "starts from C needs C in fp32"},
      {R"(, "epilogue": [{"op": "multiply"}])", "lacks the key \"by\""},
      {R"(, "epilogue": [{"op": "multiply", "by": []}])", "has factors exactly where"},
      {R"(, "epilogue": [{"op": "add", "by": ["alpha"], "term": "c"}])", "does not multiply"},
      {R"(, "epilogue": [{"op": "add", "term": "bias", "fused": true}])", "fused"},
      {R"(, "epilogue": [{"op": "add", "term": "c"}, {"op": "add", "term": "c"}])", "added once"},
      {R"(, "epilogue": [{"op": "multiply", "by": ["gamma"]}])", "gamma"}};
  for (const auto& [extra, sentence] : wrong) {
    try {
      static_cast<void>(parse_gemm_plan(with(extra), "plan.json"));
      FAIL() << extra;
    } catch (const InputError& e) {
      EXPECT_NE(std::string(e.what()).find(sentence), std::string::npos) << e.what();
    }
  }
}

TEST(GemmPlan, WrongOperandsAreNamed) {
  const GemmPlan plan = plan_of(find_mma_model("hopper.wgmma.e4m3.f32"));
  const Codes k32(32);
  const Codes k16(16);
  const Codes wide(32, 256);
  EXPECT_THROW(static_cast<void>(gemm(plan, {1, 1, 32, k32, k16})), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(gemm(plan, {1, 1, 32, wide, k32})), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(gemm(plan, {1, 1, 32, k32, k32, k32, k32})),
               std::invalid_argument);
  EXPECT_THROW(static_cast<void>(gemm(plan, {0, 1, 32, {}, k32})), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(gemm(plan, {1, 1, 32, k32, k32}, 0)), std::invalid_argument);
}

}  // namespace
}  // namespace assay::simulator

// SPDX-License-Identifier: Apache-2.0
// How hypotheses are weighed (proptests/diagnosis/weigh.h), and where errors are said to be.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <memory>

#include "formats/presets.h"
#include "golden/layout.h"
#include "golden/quantize.h"
#include "proptests/diagnosis/diagnose.h"
#include "proptests/diagnosis/edits.h"
#include "proptests/diagnosis/operations.h"
#include "proptests/diagnosis/place.h"
#include "proptests/diagnosis/weigh.h"

namespace assay::proptests::diagnosis {
namespace {

using golden::RationalValue;

PredictedArray numbers(std::initializer_list<int> values, std::int64_t cols) {
  std::vector<RationalValue> reference;
  for (const int v : values) reference.push_back(RationalValue::finite(v));
  Prediction p;
  std::vector<golden::Bound> exact(reference.size());
  predict_numbers(p, "D", formats::fp32, cols, std::move(reference), std::move(exact));
  return p.front();
}

TEST(Verdict, ANumberIsRightOrWrongInOneWayOrNeither) {
  const PredictedArray right = numbers({1, 2, 3, 4}, 4);
  const PredictedArray wrong = numbers({1, -2, -3, -4}, 4);
  const SeenArray seen{{}, {1, -2, 3, 5}};
  EXPECT_EQ(verdict(seen, right, wrong, 0), Verdict::both);
  EXPECT_EQ(verdict(seen, right, wrong, 1), Verdict::wrong);
  EXPECT_EQ(verdict(seen, right, wrong, 2), Verdict::right);
  EXPECT_EQ(verdict(seen, right, wrong, 3), Verdict::neither);
}

TEST(Verdict, AScaleFactorComesWithTheElementsOfItsBlock) {
  std::vector<float> x(2 * 64);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 13) - 6.0F;
  const auto right = golden::quantize(x, 2, 64, formats::mxfp4_rceil);
  auto wrong = right;
  golden::store_scale(wrong, 1, 1, 130);
  golden::store_code(wrong, 1, 40, golden::load_code(wrong, 1, 40) ^ 1U);
  auto observed = right;
  golden::store_scale(observed, 1, 1, 130);  // with the code of the right one
  Prediction r;
  Prediction w;
  Seen s;
  predict_tensor(r, "the codes", right);
  predict_tensor(w, "the codes", wrong);
  see_tensor(s, observed);
  EXPECT_EQ(verdict(s[0], r[0], w[0], 64 + 39), Verdict::wrong);
  EXPECT_EQ(verdict(s[0], r[0], w[0], 64 + 40), Verdict::neither);
  EXPECT_EQ(verdict(s[0], r[0], w[0], 0), Verdict::both);
}

/// Sites of an array of ones, by the slots that show an error.
struct Sites {
  Case one;
  PredictedArray array;
  std::vector<Site> wrong, right;
  Sites(std::int64_t rows, std::int64_t cols, std::int64_t block,
        const std::function<bool(std::int64_t, std::int64_t)>& is_wrong) {
    array.name = "the codes";
    array.rows = rows;
    array.cols = cols;
    array.block = block;
    array.codes.assign(static_cast<std::size_t>(rows * cols), 1);
    for (std::int64_t i = 0; i < rows * cols; ++i)
      (is_wrong(i / cols, i % cols) ? wrong : right)
          .push_back({&one, &array, static_cast<std::size_t>(i)});
  }
  [[nodiscard]] std::string place() const {
    const std::optional<Place> p = place_of(wrong, right);
    return p ? p->text : "";
  }
};

TEST(Place, IsTheSimplestStatementThatSeparates) {
  EXPECT_EQ(Sites(6, 64, 16, [](auto r, auto) { return r % 2 == 1; }).place(), "where row is odd");
  EXPECT_EQ(Sites(6, 64, 16, [](auto r, auto) { return r == 5; }).place(), "in the last row");
  EXPECT_EQ(Sites(6, 64, 16, [](auto, auto c) { return c >= 48; }).place(),
            "in the last block of a row");
  EXPECT_EQ(Sites(6, 60, 16, [](auto, auto c) { return c >= 48; }).place(),
            "in the last block of a row");
  EXPECT_EQ(Sites(6, 64, 16, [](auto, auto c) { return c / 16 % 2 == 1; }).place(),
            "where block is odd");
  EXPECT_EQ(Sites(70, 4, 0, [](auto r, auto) { return r >= 32; }).place(), "from row 32 on");
  EXPECT_EQ(Sites(6, 64, 16, [](auto r, auto c) { return r == 0 && c % 2 == 0; }).place(),
            "in the first row, where column is even");
  // No statement of a line or two names these.
  EXPECT_EQ(Sites(16, 64, 16, [](auto r, auto c) { return (r * 7 + c * 5) % 11 < 4; }).place(), "");
}

TEST(Place, KeepsABoundaryAmongManySlots) {
  // Far more than are looked at together.
  EXPECT_EQ(Sites(70000, 2, 0, [](auto r, auto) { return r >= 65535; }).place(),
            "from row 65535 on");
  EXPECT_EQ(Sites(20001, 3, 0, [](auto r, auto) { return r == 20000; }).place(), "in the last row");
}

TEST(Place, NeedsMoreThanOneSlotForANumber) {
  EXPECT_EQ(Sites(6, 64, 16, [](auto r, auto c) { return r == 2 && c == 7; }).place(), "");
}

TEST(Edits, MoveAndChangeWhatTheySay) {
  std::vector<float> x = {1, 2, 3, 4, 5, 6};
  Grid g = grid_of(x, 2, 3);
  const auto edit = [](std::string_view id) {
    for (const MapEdit& e : map_edits())
      if (e.id == id) return e;
    throw std::logic_error("no such edit");
  };
  EXPECT_TRUE(apply(edit("of_previous_row"), g, true));
  EXPECT_EQ(x, (std::vector<float>{4, 5, 6, 1, 2, 3}));
  x = {1, 2, 3, 4, 5, 6};
  EXPECT_TRUE(apply(edit("of_previous_row"), g, false));
  EXPECT_EQ(x, (std::vector<float>{1, 2, 3, 1, 2, 3}));
  x = {1, 2, 3, 4, 5, 6};
  EXPECT_FALSE(apply(edit("rows_modulo"), g, true));
  // Rows two numbers apart, read as if they followed each other.
  g.gap = 2;
  g.pad = std::bit_cast<std::uint32_t>(9.0F);
  EXPECT_TRUE(apply(edit("row_stride_ignored"), g, true));
  EXPECT_EQ(x, (std::vector<float>{1, 2, 3, 9, 9, 4}));
  for (const ValueEdit& e : value_edits())
    if (std::string_view(e.id) == "sign_inverted") {
      EXPECT_TRUE(apply(e, g));
    }
  EXPECT_EQ(x, (std::vector<float>{-1, -2, -3, -9, -9, -4}));
}

/// A quantizer's call with an answer of the test's own.
struct Quantized {
  std::vector<float> x;
  Call call;
  Answer answer;
  Quantized(std::int64_t rows, std::int64_t cols, const kernels::Claim& claim) {
    for (std::int64_t i = 0; i < rows * cols; ++i)
      x.push_back(static_cast<float>((i * 37 + i / 5) % 101 - 50) / 8.0F);
    call.claim = claim;
    call.m = rows;
    call.k = cols;
    call.in = {operand(ASSAY_DUT_X, ASSAY_DUT_VALUES, formats::fp32, {rows, cols},
                       bytes_of(std::span<const float>(x)))};
    answer.outcome = Outcome::answered;
  }
  void leaves(const formats::BlockScaledTensor& t) { answer.outputs = {t.codes, t.scales}; }
  [[nodiscard]] Reading reading() const { return read({call, &answer}).value(); }
};
kernels::Claim mxfp4_claim() {
  kernels::Claim claim;
  claim.operation = "quantize";
  claim.a = &formats::mxfp4_rceil;
  return claim;
}

kernels::Claim quantizing_to(const formats::BlockFormat& format) {
  kernels::Claim claim = mxfp4_claim();
  claim.a = &format;
  return claim;
}

TEST(Model, IsGoldensWhereNothingIsSpoiled) {
  for (const formats::BlockFormat* format :
       {&formats::nvfp4, &formats::nvfp4_divide, &formats::nvfp4_2d, &formats::nvfp4_4over6,
        &formats::nvfp4_4over6_mae, &formats::nvfp4_4over6_max, &formats::mxfp4_floor,
        &formats::deepseek_v4}) {
    Quantized one(35, 41, quantizing_to(*format));
    one.x[50] = NAN;
    const formats::BlockScaledTensor model = quantizer_of(one.call).run();
    const formats::BlockScaledTensor golden = golden::quantize(one.x, 35, 41, *format);
    EXPECT_EQ(model.codes, golden.codes) << format->name;
    EXPECT_EQ(model.scales, golden.scales) << format->name;
    EXPECT_EQ(model.tensor_scale, golden.tensor_scale) << format->name;
  }
}

TEST(Generated, NamesTwoErrorsThatShowTogether) {
  Quantized failing(4, 64, mxfp4_claim());
  QuantizerModel model = quantizer_of(failing.call);
  model.code = [](const RationalValue&, std::uint32_t c) {
    return (c & 7U) == 1 ? c + 1 : (c & 7U) == 4 ? c - 1 : c;
  };
  failing.leaves(model.run());
  const std::vector<Reading> readings{failing.reading()};
  const std::vector<Weighed> weighed = weigh_all(failing.call.claim, readings, {});
  ASSERT_FALSE(weighed.empty());
  EXPECT_EQ(weighed.front().candidate.id, "code_misencoded+code_misencoded");
  EXPECT_EQ(weighed.front().rank, Rank::two);
}

TEST(Generated, NamesTheStepOfAnOrder) {
  // The reciprocal that elements are multiplied by is truncated to bf16.
  Quantized failing(8, 64, quantizing_to(formats::nvfp4));
  for (std::size_t i = 0; i < failing.x.size(); ++i)
    failing.x[i] = static_cast<float>((i * 2654435761U % 4099) * (1 + i / 16 % 11)) / 497.0F;
  QuantizerModel model = quantizer_of(failing.call);
  for (formats::Operation& o : model.block_order)
    if (o.op == formats::OpCode::divide)
      o.round = {&formats::bf16, formats::RoundingMode::toward_zero,
                 formats::Overflow::to_infinity};
  const formats::BlockScaledTensor t = model.run();
  failing.leaves(t);
  failing.answer.outputs.emplace_back(4);
  std::memcpy(failing.answer.outputs.back().data(), &t.tensor_scale, 4);
  const std::vector<Reading> readings{failing.reading()};
  const std::vector<Weighed> weighed = weigh_all(failing.call.claim, readings, {});
  ASSERT_FALSE(weighed.empty());
  EXPECT_EQ(weighed.front().candidate.id, "step_narrowed");
  EXPECT_EQ(weighed.front().candidate.name,
            "1 / (the scale factor * the tensor scale) passes through bf16, truncated");
}

TEST(Generated, NamesAFaultThatNobodyWroteDown) {
  // The eighth member of every eight does not count in the amax of its block.
  Quantized failing(4, 64, mxfp4_claim());
  QuantizerModel model = quantizer_of(failing.call);
  for (std::size_t i = 7; i < model.x.size(); i += 8) model.x[i] = 300.0F;
  // Odd ones and every fourth decide in some blocks.
  for (std::size_t i = 1; i < model.x.size(); i += 64) model.x[i] = model.x[i + 34] = 20.0F;
  failing.x = model.x;
  failing.call.in[0].bytes = bytes_of(std::span<const float>(failing.x));
  model.counts_in_block = [](auto, auto c, auto first) { return (c - first) % 8 != 7; };
  failing.leaves(model.run());
  const std::vector<Reading> readings{failing.reading()};
  const std::vector<Weighed> weighed = weigh_all(failing.call.claim, readings, {});
  ASSERT_FALSE(weighed.empty());
  EXPECT_EQ(weighed.front().candidate.id, "amax_skips_eighth");
  EXPECT_EQ(weighed.front().rank, Rank::everywhere);
}

TEST(Generated, SaysWhereAKnownFaultShows) {
  Quantized failing(8, 64, mxfp4_claim());
  QuantizerModel model = quantizer_of(failing.call);
  const formats::BlockScaledTensor right = model.run();
  model.code = [](const golden::RationalValue&, std::uint32_t c) { return c & 7U; };
  const formats::BlockScaledTensor wrong = model.run();
  formats::BlockScaledTensor mixed = right;
  for (std::int64_t r = 1; r < 8; r += 2)
    for (std::int64_t c = 0; c < 64; ++c)
      golden::store_code(mixed, r, c, golden::load_code(wrong, r, c));
  failing.leaves(mixed);
  const std::vector<Reading> readings{failing.reading()};
  const std::vector<Weighed> weighed = weigh_all(failing.call.claim, readings, {});
  ASSERT_FALSE(weighed.empty());
  EXPECT_EQ(weighed.front().candidate.id, "sign_lost");
  EXPECT_EQ(weighed.front().candidate.where, "where row is odd");
}

TEST(Generated, ClaimsNothingOfNoise) {
  Quantized failing(4, 64, mxfp4_claim());
  formats::BlockScaledTensor t = quantizer_of(failing.call).run();
  for (std::size_t i = 0; i < t.codes.size(); ++i)
    if (i * 2654435761U % 7 == 3) t.codes[i] = static_cast<std::uint8_t>(i * 40503U >> 3U);
  failing.leaves(t);
  const std::vector<Reading> readings{failing.reading()};
  EXPECT_TRUE(weigh_all(failing.call.claim, readings, {}).empty());
}

/// A call that leaves what it should; whether it writes elsewhere, the trial says.
class OfShape : public Experiment {
 public:
  explicit OfShape(std::int64_t n) : n_(n) {}
  [[nodiscard]] std::optional<Call> call() const override {
    Call call;
    call.claim = mxfp4_claim();
    call.m = 2;
    call.n = n_;
    return call;
  }
  [[nodiscard]] Ruling judge(const Answer&) const override { return {}; }
  [[nodiscard]] std::vector<NamedText> describe() const override { return {}; }

 private:
  std::int64_t n_;
};

TEST(Conduct, SaysWhichCallsShowIt) {
  std::vector<Observation> observations;
  for (std::int64_t n = 1; n <= 16; ++n) {
    Observation o{std::make_shared<OfShape>(n), {}, n % 2 == 1};
    o.trial.first.outcome = o.trial.second.outcome = Outcome::answered;
    if (o.failed) o.trial.first.overrun = "4 bytes behind the end of D";
    observations.push_back(std::move(o));
  }
  const Diagnosis d = diagnose(observations);
  ASSERT_FALSE(d.candidates.empty());
  EXPECT_EQ(d.candidates.front().id, "writes_outside");
  EXPECT_EQ(d.candidates.front().where, "where n is odd");
}

}  // namespace
}  // namespace assay::proptests::diagnosis

// SPDX-License-Identifier: Apache-2.0
#include "proptests/properties/stochastic_case.h"

#include <fmt/format.h>

#include "golden/codec.h"
#include "golden/layout.h"
#include "golden/quantize.h"
#include "proptests/judge.h"
#include "proptests/properties/integers.h"
#include "proptests/properties/quantized_output.h"
#include "proptests/shrink.h"

namespace assay::proptests {
namespace {

using formats::RoundingMode;

class StochasticExperiment final : public Experiment {
 public:
  explicit StochasticExperiment(StochasticCase c) : case_(std::move(c)) {}

  [[nodiscard]] std::optional<Call> call() const override {
    const themes::Case& x = case_.x;
    Call call;
    call.claim = x.claim;
    call.m = x.rows;
    call.k = x.cols;
    call.seed = case_.seed;
    call.in.push_back(operand(ASSAY_DUT_X, ASSAY_DUT_VALUES, formats::fp32, {x.rows, x.cols},
                              bytes_of(std::span(x.x))));
    if (!case_.words.empty())
      call.in.push_back(integers(ASSAY_DUT_RANDOM, {x.rows, x.cols},
                                 std::span<const std::uint32_t>(case_.words)));
    add_output(call, ASSAY_DUT_Q, shape());
    spread(call, case_.spread);
    return call;
  }

  [[nodiscard]] Ruling judge(const Answer& answer) const override {
    const themes::Case& x = case_.x;
    formats::QuantizeOptions options;
    options.rounding = RoundingMode::stochastic;
    options.profile = x.claim.profile;
    options.random_bits = x.claim.random_bits;
    options.seed = case_.seed;
    options.scale_layout = x.claim.scale_layout;
    formats::BlockScaledTensor expected =
        golden::quantize(x.x, x.rows, x.cols, *x.claim.a, options);
    if (!case_.words.empty()) use_words(expected);
    return {true, compare(expected, observed_tensor(shape(), answer.outputs))};
  }

  [[nodiscard]] std::vector<NamedText> describe() const override {
    const themes::Case& x = case_.x;
    std::string random = fmt::format("seed {:#x}, {} bits", case_.seed, x.claim.random_bits);
    for (std::size_t i = 0; i < std::min<std::size_t>(case_.words.size(), 40); ++i)
      random += fmt::format(" {:08x}", case_.words[i]);
    return {{"format", std::string(x.claim.a->name)},
            {"random", random},
            {"x", show_matrix(x.x, x.cols)}};
  }

 private:
  [[nodiscard]] formats::BlockScaledTensor shape() const {
    return empty_tensor(*case_.x.claim.a, case_.x.rows, case_.x.cols, case_.x.claim.scale_layout);
  }
  /// Codes by the words of the call instead of Philox's; NaN marks blocks whose codes are 0.
  void use_words(formats::BlockScaledTensor& t) const {
    const themes::Case& x = case_.x;
    const formats::FormatSpec& element = *x.claim.a->element;
    const auto scaled = golden::scaled_elements(x.x, x.rows, x.cols, *x.claim.a);
    for (std::size_t i = 0; i < scaled.size(); ++i) {
      if (scaled[i].is_nan()) continue;
      const golden::Random random{x.claim.random_bits,
                                  case_.words[i] >> (32 - x.claim.random_bits)};
      golden::store_code(t, static_cast<std::int64_t>(i) / x.cols,
                         static_cast<std::int64_t>(i) % x.cols,
                         golden::encode(element, scaled[i], RoundingMode::stochastic,
                                        golden::policy_of(*x.claim.profile, element), random));
    }
  }

  StochasticCase case_;
};

}  // namespace

ExperimentPtr stochastic_experiment(StochasticCase c) {
  return std::make_shared<StochasticExperiment>(std::move(c));
}

rc::Seq<StochasticCase> simpler_stochastic(const StochasticCase& c) {
  std::vector<Crop> crops;
  for (const Piece& p : smaller(c.x.rows)) crops.push_back({p.first, p.count, 0, c.x.cols});
  for (const Piece& p : smaller(c.x.cols)) crops.push_back({0, c.x.rows, p.first, p.count});
  std::vector<Spread> dense;
  if (c.spread.gap != 0) dense.push_back({});
  std::vector<std::uint64_t> seeds;
  if (c.seed > 1) seeds = {1};
  return rc::seq::concat(
      edited(c, std::move(crops),
             [](StochasticCase& to, const Crop& e) {
               to.x.x = crop(to.x.x, to.x.cols, e);
               to.words = crop(to.words, to.x.cols, e);
               to.x.rows = e.rows;
               to.x.cols = e.cols;
             }),
      edited(c, std::move(dense), [](StochasticCase& to, const Spread& s) { to.spread = s; }),
      edited(c, std::move(seeds), [](StochasticCase& to, std::uint64_t s) { to.seed = s; }),
      edited(c, simpler_values(c.x.x),
             [](StochasticCase& to, const Replacement& e) { perform(e, to.x.x); }));
}

}  // namespace assay::proptests

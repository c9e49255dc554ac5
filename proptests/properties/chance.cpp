// SPDX-License-Identifier: Apache-2.0
// The test of a generator that nobody sees; its false-alarm rate is derived in stochastic_case.h.
#include <fmt/format.h>

#include <cmath>

#include "golden/codec.h"
#include "golden/layout.h"
#include "golden/quantize.h"
#include "golden/stochastic.h"
#include "proptests/judge.h"
#include "proptests/properties/quantized_output.h"
#include "proptests/properties/stochastic_case.h"

namespace assay::proptests {
namespace {

constexpr double false_alarms = 1e-9;
constexpr int tails = 8;  // of four counts

double entropy(double q, double p) {
  const auto term = [](double a, double b) { return a == 0.0 ? 0.0 : a * std::log(a / b); };
  return term(q, p) + term(1.0 - q, 1.0 - p);
}

/// Whether a right kernel, whose chance lies in [low, high], is that far off too rarely.
bool improbable(std::int64_t count, std::int64_t n, double low, double high) {
  if (n == 0) return false;
  const double q = static_cast<double>(count) / static_cast<double>(n);
  if (q >= low && q <= high) return false;
  return static_cast<double>(n) * entropy(q, q < low ? low : high) > std::log(tails / false_alarms);
}

struct Chances {
  double low, high;
};
/// Of two independent elements being rounded alike: p^2 + (1 - p)^2 is monotone on either side of
/// 1/2, where it is least.
Chances alike(const Chances& p) {
  const auto at = [](double x) { return x * x + (1.0 - x) * (1.0 - x); };
  const double low = p.low < 0.5 && p.high > 0.5 ? 0.5 : std::min(at(p.low), at(p.high));
  return {low, std::max(at(p.low), at(p.high))};
}

class ChanceExperiment final : public Experiment {
 public:
  ChanceExperiment(StochasticCase c, std::uint64_t other_seed) : case_(std::move(c)) {
    StochasticCase other = case_;
    other.seed = other_seed;
    call_ = stochastic_experiment(case_);
    companion_ = stochastic_experiment(std::move(other));
  }

  [[nodiscard]] std::optional<Call> call() const override { return call_->call(); }
  [[nodiscard]] const Experiment* companion() const override { return companion_.get(); }
  [[nodiscard]] std::vector<NamedText> describe() const override { return call_->describe(); }

  [[nodiscard]] Ruling judge(const Answer& answer) const override {
    const themes::Case& x = case_.x;
    const formats::FormatSpec& element = *x.claim.a->element;
    const auto scaled = golden::scaled_elements(row(), 1, x.cols, *x.claim.a);
    const golden::RationalValue& typical = scaled.back();
    const formats::Policy policy = golden::policy_of(*x.claim.profile, element);
    const double granted = golden::stochastic_outcome(element, typical, policy, x.claim.random_bits)
                               .up_probability.convert_to<double>();
    const golden::StochasticOutcome ideal =
        golden::ideal_stochastic_outcome(element, typical, policy);
    Chances up{granted, granted};
    if (x.claim.random_bits == 16) up.high = ideal.up_probability.convert_to<double>();
    // The elements that set the scale factors may miss their code by a rounding of the order.
    const golden::StochasticOutcome pinned =
        golden::ideal_stochastic_outcome(element, scaled.front(), policy);
    const std::vector<Draws> seeds{draws(answer, 0, scaled, ideal, pinned),
                                   draws(answer, parts_of(*x.claim.a), scaled, ideal, pinned)};
    for (const Draws& d : seeds)
      if (d.mismatch) return {true, d.mismatch};
    return {true, rule(seeds, up)};
  }

 private:
  /// Of each element 1: up, 0: down, -1: not one of those that have that chance.
  struct Draws {
    std::vector<int> up;
    std::optional<Mismatch> mismatch;
  };

  /// All rows are alike, so that golden quantizes one for all.
  [[nodiscard]] std::span<const float> row() const {
    return std::span(case_.x.x).first(static_cast<std::size_t>(case_.x.cols));
  }
  [[nodiscard]] formats::BlockScaledTensor every_row(const formats::BlockScaledTensor& one) const {
    const themes::Case& x = case_.x;
    formats::BlockScaledTensor t = empty_tensor(*x.claim.a, x.rows, x.cols, x.claim.scale_layout);
    t.tensor_scale = one.tensor_scale;
    t.codes.assign(golden::code_bytes(*t.format->element, t.rows, t.cols, t.layout), 0);
    t.scales.assign(golden::scale_bytes(*t.format, t.rows, t.cols, t.scale_layout), 0);
    const std::int64_t across = golden::block_grid(*t.format, t.rows, t.cols).across;
    for (std::int64_t r = 0; r < t.rows; ++r) {
      for (std::int64_t c = 0; c < t.cols; ++c)
        golden::store_code(t, r, c, golden::load_code(one, 0, c));
      for (std::int64_t b = 0; b < across; ++b)
        golden::store_scale(t, r, b, golden::load_scale(one, 0, b));
    }
    return t;
  }

  [[nodiscard]] Draws draws(const Answer& answer, std::size_t first,
                            const std::vector<golden::RationalValue>& scaled,
                            const golden::StochasticOutcome& typical,
                            const golden::StochasticOutcome& pinned) const {
    const themes::Case& x = case_.x;
    formats::BlockScaledTensor expected = every_row(golden::quantize(row(), 1, x.cols, *x.claim.a));
    const formats::BlockScaledTensor observed = observed_tensor(
        empty_tensor(*x.claim.a, x.rows, x.cols, x.claim.scale_layout), answer.outputs, first);
    Draws result;
    for (std::int64_t i = 0; i < x.rows * x.cols; ++i) {
      const std::int64_t row = i / x.cols;
      const std::int64_t col = i % x.cols;
      const std::uint32_t code = golden::load_code(observed, row, col);
      const bool counts = scaled[col] == scaled.back();
      const golden::StochasticOutcome& outcome = counts ? typical : pinned;
      const bool up = code == outcome.up && outcome.up != outcome.down;
      result.up.push_back(counts ? (up ? 1 : 0) : -1);
      // Either neighbour is right; the comparison below looks at everything else.
      golden::store_code(expected, row, col, up ? outcome.up : outcome.down);
    }
    result.mismatch = compare(expected, observed);
    return result;
  }

  [[nodiscard]] std::optional<Mismatch> rule(const std::vector<Draws>& seeds,
                                             const Chances& up) const {
    const std::int64_t cols = case_.x.cols;
    std::int64_t ups = 0;
    std::int64_t n = 0;
    for (const Draws& d : seeds)
      for (const int u : d.up) {
        ups += u == 1 ? 1 : 0;
        n += u >= 0 ? 1 : 0;
      }
    if (improbable(ups, n, up.low, up.high)) return reject("went up", ups, n, up);
    // Pairs (d, i) that share no element.
    struct Pairs {
      const char* name;
      std::int64_t alike = 0, n = 0;
      void add(int a, int b) {
        if (a < 0 || b < 0) return;
        ++n;
        alike += a == b ? 1 : 0;
      }
    };
    Pairs other_seed{"agree with the same element under another seed"};
    Pairs below{"agree with the element of the row below"};
    Pairs neighbour{"agree with their neighbour"};
    for (std::size_t i = 0; i < seeds[0].up.size(); ++i)
      other_seed.add(seeds[0].up[i], seeds[1].up[i]);
    for (const Draws& d : seeds)
      for (std::int64_t r = 0; r < case_.x.rows; ++r)
        for (std::int64_t c = 0; c < cols; ++c) {
          if (r % 2 == 0 && r + 1 < case_.x.rows)
            below.add(d.up[r * cols + c], d.up[(r + 1) * cols + c]);
          if (c % 2 == 0 && c + 1 < cols) neighbour.add(d.up[r * cols + c], d.up[r * cols + c + 1]);
        }
    const Chances same = alike(up);
    for (const Pairs& pairs : {other_seed, below, neighbour})
      if (improbable(pairs.alike, pairs.n, same.low, same.high))
        return reject(pairs.name, pairs.alike, pairs.n, same);
    return std::nullopt;
  }

  [[nodiscard]] static std::optional<Mismatch> reject(const char* what, std::int64_t count,
                                                      std::int64_t n, const Chances& p) {
    return Mismatch{"the codes together",
                    "binomial test, false alarms 1e-9",
                    fmt::format("{:.7g} to {:.7g} of {} {}", p.low * static_cast<double>(n),
                                p.high * static_cast<double>(n), n, what),
                    fmt::format("{}", count),
                    "",
                    ""};
  }

  StochasticCase case_;
  ExperimentPtr call_, companion_;
};

}  // namespace

ExperimentPtr chance_experiment(StochasticCase c, std::uint64_t other_seed) {
  return std::make_shared<ChanceExperiment>(std::move(c), other_seed);
}

}  // namespace assay::proptests

// SPDX-License-Identifier: Apache-2.0
// Conversions of single numbers to codes, bit for bit: 16-bit sources whole, FP32 at and around
// every decision of the destination.
#include <fmt/format.h>

#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "formats/codec.h"
#include "formats/names.h"
#include "golden/codec.h"
#include "proptests/judge.h"
#include "proptests/properties/convert_expected.h"
#include "proptests/properties/spread.h"
#include "proptests/property.h"
#include "proptests/shrink.h"

namespace assay::proptests {
namespace {

using formats::FormatSpec;
using kernels::Claim;

struct Case {
  Claim claim;
  std::int64_t rows = 0, cols = 0;
  std::vector<std::uint32_t> x;  ///< numbers of the source format, as stored
  Spread spread;
};

class ConvertExperiment final : public Experiment {
 public:
  explicit ConvertExperiment(Case c) : case_(std::move(c)) {
    const int bytes = case_.claim.output->storage_bits / 8;
    source_.reserve(case_.x.size() * bytes);
    for (const std::uint32_t bits : case_.x)
      for (int i = 0; i < bytes; ++i) source_.push_back(static_cast<std::uint8_t>(bits >> (8 * i)));
  }

  [[nodiscard]] std::optional<Call> call() const override {
    Call call;
    call.claim = case_.claim;
    call.m = case_.rows;
    call.k = case_.cols;
    call.in.push_back(operand(ASSAY_DUT_X, ASSAY_DUT_VALUES, *case_.claim.output,
                              {case_.rows, case_.cols}, source_));
    call.out.push_back(
        operand(ASSAY_DUT_Q, ASSAY_DUT_VALUES, *case_.claim.code, {case_.rows, case_.cols}));
    spread(call, case_.spread);
    return call;
  }

  [[nodiscard]] Ruling judge(const Answer& answer) const override {
    const Case& c = case_;
    const bool whole = c.claim.output->storage_bits == 16;
    const std::vector<std::uint16_t>* table = whole ? &all_converted(c.claim) : nullptr;
    for (std::size_t i = 0; i < c.x.size(); ++i) {
      const std::uint32_t expected = whole ? (*table)[c.x[i]] : converted(c.claim, c.x[i]);
      const std::uint32_t observed = code_at(answer.outputs[0], i);
      if (expected == observed) continue;
      return {true, Mismatch{fmt::format("code[{},{}]", i / c.cols, i % c.cols), "bit exact",
                             show_code(*c.claim.code, expected), show_code(*c.claim.code, observed),
                             show_code(*c.claim.output, c.x[i]), ""}};
    }
    return {true, unused_nibble(answer.outputs[0])};
  }

  [[nodiscard]] std::vector<NamedText> describe() const override {
    const Case& c = case_;
    std::string text = fmt::format("{} x {}, {} bytes between rows", c.rows, c.cols, c.spread.gap);
    for (std::size_t i = 0; i < std::min<std::size_t>(c.x.size(), 40); ++i)
      text += " " + show_code(*c.claim.output, c.x[i]);
    if (c.x.size() > 40) text += " ...";
    return {{"conversion",
             fmt::format("{} to {}, {}, profile {}", c.claim.output->name, c.claim.code->name,
                         formats::name_of(c.claim.rounding), c.claim.profile->name)},
            {"x", text}};
  }

 private:
  [[nodiscard]] std::size_t row_bytes() const {
    return (static_cast<std::size_t>(case_.cols) * case_.claim.code->storage_bits + 7) / 8;
  }
  [[nodiscard]] std::uint32_t code_at(const std::vector<std::uint8_t>& out, std::size_t i) const {
    const std::size_t row = i / case_.cols * row_bytes();
    const std::size_t col = i % case_.cols;
    switch (case_.claim.code->storage_bits) {
      case 4:
        return out[row + col / 2] >> (col % 2 * 4) & 0xFU;
      case 8:
        return out[row + col];
      default:
        return out[row + 2 * col] | static_cast<std::uint32_t>(out[row + 2 * col + 1]) << 8U;
    }
  }
  [[nodiscard]] std::optional<Mismatch> unused_nibble(const std::vector<std::uint8_t>& out) const {
    if (case_.claim.code->storage_bits != 4 || case_.cols % 2 == 0) return std::nullopt;
    for (std::int64_t r = 0; r < case_.rows; ++r) {
      const std::uint8_t last = out[(r + 1) * row_bytes() - 1];
      if (last >> 4U != 0)
        return Mismatch{fmt::format("the unused nibble of row {}", r),
                        "bit exact",
                        "0x0",
                        fmt::format("{:#03x}", last >> 4U),
                        "",
                        ""};
    }
    return std::nullopt;
  }

  Case case_;
  std::vector<std::uint8_t> source_;
};

void put_floats(Case& c, const std::vector<float>& x) {
  for (std::size_t i = 0; i < x.size(); ++i) c.x[i] = std::bit_cast<std::uint32_t>(x[i]);
}
std::vector<float> floats_of(const Case& c) {
  std::vector<float> x;
  x.reserve(c.x.size());
  for (const std::uint32_t bits : c.x) x.push_back(std::bit_cast<float>(bits));
  return x;
}

rc::Seq<Case> simpler(const Case& c) {
  std::vector<Crop> crops;
  for (const Piece& p : smaller(c.rows)) crops.push_back({p.first, p.count, 0, c.cols});
  for (const Piece& p : smaller(c.cols)) crops.push_back({0, c.rows, p.first, p.count});
  std::vector<Spread> dense;
  if (c.spread.gap != 0) dense.push_back({});
  std::vector<Replacement> values;
  if (c.claim.output == &formats::fp32) values = simpler_values(floats_of(c));
  return rc::seq::concat(
      edited(c, std::move(crops),
             [](Case& to, const Crop& e) {
               to.x = crop(to.x, to.cols, e);
               to.rows = e.rows;
               to.cols = e.cols;
             }),
      edited(c, std::move(dense), [](Case& to, const Spread& s) { to.spread = s; }),
      edited(c, std::move(values), [](Case& to, const Replacement& e) {
        std::vector<float> x = floats_of(to);
        perform(e, x);
        put_floats(to, x);
      }));
}

void resize(Case& c, std::int64_t rows, std::int64_t cols) {
  c.rows = rows;
  c.cols = cols;
  c.x.assign(rows * cols, 0);
}

/// The 2^16 codes of a 16-bit source in slices, one after the other, each in a matrix of some shape
/// that holds it.
constexpr std::int64_t slice = 0x1000;
void slice_of_codes(Draw& draw, Case& c, std::int64_t index) {
  const std::int64_t cols = draw.of<std::int64_t>({1, 3, 31, 256, 257, 1000, slice});
  resize(c, (slice + cols - 1) / cols, cols);
  auto bits = static_cast<std::uint32_t>(index * slice);
  for (std::uint32_t& x : c.x) x = bits++ & 0xFFFFU;
}

/// The destination's overflow threshold in nearest rounding, half an ulp beyond its largest number.
float beyond(const FormatSpec& code, float largest) {
  const float before = formats::decode(code, golden::max_finite_code(code) - 1);
  return largest + (largest - before) * 0.5F;
}

float decision(Draw& draw, const FormatSpec& code) {
  const std::uint32_t c =
      static_cast<std::uint32_t>(draw.below(std::uint64_t{golden::max_finite_code(code)} + 1));
  const float low = formats::decode(code, c);
  const float high = c == golden::max_finite_code(code) ? INFINITY : formats::decode(code, c + 1);
  if (!std::isfinite(high)) return draw.one_in(2) ? low : beyond(code, low);
  return draw.one_in(3) ? low : low * 0.5F + high * 0.5F;
}

void decisions(Draw& draw, Case& c) {
  resize(c, draw.between(1, 3), draw.between(1, 24));
  std::vector<float> x(c.x.size());
  for (float& value : x)
    value = draw.one_in(8) ? draw.any_finite()
                           : draw.near(decision(draw, *c.claim.code), 3) * draw.sign();
  put_floats(c, x);
}

void extremes(Draw& draw, Case& c) {
  resize(c, draw.between(1, 2), draw.between(1, 16));
  const FormatSpec& code = *c.claim.code;
  const float largest = formats::decode(code, golden::max_finite_code(code));
  const float smallest = formats::decode(code, golden::has_zero(code) ? 1 : 0);
  std::vector<float> x(c.x.size());
  for (float& value : x)
    value = draw.of({draw.not_finite(), 0.0F * draw.sign(), draw.near(largest, 4) * draw.sign(),
                     draw.near(beyond(code, largest), 4) * draw.sign(),
                     draw.near(smallest, 4) * draw.sign(),
                     draw.near(smallest * 0.5F, 4) * draw.sign(), draw.in_binades(-149, -120),
                     draw.in_binades(120, 127), std::numeric_limits<float>::max() * draw.sign()});
  put_floats(c, x);
}

void layout(Draw& draw, Case& c) {
  resize(c, draw.between(1, 40), draw.between(1, 40));
  if (c.claim.output != &formats::fp32) {
    for (std::uint32_t& bits : c.x) bits = draw.word() & 0xFFFFU;
    return;
  }
  std::vector<float> x(c.x.size());
  for (float& value : x) value = draw.in_binades(-6, 4);
  put_floats(c, x);
}

struct Aspect {
  const char* slug;
  bool narrow;  ///< takes 16-bit sources too
  void (*fill)(Draw&, Case&);
  const char* statement;
};
constexpr std::array aspects{
    Aspect{"decisions", false, decisions,
           "FP32 numbers at and next to every number and every midpoint of the destination round "
           "as the claimed mode says"},
    Aspect{"extremes", false, extremes,
           "NaN of any payload, infinities, zeros, the overflow threshold and what underflows get "
           "the codes of the claimed profile"},
    Aspect{"layout", true, layout,
           "element (i, j) of the codes is that of element (i, j) of the source, for any shape and "
           "row stride; the unused nibble of an odd row is 0"},
};

bool converts(const Claim& c, const FormatSpec* format) {
  return c.operation == "convert" && c.code == format &&
         c.rounding != formats::RoundingMode::stochastic;
}

template <class Fill>
rc::Shrinkable<ExperimentPtr> experiment(const Claim& claim, const rc::Random& random,
                                         const Fill& fill) {
  return shrinkable_experiment<Case>(
      [&] {
        Draw draw(random);
        Case c;
        c.claim = claim;
        fill(draw, c);
        c.spread = draw_spread(draw, claim);
        return c;
      },
      simpler, [](Case&& c) { return std::make_shared<ConvertExperiment>(std::move(c)); });
}

}  // namespace

std::vector<Property> convert_properties() {
  std::vector<Property> properties;
  for (const FormatSpec* format :
       {&formats::e2m1, &formats::e4m3, &formats::ue4m3, &formats::e8m0, &formats::bf16}) {
    const std::string prefix = "convert." + std::string(format->name) + ".";
    const std::string section = std::string(format->source) +
                                "; IEEE 754-2019 sections 4.3 and 7.4; formats/spec.h, "
                                "RoundingMode and Profile";
    properties.push_back(
        {prefix + "all_codes", section,
         "each of the 2^16 numbers of a 16-bit source gets the code of the claimed rounding and "
         "profile: NaN, infinities and both zeros included",
         [format](const Claim& c) { return converts(c, format) && c.output->storage_bits == 16; },
         nullptr,
         [](const Claim& claim, std::int64_t index, const rc::Random& random) {
           return experiment(claim, random,
                             [&](Draw& draw, Case& c) { slice_of_codes(draw, c, index); });
         }});
    for (const Aspect& aspect : aspects)
      properties.push_back({prefix + aspect.slug, section, aspect.statement,
                            [format, &aspect](const Claim& c) {
                              return converts(c, format) &&
                                     (c.output == &formats::fp32 ||
                                      (aspect.narrow && c.output->storage_bits == 16));
                            },
                            [&aspect](const Claim& claim, const rc::Random& random) {
                              return experiment(claim, random, aspect.fill);
                            }});
  }
  return properties;
}

}  // namespace assay::proptests

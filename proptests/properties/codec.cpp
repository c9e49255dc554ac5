// SPDX-License-Identifier: Apache-2.0
// The library's own codec and layouts against golden. They are not a device's, so these properties
// run for the device `cpu` only, whose kernels come with them. (tests/exhaustive proves the codec
// over whole domains; here it meets every mode, policy, source type and array length.)
#include "formats/codec.h"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "formats/array.h"
#include "formats/layout.h"
#include "golden/codec.h"
#include "golden/layout.h"
#include "golden/philox.h"
#include "proptests/generators.h"
#include "proptests/judge.h"
#include "proptests/property.h"
#include "proptests/shrink.h"

namespace assay::proptests {
namespace {

using formats::FormatSpec;
using formats::RoundingMode;

enum class Source : std::uint8_t { scalar_f32, scalar_f64, array_f32 };

struct Case {
  const FormatSpec* spec = nullptr;
  Source source = Source::scalar_f32;
  RoundingMode mode = RoundingMode::nearest_even;
  const formats::Profile* profile = nullptr;
  formats::Random random = {};
  std::uint64_t seed = 0;  ///< of the array's Philox words
  std::vector<float> x;
  double nudge = 0.0;  ///< f64 sources: a relative offset far below FP32's resolution
};

/// Code i of an array as formats/array.h packs it.
std::uint32_t load(const FormatSpec& spec, const std::vector<std::uint8_t>& packed,
                   std::int64_t i) {
  return formats::load_code(packed.data(), i, spec.storage_bits) >> spec.storage_shift;
}

class EncodeExperiment final : public Experiment {
 public:
  explicit EncodeExperiment(Case c) : case_(std::move(c)) {}

  [[nodiscard]] Answer run_host(std::uint8_t poison) const override {
    const Case& c = case_;
    std::vector<std::uint8_t> out;
    if (c.source == Source::array_f32) {
      formats::ArrayOptions options;
      options.mode = c.mode;
      options.policy = policy();
      options.random_bits = c.random.bits;
      options.seed = c.seed;
      out.assign(formats::packed_size(*c.spec, c.x.size()), poison);
      formats::encode_array(*c.spec, c.x, options, out);
      return {.outcome = Outcome::answered, .outputs = {out}};
    }
    for (const float x : c.x) {
      const std::uint32_t code = c.source == Source::scalar_f64
                                     ? formats::encode(*c.spec, wide(x), c.mode, policy(), c.random)
                                     : formats::encode(*c.spec, x, c.mode, policy(), c.random);
      append(out, code);
    }
    return {.outcome = Outcome::answered, .outputs = {out}};
  }

  [[nodiscard]] Ruling judge(const Answer& answer) const override {
    const Case& c = case_;
    for (std::size_t i = 0; i < c.x.size(); ++i) {
      golden::Random random{c.random.bits, c.random.word};
      if (c.source == Source::array_f32 && c.mode == RoundingMode::stochastic)
        random = golden::random_of(c.seed, i, c.random.bits);
      const golden::Value value = c.source == Source::scalar_f64 ? golden::value_of(wide(c.x[i]))
                                                                 : golden::value_of(c.x[i]);
      const std::uint32_t expected = golden::encode(*c.spec, value, c.mode, policy(), random);
      const std::uint32_t observed = code_at(answer.outputs[0], i);
      if (expected != observed)
        return {true,
                Mismatch{fmt::format("code[{}]", i), "bit exact", show_code(*c.spec, expected),
                         show_code(*c.spec, observed), show(golden::to_rational(value)), ""}};
    }
    return {true, std::nullopt};
  }

  [[nodiscard]] std::vector<NamedText> describe() const override {
    return {{"conversion", fmt::format("to {}, {}, profile {}, random bits {} word {}",
                                       case_.spec->name, formats::name_of(case_.mode),
                                       case_.profile->name, case_.random.bits, case_.random.word)},
            {"x", show_matrix(case_.x, static_cast<std::int64_t>(case_.x.size()))}};
  }

 private:
  [[nodiscard]] double wide(float x) const { return static_cast<double>(x) * (1.0 + case_.nudge); }
  [[nodiscard]] formats::Policy policy() const {
    const formats::ProfileRow& row = formats::profile_row(*case_.profile, *case_.spec);
    return case_.source == Source::scalar_f64 ? formats::policy_for_f64(row) : row.policy;
  }
  static void append(std::vector<std::uint8_t>& out, std::uint32_t code) {
    for (int byte = 0; byte < 4; ++byte)
      out.push_back(static_cast<std::uint8_t>(code >> (8 * byte)));
  }
  [[nodiscard]] std::uint32_t code_at(const std::vector<std::uint8_t>& out, std::size_t i) const {
    const auto index = static_cast<std::int64_t>(i);
    return case_.source == Source::array_f32 ? load(*case_.spec, out, index)
                                             : formats::load_code(out.data(), index, 32);
  }

  Case case_;
};

/// Around a number of the format or a midpoint of two: half the sum of neighbouring codes' values.
float around_a_decision(Draw& draw, const FormatSpec& spec) {
  if (draw.one_in(8)) return draw.any_finite();
  if (draw.one_in(12)) return draw.not_finite();
  const std::uint32_t code = draw.word() & golden::code_mask(spec);
  const float low = formats::decode(spec, code);
  const float high = formats::decode(spec, code + 1);
  if (!std::isfinite(low) || !std::isfinite(high)) return draw.in_binades(-149, 127);
  return draw.near(draw.one_in(3) ? low : low * 0.5F + high * 0.5F, 2) * draw.sign();
}

Case draw_case(const FormatSpec& spec, Source source, const rc::Random& random) {
  Draw draw(random);
  Case c;
  c.spec = &spec;
  c.source = source;
  c.mode = static_cast<RoundingMode>(draw.below(7));
  do c.profile = draw.of(formats::all_profiles);
  while (formats::profile_row_if_any(*c.profile, spec) == nullptr);
  if (c.mode == RoundingMode::stochastic) {
    c.random.bits = static_cast<int>(draw.between(1, 16));
    c.random.word = draw.word() & ((1U << static_cast<unsigned>(c.random.bits)) - 1U);
    c.seed = draw.below(1000);
  }
  c.nudge = draw.of({0.0, 0x1p-50, -0x1p-50, 0x1p-30, -0x1p-40});
  c.x.resize(source == Source::array_f32 ? draw.between(1, 70) : 8);
  for (float& x : c.x) x = around_a_decision(draw, spec);
  return c;
}

rc::Seq<Case> simpler(const Case& c) {
  std::vector<Piece> pieces;
  // An element's random word is chosen by its index: pieces of an array start at its beginning.
  for (const Piece& p : smaller(static_cast<std::int64_t>(c.x.size())))
    if (p.first == 0 || c.source != Source::array_f32) pieces.push_back(p);
  return rc::seq::concat(
      edited(c, std::move(pieces),
             [](Case& to, const Piece& p) {
               to.x = {to.x.begin() + p.first, to.x.begin() + p.first + p.count};
             }),
      edited(c, simpler_values(c.x), [](Case& to, const Replacement& e) { perform(e, to.x); }));
}

// --- Decoding and scale layouts.

class DecodeExperiment final : public Experiment {
 public:
  DecodeExperiment(const FormatSpec& spec, std::vector<std::uint8_t> codes, std::int64_t count)
      : spec_(spec), codes_(std::move(codes)), count_(count) {}

  [[nodiscard]] Answer run_host(std::uint8_t poison) const override {
    std::vector<float> out = to_floats(std::vector<std::uint8_t>(count_ * sizeof(float), poison));
    formats::decode_array(spec_, codes_, out);
    return {.outcome = Outcome::answered, .outputs = {to_bytes(out)}};
  }

  [[nodiscard]] Ruling judge(const Answer& answer) const override {
    const std::vector<float> observed = to_floats(answer.outputs[0]);
    for (std::int64_t i = 0; i < count_; ++i) {
      const std::uint32_t code = load(spec_, codes_, i);
      const golden::Value exact = golden::decode(spec_, code);
      const golden::Value got = golden::value_of(observed[i]);
      const bool same =
          exact.is_nan() ? got.is_nan() : exact == got && exact.negative == got.negative;
      if (!same)
        return {true, Mismatch{fmt::format("value[{}]", i), "bit exact", show_code(spec_, code),
                               show(observed[i]), "", ""}};
    }
    return {true, std::nullopt};
  }

  [[nodiscard]] std::vector<NamedText> describe() const override {
    std::string text;
    for (std::int64_t i = 0; i < count_; ++i) text += fmt::format(" {:x}", load(spec_, codes_, i));
    return {{"codes", text}};
  }

 private:
  const FormatSpec& spec_;
  std::vector<std::uint8_t> codes_;
  std::int64_t count_;
};

rc::Shrinkable<ExperimentPtr> draw_codes(const FormatSpec& spec, const rc::Random& random) {
  Draw draw(random);
  const std::int64_t count = draw.between(1, 70);
  std::vector<std::uint8_t> codes(formats::packed_size(spec, count), 0);
  for (std::int64_t i = 0; i < count; ++i)
    formats::store_code(codes.data(), i, spec.storage_bits,
                        (draw.word() & golden::code_mask(spec)) << spec.storage_shift);
  return rc::shrinkable::just(
      ExperimentPtr(std::make_shared<DecodeExperiment>(spec, std::move(codes), count)));
}

class SwizzleExperiment final : public Experiment {
 public:
  SwizzleExperiment(std::int64_t rows, std::int64_t cols, std::vector<std::uint8_t> scales)
      : rows_(rows), cols_(cols), scales_(std::move(scales)) {}

  [[nodiscard]] Answer run_host(std::uint8_t) const override {
    const std::vector<std::uint8_t> swizzled = formats::swizzle(scales_, rows_, cols_);
    return {.outcome = Outcome::answered,
            .outputs = {swizzled, formats::unswizzle(swizzled, rows_, cols_)}};
  }

  [[nodiscard]] Ruling judge(const Answer& answer) const override {
    const auto padded = static_cast<std::size_t>((rows_ + 127) / 128 * 128 * ((cols_ + 3) / 4 * 4));
    std::vector<std::uint8_t> expected(padded, 0);
    for (std::int64_t r = 0; r < rows_; ++r)
      for (std::int64_t c = 0; c < cols_; ++c)
        expected[golden::scale_index(formats::ScaleLayout::swizzled_128x4, rows_, cols_, r, c)] =
            scales_[r * cols_ + c];
    const auto wrong = [](const char* where) {
      return Ruling{true, Mismatch{where, "bit exact", "the formula of formats/tensor.h",
                                   "other bytes", "", ""}};
    };
    if (answer.outputs[0] != expected) return wrong("swizzled scale factors");
    if (answer.outputs[1] != scales_) return wrong("scale factors after the round trip");
    return {true, std::nullopt};
  }

  [[nodiscard]] std::vector<NamedText> describe() const override {
    return {{"grid", fmt::format("{} x {}", rows_, cols_)}};
  }

 private:
  std::int64_t rows_, cols_;
  std::vector<std::uint8_t> scales_;
};

rc::Shrinkable<ExperimentPtr> draw_swizzle(const rc::Random& random) {
  Draw draw(random);
  const std::int64_t rows = draw.between(1, 300);
  const std::int64_t cols = draw.between(1, 9);
  std::vector<std::uint8_t> scales(rows * cols);
  for (std::uint8_t& s : scales) s = static_cast<std::uint8_t>(draw.between(1, 255));
  return rc::shrinkable::just(
      ExperimentPtr(std::make_shared<SwizzleExperiment>(rows, cols, std::move(scales))));
}

struct Aspect {
  const char* slug;
  Source source;
  const char* statement;
};
constexpr std::array aspects{
    Aspect{"encode_f32", Source::scalar_f32, "an FP32 number gets the code of its mode and policy"},
    Aspect{"encode_f64", Source::scalar_f64, "an FP64 number is rounded once, never through FP32"},
    Aspect{"encode_array", Source::array_f32,
           "arrays of every length get the codes of their elements, random words included"},
};

}  // namespace

std::vector<Property> codec_properties() {
  std::vector<Property> properties;
  for (const FormatSpec* spec : formats::all_formats) {
    const std::string prefix = "codec." + std::string(spec->name) + ".";
    const std::string source(spec->source);
    for (const Aspect& aspect : aspects)
      properties.push_back(
          {prefix + aspect.slug,
           source +
               "; IEEE 754-2019, sections 4.3 and 7.4; formats/spec.h, RoundingMode and Policy",
           aspect.statement, nullptr,
           [spec, &aspect](const kernels::Claim&, const rc::Random& random) {
             return shrinkable_experiment<Case>(
                 [&] { return draw_case(*spec, aspect.source, random); }, simpler,
                 [](Case&& c) { return std::make_shared<EncodeExperiment>(std::move(c)); });
           }});
    properties.push_back({prefix + "decode_array", source + "; formats/spec.h, FormatSpec",
                          "arrays of codes of every length have the values of the format's table",
                          nullptr, [spec](const kernels::Claim&, const rc::Random& random) {
                            return draw_codes(*spec, random);
                          }});
  }
  properties.push_back(
      {"layout.swizzled_128x4",
       "cuBLAS documentation, 1D Block Scaling Factors Layout; formats/tensor.h, ScaleLayout",
       "every scale factor lies where the formula says, padding is 0, and the way back "
       "restores the grid",
       nullptr,
       [](const kernels::Claim&, const rc::Random& random) { return draw_swizzle(random); }});
  return properties;
}

}  // namespace assay::proptests

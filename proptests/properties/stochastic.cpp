// SPDX-License-Identifier: Apache-2.0
// Stochastic rounding of elements: the declared word decides each element; where the words stay
// inside the kernel, the codes have the declared chances and the seed counts.
#include <array>
#include <cmath>

#include "proptests/properties/stochastic_case.h"
#include "proptests/property.h"
#include "proptests/shrink.h"

namespace assay::proptests {
namespace {

using kernels::Claim;
using themes::Case;

/// Elements on every fraction that a word decides: lo + f (hi - lo), f a multiple of 2^-bits or an
/// FP32 place beside it, times a power of two.
void fractions(Draw& draw, Case& c) {
  const bool two_level = c.claim.a->tensor_scale == formats::TensorScale::fp32;
  const float g = power_of_two(static_cast<int>(draw.between(-10, 10)));
  constexpr std::array<float, 8> grid{0.0F, 0.5F, 1.0F, 1.5F, 2.0F, 3.0F, 4.0F, 6.0F};
  const auto steps = static_cast<float>(1U << static_cast<unsigned>(c.claim.random_bits));
  for (float& x : c.x) {
    const std::size_t low = draw.below(7);
    const float f = static_cast<float>(draw.below(static_cast<std::uint64_t>(steps))) / steps;
    x = draw.near((grid[low] + f * (grid[low + 1] - grid[low])) * g, 1) * draw.sign();
  }
  // Scale factors of 1, or of one value throughout: amax is 6 units in every block.
  for (std::int64_t i = 0; i < static_cast<std::int64_t>(c.x.size()); i += c.claim.a->block.cols)
    c.x[i] = 6.0F * g * draw.sign();
  if (two_level && draw.one_in(2)) c.x[draw.below(c.x.size())] = 2688.0F * g;
}

struct Aspect {
  const char* slug;
  void (*fill)(Draw&, Case&);
  const char* statement;
};
constexpr std::array aspects{
    Aspect{"words", fractions,
           "an element goes up iff floor(f 2^n) + r >= 2^n, r the top n bits of its own word"},
    Aspect{"exact_values", themes::zero_blocks,
           "what a code holds exactly stays what it is, whatever the word; zeros keep their sign"},
    Aspect{"saturation", themes::saturation, "what exceeds the largest code saturates"},
    Aspect{"not_finite", themes::not_finite,
           "a NaN or infinity spoils its own block and shifts no other element's word"},
    Aspect{"any_input", themes::mixture, "any mixture of FP32 numbers is rounded as declared"},
};

StochasticCase draw_case(const Aspect& aspect, const Claim& claim, const rc::Random& random) {
  Draw draw(random);
  StochasticCase c;
  c.x = {claim, draw.between(1, 3), draw.between(1, 2 * claim.a->block.cols + 1), {}};
  c.x.x.resize(c.x.rows * c.x.cols);
  aspect.fill(draw, c.x);
  c.seed = draw.of<std::uint64_t>(
      {0, 1, draw.below(1000), draw.word(), std::uint64_t{draw.word()} << 32U | draw.word()});
  if (claim.random == ASSAY_DUT_RANDOM_WORDS) {
    c.words.resize(c.x.x.size());
    for (std::uint32_t& word : c.words)
      word = draw.one_in(4) ? draw.of<std::uint32_t>({0, 0xFFFFFFFFU, 0x80000000U, 0x7FFFFFFFU})
                            : draw.word();
  }
  c.spread = draw_spread(draw, claim);
  return c;
}

/// 8192 elements: blocks whose first element is 6 units, all others one number.
StochasticCase draw_chances(Draw& draw, const Claim& claim) {
  StochasticCase c;
  c.x = {claim, 64, 128, {}};
  const float g = power_of_two(static_cast<int>(draw.between(-4, 4)));
  const float x = draw.of({0.25F, 0.125F, 0.6F, 1.3F, 1.75F, 2.3F, 3.5F, 4.5F, 5.0F, 5.9F}) * g;
  c.x.x.assign(c.x.rows * c.x.cols, x * draw.sign());
  for (std::size_t i = 0; i < c.x.x.size(); i += claim.a->block.cols) c.x.x[i] = 6.0F * g;
  c.seed = draw.word();
  return c;
}

bool known_words(const Claim& c) { return c.random != ASSAY_DUT_RANDOM_OPAQUE; }

}  // namespace

std::vector<Property> stochastic_properties() {
  std::vector<Property> properties;
  for (const formats::BlockFormat* format :
       {&formats::nvfp4, &formats::nvfp4_divide, &formats::mxfp4_floor, &formats::mxfp4_rceil,
        &formats::deepseek_v4}) {
    const std::string prefix = "stochastic_quantize." + std::string(format->name) + ".";
    const auto about = [format](const Claim& c) {
      return c.operation == "stochastic_quantize" && c.a == format;
    };
    for (const Aspect& aspect : aspects)
      properties.push_back(
          {prefix + aspect.slug,
           "formats/spec.h, RoundingMode::stochastic; Salmon et al., SC 2011 (Philox); " +
               std::string(format->order->source),
           aspect.statement, [about](const Claim& c) { return about(c) && known_words(c); },
           [&aspect](const Claim& claim, const rc::Random& random) {
             return shrinkable_experiment<StochasticCase>(
                 [&] { return draw_case(aspect, claim, random); }, simpler_stochastic,
                 [](StochasticCase&& c) { return stochastic_experiment(std::move(c)); });
           }});
    properties.push_back(
        {prefix + "chances", "formats/spec.h, RoundingMode::stochastic",
         "codes go up with the declared chance, independently of each other and of other seeds "
         "(false alarms: 1e-9 a case)",
         [about](const Claim& c) { return about(c) && !known_words(c); },
         [](const Claim& claim, const rc::Random& random) {
           Draw draw(random);
           StochasticCase c = draw_chances(draw, claim);
           const std::uint64_t other = c.seed + draw.between(1, 3);
           // A smaller case would be a weaker test: it is not shrunk.
           return rc::shrinkable::just(chance_experiment(std::move(c), other));
         }});
  }
  return properties;
}

}  // namespace assay::proptests

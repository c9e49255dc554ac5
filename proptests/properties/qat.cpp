// SPDX-License-Identifier: Apache-2.0
// The QAT step: what multiplies in the forward pass, and whose gradient passes in the backward
// pass.
#include <array>
#include <cmath>

#include "proptests/generators.h"
#include "proptests/properties/qat_case.h"
#include "proptests/property.h"

namespace assay::proptests {
namespace {

using kernels::Claim;
using kernels::Estimator;

bool learned(const Claim& claim) { return claim.b->rule == formats::ScaleRule::given; }

float integer(Draw& draw) { return static_cast<float>(draw.between(-4, 4)); }
template <std::size_t N>
float one_of(Draw& draw, const std::array<float, N>& numbers) {
  return numbers[draw.below(N)];
}
float number(Draw& draw) { return draw.in_binades(-6, 6); }

/// Fills one weight block that has the (given, or by its amax suggested) scale.
using FillBlock = void (*)(Draw&, std::span<float> block, float scale);

void tie_weights(Draw& draw, std::span<float> block, float scale) {
  for (float& w : block) w = draw.midpoint() * scale * draw.sign();
  block[draw.below(block.size())] = 6.0F * scale * draw.sign();
}
void boundary_weights(Draw& draw, std::span<float> block, float scale) {
  for (float& w : block) w = draw.near(6.0F * scale, 2) * draw.sign();
}
void edge_weights(Draw& draw, std::span<float> block, float scale) {
  constexpr std::array edges{0.25F, 0.5F, 0.75F, 1.0F, 1.25F, 1.5F, 1.75F,
                             2.0F,  2.5F, 3.0F,  3.5F, 4.0F,  5.0F, 6.0F};
  for (float& w : block) w = draw.near(one_of(draw, edges) * scale, 2) * draw.sign();
}
void saturated_weights(Draw& draw, std::span<float> block, float scale) {
  for (float& w : block) w = draw.in_binades(0, 5) * scale;
}
void any_weights(Draw& draw, std::span<float> block, float scale) {
  for (float& w : block) w = draw.in_binades(-4, 3) * scale;
}
void zero_weights(Draw& draw, std::span<float> block, float scale) {
  const bool all = draw.one_in(2);
  for (float& w : block)
    w = all || draw.one_in(2) ? 0.0F * draw.sign() : draw.in_binades(-4, 1) * scale;
}

struct Aspect {
  const char* slug;
  FillBlock weights;
  float (*other)(Draw&);  ///< x, dy and bias
  bool simple_scales;     ///< powers of two
  bool zero_scales;       ///< some learned scales are 0
  bool not_finite;
  bool padded;  ///< bytes between the rows
  const char* forward;
  const char* backward;
};
constexpr std::array aspects{
    Aspect{"exact_sums", tie_weights, integer, true, false, false, false,
           "sums that FP32 holds exactly come out exact, weights at midpoints going to even codes",
           "gradients that FP32 holds exactly come out exact"},
    Aspect{"clip_boundary", boundary_weights, integer, false, false, false, false,
           "weights at and next to 6 scales saturate or not, as the format's order says",
           "the mask is that of the unrounded weight, its boundary inside"},
    Aspect{"bin_edges", edge_weights, integer, false, false, false, false,
           "weights at and next to codes and their midpoints go to the nearest code",
           "the factor of the estimator at and next to codes and their midpoints"},
    Aspect{"saturated", saturated_weights, number, false, false, false, false,
           "weights beyond the range multiply as the largest code",
           "what the estimator says of clipped weights, and of no others"},
    Aspect{"zeros", zero_weights, integer, false, true, false, false,
           "zero blocks and zero scales multiply as zero",
           "zero blocks and zero scales give the gradients of the definition, never 0/0"},
    Aspect{"any_weights", any_weights, number, false, false, false, false,
           "the product is that of the quantized weights, within the bound",
           "every gradient within its bound, each summed over its own axis"},
    Aspect{"not_finite", any_weights, integer, false, false, true, false,
           "NaN and infinities reach exactly the outputs that they touch",
           "NaN and infinities reach exactly the gradients that they touch; masked weights get 0"},
    Aspect{"padded_rows", any_weights, integer, true, false, false, true,
           "rows are found by their strides; bytes between them neither count nor change",
           "rows are found by their strides; bytes between them neither count nor change"},
};

QatCase draw_case(const Aspect& aspect, Estimator estimator, const Claim& claim, bool backward,
                  const rc::Random& random) {
  Draw draw(random);
  QatCase c;
  c.claim = claim;
  c.estimator = estimator;
  c.m = draw.between(1, 3);
  c.n = draw.between(1, 3);
  const std::int64_t block = claim.b->block.cols;
  c.k = draw.one_in(2) ? block : draw.between(1, block + block / 2);
  const auto round_up = [](std::int64_t& x, std::int64_t to) { x = (x + to - 1) / to * to; };
  round_up(c.m, claim.m_multiple);
  round_up(c.n, claim.n_multiple);
  round_up(c.k, claim.k_multiple);
  if (aspect.padded) c.spread = padded_rows(draw);
  if (estimator == Estimator::ewgs)
    c.parameter = one_of(draw, std::array{0.125F, 0.5F, 1.0F, 0.3F});
  if (estimator == Estimator::trust_mask) c.parameter = one_of(draw, std::array{0.25F, 0.5F, 1.0F});
  const auto fill = [&](std::vector<float>& x, std::int64_t count) {
    x.resize(count);
    for (float& value : x) value = aspect.other(draw);
  };
  fill(c.x, c.m * c.k);
  c.w.resize(c.n * c.k);
  for (std::int64_t r = 0; r < c.n; ++r)
    for (std::int64_t b = 0; b < c.blocks(); ++b) {
      float scale = aspect.simple_scales ? power_of_two(static_cast<int>(draw.between(-6, 6)))
                                         : std::fabs(draw.in_binades(-8, 4));
      const std::int64_t first = b * block;
      aspect.weights(
          draw, {&c.w[r * c.k + first], static_cast<std::size_t>(std::min(block, c.k - first))},
          scale);
      if (aspect.zero_scales && draw.one_in(3)) scale = 0.0F;
      if (learned(claim)) c.scales.push_back(scale);
    }
  if (backward)
    fill(c.dy, c.m * c.n);
  else if (draw.one_in(2))
    fill(c.bias, c.n);
  if (aspect.not_finite) {
    std::vector<float>& victim = draw.one_in(2) ? c.w : backward && draw.one_in(2) ? c.dy : c.x;
    victim[draw.below(victim.size())] = draw.not_finite();
  }
  return c;
}

constexpr std::array weight_formats{&formats::nvfp4, &formats::nvfp4_divide, &formats::mxfp4_rceil,
                                    &formats::article, &formats::article_attention};
struct EstimatorRow {
  Estimator estimator;
  const char* slug;
  const char* section;
};
constexpr std::array estimators{
    EstimatorRow{Estimator::identity, "identity",
                 "Bengio et al., arXiv 1308.3432, straight-through estimator; golden/estimator.h"},
    EstimatorRow{Estimator::clip_mask, "clip_mask",
                 "golden/estimator.h, clip_mask (this project's definition)"},
    EstimatorRow{
        Estimator::lsq, "lsq",
        "Esser et al., arXiv 1902.08153, section 2.1; on the E2M1 grid golden/estimator.h, lsq "
        "(this project's definition)"},
    EstimatorRow{
        Estimator::pact, "pact",
        "Choi et al., arXiv 1805.06085; of a symmetric clip golden/estimator.h, pact (this "
        "project's definition)"},
    EstimatorRow{
        Estimator::ewgs, "ewgs",
        "Lee et al., arXiv 2104.00903, equation 4; on the E2M1 grid golden/estimator.h, ewgs "
        "(this project's definition)"},
    EstimatorRow{Estimator::dge, "dge",
                 "arXiv 2501.17116, section 3.1; outside the range golden/estimator.h, dge (this "
                 "project's definition)"},
    EstimatorRow{Estimator::trust_mask, "trust_mask",
                 "Quartet, arXiv 2505.14669, which leaves T open; golden/estimator.h, trust_mask"}};

std::function<bool(const Claim&)> about(const char* operation, const formats::BlockFormat* format,
                                        const Aspect& aspect, Estimator estimator) {
  return [operation, format, estimator, padded = aspect.padded](const Claim& c) {
    return c.operation == operation && c.a == nullptr && c.b == format &&
           (c.estimators >> static_cast<unsigned>(estimator) & 1U) != 0 &&
           (!padded || (c.flags & ASSAY_DUT_STRIDES) != 0);
  };
}

}  // namespace

std::vector<Property> qat_properties() {
  std::vector<Property> properties;
  for (const formats::BlockFormat* format : weight_formats) {
    const std::string name(format->name);
    for (const Aspect& aspect : aspects)
      properties.push_back(
          {"qat_forward." + name + "." + aspect.slug,
           "golden/qat.h, forward (this project's definition)", aspect.forward,
           [forward = about("qat_forward", format, aspect, Estimator::identity)](Claim c) {
             c.estimators = 1;  // the forward pass is the same under every estimator
             return forward(c);
           },
           [&aspect](const Claim& claim, const rc::Random& random) {
             return shrinkable_experiment<QatCase>(
                 [&] { return draw_case(aspect, {}, claim, false, random); }, simpler_steps,
                 [](QatCase&& c) { return qat_forward_experiment(std::move(c)); });
           }});
    for (const EstimatorRow& row : estimators)
      for (const Aspect& aspect : aspects)
        properties.push_back(
            {"qat_backward." + name + "." + row.slug + "." + aspect.slug, row.section,
             aspect.backward, about("qat_backward", format, aspect, row.estimator),
             [&aspect, &row](const Claim& claim, const rc::Random& random) {
               return shrinkable_experiment<QatCase>(
                   [&] { return draw_case(aspect, row.estimator, claim, true, random); },
                   simpler_steps,
                   [](QatCase&& c) { return qat_backward_experiment(std::move(c)); });
             }});
  }
  return properties;
}

}  // namespace assay::proptests

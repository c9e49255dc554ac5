// SPDX-License-Identifier: Apache-2.0
// Quantizers: codes, scale factors and tensor scale, bit for bit, under operands built to sit on
// every decision that the operation order of a format makes.
#include "golden/quantize.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "golden/layout.h"
#include "proptests/generators.h"
#include "proptests/judge.h"
#include "proptests/properties/quantize_themes.h"
#include "proptests/property.h"
#include "proptests/shrink.h"

namespace assay::proptests {
namespace {

using kernels::Claim;
using themes::Case;

class QuantizeExperiment final : public Experiment {
 public:
  explicit QuantizeExperiment(Case c) : case_(std::move(c)) {}

  [[nodiscard]] std::optional<Call> call() const override {
    Call call;
    call.claim = case_.claim;
    call.m = case_.rows;
    call.k = case_.cols;
    call.in.push_back(operand(ASSAY_DUT_X, ASSAY_DUT_VALUES, formats::fp32,
                              {case_.rows, case_.cols}, bytes_of(std::span(case_.x))));
    add_output(call, ASSAY_DUT_Q, shape());
    return call;
  }

  [[nodiscard]] Ruling judge(const Answer& answer) const override {
    formats::BlockScaledTensor observed = shape();
    observed.codes = answer.outputs[0];
    observed.scales = answer.outputs[1];
    if (answer.outputs.size() > 2) observed.tensor_scale = to_floats(answer.outputs[2])[0];
    formats::QuantizeOptions options;
    options.rounding = case_.claim.rounding;
    options.scale_layout = case_.claim.scale_layout;
    return {true,
            compare(golden::quantize(case_.x, case_.rows, case_.cols, *case_.claim.a, options),
                    observed)};
  }

  [[nodiscard]] std::vector<NamedText> describe() const override {
    return {{"format", std::string(case_.claim.a->name)},
            {"scale layout", case_.claim.scale_layout == formats::ScaleLayout::row_major
                                 ? "row_major"
                                 : "swizzled_128x4"},
            {"x", show_matrix(case_.x, case_.cols)}};
  }

 private:
  [[nodiscard]] formats::BlockScaledTensor shape() const {
    formats::BlockScaledTensor t;
    t.format = case_.claim.a;
    t.rows = case_.rows;
    t.cols = case_.cols;
    t.scale_layout = case_.claim.scale_layout;
    return t;
  }

  Case case_;
};

rc::Seq<Case> simpler(const Case& c) {
  std::vector<Crop> crops;
  for (const Piece& p : smaller(c.rows)) crops.push_back({p.first, p.count, 0, c.cols});
  for (const Piece& p : smaller(c.cols)) crops.push_back({0, c.rows, p.first, p.count});
  return rc::seq::concat(
      edited(c, std::move(crops),
             [](Case& to, const Crop& e) {
               to.x = crop(to.x, to.cols, e);
               to.rows = e.rows;
               to.cols = e.cols;
             }),
      edited(c, simpler_values(c.x), [](Case& to, const Replacement& e) { perform(e, to.x); }));
}

/// Shapes. Small ones find everything but layout errors, so most are small.
struct Shape {
  std::int64_t rows, cols;
};
Shape whole_blocks(Draw& draw, std::int64_t block) {
  const std::int64_t rows = draw.between(1, 2);
  return {rows, block * draw.between(1, 2)};
}
Shape partial_blocks(Draw& draw, std::int64_t block) {
  const std::int64_t rows = draw.between(1, 3);
  return {rows, draw.between(1, 2 * block + 1)};
}
/// Many rows or many blocks, narrow otherwise: where a scale swizzle goes wrong.
Shape long_side(Draw& draw, std::int64_t block) {
  return draw.one_in(2) ? Shape{draw.between(30, 140), 1} : Shape{1, block * draw.between(4, 9)};
}

struct Aspect {
  const char* slug;
  Shape (*shape)(Draw&, std::int64_t block);
  void (*fill)(Draw&, Case&);
  const char* statement;
};
constexpr std::array aspects{
    Aspect{"ties_to_even", whole_blocks, themes::ties,
           "an element exactly between two codes goes to the even one"},
    Aspect{"near_ties", whole_blocks, themes::near_ties,
           "elements next to a midpoint round as the declared operation order says"},
    Aspect{"scale_thresholds", whole_blocks, themes::scale_thresholds,
           "block maxima at and next to the thresholds between scale codes get the declared scale"},
    Aspect{"zero_blocks", whole_blocks, themes::zero_blocks,
           "blocks and tensors of zeros get the declared scale and codes, never 0/0"},
    Aspect{"tiny_blocks", whole_blocks, themes::tiny_blocks,
           "scale factors that are subnormal or underflow follow the operation order"},
    Aspect{"saturation", whole_blocks, themes::saturation,
           "magnitudes up to the largest FP32 number saturate, and no step overflows"},
    Aspect{"signs", whole_blocks, themes::signs,
           "amax is taken of magnitudes, and every sign is kept, also of zero"},
    Aspect{"not_finite", whole_blocks, themes::not_finite,
           "a NaN or infinity spoils its own block (NaN scale, codes 0) and nothing else"},
    Aspect{
        "partial_blocks", partial_blocks, themes::mixture,
        "shapes that the block does not divide, odd widths included, are quantized like any other"},
    Aspect{"layout", long_side, themes::narrow,
           "codes and scale factors lie where the layout says; padding is zero"},
    Aspect{"any_input", whole_blocks, themes::mixture,
           "any mixture of FP32 numbers is quantized as declared"},
};

Case draw_case(const Aspect& aspect, const Claim& claim, const rc::Random& random) {
  Draw draw(random);
  Case c{claim, 0, 0, {}};
  const Shape shape = aspect.shape(draw, claim.a->block.cols);
  c.rows = shape.rows;
  c.cols = shape.cols;
  c.x.resize(c.rows * c.cols);
  aspect.fill(draw, c);
  return c;
}

}  // namespace

std::vector<Property> quantize_properties() {
  std::vector<Property> properties;
  for (const formats::BlockFormat* format :
       {&formats::nvfp4, &formats::nvfp4_divide, &formats::mxfp4_floor, &formats::mxfp4_rceil,
        &formats::deepseek_v4})
    for (const Aspect& aspect : aspects)
      properties.push_back(
          {"quantize." + std::string(format->name) + "." + aspect.slug,
           std::string(format->order->source), aspect.statement,
           [format](const Claim& c) { return c.operation == "quantize" && c.a == format; },
           [&aspect](const Claim& claim, const rc::Random& random) {
             return shrinkable_experiment<Case>(
                 [&] { return draw_case(aspect, claim, random); }, simpler,
                 [](Case&& c) { return std::make_shared<QuantizeExperiment>(std::move(c)); });
           }});
  return properties;
}

}  // namespace assay::proptests

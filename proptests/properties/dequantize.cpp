// SPDX-License-Identifier: Apache-2.0
// Dequantizers: element * scale factor * tensor scale, rounded once to FP32.
#include <array>
#include <cmath>
#include <optional>

#include "golden/bounds.h"
#include "golden/layout.h"
#include "golden/quantize.h"
#include "proptests/generators.h"
#include "proptests/judge.h"
#include "proptests/properties/quantize_domains.h"
#include "proptests/properties/spread.h"
#include "proptests/property.h"
#include "proptests/tensor_edits.h"

namespace assay::proptests {
namespace {

using kernels::Claim;

struct Case {
  Claim claim;
  formats::BlockScaledTensor in;
  Spread spread = {};
  std::optional<std::uint8_t> scale_padding = {};  ///< what swizzled scale factors are padded with
};

class DequantizeExperiment final : public Experiment {
 public:
  explicit DequantizeExperiment(Case c) : case_(std::move(c)) {
    if (case_.scale_padding) fill_padding(case_.in, *case_.scale_padding);
  }

  [[nodiscard]] std::optional<Call> call() const override {
    Call call;
    call.claim = case_.claim;
    call.m = case_.in.rows;
    call.k = case_.in.cols;
    spread(call, case_.spread);
    add_input(call, ASSAY_DUT_Q, case_.in);
    call.out.push_back(
        operand(ASSAY_DUT_X, ASSAY_DUT_VALUES, formats::fp32, {case_.in.rows, case_.in.cols}));
    return call;
  }

  /// The payload of a NaN is left open; the sign of zero is not, because -0 is a code of E2M1.
  [[nodiscard]] Ruling judge(const Answer& answer) const override {
    const std::vector<golden::Value> exact = golden::dequantize(case_.in);
    std::vector<golden::RationalValue> reference;
    reference.reserve(exact.size());
    for (const golden::Value& v : exact) reference.push_back(golden::to_rational(v));
    const std::vector<float> observed = to_floats(answer.outputs[0]);
    Ruling ruling = judge_array("x", case_.in.cols, formats::fp32, observed, reference,
                                std::vector<golden::Bound>(exact.size()));
    for (std::size_t i = 0; i < exact.size() && !ruling.mismatch; ++i)
      if (exact[i].is_zero() && std::signbit(observed[i]) != exact[i].negative)
        ruling.mismatch = Mismatch{"x[" + std::to_string(i / case_.in.cols) + "," +
                                       std::to_string(i % case_.in.cols) + "]",
                                   "bit exact (sign of zero)",
                                   show(exact[i].negative ? -0.0F : 0.0F),
                                   show(observed[i]),
                                   "0",
                                   ""};
    return ruling;
  }

  [[nodiscard]] std::vector<NamedText> describe() const override {
    return {{"in", show_tensor(case_.in)}};
  }

 private:
  Case case_;
};

rc::Seq<Case> simpler(const Case& c) {
  return edited(c, tensor_edits(c.in), [](Case& to, const TensorEdit& e) { perform(e, to.in); });
}

struct Aspect {
  const char* slug;
  Scales scales;
  bool nan_scale;
  bool long_side;
  const char* statement;
};
constexpr std::array aspects{
    Aspect{"all_codes", Scales::any_normal, false, false,
           "every element code times every scale code has the value of the format's tables"},
    Aspect{"extreme_scales", Scales::extreme, false, false,
           "scale factors at both ends of their format, subnormals included, keep their values"},
    Aspect{"not_a_number", Scales::any_normal, true, false,
           "a NaN scale factor makes its block NaN, and nothing else"},
    Aspect{"layout", Scales::powers_of_two, false, true,
           "every element meets the scale factor of its own block, wherever the layout put it"},
};

Case draw_case(const Aspect& aspect, const Claim& claim, const rc::Random& random) {
  Draw draw(random);
  const std::int64_t block = claim.a->block.cols;
  std::int64_t rows = draw.between(1, 3);
  std::int64_t cols = draw.between(1, 2 * block);
  if (aspect.long_side) {
    rows = draw.one_in(2) ? draw.between(30, 140) : 1;
    cols = rows > 1 ? 2 : block * draw.between(4, 9);
  }
  Case c{claim,
         draw_tensor(draw, *claim.a, rows, cols, claim.scale_layout, Codes::any, aspect.scales)};
  if (aspect.nan_scale) {
    const golden::BlockGrid grid = golden::block_grid(*claim.a, rows, cols);
    const std::int64_t row = draw.between(0, grid.down - 1);
    golden::store_scale(c.in, row, draw.between(0, grid.across - 1),
                        golden::canonical_nan(*claim.a->scale));
  }
  return c;
}

/// All 16 element codes beside each other in a block of every scale code in turn, NaN included.
Case every_scale_code(Draw& draw, const Claim& claim, std::int64_t index) {
  const formats::BlockFormat& format = *claim.a;
  const std::int64_t block = format.block.cols;
  Case c{claim, draw_tensor(draw, format, 1, 2 * block, claim.scale_layout, Codes::any,
                            Scales::any_normal)};
  const auto first = static_cast<std::int64_t>(draw.below(16));
  for (std::int64_t i = 0; i < block; ++i)
    golden::store_code(c.in, 0, i, static_cast<std::uint32_t>((first + i) % 16));
  const std::uint32_t codes = format.scale == &formats::ue4m3 ? 128 : 256;
  golden::store_scale(c.in, 0, 0, static_cast<std::uint32_t>(index) % codes);
  return c;
}
Case padded(Draw& draw, const Claim& claim, std::int64_t) {
  Case c{claim, draw_tensor(draw, *claim.a, draw.between(2, 4),
                            draw.between(1, 2 * claim.a->block.cols + 1), claim.scale_layout,
                            Codes::any, Scales::powers_of_two)};
  c.spread = padded_rows(draw);
  return c;
}
Case padded_scales(Draw& draw, const Claim& claim, std::int64_t) {
  Case c{claim, draw_tensor(draw, *claim.a, draw.between(1, 4),
                            draw.between(1, 2 * claim.a->block.cols + 1), claim.scale_layout,
                            Codes::any, Scales::powers_of_two)};
  c.scale_padding = padding_byte(draw);
  return c;
}
Case many_rows(Draw& draw, const Claim& claim, std::int64_t index) {
  return {claim, draw_tensor(draw, *claim.a, domains::many_rows(draw, index), 1, claim.scale_layout,
                             Codes::any, Scales::powers_of_two)};
}

struct Probe {
  const char* slug;
  Case (*build)(Draw&, const Claim&, std::int64_t index);
  bool (*needs)(const Claim&);
  const char* section;  ///< beside the formats'
  const char* statement;
};
constexpr std::array probes{
    Probe{"every_scale_code", every_scale_code, [](const Claim&) { return true; }, "",
          "every element code times every scale code, NaN codes included"},
    Probe{"padded_rows", padded, [](const Claim& c) { return (c.flags & ASSAY_DUT_STRIDES) != 0; },
          "kernels/abi/assay_dut.h, ASSAY_DUT_STRIDES; ",
          "rows are found by their strides; bytes between them neither count nor change"},
    Probe{"padded_scales", padded_scales,
          [](const Claim& c) {
            return c.scale_layout == formats::ScaleLayout::swizzled_128x4 &&
                   (c.flags & ASSAY_DUT_ANY_PADDING) != 0;
          },
          "kernels/abi/assay_dut.h, ASSAY_DUT_ANY_PADDING; ",
          "what pads a swizzled array of scale factors changes no number"},
    Probe{"many_rows", many_rows, [](const Claim&) { return true; },
          "CUDA C++ Programming Guide, technical specifications: dimensions y and z of a grid; ",
          "every row is computed, also where there are more than a dimension of a grid counts"},
};

template <class Draws>
rc::Shrinkable<ExperimentPtr> shrinkable(const Draws& draws) {
  return shrinkable_experiment<Case>(draws, simpler, [](Case&& c) {
    return std::make_shared<DequantizeExperiment>(std::move(c));
  });
}

}  // namespace

std::vector<Property> dequantize_properties() {
  std::vector<Property> properties;
  for (const formats::BlockFormat* format :
       {&formats::nvfp4, &formats::nvfp4_divide, &formats::mxfp4_floor, &formats::mxfp4_rceil,
        &formats::deepseek_v4}) {
    const std::string prefix = "dequantize." + std::string(format->name) + ".";
    const std::string section = std::string(format->element->source) + "; " +
                                std::string(format->scale->source) +
                                "; formats/tensor.h, BlockFormat";
    const auto about = [format](const Claim& c) {
      return c.operation == "dequantize" && c.a == format;
    };
    for (const Aspect& aspect : aspects)
      properties.push_back({prefix + aspect.slug, section, aspect.statement, about,
                            [&aspect](const Claim& claim, const rc::Random& random) {
                              return shrinkable([&] { return draw_case(aspect, claim, random); });
                            }});
    for (const Probe& probe : probes)
      properties.push_back(
          {prefix + probe.slug,
           probe.section + section,
           probe.statement,
           [about, &probe](const Claim& c) { return about(c) && probe.needs(c); },
           {},
           [&probe](const Claim& claim, std::int64_t index, const rc::Random& random) {
             return shrinkable([&] {
               Draw draw(random);
               return probe.build(draw, claim, index);
             });
           }});
  }
  return properties;
}

}  // namespace assay::proptests

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
#include "proptests/properties/quantize_domains.h"
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
    spread(call, case_.spread);
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
  const std::int64_t cols = draw.between(1, 2 * block + 1);
  // Buffers of several blocks end in a partial one too.
  return {rows, draw.one_in(8) ? cols + block * draw.between(2, 5) : cols};
}
/// Many rows or many blocks, narrow otherwise: where a scale swizzle goes wrong.
Shape long_side(Draw& draw, std::int64_t block) {
  return draw.one_in(2) ? Shape{draw.between(30, 140), 1} : Shape{1, block * draw.between(4, 9)};
}

/// The same for blocks of several rows: as many rows of blocks, and one or two blocks.
Shape grown(Draw& draw, const formats::BlockFormat& format, Shape shape) {
  const std::int64_t down = format.block.rows;
  if (down == 1) return shape;
  if (shape.rows > 3) return {shape.rows * 4, shape.cols};  // a long side
  const bool whole = shape.cols % format.block.cols == 0;
  shape.cols = std::min(shape.cols, format.block.cols * (shape.rows == 1 ? 2 : 1));
  return {whole ? shape.rows * down : draw.between(1, 2 * down + 1), shape.cols};
}
/// Themes work on rows of blocks. Where a block has several, most of its rows repeat the first one
/// with other signs, so that what is next to a midpoint or a threshold there is so in the block.
void repeat_rows(Draw& draw, Case& c) {
  const std::int64_t down = c.claim.a->block.rows;
  for (std::int64_t r = 0; r < c.rows; ++r) {
    if (r % down == 0 || draw.one_in(4)) continue;
    for (std::int64_t i = 0; i < c.cols; ++i)
      c.x[r * c.cols + i] = c.x[(r - r % down) * c.cols + i] * draw.sign();
  }
}
Shape three_rows(Draw& draw, std::int64_t block) { return {3, draw.between(1, 2 * block)}; }

/// What an aspect follows from beside the format's own order of operations.
constexpr const char* rounding = "IEEE 754-2019, section 4.3.1; ";
constexpr const char* own = "formats/tensor.h, BlockFormat (this project's definition); ";
constexpr const char* layouts =
    "cuBLAS documentation, 1D Block Scaling Factors Layout; formats/tensor.h, ScaleLayout; ";
constexpr const char* strides = "kernels/abi/assay_dut.h, ASSAY_DUT_STRIDES; ";
constexpr const char* grids =
    "CUDA C++ Programming Guide, technical specifications: dimensions y and z of a grid; ";
constexpr const char* grids_statement =
    "every row is computed, also where there are more than a dimension of a grid counts";
constexpr const char* far = "kernels/abi/assay_dut.h, ASSAY_DUT_FAR_ROWS; ";

struct Aspect {
  const char* slug;
  Shape (*shape)(Draw&, std::int64_t block);
  void (*fill)(Draw&, Case&);
  const char* source;
  const char* statement;
};
constexpr std::array aspects{
    Aspect{"ties_to_even", whole_blocks, themes::ties, rounding,
           "an element exactly between two codes goes to the even one"},
    Aspect{"near_ties", whole_blocks, themes::near_ties, rounding,
           "elements next to a midpoint round as the declared operation order says"},
    Aspect{"scale_thresholds", whole_blocks, themes::scale_thresholds, "",
           "block maxima at and next to the thresholds between scale codes get the declared scale"},
    Aspect{"zero_blocks", whole_blocks, themes::zero_blocks, "",
           "blocks and tensors of zeros get the declared scale and codes, never 0/0"},
    Aspect{"tiny_blocks", whole_blocks, themes::tiny_blocks, "",
           "scale factors that are subnormal or underflow follow the operation order"},
    Aspect{"saturation", whole_blocks, themes::saturation, "formats/spec.h, Overflow; ",
           "magnitudes up to the largest FP32 number saturate, and no step overflows"},
    Aspect{"signs", whole_blocks, themes::signs, "IEEE 754-2019, section 6.3; ",
           "amax is taken of magnitudes, and every sign is kept, also of zero"},
    Aspect{"not_finite", whole_blocks, themes::not_finite, own,
           "a NaN or infinity spoils its own block (NaN scale, codes 0) and nothing else"},
    Aspect{
        "partial_blocks", partial_blocks, themes::mixture,
        "formats/tensor.h, BlockShape (this project's definition); ",
        "shapes that the block does not divide, odd widths included, are quantized like any other"},
    Aspect{"layout", long_side, themes::narrow, layouts,
           "codes and scale factors lie where the layout says; padding is zero"},
    Aspect{"any_input", whole_blocks, themes::mixture, "",
           "any mixture of FP32 numbers is quantized as declared"},
    Aspect{"padded_rows", partial_blocks, themes::padded, strides,
           "rows are found by their strides; bytes between them neither count nor change"},
    Aspect{"far_rows", three_rows, themes::far, far,
           "offsets of rows that need more than 32 bits are computed with more"},
};

Case draw_case(const Aspect& aspect, const Claim& claim, const rc::Random& random) {
  Draw draw(random);
  Case c{claim, 0, 0, {}};
  const Shape shape = grown(draw, *claim.a, aspect.shape(draw, claim.a->block.cols));
  c.rows = shape.rows;
  c.cols = shape.cols;
  c.x.resize(c.rows * c.cols);
  aspect.fill(draw, c);
  if (claim.a->block.rows > 1 && draw.one_in(2)) repeat_rows(draw, c);
  return c;
}

/// Domains that the cases go through.
struct Domain {
  const char* slug;
  void (*build)(Draw&, Case&, std::int64_t index);
  const char* source;
  const char* statement;
};
constexpr std::array domain_rows{
    Domain{"every_tie", domains::every_tie, rounding,
           "at every midpoint times every scale code, both signs, the declared order decides"},
    Domain{"every_scale_threshold", domains::every_scale_threshold, "",
           "from one scale code to the next at the declared block maximum, for every code"},
    Domain{"idempotence", domains::idempotence,
           "proptests/properties/quantize_domains.h, idempotence (theorem); ",
           "what a tensor dequantizes to is quantized back to its codes and scale factors"},
    Domain{"many_rows", domains::many_rows, grids, grids_statement}};

struct FormatRow {
  const formats::BlockFormat* format;
  const char* section;  ///< of its order of operations
  bool domains = true;  ///< whether what they are built on holds: one order, a block in a row
};
constexpr const char* four_over_six =
    "Four Over Six, arXiv 2512.02010; formats/presets.h, nvfp4_4over6; formats/tensor.h, "
    "Candidates";
constexpr std::array format_rows{
    FormatRow{&formats::nvfp4,
              "TransformerEngine, common/cast/nvfp4, quantize_transpose; formats/presets.h, "
              "nvfp4_te"},
    FormatRow{&formats::nvfp4_divide,
              "NVFP4 by its formulas with true divisions: formats/presets.h, nvfp4_divide (this "
              "project's definition)"},
    FormatRow{&formats::mxfp4_floor, "OCP Microscaling Formats (MX) v1.0, section 6.3"},
    FormatRow{&formats::mxfp4_rceil,
              "cuBLAS documentation, 1D block scaling; formats/presets.h, mxfp4_rceil"},
    FormatRow{&formats::deepseek_v4,
              "DeepSeek-V4, arXiv 2606.19348, section 5.2.1; formats/presets.h, deepseek_v4"},
    FormatRow{&formats::nvfp4_2d,
              "TransformerEngine, common/cast/nvfp4, 2D quantization; formats/presets.h, nvfp4_2d",
              false},
    FormatRow{&formats::nvfp4_4over6, four_over_six, false},
    FormatRow{&formats::nvfp4_4over6_mae, four_over_six, false},
    FormatRow{&formats::nvfp4_4over6_max, four_over_six, false}};

template <class Draws>
rc::Shrinkable<ExperimentPtr> shrinkable(const Draws& draws) {
  return shrinkable_experiment<Case>(
      draws, simpler, [](Case&& c) { return std::make_shared<QuantizeExperiment>(std::move(c)); });
}

}  // namespace

std::vector<Property> quantize_properties() {
  std::vector<Property> properties;
  for (const auto& [format, section, with_domains] : format_rows) {
    const std::string prefix = "quantize." + std::string(format->name) + ".";
    const auto about = [format = format](const Claim& c) {
      return c.operation == "quantize" && c.a == format;
    };
    for (const Aspect& aspect : aspects) {
      const bool padded = aspect.source == strides;
      const bool distant = aspect.source == far;
      if (distant && format->block.rows > 1) continue;  // three blocks are too many far rows
      properties.push_back({prefix + aspect.slug, std::string(aspect.source) + section,
                            aspect.statement,
                            [about, padded, distant](const Claim& c) {
                              return about(c) && (!padded || (c.flags & ASSAY_DUT_STRIDES) != 0) &&
                                     (!distant || takes_far_rows(c));
                            },
                            [&aspect](const Claim& claim, const rc::Random& random) {
                              return shrinkable([&] { return draw_case(aspect, claim, random); });
                            }});
    }
    for (const Domain& domain : domain_rows) {
      if (!with_domains) break;
      properties.push_back(
          {prefix + domain.slug,
           std::string(domain.source) + section,
           domain.statement,
           about,
           {},
           [&domain](const Claim& claim, std::int64_t index, const rc::Random& random) {
             return shrinkable([&] {
               Draw draw(random);
               Case c{claim, 0, 0, {}};
               domain.build(draw, c, index);
               return c;
             });
           }});
    }
  }
  return properties;
}

}  // namespace assay::proptests

// SPDX-License-Identifier: Apache-2.0
// Transpose and quantize again: Q(X') from numbers, Q(DQ(Q)') from a quantized tensor. Both round
// as the format's order says, and the former never through Q(X).
#include <array>

#include "golden/layout.h"
#include "golden/requantize.h"
#include "proptests/properties/quantize_themes.h"
#include "proptests/properties/quantized_output.h"
#include "proptests/properties/spread.h"
#include "proptests/property.h"
#include "proptests/tensor_edits.h"

namespace assay::proptests {
namespace {

using kernels::Claim;

/// Numbers, or (where `in` has a format) a quantized tensor.
struct Case {
  themes::Case x;
  formats::BlockScaledTensor in;
  Spread spread;

  [[nodiscard]] bool from_numbers() const { return in.format == nullptr; }
};

class TransposeExperiment final : public Experiment {
 public:
  explicit TransposeExperiment(Case c) : case_(std::move(c)) {}

  [[nodiscard]] std::optional<Call> call() const override {
    const themes::Case& x = case_.x;
    Call call;
    call.claim = x.claim;
    call.m = x.rows;
    call.k = x.cols;
    if (case_.from_numbers())
      call.in.push_back(operand(ASSAY_DUT_X, ASSAY_DUT_VALUES, formats::fp32, {x.rows, x.cols},
                                bytes_of(std::span(x.x))));
    else
      add_input(call, ASSAY_DUT_Q, case_.in);
    add_output(call, ASSAY_DUT_QT, shape());
    spread(call, case_.spread);
    return call;
  }

  [[nodiscard]] Ruling judge(const Answer& answer) const override {
    const themes::Case& x = case_.x;
    formats::QuantizeOptions options;
    options.rounding = x.claim.rounding;
    options.scale_layout = x.claim.scale_layout;
    return {true, compare(case_.from_numbers()
                              ? golden::transpose_quantize(x.x, x.rows, x.cols, *x.claim.a, options)
                              : golden::transpose_requantize(case_.in, *x.claim.a, options),
                          observed_tensor(shape(), answer.outputs))};
  }

  [[nodiscard]] std::vector<NamedText> describe() const override {
    return {{"format", std::string(case_.x.claim.a->name)},
            case_.from_numbers() ? NamedText{"x", show_matrix(case_.x.x, case_.x.cols)}
                                 : NamedText{"q", show_tensor(case_.in)}};
  }

 private:
  [[nodiscard]] formats::BlockScaledTensor shape() const {
    return empty_tensor(*case_.x.claim.a, case_.x.cols, case_.x.rows, case_.x.claim.scale_layout);
  }

  Case case_;
};

rc::Seq<Case> simpler(const Case& c) {
  std::vector<Spread> dense;
  if (c.spread.gap != 0) dense.push_back({});
  const auto without_gaps =
      edited(c, std::move(dense), [](Case& to, const Spread& s) { to.spread = s; });
  if (!c.from_numbers())
    return rc::seq::concat(without_gaps,
                           edited(c, tensor_edits(c.in), [](Case& to, const TensorEdit& e) {
                             perform(e, to.in);
                             to.x.rows = to.in.rows;
                             to.x.cols = to.in.cols;
                           }));
  std::vector<Crop> crops;
  for (const Piece& p : smaller(c.x.rows)) crops.push_back({p.first, p.count, 0, c.x.cols});
  for (const Piece& p : smaller(c.x.cols)) crops.push_back({0, c.x.rows, p.first, p.count});
  return rc::seq::concat(
      edited(c, std::move(crops),
             [](Case& to, const Crop& e) {
               to.x.x = crop(to.x.x, to.x.cols, e);
               to.x.rows = e.rows;
               to.x.cols = e.cols;
             }),
      without_gaps,
      edited(c, simpler_values(c.x.x), [](Case& to, const Replacement& e) { perform(e, to.x.x); }));
}

struct Aspect {
  const char* slug;
  void (*fill)(Draw&, themes::Case&);  ///< null: from a quantized tensor
  Scales scales;
  bool nan, long_side;
  const char* statement;
};
constexpr std::array aspects{
    Aspect{"from_numbers", themes::mixture, Scales::one, false, false,
           "Q(X') has the codes and scale factors of X' itself, rounded once"},
    Aspect{"from_numbers_near_ties", themes::near_ties, Scales::one, false, false,
           "numbers next to midpoints along the columns round as the operation order says"},
    Aspect{"from_numbers_not_finite", themes::not_finite, Scales::one, true, false,
           "a NaN or infinity spoils its block of the transpose and nothing else"},
    Aspect{"from_numbers_layout", themes::narrow, Scales::one, false, true,
           "partial blocks, odd sizes and the scale layout of the transpose"},
    Aspect{
        "from_quantized", nullptr, Scales::any_normal, false, false,
        "Q(DQ(Q)'): dequantized with the scale factors of the rows, quantized along the columns"},
    Aspect{"from_quantized_not_finite", nullptr, Scales::any_normal, true, false,
           "a NaN scale factor spoils the blocks of the transpose that its elements are in"},
    Aspect{"from_quantized_layout", nullptr, Scales::powers_of_two, false, true,
           "every element meets the scale factor of its own row and block before it moves"},
};

Case draw_case(const Aspect& aspect, const Claim& claim, const rc::Random& random) {
  Draw draw(random);
  const std::int64_t block = claim.a->block.cols;
  Case c;
  c.x = {claim, draw.between(1, 2 * block), draw.between(1, block + 1), {}};
  if (aspect.long_side) (draw.one_in(2) ? c.x.rows : c.x.cols) = draw.between(3, 140);
  if (aspect.long_side && c.x.rows * c.x.cols > 2000) c.x.cols = 1 + c.x.cols % 5;
  if (aspect.fill != nullptr) {
    c.x.x.resize(c.x.rows * c.x.cols);
    aspect.fill(draw, c.x);
  } else {
    c.in = draw_tensor(draw, *claim.a, c.x.rows, c.x.cols, claim.scale_layout, Codes::any,
                       aspect.scales);
    const golden::BlockGrid grid = golden::block_grid(*claim.a, c.x.rows, c.x.cols);
    const std::int64_t row = draw.between(0, grid.down - 1);
    if (aspect.nan)
      golden::store_scale(c.in, row, draw.between(0, grid.across - 1),
                          golden::canonical_nan(*claim.a->scale));
  }
  c.spread = draw_spread(draw, claim);
  return c;
}

}  // namespace

std::vector<Property> transpose_properties() {
  std::vector<Property> properties;
  for (const formats::BlockFormat* format :
       {&formats::nvfp4, &formats::nvfp4_divide, &formats::mxfp4_floor, &formats::mxfp4_rceil,
        &formats::deepseek_v4})
    for (const Aspect& aspect : aspects)
      properties.push_back(
          {"transpose_requantize." + std::string(format->name) + "." + aspect.slug,
           "kernels/abi/assay_dut.h, TRANSPOSE_REQUANTIZE; golden/requantize.h; " +
               std::string(format->order->source),
           aspect.statement,
           [format](const Claim& c) {
             return c.operation == "transpose_requantize" && c.a == format;
           },
           [&aspect](const Claim& claim, const rc::Random& random) {
             return shrinkable_experiment<Case>(
                 [&] { return draw_case(aspect, claim, random); }, simpler,
                 [](Case&& c) { return std::make_shared<TransposeExperiment>(std::move(c)); });
           }});
  return properties;
}

}  // namespace assay::proptests

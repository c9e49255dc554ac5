// SPDX-License-Identifier: Apache-2.0
// Quantize and multiply in one kernel: the product is that of the codes which the quantizer makes,
// whether it shows them or not.
#include <fmt/format.h>

#include <array>

#include "golden/quantize.h"
#include "proptests/judge.h"
#include "proptests/properties/left_operand.h"
#include "proptests/properties/product_shape.h"
#include "proptests/properties/quantize_themes.h"
#include "proptests/properties/quantized_output.h"
#include "proptests/properties/spread.h"
#include "proptests/property.h"

namespace assay::proptests {
namespace {

using kernels::Claim;

struct Case {
  Claim claim;
  std::int64_t m = 0, n = 0, k = 0;
  std::vector<float> a;
  formats::BlockScaledTensor b;
  float alpha = 1.0F, beta = 0.0F;
  std::vector<float> c, bias;
  bool shows_q = false;  ///< the call asks for Q
  Spread spread;
};

class FusedExperiment final : public Experiment {
 public:
  explicit FusedExperiment(Case c) : case_(std::move(c)) {}

  [[nodiscard]] std::optional<Call> call() const override {
    const Case& c = case_;
    Call call;
    call.claim = c.claim;
    call.m = c.m;
    call.n = c.n;
    call.k = c.k;
    call.alpha = c.alpha;
    call.beta = c.beta;
    const auto numbers = [&](std::uint32_t role, std::vector<std::int64_t> shape,
                             const std::vector<float>& x) {
      call.in.push_back(
          operand(role, ASSAY_DUT_VALUES, formats::fp32, std::move(shape), bytes_of(std::span(x))));
    };
    numbers(ASSAY_DUT_A, {c.m, c.k}, c.a);
    add_input(call, ASSAY_DUT_B, c.b);
    if (!c.c.empty()) numbers(ASSAY_DUT_C, {c.m, c.n}, c.c);
    if (!c.bias.empty()) numbers(ASSAY_DUT_BIAS, {c.n}, c.bias);
    call.out.push_back(operand(ASSAY_DUT_D, ASSAY_DUT_VALUES, *c.claim.output, {c.m, c.n}));
    if (c.shows_q) add_output(call, ASSAY_DUT_Q, shape());
    spread(call, c.spread);
    return call;
  }

  [[nodiscard]] Ruling judge(const Answer& answer) const override {
    const Case& c = case_;
    formats::QuantizeOptions options;
    options.rounding = c.claim.rounding;
    options.scale_layout = c.claim.scale_layout;
    const formats::BlockScaledTensor q = golden::quantize(c.a, c.m, c.k, *c.claim.a, options);
    if (c.shows_q) {
      const auto mismatch = compare(q, observed_tensor(shape(), answer.outputs, 1));
      if (mismatch) return {true, mismatch};
    }
    const golden::GemmOracle oracle =
        golden::gemm_oracle(golden::factor(q), golden::factor(c.b), {c.alpha, c.beta, c.c, c.bias},
                            accumulator_of(c.claim));
    return judge_array("d", c.n, *c.claim.output, to_floats(*c.claim.output, answer.outputs[0]),
                       oracle.reference, oracle.bounds);
  }

  [[nodiscard]] std::vector<NamedText> describe() const override {
    const Case& c = case_;
    std::vector<NamedText> text{
        {"shape",
         fmt::format("m {} n {} k {}, alpha {}, beta {}, output {}{}", c.m, c.n, c.k, show(c.alpha),
                     show(c.beta), c.claim.output->name, c.shows_q ? ", and Q" : "")},
        {"a", show_matrix(c.a, c.k)},
        {"b", show_tensor(c.b)}};
    if (!c.c.empty()) text.push_back({"c", show_matrix(c.c, c.n)});
    if (!c.bias.empty()) text.push_back({"bias", show_matrix(c.bias, c.n)});
    return text;
  }

 private:
  [[nodiscard]] formats::BlockScaledTensor shape() const {
    return empty_tensor(*case_.claim.a, case_.m, case_.k, case_.claim.scale_layout);
  }

  Case case_;
};

void reshape(Case& c, const ProductShape& s) {
  c.a = crop(c.a, c.k, {s.m.first, s.m.count, s.k.first, s.k.count});
  c.b = crop(c.b, {s.n.first, s.n.count, s.k.first, s.k.count});
  c.c = crop(c.c, c.n, {s.m.first, s.m.count, s.n.first, s.n.count});
  c.bias = crop(c.bias, c.n, {0, 1, s.n.first, s.n.count});
  c.m = s.m.count;
  c.n = s.n.count;
  c.k = s.k.count;
}

using Simplify = void (*)(Case&);
rc::Seq<Case> simpler(const Case& c) {
  std::vector<Simplify> edits;
  if (!c.bias.empty()) edits.push_back([](Case& to) { to.bias.clear(); });
  if (c.beta != 0.0F || !c.c.empty())
    edits.push_back([](Case& to) {
      to.beta = 0.0F;
      to.c.clear();
    });
  if (c.alpha != 1.0F) edits.push_back([](Case& to) { to.alpha = 1.0F; });
  if (c.shows_q) edits.push_back([](Case& to) { to.shows_q = false; });
  if (c.spread.gap != 0) edits.push_back([](Case& to) { to.spread = {}; });
  return rc::seq::concat(
      edited(c, smaller_shapes(c), reshape),
      edited(c, std::move(edits), [](Case& to, Simplify e) { e(to); }),
      edited(c, simpler_values(c.a), [](Case& to, const Replacement& e) { perform(e, to.a); }),
      edited(c, tensor_edits(c.b, false), [](Case& to, const TensorEdit& e) { perform(e, to.b); }));
}

struct Aspect {
  const char* slug;
  void (*fill)(Draw&, themes::Case&);
  Codes b_codes;
  Scales scales;
  bool epilogue, long_tail;
  const char* statement;
};
constexpr std::array aspects{
    Aspect{"ties", themes::ties, Codes::any, Scales::one, false, false,
           "elements at midpoints enter the product as the even code"},
    Aspect{"near_ties", themes::near_ties, Codes::one_hot, Scales::one, false, false,
           "elements next to midpoints enter as the codes of the declared operation order"},
    Aspect{"scale_thresholds", themes::scale_thresholds, Codes::any, Scales::powers_of_two, false,
           false, "block maxima next to the thresholds of the scale codes get the declared scale"},
    Aspect{"zero_blocks", themes::zero_blocks, Codes::any, Scales::any_normal, false, false,
           "blocks of zeros add nothing, and are never 0/0"},
    Aspect{"not_finite", themes::not_finite, Codes::any, Scales::one, false, false,
           "a NaN or infinity makes its row of the result NaN, and no other"},
    Aspect{"k_tail", themes::narrow, Codes::any, Scales::powers_of_two, false, true,
           "partial last blocks are quantized and multiplied like any other"},
    Aspect{"epilogue", themes::narrow, Codes::any, Scales::powers_of_two, true, false,
           "alpha scales the product, then beta C is added, then the bias, then one rounding"},
};

Case draw_case(const Aspect& aspect, const Claim& claim, const rc::Random& random) {
  Draw draw(random);
  const std::int64_t block = claim.b->block.cols;
  Case c;
  c.claim = claim;
  c.m = accepted(draw.between(1, 3), claim.m_multiple);
  c.n = accepted(draw.between(1, 3), claim.n_multiple);
  c.k = aspect.long_tail ? draw.between(1, 160) : block * draw.between(1, 2);
  c.k = accepted(c.k, claim.k_multiple);
  themes::Case x{claim, c.m, c.k, {}};
  x.x.resize(c.m * c.k);
  aspect.fill(draw, x);
  c.a = std::move(x.x);
  c.b = draw_tensor(draw, *claim.b, c.n, c.k, claim.scale_layout, aspect.b_codes, aspect.scales);
  if (aspect.epilogue) {
    c.alpha = draw.of({1.0F, -2.0F, 0.5F, draw.in_binades(-4, 4)});
    c.bias.resize(draw.one_in(3) ? 0 : c.n);
    for (float& value : c.bias) value = draw.in_binades(-2, 8);
    if (!draw.one_in(3)) {
      c.beta = draw.of({1.0F, -1.0F, 0.25F, draw.in_binades(-4, 4)});
      c.c.resize(c.m * c.n);
      for (float& value : c.c) value = draw.in_binades(-2, 8);
    }
  }
  c.shows_q = draw.one_in(2);
  c.spread = draw_spread(draw, claim);
  return c;
}

}  // namespace

std::vector<Property> fused_properties() {
  std::vector<Property> properties;
  for (const formats::BlockFormat* format :
       {&formats::nvfp4, &formats::nvfp4_divide, &formats::mxfp4_floor, &formats::mxfp4_rceil})
    for (const Aspect& aspect : aspects)
      properties.push_back(
          {"quantize_gemm." + std::string(format->name) + "." + aspect.slug,
           "kernels/abi/assay_dut.h, QUANTIZE_GEMM; golden/bounds.h, class of the claimed "
           "accumulator; " +
               std::string(format->order->source),
           aspect.statement,
           [format](const Claim& c) {
             return c.operation == "quantize_gemm" && c.a == format && c.b != nullptr;
           },
           [&aspect](const Claim& claim, const rc::Random& random) {
             return shrinkable_experiment<Case>(
                 [&] { return draw_case(aspect, claim, random); }, simpler,
                 [](Case&& c) { return std::make_shared<FusedExperiment>(std::move(c)); });
           }});
  return properties;
}

}  // namespace assay::proptests

// SPDX-License-Identifier: Apache-2.0
// Layout transforms: every byte of the result is known, padding included.
#include <fmt/format.h>

#include <array>

#include "golden/relayout.h"
#include "proptests/judge.h"
#include "proptests/properties/quantized_output.h"
#include "proptests/properties/spread.h"
#include "proptests/property.h"
#include "proptests/tensor_edits.h"

namespace assay::proptests {
namespace {

using formats::ScaleLayout;
using kernels::Claim;

enum class Move : std::uint8_t { swizzle, unswizzle, transpose };

struct Case {
  Claim claim;
  Move move = Move::swizzle;
  formats::BlockScaledTensor in;
  Spread spread;
};

class LayoutExperiment final : public Experiment {
 public:
  explicit LayoutExperiment(Case c) : case_(std::move(c)) {}

  [[nodiscard]] std::optional<Call> call() const override {
    const Case& c = case_;
    Call whole;
    add_input(whole, ASSAY_DUT_Q, c.in);
    formats::BlockScaledTensor to =
        c.move == Move::transpose
            ? empty_tensor(*c.in.format, c.in.cols, c.in.rows, c.in.scale_layout)
            : empty_tensor(*c.in.format, c.in.rows, c.in.cols, moved_layout());
    add_output(whole, ASSAY_DUT_QT, to);
    const std::size_t part = c.move == Move::transpose ? 0 : 1;
    Call call;
    call.claim = c.claim;
    call.m = c.in.rows;
    call.k = c.in.cols;
    call.in = {whole.in[part]};
    call.out = {whole.out[part]};
    spread(call, c.spread);
    return call;
  }

  [[nodiscard]] Ruling judge(const Answer& answer) const override {
    const Case& c = case_;
    const bool transpose = c.move == Move::transpose;
    // A tensor's column-major codes are the row-major ones of its transpose.
    const formats::BlockScaledTensor expected =
        transpose ? golden::relayout(c.in, formats::Layout::column_major, c.in.scale_layout)
                  : golden::relayout(c.in, c.in.layout, moved_layout());
    formats::BlockScaledTensor observed = expected;
    (transpose ? observed.codes : observed.scales) = answer.outputs[0];
    return {true, compare(expected, observed)};
  }

  [[nodiscard]] std::vector<NamedText> describe() const override {
    constexpr std::array names{"scale factors, row-major to 128x4",
                               "scale factors, 128x4 to row-major", "codes, transposed"};
    return {{"move", names.at(static_cast<std::size_t>(case_.move))}, {"q", show_tensor(case_.in)}};
  }

 private:
  [[nodiscard]] ScaleLayout moved_layout() const {
    return case_.move == Move::swizzle ? ScaleLayout::swizzled_128x4 : ScaleLayout::row_major;
  }

  Case case_;
};

rc::Seq<Case> simpler(const Case& c) {
  std::vector<Spread> dense;
  if (c.spread.gap != 0) dense.push_back({});
  return rc::seq::concat(
      edited(c, std::move(dense), [](Case& to, const Spread& s) { to.spread = s; }),
      edited(c, tensor_edits(c.in), [](Case& to, const TensorEdit& e) { perform(e, to.in); }));
}

struct Aspect {
  const char* slug;
  Move move;
  const char* statement;
};
constexpr std::array aspects{
    Aspect{"to_128x4", Move::swizzle,
           "scale factor (i, j) goes to its place in the 128x4 layout, and padding is 0"},
    Aspect{"from_128x4", Move::unswizzle,
           "the scale factor at the place of (i, j) in the 128x4 layout comes back as (i, j)"},
    Aspect{"transposed_codes", Move::transpose,
           "code (i, j) becomes code (j, i), and the unused nibble of an odd row is 0"},
};

Case draw_case(const Aspect& aspect, const Claim& claim, const rc::Random& random) {
  Draw draw(random);
  const std::int64_t block = claim.a->block.cols;
  Case c;
  c.claim = claim;
  c.move = aspect.move;
  std::int64_t rows = draw.between(1, 40);
  std::int64_t cols = draw.between(1, 40);
  if (aspect.move != Move::transpose) {
    rows = draw.one_in(3) ? draw.of<std::int64_t>({32, 33, 127, 128, 129, 200, 257})
                          : draw.between(1, 40);
    cols = block * draw.between(0, rows > 100 ? 5 : 9) + draw.between(1, block);
  }
  c.in = draw_tensor(
      draw, *claim.a, rows, cols,
      aspect.move == Move::unswizzle ? ScaleLayout::swizzled_128x4 : ScaleLayout::row_major,
      Codes::any, Scales::any_normal);
  // Moved, not read: any byte may be a scale factor.
  if (draw.one_in(2)) {
    const golden::BlockGrid grid = golden::block_grid(*claim.a, rows, cols);
    for (std::int64_t r = 0; r < grid.down; ++r)
      for (std::int64_t b = 0; b < grid.across; ++b)
        golden::store_scale(c.in, r, b, static_cast<std::uint32_t>(draw.below(256)));
  }
  c.spread = draw_spread(draw, claim);
  return c;
}

}  // namespace

std::vector<Property> layout_properties() {
  std::vector<Property> properties;
  for (const formats::BlockFormat* format : {&formats::nvfp4, &formats::mxfp4_rceil})
    for (const Aspect& aspect : aspects)
      properties.push_back(
          {"layout." + std::string(format->name) + "." + aspect.slug,
           "kernels/abi/assay_dut.h, LAYOUT; cuBLAS and CUTLASS 128x4 layout: formats/tensor.h",
           aspect.statement,
           [format](const Claim& c) {
             return c.operation == "layout" && c.a != nullptr && c.a->scale == format->scale;
           },
           [&aspect](const Claim& claim, const rc::Random& random) {
             return shrinkable_experiment<Case>(
                 [&] { return draw_case(aspect, claim, random); }, simpler,
                 [](Case&& c) { return std::make_shared<LayoutExperiment>(std::move(c)); });
           }});
  return properties;
}

}  // namespace assay::proptests

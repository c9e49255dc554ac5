// SPDX-License-Identifier: Apache-2.0
// What must not matter to a product: where its rows lie in memory, what lies between them, which
// other rows there are; and what must: the place of every single element along k.
#include <algorithm>
#include <array>

#include "golden/layout.h"
#include "proptests/properties/gemm_draw.h"

namespace assay::proptests {
namespace {

using kernels::Accumulator;
using kernels::Claim;

using Build = void (*)(Draw&, GemmCase&, std::int64_t index);

void small_shape(Draw& draw, GemmCase& c) {
  c.m = draw.between(1, 4);
  c.n = draw.between(1, 4);
  c.k = draw.between(1, 2 * c.claim.b->block.cols);
  make_accepted(c);
}

void padded_rows(Draw& draw, GemmCase& c, std::int64_t) {
  small_shape(draw, c);
  draw_operands(draw, c, Codes::any, Codes::any, Scales::powers_of_two);
  c.spread = proptests::padded_rows(draw);
  if (draw.one_in(2)) return;
  c.beta = 1.0F;
  c.c.resize(c.m * c.n);
  for (float& x : c.c) x = static_cast<float>(draw.between(-64, 64));
}

void far_rows(Draw& draw, GemmCase& c, std::int64_t) {
  small_shape(draw, c);
  c.m = c.n = 3;
  draw_operands(draw, c, Codes::any, Codes::any, Scales::powers_of_two);
  c.spread = proptests::far_rows(draw);
}

void padded_scales(Draw& draw, GemmCase& c, std::int64_t) {
  small_shape(draw, c);
  draw_operands(draw, c, Codes::any, Codes::any, Scales::powers_of_two);
  c.scale_padding = padding_byte(draw);
}

/// Numbers whose sums round, so that another order of additions shows.
void batch_invariance(Draw& draw, GemmCase& c, std::int64_t) {
  c.m = draw.of<std::int64_t>({2, 3, 5, 8, 16, 17, 33});
  c.n = draw.between(1, 3);
  c.k = draw.between(2, 4 * c.claim.b->block.cols);
  make_accepted(c);
  draw_operands(draw, c, Codes::any, Codes::any, Scales::any_normal);
  c.alone = draw.between(0, c.m - 1);
}

/// The order of the sides that are 0: k, m, n.
void empty(Draw& draw, GemmCase& c, std::int64_t index) {
  small_shape(draw, c);
  std::int64_t* sides[] = {&c.k, &c.m, &c.n};
  *sides[index % 3] = 0;
  draw_operands(draw, c, Codes::any, Codes::any, Scales::one);
  c.alpha = draw.of({1.0F, 2.0F});
  if (draw.one_in(2)) {
    c.beta = draw.of({1.0F, -0.5F});
    c.c.resize(c.m * c.n);
    for (float& x : c.c) x = draw.in_binades(-4, 8);
  }
  if (!draw.one_in(2)) return;
  c.bias.resize(c.n);
  for (float& x : c.bias) x = draw.in_binades(-4, 8);
}

/// A one of A walks along k, forwards in even rows and backwards in odd ones; B has no zeros and
/// another scale factor in every block, so that the result names the element that was read.
void every_position(Draw& draw, GemmCase& c, std::int64_t index) {
  c.m = c.n = 2;
  c.k = 160;
  make_accepted(c);
  draw_operands(draw, c, Codes::one_hot, Codes::any, Scales::powers_of_two);
  const std::int64_t p = index % c.k;
  for (std::int64_t r = 0; r < c.m; ++r)
    for (std::int64_t i = 0; i < c.k; ++i) {
      const bool hot = i == (r % 2 == 0 ? p : c.k - 1 - p);
      if (c.claim.a == nullptr)
        c.a_bf16[r * c.k + i] = hot ? 0x3F80 : 0;
      else
        golden::store_code(c.a, r, i, !hot ? 0 : c.claim.a->element == &formats::e4m3 ? 0x38 : 2);
    }
  for (std::int64_t r = 0; r < c.n; ++r)
    for (std::int64_t i = 0; i < c.k; ++i)
      if ((golden::load_code(c.b, r, i) & 7U) == 0) golden::store_code(c.b, r, i, 3);
}

struct Probe {
  const char* slug;
  Build build;
  bool (*needs)(const Claim&);  ///< beyond the product
  const char* statement;
};
constexpr std::array probes{
    Probe{"padded_rows", padded_rows,
          [](const Claim& c) { return (c.flags & ASSAY_DUT_STRIDES) != 0; },
          "rows are found by their strides; bytes between them neither count nor change"},
    Probe{"far_rows", far_rows, takes_far_rows,
          "offsets of rows that need more than 32 bits are computed with more"},
    Probe{"padded_scales", padded_scales,
          [](const Claim& c) {
            return c.scale_layout == formats::ScaleLayout::swizzled_128x4 &&
                   (c.flags & ASSAY_DUT_ANY_PADDING) != 0;
          },
          "what pads a swizzled array of scale factors, NaN codes included, changes no result"},
    Probe{"batch_invariance", batch_invariance,
          [](const Claim& c) {
            return c.m_multiple == 1 &&
                   ((c.flags & ASSAY_DUT_BATCH_INVARIANT) != 0 || !c.mma_model.empty() ||
                    c.accumulator == Accumulator::exact ||
                    c.accumulator == Accumulator::fp32_fixed_order);
          },
          "a row of the result has the same bits whatever other rows of A are in the call"},
    Probe{"empty", empty, [](const Claim&) { return true; },
          "k = 0 leaves beta C + bias; m = 0 or n = 0 writes nothing"},
    Probe{"every_position", every_position, [](const Claim&) { return true; },
          "element by element along k, each meets its partner and its own scale factors"},
};

}  // namespace

void add_gemm_probes(const Product& product, std::vector<Property>& to) {
  for (const Probe& probe : probes) {
    Property property;
    property.id = gemm_id(product, probe.slug);
    property.section = product.section;
    property.statement = probe.statement;
    property.applies = [&product, &probe](const Claim& c) {
      return is_product(product, c) && probe.needs(c);
    };
    property.enumerate = [&probe](const Claim& claim, std::int64_t index,
                                  const rc::Random& random) {
      return shrinkable_experiment<GemmCase>(
          [&] {
            Draw draw(random);
            GemmCase c;
            c.claim = claim;
            probe.build(draw, c, index);
            return c;
          },
          simpler_gemms, [](GemmCase&& c) { return gemm_experiment(std::move(c)); });
    };
    to.push_back(std::move(property));
  }
}

}  // namespace assay::proptests

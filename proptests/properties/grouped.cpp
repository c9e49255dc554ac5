// SPDX-License-Identifier: Apache-2.0
// Grouped GEMMs: every row meets the B of its own group, whatever the groups' sizes.
#include <array>

#include "golden/codec.h"
#include "golden/layout.h"
#include "proptests/properties/grouped_case.h"
#include "proptests/property.h"

namespace assay::proptests {
namespace {

using kernels::Claim;

/// How many rows a group has.
using Rows = std::int64_t (*)(Draw&);
std::int64_t ragged(Draw& draw) { return draw.between(0, 4); }
std::int64_t mostly_empty(Draw& draw) { return draw.one_in(3) ? draw.between(1, 2) : 0; }
std::int64_t one(Draw&) { return 1; }
std::int64_t tiles(Draw& draw) {
  return draw.of<std::int64_t>({0, 1, 15, 16, 17, 31, 32, 33, 64, 65});
}

struct Aspect {
  const char* slug;
  Rows rows;
  Codes a_codes;
  Scales scales;
  bool nan, alpha, long_tail;
  const char* statement;
};
constexpr std::array aspects{
    Aspect{"exact_sums", ragged, Codes::any, Scales::one, false, false, false,
           "products and sums that FP32 holds exactly come out correctly rounded, in every group"},
    Aspect{"one_hot", ragged, Codes::one_hot, Scales::powers_of_two, false, false, false,
           "a row with a single one selects an element of B of its own group, scales included"},
    Aspect{"distinct_scales", ragged, Codes::any, Scales::powers_of_two, false, false, false,
           "every product meets the scale factors of its own row, block and group, and the tensor "
           "scale of its own group"},
    Aspect{"any_scales", ragged, Codes::any, Scales::any_normal, false, true, false,
           "scale factors and tensor scales of any mantissa, and alpha, enter as they are"},
    Aspect{"empty_groups", mostly_empty, Codes::any, Scales::powers_of_two, false, false, false,
           "groups without rows take nothing and move nothing, first, last, in a row or all"},
    Aspect{"one_row_groups", one, Codes::any, Scales::powers_of_two, false, false, false,
           "groups of one row are multiplied like any other"},
    Aspect{"tiles", tiles, Codes::any, Scales::powers_of_two, false, false, false,
           "groups that end inside, at and beyond a tile stop at their own last row"},
    Aspect{"k_tail", ragged, Codes::any, Scales::powers_of_two, false, false, true,
           "the last elements along k count, whatever k is divisible by"},
    Aspect{"not_a_number", ragged, Codes::any, Scales::powers_of_two, true, false, false,
           "a NaN scale factor in one group reaches that group's results and no other's"},
};

void make_nan(Draw& draw, GroupedCase& c) {
  Group& g = c.groups[draw.below(c.groups.size())];
  if (draw.one_in(2) && g.a.rows > 0) {
    spoil(draw, g.a, draw.between(0, g.a.rows - 1));
    return;
  }
  const golden::BlockGrid grid = golden::block_grid(*g.b.format, g.b.rows, g.b.cols);
  const std::int64_t row = draw.between(0, grid.down - 1);
  golden::store_scale(g.b, row, draw.between(0, grid.across - 1),
                      golden::canonical_nan(*g.b.format->scale));
}

GroupedCase draw_case(const Aspect& aspect, const Claim& claim, const rc::Random& random) {
  Draw draw(random);
  GroupedCase c;
  c.claim = claim;
  const std::int64_t block = claim.b->block.cols;
  c.k = aspect.long_tail ? draw.between(1, 160)
        : draw.one_in(2) ? block * draw.between(1, 2)
                         : draw.between(1, 2 * block);
  c.k = accepted(c.k, claim.k_multiple);
  c.n = accepted(draw.between(1, 3), claim.n_multiple);
  c.groups.resize(draw.between(1, 5));
  // Rows are numbered through the groups: cut from taller matrices, so that those which differ by
  // row differ by group as well.
  std::int64_t a_rows = 0;
  std::int64_t b_rows = 0;
  for (Group& g : c.groups) {
    const std::int64_t rows = aspect.rows(draw);
    g.a = crop(draw_left(draw, claim, a_rows + rows, c.k, aspect.a_codes, aspect.scales),
               {a_rows, rows, 0, c.k});
    g.b = crop(draw_tensor(draw, *claim.b, b_rows + c.n, c.k, claim.scale_layout, Codes::any,
                           aspect.scales),
               {b_rows, c.n, 0, c.k});
    a_rows += rows;
    b_rows += c.n;
    if (g.a.rows > 0) c.a_tensor_scale = g.a.scaled.tensor_scale;  // one for all: the last one's
  }
  if (aspect.alpha && draw.one_in(2)) c.alpha = draw.of({-2.0F, 0.5F, draw.in_binades(-4, 4)});
  if (draw.one_in(3)) c.lead = draw.between(0, 2);
  if (draw.one_in(2)) c.trail = draw.between(0, 3);
  if (aspect.nan) make_nan(draw, c);
  c.spread = draw_spread(draw, claim);
  return c;
}

struct Product {
  const char* name;
  const formats::FormatSpec* a_element;  ///< null: A is bf16
  const formats::FormatSpec* b_scale;
};
constexpr std::array products{Product{"nvfp4_nvfp4", &formats::e2m1, &formats::ue4m3},
                              Product{"mxfp4_mxfp4", &formats::e2m1, &formats::e8m0},
                              Product{"fp8_mxfp4", &formats::e4m3, &formats::e8m0},
                              Product{"bf16_nvfp4", nullptr, &formats::ue4m3},
                              Product{"bf16_mxfp4", nullptr, &formats::e8m0}};

}  // namespace

std::vector<Property> grouped_properties() {
  std::vector<Property> properties;
  for (const Product& product : products)
    for (const Aspect& aspect : aspects)
      properties.push_back(
          {std::string("grouped_gemm.") + product.name + "." + aspect.slug,
           "kernels/abi/assay_dut.h, GROUPED_GEMM; golden/grouped.h; golden/bounds.h, class of the "
           "claimed accumulator",
           aspect.statement,
           [&product](const Claim& c) {
             const formats::FormatSpec* a = c.a == nullptr ? nullptr : c.a->element;
             return c.operation == "grouped_gemm" && a == product.a_element && c.b != nullptr &&
                    c.b->scale == product.b_scale;
           },
           [&aspect](const Claim& claim, const rc::Random& random) {
             return shrinkable_experiment<GroupedCase>(
                 [&] { return draw_case(aspect, claim, random); }, simpler_grouped,
                 [](GroupedCase&& c) { return grouped_experiment(std::move(c)); });
           }});
  return properties;
}

}  // namespace assay::proptests

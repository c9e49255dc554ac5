// SPDX-License-Identifier: Apache-2.0
// Gated products, silu(min(g, limit)) * clamp(u, -limit, limit): which rows of B are gates, which
// side is clamped where, and how far FP32 may be from the exact value.
#include <array>
#include <cmath>

#include "golden/codec.h"
#include "golden/layout.h"
#include "proptests/properties/gated_case.h"
#include "proptests/property.h"

namespace assay::proptests {
namespace {

using kernels::Claim;

enum class Limit : std::uint8_t { none, any, boundary };

struct Aspect {
  const char* slug;
  Codes a_codes;
  Scales scales;
  Limit limit;
  bool nan, long_tail;
  const char* statement;
};
constexpr std::array aspects{
    Aspect{"rows", Codes::one_hot, Scales::powers_of_two, Limit::none, false, false,
           "every result takes its gate and its up from the rows that the claimed layout names, "
           "scale factors included"},
    Aspect{"exact_sums", Codes::any, Scales::one, Limit::none, false, false,
           "where both products are exact, only silu and its product may round"},
    Aspect{"any_scales", Codes::any, Scales::any_normal, Limit::any, false, false,
           "gates and ups of any size, far into both tails of silu, limited and not"},
    Aspect{"limit", Codes::one_hot, Scales::one, Limit::boundary, false, false,
           "gates are clamped from above only, ups from both sides; at the limit, next to it and "
           "beyond"},
    Aspect{"k_tail", Codes::any, Scales::one, Limit::any, false, true,
           "the last elements along k count, whatever k is divisible by"},
    Aspect{"not_a_number", Codes::any, Scales::one, Limit::any, true, false,
           "NaN passes through clamp and silu, and reaches exactly the results it touches"},
};

void make_nan(Draw& draw, GatedCase& c) {
  if (draw.one_in(3)) {
    spoil(draw, c.a, draw.between(0, c.m - 1));
    return;
  }
  formats::BlockScaledTensor& b = draw.one_in(2) ? c.gate : c.up;
  const golden::BlockGrid grid = golden::block_grid(*b.format, b.rows, b.cols);
  const std::int64_t row = draw.between(0, grid.down - 1);
  golden::store_scale(b, row, draw.between(0, grid.across - 1),
                      golden::canonical_nan(*b.format->scale));
}

/// Small enough for products that no FP32 step overflows: a few binades around 1.
void tame(Draw& draw, GatedCase& c) {
  const auto shrink = [&](formats::BlockScaledTensor& t) {
    if (t.format == nullptr) return;
    const golden::BlockGrid grid = golden::block_grid(*t.format, t.rows, t.cols);
    const bool e8m0 = t.format->scale == &formats::e8m0;
    for (std::int64_t r = 0; r < grid.down; ++r)
      for (std::int64_t b = 0; b < grid.across; ++b)
        golden::store_scale(
            t, r, b,
            static_cast<std::uint32_t>(e8m0 ? draw.between(123, 129) : draw.between(0x18, 0x48)));
  };
  shrink(c.a.scaled);
  shrink(c.gate);
  shrink(c.up);
}

float draw_limit(Draw& draw, Limit kind) {
  if (kind == Limit::none || (kind == Limit::any && draw.one_in(3))) return 0.0F;
  // Products of two E2M1 numbers lie on both sides of these, and many on them.
  const float limit = draw.of({1.0F, 1.5F, 2.0F, 3.0F, 4.0F, 6.0F, 7.0F, 10.0F});
  return kind == Limit::any ? limit : draw.near(limit, 1);
}

GatedCase draw_case(const Aspect& aspect, const Claim& claim, const rc::Random& random) {
  Draw draw(random);
  const std::int64_t block = claim.b->block.cols;
  GatedCase c;
  c.claim = claim;
  c.m = accepted(draw.between(1, 3), claim.m_multiple);
  c.n = accepted(draw.between(1, 4), claim.n_multiple);
  c.k = aspect.long_tail ? draw.between(1, 160)
        : draw.one_in(2) ? block * draw.between(1, 2)
                         : draw.between(1, 2 * block);
  c.k = accepted(c.k, claim.k_multiple);
  c.a = draw_left(draw, claim, c.m, c.k, aspect.a_codes, aspect.scales);
  for (formats::BlockScaledTensor* b : {&c.gate, &c.up})
    *b = draw_tensor(draw, *claim.b, c.n, c.k, claim.scale_layout, Codes::any, aspect.scales);
  if (aspect.scales == Scales::any_normal) tame(draw, c);
  c.up.tensor_scale = c.gate.tensor_scale;
  c.limit = draw_limit(draw, aspect.limit);
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
                              Product{"bf16_nvfp4", nullptr, &formats::ue4m3},
                              Product{"bf16_mxfp4", nullptr, &formats::e8m0}};

}  // namespace

std::vector<Property> gated_properties() {
  std::vector<Property> properties;
  for (const Product& product : products)
    for (const Aspect& aspect : aspects)
      properties.push_back(
          {std::string("gated_gemm.") + product.name + "." + aspect.slug,
           "Shazeer, arXiv 2002.05202 (SwiGLU); DeepSeek-V4 swiglu_limit; golden/gated.h",
           aspect.statement,
           [&product](const Claim& c) {
             const formats::FormatSpec* a = c.a == nullptr ? nullptr : c.a->element;
             return c.operation == "gated_gemm" && a == product.a_element && c.b != nullptr &&
                    c.b->scale == product.b_scale;
           },
           [&aspect](const Claim& claim, const rc::Random& random) {
             return shrinkable_experiment<GatedCase>(
                 [&] { return draw_case(aspect, claim, random); }, simpler_gated,
                 [](GatedCase&& c) { return gated_experiment(std::move(c)); });
           }});
  return properties;
}

}  // namespace assay::proptests

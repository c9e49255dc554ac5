// SPDX-License-Identifier: Apache-2.0
// GEMMs, by the criterion that the claimed accumulator allows: bit for bit in a fixed order,
// correctly rounded where every evaluation is exact, a derived bound otherwise.
#include <algorithm>
#include <array>
#include <cmath>

#include "golden/codec.h"
#include "golden/layout.h"
#include "proptests/generators.h"
#include "proptests/properties/gemm_case.h"
#include "proptests/properties/gemm_draw.h"
#include "proptests/property.h"

namespace assay::proptests {
namespace {

using kernels::Claim;

enum class Epilogue : std::uint8_t { none, unread_c, full, exact, alpha, rounding };
enum class Extent : std::uint8_t { small, tail, ragged, tall, long_k };
enum class Special : std::uint8_t { none, nan, cancel, subnormal };

struct Aspect {
  const char* slug;
  Extent extent;
  Codes a_codes, b_codes;
  Scales scales;
  Epilogue epilogue;
  Special special;
  const char* statement;
};
constexpr std::array aspects{
    Aspect{"exact_sums", Extent::small, Codes::any, Codes::any, Scales::one, Epilogue::none,
           Special::none, "products and sums that FP32 holds exactly come out correctly rounded"},
    Aspect{"one_hot", Extent::small, Codes::one_hot, Codes::any, Scales::powers_of_two,
           Epilogue::none, Special::none,
           "a row of A with a single one selects one decoded element of B, scales included"},
    Aspect{"distinct_scales", Extent::small, Codes::any, Codes::any, Scales::powers_of_two,
           Epilogue::none, Special::none,
           "every product meets the scale factors of its own row and block"},
    Aspect{"any_scales", Extent::small, Codes::any, Codes::any, Scales::any_normal, Epilogue::none,
           Special::none, "scale factors of any mantissa enter as they are, the tensor scales too"},
    Aspect{"k_tail", Extent::tail, Codes::any, Codes::tail_only, Scales::powers_of_two,
           Epilogue::none, Special::none,
           "the last elements along k count, whatever k is divisible by"},
    Aspect{"tall", Extent::tall, Codes::any, Codes::any, Scales::powers_of_two, Epilogue::none,
           Special::none,
           "rows beyond a tile find their own scale factors and land in their own place"},
    Aspect{"ragged", Extent::ragged, Codes::any, Codes::any, Scales::powers_of_two, Epilogue::none,
           Special::none, "any m and n from 1 on and any k, whatever a tile divides them by"},
    Aspect{"long_sums", Extent::long_k, Codes::positive, Codes::positive, Scales::one,
           Epilogue::none, Special::none,
           "long sums lose no bits that the claimed accumulator keeps"},
    Aspect{"cancellation", Extent::small, Codes::any, Codes::any, Scales::one, Epilogue::none,
           Special::cancel, "small terms survive beside large ones that cancel"},
    Aspect{"epilogue", Extent::small, Codes::any, Codes::any, Scales::powers_of_two, Epilogue::full,
           Special::none,
           "alpha scales the product, then beta C is added, then the bias, then one rounding"},
    Aspect{"alpha_exact", Extent::small, Codes::any, Codes::any, Scales::one, Epilogue::alpha,
           Special::none, "alpha is exactly what was passed: operands leave no room for rounding"},
    Aspect{"epilogue_exact", Extent::small, Codes::any, Codes::any, Scales::one, Epilogue::exact,
           Special::none,
           "alpha meets the sum alone, beta C alone and the bias nothing, to the last bit"},
    Aspect{"unread_c", Extent::small, Codes::any, Codes::any, Scales::one, Epilogue::unread_c,
           Special::none, "where beta is 0, C is not read, NaN or not"},
    Aspect{"output_rounding", Extent::small, Codes::any, Codes::any, Scales::one,
           Epilogue::rounding, Special::none,
           "results next to and at midpoints of the output format round once, ties to even"},
    Aspect{"not_a_number", Extent::small, Codes::any, Codes::any, Scales::powers_of_two,
           Epilogue::none, Special::nan,
           "NaN scale factors and NaN or infinite inputs reach exactly the results they touch"},
    Aspect{"subnormal_inputs", Extent::small, Codes::any, Codes::any, Scales::powers_of_two,
           Epilogue::none, Special::subnormal, "subnormal bf16 inputs count as what they are"},
};

/// Block-scaled operands have their subnormals in the codes of every aspect.
bool is_about(const Aspect& aspect, const Product& product) {
  return aspect.special != Special::subnormal || product.a_element == nullptr;
}

std::int64_t draw_k(Draw& draw, Extent extent, const Claim& claim) {
  const std::int64_t block = claim.b->block.cols;
  std::int64_t k = 0;
  switch (extent) {
    case Extent::small:
      k = draw.one_in(2) ? block * draw.between(1, 2) : draw.between(1, 2 * block);
      break;
    case Extent::tail:
      k = draw.between(1, 160);
      break;
    case Extent::ragged:
      k = draw.between(1, 2 * block + 1);
      break;
    case Extent::tall:
      k = draw.between(1, block + 1);
      break;
    case Extent::long_k:
      k = draw.between(96, 320);
      break;
  }
  return k;
}

/// The first element is large and so is the last, with the opposite sign: what lies between is all
/// that remains, and it is lost in an accumulator that aligns to the largest term.
void make_cancel(Draw& draw, GemmCase& c) {
  if (c.claim.a == nullptr && c.k >= 2) {
    const auto large = static_cast<std::uint16_t>((127 + draw.between(4, 14)) << 7);
    for (std::int64_t r = 0; r < c.m; ++r) {
      c.a_bf16[r * c.k] = large;
      c.a_bf16[r * c.k + c.k - 1] = large;
    }
    for (std::int64_t r = 0; r < c.n; ++r) {
      golden::store_code(c.b, r, 0, 2);          // 1
      golden::store_code(c.b, r, c.k - 1, 0xA);  // -1
    }
    return;
  }
  if (c.claim.a == nullptr) return;
  const std::int64_t block = c.claim.a->block.cols;
  if (c.k <= 2 * block) return;
  const std::uint32_t six = c.claim.a->element == &formats::e4m3 ? 0x4C : 7;
  const std::uint32_t unit = c.claim.a->scale == &formats::e8m0 ? 127 : 0x38;
  const std::uint32_t large = c.claim.a->scale == &formats::e8m0 ? unit + 12 : 0x78;
  const std::int64_t last = (c.k - 1) / block;
  for (std::int64_t r = 0; r < c.m; ++r) {
    golden::store_scale(c.a, r, 0, large);
    golden::store_scale(c.a, r, last, large);
    for (std::int64_t i = 0; i < c.k; ++i)
      if (i < block || i >= last * block)
        golden::store_code(c.a, r, i, i == 0 || i == c.k - 1 ? six : 0);
  }
  for (std::int64_t r = 0; r < c.n; ++r) {
    golden::store_code(c.b, r, 0, 7);
    golden::store_code(c.b, r, c.k - 1, 0xF);
  }
}

void make_nan(Draw& draw, GemmCase& c) {
  const auto spoil = [&](formats::BlockScaledTensor& t) {
    const golden::BlockGrid grid = golden::block_grid(*t.format, t.rows, t.cols);
    const std::int64_t row = draw.between(0, grid.down - 1);
    golden::store_scale(t, row, draw.between(0, grid.across - 1),
                        golden::canonical_nan(*t.format->scale));
  };
  if (draw.one_in(2)) {
    spoil(c.b);
  } else if (c.claim.a != nullptr && c.claim.a->element == &formats::e4m3 && draw.one_in(2)) {
    golden::store_code(c.a, draw.between(0, c.m - 1), draw.between(0, c.k - 1),
                       draw.of({0x7FU, 0xFFU}));
  } else if (c.claim.a != nullptr) {
    spoil(c.a);
  } else {
    c.a_bf16[draw.below(c.a_bf16.size())] =
        draw.of<std::uint16_t>({0x7F80, 0xFF80, 0x7FC0, 0xFFC1});
  }
}

/// Nothing but subnormals, since a single normal input would drown them.
void make_subnormal(Draw& draw, GemmCase& c) {
  for (std::uint16_t& code : c.a_bf16)
    code = static_cast<std::uint16_t>(draw.between(1, 0x7F) | (draw.one_in(2) ? 0x8000 : 0));
}

void fill_epilogue(Draw& draw, GemmCase& c, Epilogue epilogue) {
  const auto fill = [&](std::vector<float>& x, std::int64_t count, int low, int high) {
    x.resize(count);
    for (float& value : x) value = draw.in_binades(low, high);
  };
  switch (epilogue) {
    case Epilogue::none:
      break;
    case Epilogue::unread_c:
      c.c.assign(c.m * c.n, draw.not_finite());
      break;
    case Epilogue::full:
      c.alpha = draw.of({1.0F, -2.0F, 0.5F, draw.in_binades(-4, 4)});
      if (!draw.one_in(3)) {
        c.beta = draw.of({1.0F, -1.0F, 0.25F, draw.in_binades(-4, 4)});
        fill(c.c, c.m * c.n, -2, 8);
      }
      if (!draw.one_in(3)) fill(c.bias, c.n, -2, 8);
      break;
    // Few bits, so that every evaluation order is exact in FP32.
    case Epilogue::alpha:
      c.alpha = draw.of({1.5F, -2.5F, 0.75F, 3.0F, -5.0F, 0.625F});
      break;
    case Epilogue::exact:
      c.alpha = draw.of({2.0F, -3.0F, 0.5F, 5.0F});
      c.beta = draw.of({-1.0F, 0.25F, 3.0F, -0.5F});
      c.c.resize(c.m * c.n);
      c.bias.resize(c.n);
      for (float& value : c.c) value = static_cast<float>(draw.between(-64, 64));
      for (float& value : c.bias) value = static_cast<float>(draw.between(-64, 64));
      break;
    case Epilogue::rounding:
      // A bias with a last bit half an ulp below that of a small-integer sum: a tie in bf16, or
      // next to one, and in FP32 where the sum is larger.
      c.bias.resize(c.n);
      for (float& value : c.bias)
        value = draw.near(draw.sign() * (256.0F + static_cast<float>(draw.below(256))), 1);
      break;
  }
}

/// Around the usual tile sides of small launches; the product of both stays small because golden
/// computes every element exactly.
void draw_ragged(Draw& draw, GemmCase& c) {
  constexpr std::array<std::int64_t, 12> sides{1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33};
  c.m = draw.of(sides);
  do c.n = draw.of(sides);
  while (c.m * c.n > 128);
}

/// Rows enough to leave a tile of any usual size, often by exactly one.
std::int64_t draw_tall(Draw& draw) {
  if (!draw.one_in(4)) return draw.between(17, 40);
  return draw.of<std::int64_t>({63, 64, 65, 127, 128, 129});
}

GemmCase draw_case(const Aspect& aspect, const Claim& claim, const rc::Random& random) {
  Draw draw(random);
  GemmCase c;
  c.claim = claim;
  c.k = draw_k(draw, aspect.extent, claim);
  if (aspect.special == Special::cancel && claim.a != nullptr) c.k = claim.a->block.cols * 3;
  c.m = aspect.extent == Extent::long_k ? 1 : draw.between(1, 3);
  c.n = draw.between(1, 3);
  if (aspect.extent == Extent::ragged) draw_ragged(draw, c);
  if (aspect.extent == Extent::tall) {
    // Both at once is what finds swapped tiles, and is dear: golden multiplies them all.
    const bool both = draw.one_in(32);
    const bool wide = draw.one_in(2);
    if (both || wide) c.n = draw_tall(draw);
    if (both || !wide) c.m = draw_tall(draw);
  }
  make_accepted(c);
  draw_operands(draw, c, aspect.a_codes, aspect.b_codes, aspect.scales);
  if (aspect.special == Special::cancel) make_cancel(draw, c);
  if (aspect.special == Special::nan) make_nan(draw, c);
  if (aspect.special == Special::subnormal) make_subnormal(draw, c);
  fill_epilogue(draw, c, aspect.epilogue);
  return c;
}

}  // namespace

std::vector<Property> gemm_properties() {
  std::vector<Property> properties;
  for (const Product& product : gemm_products()) {
    for (const Aspect& aspect : aspects)
      if (is_about(aspect, product))
        properties.push_back({gemm_id(product, aspect.slug), product.section, aspect.statement,
                              [&product](const Claim& c) { return is_product(product, c); },
                              [&aspect](const Claim& claim, const rc::Random& random) {
                                return shrinkable_experiment<GemmCase>(
                                    [&] { return draw_case(aspect, claim, random); }, simpler_gemms,
                                    [](GemmCase&& c) { return gemm_experiment(std::move(c)); });
                              }});
    add_gemm_probes(product, properties);
  }
  return properties;
}

}  // namespace assay::proptests

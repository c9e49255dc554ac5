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
#include "proptests/property.h"

namespace assay::proptests {
namespace {

using kernels::Claim;

enum class Epilogue : std::uint8_t { none, unread_c, full, rounding };
enum class Extent : std::uint8_t { small, tail, tall, long_k };
enum class Special : std::uint8_t { none, nan, cancel };

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
    Aspect{"long_sums", Extent::long_k, Codes::positive, Codes::positive, Scales::one,
           Epilogue::none, Special::none,
           "long sums lose no bits that the claimed accumulator keeps"},
    Aspect{"cancellation", Extent::small, Codes::any, Codes::any, Scales::one, Epilogue::none,
           Special::cancel, "small terms survive beside large ones that cancel"},
    Aspect{"epilogue", Extent::small, Codes::any, Codes::any, Scales::powers_of_two, Epilogue::full,
           Special::none,
           "alpha scales the product, then beta C is added, then the bias, then one rounding"},
    Aspect{"unread_c", Extent::small, Codes::any, Codes::any, Scales::one, Epilogue::unread_c,
           Special::none, "where beta is 0, C is not read, NaN or not"},
    Aspect{"output_rounding", Extent::small, Codes::any, Codes::any, Scales::one,
           Epilogue::rounding, Special::none,
           "results next to and at midpoints of the output format round once, ties to even"},
    Aspect{"not_a_number", Extent::small, Codes::any, Codes::any, Scales::powers_of_two,
           Epilogue::none, Special::nan,
           "NaN scale factors and NaN or infinite inputs reach exactly the results they touch"},
};

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
    case Extent::tall:
      k = draw.between(1, block + 1);
      break;
    case Extent::long_k:
      k = draw.between(96, 320);
      break;
  }
  return (k + claim.k_multiple - 1) / claim.k_multiple * claim.k_multiple;
}

void fill_a(Draw& draw, GemmCase& c, const Aspect& aspect) {
  if (c.claim.a != nullptr) {
    c.a = draw_tensor(draw, *c.claim.a, c.m, c.k, c.claim.scale_layout, aspect.a_codes,
                      aspect.scales);
    return;
  }
  c.a_bf16.assign(c.m * c.k, 0);
  const bool exact = aspect.scales == Scales::one;
  for (std::int64_t r = 0; r < c.m; ++r) {
    const std::int64_t hot = draw.between(0, c.k - 1);
    for (std::int64_t i = 0; i < c.k; ++i) {
      std::uint16_t& code = c.a_bf16[r * c.k + i];
      // Small integers and halves keep every sum exact; otherwise a few binades.
      constexpr std::array<std::uint16_t, 10> simple{0x0000, 0x3F00, 0x3F80, 0x4000, 0x4040,
                                                     0x8000, 0xBF00, 0xBF80, 0xC000, 0x40E0};
      code = exact ? draw.of(simple) : draw.bf16(-6, 6);
      if (aspect.a_codes == Codes::one_hot) code = i == hot ? 0x3F80 : 0x0000;
      if (aspect.a_codes == Codes::positive) code &= 0x7FFFU;
    }
  }
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
    case Epilogue::rounding:
      // A bias with a last bit half an ulp below that of a small-integer sum: a tie in bf16, or
      // next to one, and in FP32 where the sum is larger.
      c.bias.resize(c.n);
      for (float& value : c.bias)
        value = draw.near(draw.sign() * (256.0F + static_cast<float>(draw.below(256))), 1);
      break;
  }
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
  if (aspect.special == Special::cancel && claim.a != nullptr)
    c.k = (claim.a->block.cols * 3 + claim.k_multiple - 1) / claim.k_multiple * claim.k_multiple;
  c.m = aspect.extent == Extent::long_k ? 1 : draw.between(1, 3);
  c.n = draw.between(1, 3);
  if (aspect.extent == Extent::tall) {
    // Both at once is what finds swapped tiles, and is dear: golden multiplies them all.
    const bool both = draw.one_in(32);
    const bool wide = draw.one_in(2);
    if (both || wide) c.n = draw_tall(draw);
    if (both || !wide) c.m = draw_tall(draw);
  }
  fill_a(draw, c, aspect);
  c.b = draw_tensor(draw, *claim.b, c.n, c.k, claim.scale_layout, aspect.b_codes, aspect.scales);
  if (aspect.special == Special::cancel) make_cancel(draw, c);
  if (aspect.special == Special::nan) make_nan(draw, c);
  fill_epilogue(draw, c, aspect.epilogue);
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

std::vector<Property> gemm_properties() {
  std::vector<Property> properties;
  for (const Product& product : products)
    for (const Aspect& aspect : aspects)
      properties.push_back(
          {std::string("gemm.") + product.name + "." + aspect.slug,
           "kernels/device_under_test.h, GEMM; golden/bounds.h, class of the claimed accumulator",
           aspect.statement,
           [&product](const Claim& c) {
             const formats::FormatSpec* a = c.a == nullptr ? nullptr : c.a->element;
             return c.operation == "gemm" && a == product.a_element && c.b != nullptr &&
                    c.b->scale == product.b_scale;
           },
           [&aspect](const Claim& claim, const rc::Random& random) {
             return shrinkable_experiment<GemmCase>(
                 [&] { return draw_case(aspect, claim, random); }, simpler_gemms,
                 [](GemmCase&& c) { return gemm_experiment(std::move(c)); });
           }});
  return properties;
}

}  // namespace assay::proptests

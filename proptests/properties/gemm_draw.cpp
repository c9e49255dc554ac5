// SPDX-License-Identifier: Apache-2.0
#include "proptests/properties/gemm_draw.h"

#include <array>

namespace assay::proptests {
namespace {

constexpr std::array products{
    Product{"nvfp4_nvfp4", &formats::e2m1, &formats::ue4m3,
            "PTX ISA 9.0, Block Scaling for mma.sync, .kind::mxf4nvf4; epilogue: "
            "kernels/abi/assay_dut.h, ASSAY_DUT_GEMM; rounding: docs/bounds.md, the claimed "
            "accumulator"},
    Product{"mxfp4_mxfp4", &formats::e2m1, &formats::e8m0,
            "OCP Microscaling Formats (MX) v1.0, section 6.2; epilogue: kernels/abi/assay_dut.h, "
            "ASSAY_DUT_GEMM; rounding: docs/bounds.md, the claimed accumulator"},
    Product{"fp8_mxfp4", &formats::e4m3, &formats::e8m0,
            "OCP Microscaling Formats (MX) v1.0, section 6.2, and DeepSeek-V4, arXiv 2606.19348 "
            "section 5.2.1; epilogue: kernels/abi/assay_dut.h, ASSAY_DUT_GEMM; rounding: "
            "docs/bounds.md, the claimed accumulator"},
    Product{"bf16_nvfp4", nullptr, &formats::ue4m3,
            "kernels/abi/assay_dut.h, ASSAY_DUT_GEMM, with A in bf16 (this project's definition); "
            "rounding: docs/bounds.md, the claimed accumulator"},
    Product{"bf16_mxfp4", nullptr, &formats::e8m0,
            "kernels/abi/assay_dut.h, ASSAY_DUT_GEMM, with A in bf16 (this project's definition); "
            "rounding: docs/bounds.md, the claimed accumulator"}};

void draw_bf16(Draw& draw, GemmCase& c, Codes codes, bool exact) {
  c.a_bf16.assign(c.m * c.k, 0);
  for (std::int64_t r = 0; r < c.m; ++r) {
    const std::int64_t hot = c.k == 0 ? 0 : draw.between(0, c.k - 1);
    for (std::int64_t i = 0; i < c.k; ++i) {
      std::uint16_t& code = c.a_bf16[r * c.k + i];
      // Small integers and halves keep every sum exact; otherwise a few binades.
      constexpr std::array<std::uint16_t, 10> simple{0x0000, 0x3F00, 0x3F80, 0x4000, 0x4040,
                                                     0x8000, 0xBF00, 0xBF80, 0xC000, 0x40E0};
      code = exact ? draw.of(simple) : draw.bf16(-6, 6);
      if (codes == Codes::one_hot) code = i == hot ? 0x3F80 : 0x0000;
      if (codes == Codes::positive) code &= 0x7FFFU;
    }
  }
}

}  // namespace

std::span<const Product> gemm_products() { return products; }

bool is_product(const Product& product, const kernels::Claim& claim) {
  const formats::FormatSpec* a = claim.a == nullptr ? nullptr : claim.a->element;
  return claim.operation == "gemm" && a == product.a_element && claim.b != nullptr &&
         claim.b->scale == product.b_scale;
}

std::string gemm_id(const Product& product, const char* slug) {
  return std::string("gemm.") + product.name + "." + slug;
}

void make_accepted(GemmCase& c) {
  const auto round_up = [](std::int64_t& x, std::int64_t to) { x = (x + to - 1) / to * to; };
  round_up(c.m, c.claim.m_multiple);
  round_up(c.n, c.claim.n_multiple);
  round_up(c.k, c.claim.k_multiple);
}

void draw_operands(Draw& draw, GemmCase& c, Codes a_codes, Codes b_codes, Scales scales) {
  if (c.claim.a == nullptr)
    draw_bf16(draw, c, a_codes, scales == Scales::one);
  else
    c.a = draw_tensor(draw, *c.claim.a, c.m, c.k, c.claim.scale_layout, a_codes, scales);
  c.b = draw_tensor(draw, *c.claim.b, c.n, c.k, c.claim.scale_layout, b_codes, scales);
}

}  // namespace assay::proptests

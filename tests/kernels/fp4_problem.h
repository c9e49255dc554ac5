// SPDX-License-Identifier: Apache-2.0
#pragma once
// A random product of two FP4 matrices, as the Blackwell kernels take it and as the simulator does.

#include <bit>
#include <cmath>
#include <random>
#include <vector>

#include "kernels/cuda/gemm_fp4.h"
#include "simulator/gemm.h"

namespace assay::tests {

using kernels::cuda::Fp4Kind;
using kernels::cuda::GemmFp4;
using Words = std::vector<std::uint32_t>;

struct Fp4Shape {
  std::int64_t m, n, k;
};

struct Fp4Problem {
  Fp4Kind kind;
  Fp4Shape shape;
  std::vector<std::uint8_t> a_codes, a_scales, b_codes, b_scales;
  Words a, b, scale_a, scale_b, c_codes, bias_codes;
  std::vector<float> c, bias;
  float alpha = -0.75F, ga = 0x1.8p-5F, gb = 0x1.2p3F, beta = 1.5F;

  Fp4Problem(Fp4Kind kind, Fp4Shape shape, unsigned seed) : kind(kind), shape(shape), random(seed) {
    fill(shape.m, a, scale_a, a_codes, a_scales);
    fill(shape.n, b, scale_b, b_codes, b_scales);
    for (std::int64_t i = 0; i < shape.m * shape.n; ++i) c.push_back(draw());
    for (std::int64_t i = 0; i < shape.n; ++i) bias.push_back(draw());
    for (const float x : c) c_codes.push_back(std::bit_cast<std::uint32_t>(x));
    for (const float x : bias) bias_codes.push_back(std::bit_cast<std::uint32_t>(x));
  }

  [[nodiscard]] GemmFp4 device(std::vector<float>& d) const {
    d.assign(static_cast<std::size_t>(shape.m * shape.n), 12345.0F);
    return {a_codes.data(),
            a_scales.data(),
            b_codes.data(),
            b_scales.data(),
            shape.m,
            shape.n,
            shape.k,
            alpha,
            ga,
            gb,
            beta,
            c.data(),
            bias.data(),
            d.data()};
  }

  [[nodiscard]] Words expected(const simulator::MmaModel& model, int tile_k) const {
    simulator::GemmPlan plan;
    plan.model = model;
    plan.instruction_k = kernels::cuda::fp4_instruction_k;
    plan.tile_k = tile_k;
    using simulator::Addend;
    using simulator::EpilogueStep;
    using simulator::Factor;
    plan.epilogue = {
        {EpilogueStep::Op::multiply, {Factor::alpha, Factor::scale_a, Factor::scale_b}},
        {EpilogueStep::Op::add, {}, Addend::c},
        {EpilogueStep::Op::add, {}, Addend::bias}};
    return simulator::gemm(plan, {.m = shape.m,
                                  .n = shape.n,
                                  .k = shape.k,
                                  .a = a,
                                  .b = b,
                                  .scale_a = scale_a,
                                  .scale_b = scale_b,
                                  .c = c_codes,
                                  .bias = bias_codes,
                                  .alpha = alpha,
                                  .beta = beta,
                                  .tensor_scale_a = ga,
                                  .tensor_scale_b = gb});
  }

 private:
  float draw() { return std::ldexp(static_cast<float>(random() % 2001) - 1000.0F, -4); }

  /// All codes; scale factors of ordinary size, and now and then any: NaN, zero, subnormal,
  /// extreme.
  void fill(std::int64_t rows, Words& elements, Words& factors, std::vector<std::uint8_t>& codes,
            std::vector<std::uint8_t>& scales) {
    const int block = kernels::cuda::fp4_block(kind);
    codes.resize(static_cast<std::size_t>(rows * (shape.k / 2)));
    scales.resize(static_cast<std::size_t>(kernels::cuda::scale_bytes(kind, rows, shape.k)));
    for (std::int64_t row = 0; row < rows; ++row) {
      for (std::int64_t k = 0; k < shape.k; ++k) {
        elements.push_back(random() % 16);
        codes[row * (shape.k / 2) + k / 2] |= elements.back() << k % 2 * 4;
      }
      for (std::int64_t i = 0; i < shape.k / block; ++i) {
        const unsigned any = random() % 512 == 0 ? random() % 256 : 256;
        factors.push_back(any < 256                ? any
                          : kind == Fp4Kind::nvfp4 ? 0x28 + random() % 0x20
                                                   : 120 + random() % 12);
        // formats/tensor.h, swizzled_128x4.
        scales[(row / 128 * kernels::cuda::scale_blocks(kind, shape.k) + i / 4) * 512 +
               row % 32 * 16 + row % 128 / 32 * 4 + i % 4] = factors.back();
      }
    }
  }

  std::mt19937 random;
};

}  // namespace assay::tests

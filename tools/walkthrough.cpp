// SPDX-License-Identifier: Apache-2.0
// One walk through the house: a recorded expert, quantized, multiplied, held against the exact
// answer.

#include <cstdio>

#include "formats/block.h"
#include "golden/gemm_bounds.h"
#include "golden/quantize.h"
#include "kernels/cpu/cpu_device.h"
#include "proptests/judge.h"
#include "simulator/recording.h"

using namespace assay;

int main() {
  // A weight and its operand, from the training step that ships with assay.
  const auto recording = simulator::Recording::open(simulator::default_recording());
  const auto x = recording.tensor("layers.3.moe_norm.output");
  const auto w = recording.tensor("layers.3.experts.0.w_up.weight");
  constexpr std::int64_t m = 8;  // tokens
  const std::int64_t n = w.rows(), k = w.cols();
  std::vector<float> tokens(m * k);
  x.read_rows(0, m, tokens);

  // Fast, and what golden makes of it in exact arithmetic: the same, bit for bit.
  const auto a = formats::quantize(tokens, m, k, formats::nvfp4);
  const auto b = formats::quantize(w.read(), n, k, formats::nvfp4);
  const auto truth = golden::quantize(w.read(), n, k, formats::nvfp4);
  if (auto mismatch = proptests::compare(truth, b)) return std::puts(mismatch->where.c_str()), 1;

  // A kernel multiplies. Its claim says how its accumulator rounds.
  const auto device = kernels::make_cpu_device();
  const kernels::Claim claim{.operation = "gemm",
                             .a = &formats::nvfp4,
                             .b = &formats::nvfp4,
                             .accumulator = kernels::Accumulator::fp32_fixed_order};
  std::vector<float> d(m * n);
  kernels::GemmCall call;
  call.a = &a, call.b = &b, call.m = m, call.n = n, call.k = k, call.d = d;
  device->gemm(claim, call);

  // Golden multiplies exactly and derives how far that claim may be from it; the judge compares.
  const auto oracle = golden::gemm_oracle(golden::factor(a), golden::factor(b), {},
                                          {.kind = golden::AccumulatorClass::fp32_fixed_order});
  const auto ruling =
      proptests::judge_array("d", n, formats::fp32, d, oracle.reference, oracle.bounds);
  std::printf("%s: %s\n", device->name().c_str(),
              ruling.mismatch ? ruling.mismatch->where.c_str() : "pass");
  return ruling.mismatch ? 1 : 0;
}

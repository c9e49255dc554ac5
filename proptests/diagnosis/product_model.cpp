// SPDX-License-Identifier: Apache-2.0
#include "proptests/diagnosis/product_model.h"

#include <cstring>

#include "golden/fp32_order.h"
#include "proptests/judge.h"
#include "proptests/properties/left_operand.h"

namespace assay::proptests::diagnosis {
namespace {

using golden::FactoredMatrix;
using golden::Value;

}  // namespace

ProductModel::Result ProductModel::run() const {
  if (m == 0 || n == 0) return {};  // no output, and no row that an error could take for another
  FactoredMatrix fa = a ? a->run() : golden::factor(formats::bf16, a_bf16, m, k);
  FactoredMatrix fb = b.run();
  if (edit_operands) edit_operands(fa, fb);
  Result out;
  if (!multiply && !accumulate && !edit_sum) {
    golden::GemmOracle oracle =
        golden::gemm_oracle(fa, fb, {alpha, beta, c, bias}, accumulator_of(claim));
    out = {std::move(oracle.reference), std::move(oracle.bounds)};
  } else {
    for (std::int64_t i = 0; i < m; ++i)
      for (std::int64_t j = 0; j < n; ++j) {
        Value sum = Value::zero(false);
        for (std::int64_t p = 0; p < fa.cols; ++p) {
          const std::int64_t at = i * fa.cols + p;
          const std::int64_t bt = j * fb.cols + p;
          const Value x = fa.elements[at] * fa.scales[at];
          const Value y = fb.elements[bt] * fb.scales[bt];
          const Value product = golden::fl(multiply ? multiply(x, y) : x * y);
          sum = accumulate ? accumulate(sum, product) : golden::fl(sum + product);
        }
        if (edit_sum) sum = edit_sum(sum);
        golden::Fp32Epilogue e{alpha, fa.tensor_scale, fb.tensor_scale, beta, {}, {}};
        if (beta != 0.0F) e.c = c[i * n + j];
        if (!bias.empty()) e.bias = bias[j];
        out.reference.push_back(golden::to_rational(golden::fp32_epilogue(sum, e)));
        out.bounds.emplace_back();
      }
  }
  for (std::size_t i = 0; i < addend.size(); ++i)
    out.reference[i] = out.reference[i] + golden::to_rational(golden::value_of(addend[i]));
  return out;
}

ProductModel product_of(const Case& c) {
  const Call& call = c.call;
  ProductModel p;
  p.claim = call.claim;
  p.m = call.m;
  p.n = call.n;
  p.k = call.k;
  if (call.claim.a != nullptr) {
    p.a.emplace();
    p.a->t = input_tensor(call, ASSAY_DUT_A, *call.claim.a, call.m, call.k);
  } else {
    const auto bytes = input_bytes(call, ASSAY_DUT_A);
    p.a_bf16.resize(bytes.size() / 2);
    if (!bytes.empty()) std::memcpy(p.a_bf16.data(), bytes.data(), bytes.size());
  }
  p.b.t = input_tensor(call, ASSAY_DUT_B, *call.claim.b, call.n, call.k);
  p.alpha = call.alpha;
  p.beta = call.beta;
  p.c = input_floats(call, ASSAY_DUT_C);
  p.bias = input_floats(call, ASSAY_DUT_BIAS);
  p.observed = to_floats(*call.claim.output, output_bytes(c, ASSAY_DUT_D));
  return p;
}

}  // namespace assay::proptests::diagnosis

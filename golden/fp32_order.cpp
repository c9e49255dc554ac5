// SPDX-License-Identifier: Apache-2.0
#include "golden/fp32_order.h"

#include <stdexcept>

namespace assay::golden {

Value fl(const Value& x) {
  using formats::fp32;
  const Policy policy = policy_of(formats::ieee, fp32);
  return decode(fp32, encode(fp32, x, RoundingMode::nearest_even, policy));
}

Value fp32_dot(std::span<const Value> a, std::span<const Value> b) {
  if (a.size() != b.size()) {
    throw std::invalid_argument("The operands of a dot product need the same length.");
  }
  Value acc = Value::zero(false);
  for (std::size_t k = 0; k < a.size(); ++k) acc = fl(acc + fl(a[k] * b[k]));
  return acc;
}

Value fp32_epilogue(const Value& acc, const Fp32Epilogue& e) {
  const Value scale =
      fl(fl(value_of(e.alpha) * value_of(e.a_tensor_scale)) * value_of(e.b_tensor_scale));
  Value d = fl(acc * scale);
  if (e.beta != 0.0F) {
    if (!e.c) throw std::invalid_argument("An epilogue with beta != 0 needs C.");
    d = fl(d + fl(value_of(e.beta) * value_of(*e.c)));
  }
  if (e.bias) d = fl(d + value_of(*e.bias));
  return d;
}

}  // namespace assay::golden

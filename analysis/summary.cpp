// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "analysis/report.h"
#include "analysis/statistics.h"

namespace assay::analysis {
namespace {

using simulator::OperandFormat;
using simulator::TensorClass;

double median_or(const std::vector<double>& values, double otherwise) {
  return values.empty() ? otherwise : quantile(values, 0.5);
}

/// Bits of an element and its share of the block's scale factor (the tensor scale is negligible).
double bits_per_element(const OperandFormat& operand) {
  if (!operand.block) return operand.element->storage_bits;
  const auto& f = *operand.block;
  const auto elements = static_cast<double>(f.block.rows * f.block.cols);
  return f.element->storage_bits + (elements > 0 ? f.scale->storage_bits / elements : 0);
}

}  // namespace

ReplaySummary summarize(const Replayed& replayed) {
  const auto& r = replayed.result;
  ReplaySummary s;
  s.recipe = replayed.recipe.name;
  const auto weight =
      replayed.recipe.treatment(TensorClass::expert, 0, std::numeric_limits<std::int64_t>::max())
          .weight;
  s.weight_format = weight.format_name();
  s.bits_per_weight = bits_per_element(weight);
  std::vector<double> gains;
  std::vector<double> noises;
  for (const auto& t : r.tensors) {
    if (t.role != simulator::Role::weight) continue;
    gains.push_back(t.error.gain);
    noises.push_back(t.error.nsr);
  }
  s.weight_gain = median_or(gains, 1);
  s.weight_nsr = median_or(noises, 0);
  std::vector<double> outputs;
  for (const auto& l : r.linears) {
    outputs.push_back(l.error.nsr);
    if (l.error.nsr > s.worst_output_nsr) {
      s.worst_output_nsr = l.error.nsr;
      s.worst_linear = l.op;
    }
    s.has_loss_change = s.has_loss_change || l.has_loss_change;
    s.loss_change += l.loss_change;
  }
  s.output_nsr = median_or(outputs, 0);
  for (const auto& router : r.routers) {
    s.tokens += static_cast<std::uint64_t>(router.tokens);
    s.local_flips += router.local.flips();
    s.accumulated_flips += router.accumulated.flips();
  }
  return s;
}

}  // namespace assay::analysis

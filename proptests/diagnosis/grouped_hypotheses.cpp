// SPDX-License-Identifier: Apache-2.0
// The known errors of grouped products: which rows are a group's, and which B, or part of it, it
// meets.
#include <algorithm>
#include <cstring>

#include "golden/grouped.h"
#include "proptests/diagnosis/product_model.h"
#include "proptests/judge.h"
#include "proptests/properties/left_operand.h"

namespace assay::proptests::diagnosis {
namespace {

using golden::FactoredMatrix;

struct GroupedModel {
  FactoredMatrix a;                   ///< every row in memory, groups one after the other
  std::vector<FactoredMatrix> b;      ///< of each group
  std::vector<std::int64_t> row_of;   ///< the group of each row, or golden::no_group
  std::vector<std::int64_t> counts;   ///< rows of each group
  std::vector<std::int64_t> offsets;  ///< of the contiguous layout, or empty
};

struct GroupedError {
  const char* id;
  const char* name;
  void (*spoil)(GroupedModel&);
};

void shifted(GroupedModel& m, std::int64_t by) {
  if (m.offsets.empty()) return;
  const std::int64_t end = m.offsets.back();
  for (std::size_t g = 1; g + 1 < m.offsets.size(); ++g)
    m.offsets[g] = std::clamp(m.offsets[g] + by, m.offsets[g - 1], end);
  m.row_of = golden::contiguous_groups(m.offsets, m.a.rows);
}

const std::vector<GroupedError>& errors() {
  static const std::vector<GroupedError> rows{
      {"group_tensor_scale_of_first", "every group takes the tensor scale of the first one's B",
       [](GroupedModel& m) {
         for (FactoredMatrix& b : m.b) b.tensor_scale = m.b.front().tensor_scale;
       }},
      {"group_scales_of_first", "every group takes the scale factors of the first one's B",
       [](GroupedModel& m) {
         for (FactoredMatrix& b : m.b) b.scales = m.b.front().scales;
       }},
      {"group_offset_off_by_one", "groups after the first begin one row early",
       [](GroupedModel& m) { shifted(m, -1); }},
      {"group_offset_off_by_one", "groups after the first begin one row late",
       [](GroupedModel& m) { shifted(m, 1); }},
      {"empty_group_skips_next", "an empty group does not use up its B",
       [](GroupedModel& m) {
         const std::vector<FactoredMatrix> from = m.b;
         std::size_t next = 0;
         for (std::size_t g = 0; g < m.b.size(); ++g) {
           m.b[g] = from[next];
           if (m.counts[g] > 0) ++next;
         }
       }},
      {"first_offset_ignored", "groups begin at row 0, whatever the first offset is",
       [](GroupedModel& m) {
         if (m.offsets.empty()) return;
         const std::int64_t first = m.offsets.front();
         for (std::int64_t& offset : m.offsets) offset -= first;
         m.row_of = golden::contiguous_groups(m.offsets, m.a.rows);
       }},
      {"group_tensor_scale_of_another",
       "tensor scales are counted by the groups that have rows: behind an empty group all are late",
       [](GroupedModel& m) {
         std::size_t next = 0;
         std::vector<float> scales;
         for (const FactoredMatrix& b : m.b) scales.push_back(b.tensor_scale);
         for (std::size_t g = 0; g < m.b.size(); ++g)
           if (m.counts[g] > 0) m.b[g].tensor_scale = scales[next++];
       }},
      {"group_tensor_scale_of_another", "every group takes the tensor scale of the next",
       [](GroupedModel& m) {
         const float first = m.b.front().tensor_scale;
         for (std::size_t g = 0; g < m.b.size(); ++g)
           m.b[g].tensor_scale = g + 1 < m.b.size() ? m.b[g + 1].tensor_scale : first;
       }},
      {"group_b_of_first", "every group meets the B of the first",
       [](GroupedModel& m) { std::fill(m.b.begin(), m.b.end(), FactoredMatrix(m.b.front())); }},
      {"group_b_of_next", "every group meets the B of the next",
       [](GroupedModel& m) { std::rotate(m.b.begin(), m.b.begin() + 1, m.b.end()); }},
  };
  return rows;
}

std::span<const std::uint8_t> slice(const Call& call, std::uint32_t role, std::uint32_t part,
                                    std::int64_t index, std::int64_t count) {
  const auto all = input_bytes(call, role, part);
  const std::size_t size = all.size() / static_cast<std::size_t>(count);
  return all.subspan(static_cast<std::size_t>(index) * size, size);
}

/// Matrix `index` of the `count` that an operand has one after the other.
FactoredMatrix matrix(const Call& call, std::uint32_t role, const formats::BlockFormat* format,
                      std::int64_t rows, std::int64_t index, std::int64_t count) {
  const auto values = slice(call, role, ASSAY_DUT_VALUES, index, count);
  if (format == nullptr) {
    std::vector<std::uint16_t> codes(values.size() / 2);
    if (!codes.empty()) std::memcpy(codes.data(), values.data(), values.size());
    return golden::factor(formats::bf16, codes, rows, call.k);
  }
  formats::BlockScaledTensor t;
  t.format = format;
  t.rows = rows;
  t.cols = call.k;
  t.scale_layout = call.claim.scale_layout;
  t.codes.assign(values.begin(), values.end());
  const auto scales = slice(call, role, ASSAY_DUT_SCALES, index, count);
  t.scales.assign(scales.begin(), scales.end());
  const std::vector<float> g = to_floats(input_bytes(call, role, ASSAY_DUT_TENSOR_SCALE));
  if (!g.empty()) t.tensor_scale = g[static_cast<std::size_t>(index) % g.size()];
  return golden::factor(t);
}

std::vector<std::int64_t> whole_numbers(const Call& call, std::uint32_t role) {
  const auto bytes = input_bytes(call, role);
  std::vector<std::int64_t> numbers(bytes.size() / sizeof(std::int64_t));
  if (!numbers.empty()) std::memcpy(numbers.data(), bytes.data(), bytes.size());
  return numbers;
}

GroupedModel model_of(const Call& call) {
  GroupedModel m;
  const bool masked = call.claim.group_layout == ASSAY_DUT_MASKED;
  const std::int64_t stacks = masked ? call.groups : 1;
  for (std::int64_t g = 0; g < call.groups; ++g)
    m.b.push_back(matrix(call, ASSAY_DUT_B, call.claim.b, call.n, g, call.groups));
  for (std::int64_t s = 0; s < stacks; ++s) {
    FactoredMatrix next = matrix(call, ASSAY_DUT_A, call.claim.a, call.m, s, stacks);
    if (s == 0) {
      m.a = std::move(next);
      continue;
    }
    m.a.rows += next.rows;
    m.a.elements.insert(m.a.elements.end(), next.elements.begin(), next.elements.end());
    m.a.scales.insert(m.a.scales.end(), next.scales.begin(), next.scales.end());
  }
  if (masked) {
    m.counts = whole_numbers(call, ASSAY_DUT_COUNTS);
    m.row_of = golden::masked_groups(m.counts, call.m);
    return m;
  }
  m.offsets = whole_numbers(call, ASSAY_DUT_OFFSETS);
  for (std::size_t g = 0; g + 1 < m.offsets.size(); ++g)
    m.counts.push_back(m.offsets[g + 1] - m.offsets[g]);
  m.row_of = golden::contiguous_groups(m.offsets, m.a.rows);
  return m;
}

bool explains(const GroupedError& row, const Case& c) {
  const Call& call = c.call;
  if (call.m == 0 || call.groups == 0) return true;
  GroupedModel m = model_of(call);
  const std::vector<std::int64_t> right = m.row_of;
  row.spoil(m);
  // Rows of no group, by the call or by the error, may hold anything and count for nothing.
  FactoredMatrix a = m.a;
  a.rows = 0;
  a.elements.clear();
  a.scales.clear();
  std::vector<std::int64_t> groups;
  const std::vector<float> d = to_floats(*call.claim.output, output_bytes(c, ASSAY_DUT_D));
  std::vector<float> observed;
  for (std::int64_t r = 0; r < m.a.rows; ++r) {
    if (m.row_of[r] == golden::no_group || right[r] == golden::no_group) continue;
    groups.push_back(m.row_of[r]);
    ++a.rows;
    const auto put = [&](std::vector<golden::Value>& to, const std::vector<golden::Value>& from) {
      to.insert(to.end(), from.begin() + r * a.cols, from.begin() + (r + 1) * a.cols);
    };
    put(a.elements, m.a.elements);
    put(a.scales, m.a.scales);
    observed.insert(observed.end(), d.begin() + r * call.n, d.begin() + (r + 1) * call.n);
  }
  if (groups.empty()) return true;
  const golden::GemmOracle oracle =
      golden::grouped_gemm_oracle(a, m.b, groups, call.alpha, accumulator_of(call.claim)).oracle;
  return matches(*call.claim.output, observed, oracle.reference, oracle.bounds);
}

}  // namespace

std::vector<Hypothesis> grouped_hypotheses() {
  std::vector<Hypothesis> out;
  for (const GroupedError& row : errors())
    out.push_back({row.id, row.name,
                   [](const kernels::Claim& c) { return c.operation == "grouped_gemm"; },
                   [&row](const Case& c) { return explains(row, c); }});
  return out;
}

}  // namespace assay::proptests::diagnosis

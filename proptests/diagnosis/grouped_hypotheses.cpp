// SPDX-License-Identifier: Apache-2.0
// The known errors of grouped products: which rows are a group's, and which B, or part of it, it
// meets.
#include <algorithm>

#include "proptests/diagnosis/operations.h"

namespace assay::proptests::diagnosis {
namespace {

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
  m.place_rows();
}

const std::vector<GroupedError>& errors() {
  static const std::vector<GroupedError> rows{
      {"group_tensor_scale_of_first", "every group takes the tensor scale of the first one's B",
       [](GroupedModel& m) {
         for (ReaderModel& b : m.b) b.t.tensor_scale = m.b.front().t.tensor_scale;
       }},
      {"group_scales_of_first", "every group takes the scale factors of the first one's B",
       [](GroupedModel& m) {
         for (ReaderModel& b : m.b) b.t.scales = m.b.front().t.scales;
       }},
      {"group_offset_off_by_one", "groups after the first begin one row early",
       [](GroupedModel& m) { shifted(m, -1); }},
      {"group_offset_off_by_one", "groups after the first begin one row late",
       [](GroupedModel& m) { shifted(m, 1); }},
      {"empty_group_skips_next", "an empty group does not use up its B",
       [](GroupedModel& m) {
         const std::vector<ReaderModel> from = m.b;
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
         m.place_rows();
       }},
      {"group_tensor_scale_of_another",
       "tensor scales are counted by the groups that have rows: behind an empty group all are late",
       [](GroupedModel& m) {
         std::size_t next = 0;
         std::vector<float> scales;
         for (const ReaderModel& b : m.b) scales.push_back(b.t.tensor_scale);
         for (std::size_t g = 0; g < m.b.size(); ++g)
           if (m.counts[g] > 0) m.b[g].t.tensor_scale = scales[next++];
       }},
      {"group_tensor_scale_of_another", "every group takes the tensor scale of the next",
       [](GroupedModel& m) {
         const float first = m.b.front().t.tensor_scale;
         for (std::size_t g = 0; g < m.b.size(); ++g)
           m.b[g].t.tensor_scale = g + 1 < m.b.size() ? m.b[g + 1].t.tensor_scale : first;
       }},
      {"group_b_of_first", "every group meets the B of the first",
       [](GroupedModel& m) { std::fill(m.b.begin(), m.b.end(), ReaderModel(m.b.front())); }},
      {"group_b_of_next", "every group meets the B of the next",
       [](GroupedModel& m) { std::rotate(m.b.begin(), m.b.begin() + 1, m.b.end()); }},
  };
  return rows;
}

}  // namespace

std::vector<Hypothesis> grouped_hypotheses() {
  std::vector<Hypothesis> out;
  for (const GroupedError& row : errors())
    out.push_back(edited(grouping, row.id, row.name, [&row](GroupedModel& m, const Case&) {
      if (m.b.empty()) return false;
      row.spoil(m);
      return true;
    }));
  return out;
}

}  // namespace assay::proptests::diagnosis

// SPDX-License-Identifier: Apache-2.0
// What may go wrong in grouped products: which rows belong to which group, and which B, scale
// factors and tensor scale a group meets.
#include <algorithm>

#include "golden/grouped.h"
#include "proptests/diagnosis/stages.h"

namespace assay::proptests::diagnosis {
namespace {

using Model = GroupedModel;

/// The numbers 0 .. groups - 1 as a grid of one row, moved: which group stands in for which.
std::vector<std::uint32_t> moved(const MapEdit& edit, std::size_t groups, bool wrap) {
  std::vector<std::uint32_t> index(groups);
  for (std::size_t g = 0; g < groups; ++g) index[g] = static_cast<std::uint32_t>(g);
  Grid grid = grid_of(index, 1, static_cast<std::int64_t>(groups));
  apply(edit, grid, wrap);
  return index;
}
/// Groups counted by those that have rows.
std::vector<std::uint32_t> of_nonempty(const std::vector<std::int64_t>& counts) {
  std::vector<std::uint32_t> index(counts.size());
  std::uint32_t next = 0;
  for (std::size_t g = 0; g < counts.size(); ++g) {
    index[g] = next;
    if (counts[g] > 0) ++next;
  }
  return index;
}

/// What of another group's B a group takes.
enum class Part : std::uint8_t { all, codes, scales, tensor_scale };
struct Parts {
  Part part;
  const char* id;
  const char* text;
};
constexpr Parts parts[] = {
    {Part::all, "group_b", "the B of a group"},
    {Part::codes, "group_codes", "the codes of a group's B"},
    {Part::scales, "group_scales", "the scale factors of a group's B"},
    {Part::tensor_scale, "group_tensor_scale", "the tensor scale of a group's B"}};
bool take(Model& m, const std::vector<std::uint32_t>& from, Part part) {
  const std::vector<ReaderModel> b = m.b;
  bool changed = false;
  for (std::size_t g = 0; g < b.size(); ++g) {
    const formats::BlockScaledTensor& t = b[from[g]].t;
    changed = changed || from[g] != g;
    if (part == Part::all || part == Part::codes) m.b[g].t.codes = t.codes;
    if (part == Part::all || part == Part::scales) m.b[g].t.scales = t.scales;
    if (part == Part::all || part == Part::tensor_scale) m.b[g].t.tensor_scale = t.tensor_scale;
  }
  return changed;
}

/// Rows that meet another group than theirs: by what a kernel's tiles or searches get wrong.
struct RowEdit {
  const char* id;
  const char* text;
  void (*move)(Model& m, std::vector<std::int64_t>& row_of, std::int64_t number);
};
void first_of_tile(Model&, std::vector<std::int64_t>& row_of, std::int64_t tile) {
  const std::vector<std::int64_t> from = row_of;
  for (std::size_t r = 0; r < from.size(); ++r) {
    const std::int64_t first =
        from[static_cast<std::size_t>(static_cast<std::int64_t>(r) / tile * tile)];
    if (from[r] != golden::no_group && first != golden::no_group) row_of[r] = first;
  }
}
void last_of_tile(Model&, std::vector<std::int64_t>& row_of, std::int64_t tile) {
  const std::vector<std::int64_t> from = row_of;
  const auto size = static_cast<std::int64_t>(from.size());
  for (std::int64_t r = 0; r < size; ++r) {
    const std::int64_t last = from[std::min(size, r / tile * tile + tile) - 1];
    if (from[r] != golden::no_group && last != golden::no_group) row_of[r] = last;
  }
}
void whole_tiles(Model& m, std::vector<std::int64_t>& row_of, std::int64_t tile) {
  std::vector<std::int64_t> seen(m.counts.size(), 0);
  for (std::int64_t& g : row_of) {
    if (g == golden::no_group) continue;
    if (seen[g]++ >= m.counts[g] / tile * tile) g = golden::no_group;
  }
}
void offsets_by(Model& m, std::vector<std::int64_t>& row_of, std::int64_t by) {
  if (m.offsets.empty()) return;
  const std::int64_t end = m.offsets.back();
  for (std::size_t g = 1; g + 1 < m.offsets.size(); ++g)
    m.offsets[g] = std::clamp(m.offsets[g] + by, m.offsets[g - 1], end);
  m.place_rows();
  row_of = m.row_of;
}
void offsets_aligned(Model& m, std::vector<std::int64_t>& row_of, std::int64_t tile) {
  if (m.offsets.empty()) return;
  const std::int64_t end = m.offsets.back();
  for (std::size_t g = 0; g + 1 < m.offsets.size(); ++g)
    m.offsets[g] = std::min(end, (m.offsets[g] + tile - 1) / tile * tile);
  m.place_rows();
  row_of = m.row_of;
}
void offsets_floored(Model& m, std::vector<std::int64_t>& row_of, std::int64_t tile) {
  if (m.offsets.empty()) return;
  for (std::size_t g = 0; g + 1 < m.offsets.size(); ++g) m.offsets[g] = m.offsets[g] / tile * tile;
  m.place_rows();
  row_of = m.row_of;
}
void evenly(Model& m, std::vector<std::int64_t>& row_of, std::int64_t) {
  const auto groups = static_cast<std::int64_t>(m.b.size());
  const auto rows = static_cast<std::int64_t>(row_of.size());
  for (std::int64_t r = 0; r < rows; ++r)
    if (row_of[r] != golden::no_group) row_of[r] = std::min(groups - 1, r * groups / rows);
}
constexpr RowEdit tiled[] = {
    {"tile_of_first_row", "all rows of a tile of {} meet the group of its first", first_of_tile},
    {"tile_of_last_row", "all rows of a tile of {} meet the group of its last", last_of_tile},
    {"group_tail_omitted", "rows of a group behind its last whole {} are not computed",
     whole_tiles},
    {"group_offsets_aligned", "offsets are rounded up to a multiple of {}", offsets_aligned},
    {"group_offsets_aligned", "offsets are rounded down to a multiple of {}", offsets_floored},
};
Hypothesis rows_moved(const RowEdit& edit, std::int64_t number) {
  return edited(grouping, edit.id, said(edit.text, std::to_string(number)),
                [&edit, number](Model& m, const Case&) {
                  std::vector<std::int64_t> row_of = m.row_of;
                  const std::vector<std::int64_t> before = row_of;
                  edit.move(m, row_of, number);
                  m.row_of = row_of;
                  return row_of != before;
                });
}
constexpr RowEdit shifted{"group_offset_shifted", "groups after the first begin {} rows late",
                          offsets_by};
constexpr RowEdit equal_shares{"groups_taken_equal", "rows are dealt to the groups evenly", evenly};

/// Rows of a group that meet the next group's B or the one's before, or none.
std::vector<Hypothesis> some_rows() {
  std::vector<Hypothesis> out;
  for (const Some& which : some())
    for (const int to : {-1, 0, 1})
      out.push_back(edited(grouping,
                           to == 0  ? "group_rows_omitted"
                           : to > 0 ? "group_rows_of_next"
                                    : "group_rows_of_previous",
                           std::string("of the rows of a group, ") + which.text +
                               (to == 0  ? " is not computed"
                                : to > 0 ? " meets the next group's B"
                                         : " meets the B of the group before"),
                           [&which, to](Model& m, const Case&) {
                             const std::vector<std::int64_t> before = m.row_of;
                             std::vector<std::int64_t> seen(m.counts.size(), 0);
                             const auto groups = static_cast<std::int64_t>(m.counts.size());
                             for (std::int64_t& g : m.row_of) {
                               if (g == golden::no_group) continue;
                               const std::int64_t at = seen[g]++;
                               if (!which.holds(at, m.counts[g])) continue;
                               g = to == 0 ? golden::no_group
                                           : std::clamp<std::int64_t>(g + to, 0, groups - 1);
                             }
                             return m.row_of != before;
                           }));
  return out;
}

template <class Of>
void operands(std::vector<Hypothesis>& out, const char* id, const char* text, Of of) {
  cross(out, grouping, Stage<Model>{id, text, of, false, true});
}

}  // namespace

std::vector<Hypothesis> generated_of_groups() {
  std::vector<Hypothesis> out;
  for (const Parts& p : parts) {
    out.push_back(
        edited(grouping, std::string(p.id) + "_by_nonempty",
               said("{} is counted by the groups that have rows", p.text),
               [&p](Model& m, const Case&) { return take(m, of_nonempty(m.counts), p.part); }));
    for (const MapEdit& edit : map_edits())
      for (const bool wrap : {false, true})
        out.push_back(edited(grouping, std::string(p.id) + "_" + edit.id,
                             said(edit.text, p.text) + " (a column is a group)",
                             [&p, &edit, wrap](Model& m, const Case&) {
                               return take(m, moved(edit, m.b.size(), wrap), p.part);
                             }));
  }
  for (const std::int64_t tile : {2, 4, 8, 16, 32, 64, 128})
    for (const RowEdit& edit : tiled) out.push_back(rows_moved(edit, tile));
  for (const std::int64_t by : {-2, -1, 1, 2}) out.push_back(rows_moved(shifted, by));
  out.push_back(rows_moved(equal_shares, 0));
  for (Hypothesis& row : some_rows()) out.push_back(std::move(row));
  cross(out, grouping, scalar<Model>("alpha", "alpha", [](Model& m) { return &m.alpha; }));
  for (const ValueEdit& edit : value_edits()) {
    out.push_back(edited(grouping, std::string("b_tensor_scale_") + edit.id,
                         said(edit.text, "the tensor scale of each B"),
                         [&edit](Model& m, const Case&) {
                           for (ReaderModel& b : m.b)
                             b.t.tensor_scale = edit.value(b.t.tensor_scale);
                         }));
    out.push_back(edited(grouping, std::string("a_tensor_scale_") + edit.id,
                         said(edit.text, "the tensor scale of A"), [&edit](Model& m, const Case&) {
                           for (ReaderModel& a : m.a)
                             a.t.tensor_scale = edit.value(a.t.tensor_scale);
                           return !m.a.empty();
                         }));
  }
  using Grids = std::vector<Grid>;
  const auto of_each = [](auto list, auto grid) {
    return [list, grid](Model& m) {
      Grids grids;
      for (ReaderModel& r : m.*list) grids.push_back(grid(r.t));
      return grids;
    };
  };
  operands(out, "b_codes", "the codes of B", of_each(&Model::b, codes_of));
  operands(out, "b_scale", "the scale factors of B", of_each(&Model::b, scales_of));
  operands(out, "a_codes", "the codes of A", of_each(&Model::a, codes_of));
  operands(out, "a_scale", "the scale factors of A", of_each(&Model::a, scales_of));
  operands(out, "a", "A", [](Model& m) {
    Grids grids;
    for (ReaderModel& r : m.a) {
      grids.push_back(codes_of(r.t));
      grids.push_back(scales_of(r.t));
    }
    for (auto& x : m.a_bf16) grids.push_back(grid_of(x, m.m, m.k));
    return grids;
  });
  for (const Some& which : some())
    for (const int times : {0, 2})
      out.push_back(edited(grouping, times == 0 ? "terms_omitted" : "terms_twice",
                           std::string(which.text) +
                               (times == 0 ? " along k does not count" : " along k counts twice"),
                           [&which, times](Model& m, const Case&) {
                             m.edit_a = [&which, times](golden::FactoredMatrix& a) {
                               for (std::int64_t i = 0; i < a.rows * a.cols; ++i)
                                 if (which.holds(i % a.cols, a.cols)) {
                                   a.elements[i] = a.elements[i] * golden::Value::finite(times);
                                   if (times == 0) a.scales[i] = golden::Value::finite(1);
                                 }
                             };
                           }));
  for (const ReaderError& row : reader_errors())
    for (const char side : {'a', 'b', '2'})
      out.push_back(edited(
          grouping, row.id,
          row.name + (side == 'a'   ? ", in operand A"
                      : side == 'b' ? ", in operand B"
                                    : ", in both operands"),
          [&row, side](Model& m, const Case&) {
            if (side != 'b')
              for (ReaderModel& r : m.a) row.spoil(r);
            if (side != 'a')
              for (ReaderModel& r : m.b) row.spoil(r);
          },
          [&row, side](const kernels::Claim& c) {
            const formats::BlockFormat* f = side == 'b' ? c.b : c.a;
            return f != nullptr && (row.applies == nullptr || row.applies(*f));
          }));
  return out;
}

}  // namespace assay::proptests::diagnosis

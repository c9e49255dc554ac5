// SPDX-License-Identifier: Apache-2.0
// What may go wrong in grouped products beside the choice of a group: where its operands begin in
// memory, which rows of A a group reads, rows at the borders of groups, and all that may go wrong
// in one product.
#include <algorithm>

#include "golden/grouped.h"
#include "golden/layout.h"
#include "proptests/diagnosis/product_rows.h"
#include "proptests/diagnosis/stages.h"

namespace assay::proptests::diagnosis {
namespace {

using Model = GroupedModel;
using Index = std::vector<std::int64_t>;

/// Where a group's array begins, in bytes of the whole: not where it does.
struct Stride {
  const char* text;
  /// Rows and blocks (or bytes) of a row of one array, and whether it is in the 128x4 layout.
  std::int64_t (*bytes)(std::int64_t rows, std::int64_t across, bool swizzled);
};
std::int64_t up(std::int64_t x, std::int64_t to) { return (x + to - 1) / to * to; }
constexpr Stride strides[] = {
    {"rows that are not padded to 128",
     [](auto r, auto c, bool s) { return r * (s ? up(c, 4) : c); }},
    {"rows that are not padded to 128, and columns that are not padded to 4",
     [](auto r, auto c, bool) { return r * c; }},
    {"columns that are not padded to 4", [](auto r, auto c, bool) { return up(r, 128) * c; }},
    {"columns that are rounded down to a multiple of 4",
     [](auto r, auto c, bool) { return up(r, 128) * (c / 4 * 4); }},
    {"rows that are padded to 32", [](auto r, auto c, bool) { return up(r, 32) * up(c, 4); }},
    {"rows that are padded to 64", [](auto r, auto c, bool) { return up(r, 64) * up(c, 4); }},
    {"rows that are padded to 16", [](auto r, auto c, bool) { return up(r, 16) * up(c, 4); }},
    {"rows that are padded to 8", [](auto r, auto c, bool) { return up(r, 8) * up(c, 4); }},
    {"rows that are padded to 4", [](auto r, auto c, bool) { return up(r, 4) * up(c, 4); }},
    {"rows that are padded to 128, where none are",
     [](auto r, auto c, bool) { return up(r, 128) * c; }},
    {"columns that are padded to 4, where none are",
     [](auto r, auto c, bool) { return r * up(c, 4); }},
    {"one row less", [](auto r, auto c, bool s) { return (r - 1) * (s ? up(c, 4) : c); }},
    {"one row more", [](auto r, auto c, bool s) { return (r + 1) * (s ? up(c, 4) : c); }},
    {"one column less", [](auto r, auto c, bool) { return r * (c - 1); }},
    {"0 bytes", [](auto, auto, bool) { return std::int64_t{0}; }},
};
enum class Array : std::uint8_t { codes, scales };
bool spread_by(std::vector<ReaderModel>& list, Array array, const Stride& stride, bool wraps) {
  if (list.size() < 2) return false;
  const auto member = array == Array::codes ? &formats::BlockScaledTensor::codes
                                            : &formats::BlockScaledTensor::scales;
  std::vector<std::uint8_t> all;
  for (const ReaderModel& r : list)
    all.insert(all.end(), (r.t.*member).begin(), (r.t.*member).end());
  const formats::BlockScaledTensor& t = list.front().t;
  if (t.rows == 0 || t.cols == 0) return false;
  const bool swizzled = t.scale_layout == formats::ScaleLayout::swizzled_128x4;
  const std::int64_t across = array == Array::scales
                                  ? golden::block_grid(*t.format, t.rows, t.cols).across
                                  : std::ssize(t.codes) / t.rows;
  const std::int64_t step = stride.bytes(t.rows, across, array == Array::scales && swizzled);
  const std::int64_t size = std::ssize(t.*member);
  if (step == size || step < 0) return false;
  const std::int64_t end = std::ssize(all);
  for (std::size_t g = 1; g < list.size(); ++g)
    for (std::int64_t i = 0; i < size; ++i) {
      const std::int64_t at = static_cast<std::int64_t>(g) * step + i;
      (list[g].t.*member)[i] = at < end ? all[at] : wraps ? all[at % end] : 0;
    }
  return true;
}

void of_strides(std::vector<Hypothesis>& out) {
  for (const bool a : {false, true})
    for (const Array array : {Array::scales, Array::codes})
      for (const Stride& stride : strides)
        for (const bool wraps : {true, false})
          out.push_back(edited(
              grouping, array == Array::scales ? "group_scale_stride" : "group_code_stride",
              std::string(array == Array::scales ? "scale factors" : "codes") + " of " +
                  (a ? "A" : "B") + " are looked for as if groups were apart by " + stride.text,
              [a, array, &stride, wraps](Model& m, const Case&) {
                return spread_by(a ? m.a : m.b, array, stride, wraps);
              }));
}

/// Which row of A stands for row r.
struct RowOfA {
  const char* id;
  const char* text;
  std::int64_t (*row)(const Model& m, std::int64_t r, std::int64_t g, std::int64_t first);
};
std::int64_t begin_of(const Model& m, std::int64_t g) {
  return m.offsets.empty() ? g * m.m : m.offsets[g];
}
constexpr RowOfA rows_of_a[] = {
    {"a_from_first_offset", "rows of {} are counted from the first offset",
     [](const Model& m, auto r, auto, auto) { return m.offsets.empty() ? r : r - m.offsets[0]; }},
    {"a_from_group", "rows of {} are counted from the beginning of the group",
     [](const Model&, auto r, auto, auto first) { return r - first; }},
    {"a_group_compact", "groups of {} are taken to follow each other without unused rows",
     [](const Model& m, auto r, auto g, auto first) {
       std::int64_t before = 0;
       for (std::int64_t h = 0; h < g; ++h) before += m.counts[h];
       return before + r - first;
     }},
    {"a_of_group_before", "a group reads {} of the group before",
     [](const Model& m, auto r, auto g, auto first) {
       return g == 0 ? r : begin_of(m, g - 1) + r - first;
     }},
    {"a_of_next_group", "a group reads {} of the next group",
     [](const Model& m, auto r, auto g, auto first) {
       return g + 1 >= std::ssize(m.counts) ? r : begin_of(m, g + 1) + r - first;
     }},
    {"a_of_row_before", "rows of {} are read one too early in each group",
     [](const Model&, auto r, auto, auto first) { return std::max(r - 1, first); }},
    {"a_of_next_row", "rows of {} are read one too late in each group",
     [](const Model& m, auto r, auto g, auto first) {
       return std::min(r + 1, first + m.counts[g] - 1);
     }},
    {"a_rows_reversed", "rows of {} are read from the last of the group to the first",
     [](const Model& m, auto r, auto g, auto first) {
       return first + m.counts[g] - 1 - (r - first);
     }},
    {"a_first_of_group", "every row of a group reads the first one of {}",
     [](const Model&, auto, auto, auto first) { return first; }},
    {"a_aligned", "rows of {} are counted from the group's offset rounded up to 128",
     [](const Model&, auto r, auto, auto first) { return up(first, 128) + r - first; }},
    {"a_aligned", "rows of {} are counted from the group's offset rounded down to 128",
     [](const Model&, auto r, auto, auto first) { return first / 128 * 128 + r - first; }},
    {"a_aligned", "rows of {} are counted from the group's offset rounded up to 4",
     [](const Model&, auto r, auto, auto first) { return up(first, 4) + r - first; }},
    {"a_aligned", "rows of {} are counted from the group's offset rounded down to 4",
     [](const Model&, auto r, auto, auto first) { return first / 4 * 4 + r - first; }},
};
void of_rows_of_a(std::vector<Hypothesis>& out) {
  for (const char what : {'2', 'c', 's'})
    for (const RowOfA& row : rows_of_a) {
      const char* const text = what == '2'   ? "A"
                               : what == 'c' ? "the codes of A"
                                             : "the scale factors of A";
      out.push_back(edited(grouping,
                           std::string(row.id) + (what == 's'   ? "_scales"
                                                  : what == 'c' ? "_codes"
                                                                : ""),
                           said(row.text, text), [&row, what](Model& m, const Case&) {
                             const std::int64_t size = std::ssize(m.row_of);
                             if (what != '2' && m.a.empty()) return false;
                             Index from(static_cast<std::size_t>(size));
                             bool changed = false;
                             for (std::int64_t r = 0; r < size; ++r) {
                               const std::int64_t g = m.row_of[r];
                               from[r] = r;
                               if (g == golden::no_group) continue;
                               const std::int64_t at = row.row(m, r, g, begin_of(m, g));
                               from[r] = (at % size + size) % size;
                               changed = changed || from[r] != r;
                             }
                             if (what != 's') m.a_codes = from;
                             if (what != 'c') m.a_scales = from;
                             return changed;
                           }));
    }
}

/// Rows whose group is found wrongly, for all that they meet or for a part of it.
struct Border {
  const char* id;
  std::string text;
  std::function<void(const Model& m, Index& row_of)> move;
};
std::vector<Border> borders() {
  std::vector<Border> rows{
      {"group_index_advances_by_one",
       "the group of a row is advanced by one a row, not past every empty group",
       [](const Model& m, Index& row_of) {
         std::int64_t g = 0;
         for (std::int64_t r = 0; r < std::ssize(row_of); ++r) {
           if (row_of[r] == golden::no_group) continue;
           if (g + 1 < std::ssize(m.counts) && r >= begin_of(m, g) + m.counts[g]) ++g;
           row_of[r] = g;
         }
       }},
      {"first_row_meets_empty_group",
       "the first row behind empty groups meets the B of the first of these",
       [](const Model& m, Index& row_of) {
         for (std::int64_t g = 1; g < std::ssize(m.counts); ++g) {
           std::int64_t empty = g;
           while (empty > 0 && m.counts[empty - 1] == 0) --empty;
           if (m.counts[g] > 0 && empty < g) row_of[begin_of(m, g)] = empty;
         }
       }},
      {"first_row_meets_empty_group",
       "the first row behind empty groups meets the B of the last of these",
       [](const Model& m, Index& row_of) {
         for (std::int64_t g = 1; g < std::ssize(m.counts); ++g)
           if (m.counts[g] > 0 && m.counts[g - 1] == 0) row_of[begin_of(m, g)] = g - 1;
       }},
  };
  for (const std::int64_t tile : {4, 8, 16, 32, 64, 128}) {
    const std::string whole = " up to a whole " + std::to_string(tile);
    rows.push_back({"tile_overwrites_next_group",
                    "rows behind the first group" + whole + " meet its B",
                    [tile](const Model& m, Index& row_of) {
                      if (m.offsets.empty() || m.counts.empty()) return;
                      const std::int64_t first = m.offsets[0];
                      for (std::int64_t r = first;
                           r < first + up(m.counts[0], tile) && r < m.offsets.back(); ++r)
                        row_of[r] = 0;
                    }});
    rows.push_back({"tile_overwrites_next_group",
                    "rows behind each group" + whole + " meet its B, an earlier group's first",
                    [tile](const Model& m, Index& row_of) {
                      if (m.offsets.empty()) return;
                      for (std::int64_t g = std::ssize(m.counts) - 1; g >= 0; --g)
                        for (std::int64_t r = m.offsets[g];
                             m.counts[g] > 0 && r < m.offsets[g] + up(m.counts[g], tile) &&
                             r < m.offsets.back();
                             ++r)
                          row_of[r] = g;
                    }});
    rows.push_back({"tile_of_first_row",
                    "all rows of a tile of " + std::to_string(tile) + " meet what its first does",
                    [tile](const Model&, Index& row_of) {
                      const Index from = row_of;
                      for (std::size_t r = 0; r < from.size(); ++r) {
                        std::size_t first = r / tile * tile;
                        while (first < r && from[first] == golden::no_group) ++first;
                        if (from[r] != golden::no_group) row_of[r] = from[first];
                      }
                    }});
    rows.push_back({"tile_of_last_row",
                    "all rows of a tile of " + std::to_string(tile) + " meet what its last does",
                    [tile](const Model&, Index& row_of) {
                      const Index from = row_of;
                      for (std::size_t r = 0; r < from.size(); ++r) {
                        std::size_t last = std::min(from.size(), r / tile * tile + tile) - 1;
                        while (last > r && from[last] == golden::no_group) --last;
                        if (from[r] != golden::no_group) row_of[r] = from[last];
                      }
                    }});
  }
  return rows;
}
void of_borders(std::vector<Hypothesis>& out) {
  struct Met {
    const char* id;
    const char* text;
    Index Model::*of;
  };
  static constexpr Met parts[] = {
      {"", "", &Model::row_of},
      {"_tensor_scale", ": of the tensor scale alone", &Model::tensor_of},
      {"_scales", ": of the scale factors alone", &Model::scales_of},
      {"_codes", ": of the codes alone", &Model::codes_of}};
  for (const Border& border : borders())
    for (const Met& part : parts)
      out.push_back(edited(grouping, std::string(border.id) + part.id, border.text + part.text,
                           [border, &part](Model& m, const Case&) {
                             Index of = m.row_of;
                             border.move(m, of);
                             const bool changed = of != m.row_of;
                             m.*part.of = std::move(of);
                             return changed;
                           }));
}

/// Whatever may go wrong in one product, in each of them.
void take(std::vector<ReaderModel>& list, const ReaderModel& from) {
  for (ReaderModel& r : list) {
    r.load_code = from.load_code;
    r.load_scale = from.load_scale;
    r.element = from.element;
    r.scale = from.scale;
    r.factor = from.factor;
    r.tensor_scale = from.tensor_scale;
  }
}
Hypothesis in_each(const std::string& id, const std::string& text,
                   std::function<bool(ProductModel&)> spoil,
                   std::function<bool(const kernels::Claim&)> applies) {
  return edited(
      grouping, id, text,
      [spoil = std::move(spoil)](Model& m, const Case&) {
        if (m.b.empty()) return false;
        ProductModel whole;
        whole.claim = m.claim;
        whole.m = m.m;
        whole.n = m.n;
        whole.k = m.k;
        if (!m.a.empty()) whole.a = m.a.front();
        whole.b = m.b.front();
        if (!spoil(whole)) return false;
        if (whole.a) take(m.a, *whole.a);
        take(m.b, whole.b);
        m.spoil_product = spoil;
        return true;
      },
      std::move(applies));
}

}  // namespace

std::vector<Hypothesis> generated_of_group_memory() {
  std::vector<Hypothesis> out;
  of_borders(out);
  of_strides(out);
  of_rows_of_a(out);
  for (ProductRow& row : swizzle_rows())
    out.push_back(in_each(row.id, row.text, std::move(row.spoil), row.applies));
  for (const ProductError& row : product_errors()) {
    const std::string id = row.id;
    if (id.starts_with("bias") || id.starts_with("c_") || id.starts_with("beta")) continue;
    out.push_back(in_each(
        id, row.name,
        [&row](ProductModel& p) {
          row.spoil(p);
          return true;
        },
        nullptr));
  }
  for (auto* rows : {operand_rows, part_rows})
    for (ProductRow& row : rows())
      out.push_back(in_each(row.id, row.text, std::move(row.spoil), row.applies));
  return out;
}

}  // namespace assay::proptests::diagnosis

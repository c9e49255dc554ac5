// SPDX-License-Identifier: Apache-2.0
// What may go wrong where codes are transposed and scale factors change their layout.
#include <algorithm>

#include "golden/layout.h"
#include "golden/relayout.h"
#include "proptests/diagnosis/quantizer_edits.h"
#include "proptests/diagnosis/stages.h"
#include "proptests/diagnosis/swizzles.h"

namespace assay::proptests::diagnosis {
namespace {

using formats::BlockScaledTensor;
using formats::ScaleLayout;

struct ByteEdit {
  const char* id;
  const char* text;
  std::uint32_t (*code)(std::uint32_t);
};
constexpr ByteEdit nibbles[] = {
    {"negative_zero_lost", "-0 becomes +0", [](std::uint32_t c) { return c == 8 ? 0U : c; }},
    {"sign_lost", "the sign of codes is lost", [](std::uint32_t c) { return c & 7U; }},
    {"sign_inverted", "the sign of codes is inverted", [](std::uint32_t c) { return c ^ 8U; }},
    {"codes_zeroed", "codes are 0", [](std::uint32_t) { return 0U; }},
    {"element_code_bit_lost", "the lowest bit of codes is lost",
     [](std::uint32_t c) { return c & 14U; }},
    {"codes_complemented", "codes are inverted", [](std::uint32_t c) { return c ^ 15U; }},
};
constexpr ByteEdit bytes[] = {
    {"scales_zeroed", "scale factors are 0", [](std::uint32_t) { return 0U; }},
    {"scale_top_bit_lost", "scale factors keep seven bits",
     [](std::uint32_t c) { return c & 127U; }},
    {"scale_nan_lost", "the code 255 becomes 254",
     [](std::uint32_t c) { return std::min(c, 254U); }},
    {"scale_nan_lost", "the code 255 becomes 0", [](std::uint32_t c) { return c == 255 ? 0U : c; }},
    {"scale_limited", "codes stop at 127", [](std::uint32_t c) { return std::min(c, 127U); }},
    {"scale_zero_misread", "the code 0 becomes 1", [](std::uint32_t c) { return std::max(c, 1U); }},
};

template <class Edit>
Hypothesis moved(std::string id, std::string text, bool codes, Edit edit) {
  return edited(moving, std::move(id), std::move(text), [codes, edit](MovedModel& m, const Case&) {
    if (m.codes != codes) return false;
    return edit(m);
  });
}

bool to_swizzled(const MovedModel& m) { return m.to == ScaleLayout::swizzled_128x4; }
/// Scale factors, and the array of the 128x4 layout on whichever side it is.
std::uint8_t byte_at(const std::vector<std::uint8_t>& a, std::int64_t at) {
  return at >= 0 && at < std::ssize(a) ? a[static_cast<std::size_t>(at)] : std::uint8_t{0};
}

void of_swizzles(std::vector<Hypothesis>& out) {
  for (const Swizzle& row : swizzles())
    out.push_back(moved(row.id, row.text, false, [&row](MovedModel& m) {
      const golden::BlockGrid g = golden::block_grid(*m.from.format, m.from.rows, m.from.cols);
      const BlockScaledTensor from = m.from;
      m.stored = [&row, g, from](std::vector<std::uint8_t>& to, const BlockScaledTensor& t) {
        if (t.scale_layout == ScaleLayout::swizzled_128x4) {
          std::fill(to.begin(), to.end(), std::uint8_t{0});
          for (std::int64_t r = 0; r < g.down; ++r)
            for (std::int64_t b = 0; b < g.across; ++b)
              if (const std::int64_t at = row.at(g, r, b); at >= 0 && at < std::ssize(to))
                to[static_cast<std::size_t>(at)] =
                    static_cast<std::uint8_t>(golden::load_scale(from, r, b));
          return;
        }
        for (std::int64_t r = 0; r < g.down; ++r)
          for (std::int64_t b = 0; b < g.across; ++b)
            to[static_cast<std::size_t>(r * g.across + b)] = byte_at(from.scales, row.at(g, r, b));
      };
      return true;
    }));
  // A word of four scale factors that is put together from signed bytes.
  out.push_back(moved(
      "bytes_sign_extended",
      "bytes of 128 and more are extended with their sign where four are joined to a word", false,
      [](MovedModel& m) {
        if (!to_swizzled(m)) return false;
        m.stored = [](std::vector<std::uint8_t>& to, const BlockScaledTensor&) {
          for (std::size_t i = 0; i + 3 < to.size(); i += 4)
            for (std::size_t j = 0; j < 3; ++j)
              if (to[i + j] >= 0x80)
                std::fill(to.begin() + static_cast<std::ptrdiff_t>(i + j + 1),
                          to.begin() + static_cast<std::ptrdiff_t>(i + 4), std::uint8_t{0xFF});
        };
        return true;
      }));
  out.push_back(moved("word_bytes_reversed", "the four bytes of a word are in the other order",
                      false, [](MovedModel& m) {
                        m.stored = [](std::vector<std::uint8_t>& to, const BlockScaledTensor&) {
                          for (std::size_t i = 0; i + 3 < to.size(); i += 4)
                            std::reverse(to.begin() + static_cast<std::ptrdiff_t>(i),
                                         to.begin() + static_cast<std::ptrdiff_t>(i) + 4);
                        };
                        return true;
                      }));
}

/// Codes that are transposed: what the nibbles of a result become.
void of_nibbles(std::vector<Hypothesis>& out) {
  struct Pair {
    const char* id;
    const char* text;
    bool (*concerns)(std::int64_t r, std::int64_t c, const BlockScaledTensor& t);
  };
  // Row r, column c of the transpose; t is what came in.
  static constexpr Pair pairs[] = {
      {"last_code_nibble", "the last code of an odd row is in the high nibble",
       [](auto, auto c, const auto& t) { return t.rows % 2 == 1 && c + 1 == t.rows; }},
      {"nibbles_swapped", "the even element is in the high nibble",
       [](auto, auto, const auto&) { return true; }},
  };
  for (const Pair& pair : pairs)
    out.push_back(moved(pair.id, pair.text, true, [&pair](MovedModel& m) {
      m.stored = [&pair](std::vector<std::uint8_t>& to, const BlockScaledTensor& t) {
        const std::int64_t pitch = (t.rows + 1) / 2;
        for (std::int64_t r = 0; r < t.cols; ++r)
          for (std::int64_t c = 0; c < t.rows; c += 2)
            if (pair.concerns(r, std::min(c + 1, t.rows - 1), t)) {
              std::uint8_t& b = to[static_cast<std::size_t>(r * pitch + c / 2)];
              b = static_cast<std::uint8_t>(b >> 4U | b << 4U);
            }
      };
      return true;
    }));
  struct Odd {
    const char* id;
    const char* text;
    bool row, column;
  };
  static constexpr Odd odds[] = {
      {"last_row_dropped", "codes of the last row are left out where their number is odd", true,
       false},
      {"last_column_dropped", "codes of the last column are left out where their number is odd",
       false, true}};
  for (const Odd& odd : odds)
    out.push_back(moved(odd.id, odd.text, true, [&odd](MovedModel& m) {
      if ((odd.row && m.from.rows % 2 == 0) || (odd.column && m.from.cols % 2 == 0)) return false;
      for (std::int64_t r = 0; r < m.from.rows; ++r)
        for (std::int64_t c = 0; c < m.from.cols; ++c)
          if ((odd.row && r + 1 == m.from.rows) || (odd.column && c + 1 == m.from.cols))
            golden::store_code(m.from, r, c, 0);
      return true;
    }));
}

void of_values(std::vector<Hypothesis>& out) {
  for (const ByteEdit& e : nibbles)
    out.push_back(moved(e.id, e.text, true, [&e](MovedModel& m) {
      Grid g = codes_of(m.from);
      for (std::int64_t r = 0; r < g.rows; ++r)
        for (std::int64_t c = 0; c < g.cols; ++c) g.set(r, c, e.code(g.get(r, c)));
      return true;
    }));
  for (const ByteEdit& e : bytes)
    out.push_back(moved(e.id, e.text, false, [&e](MovedModel& m) {
      Grid g = scales_of(m.from);
      for (std::int64_t r = 0; r < g.rows; ++r)
        for (std::int64_t c = 0; c < g.cols; ++c) g.set(r, c, e.code(g.get(r, c)));
      return true;
    }));
}

}  // namespace

std::vector<Hypothesis> generated_of_moves() {
  std::vector<Hypothesis> out;
  of_values(out);
  of_swizzles(out);
  of_nibbles(out);
  cross(out, moving, Stage<MovedModel>{"codes", "the codes", [](MovedModel& m) {
                                         return m.codes ? std::vector{codes_of(m.from)}
                                                        : std::vector<Grid>{};
                                       }});
  cross(out, moving, Stage<MovedModel>{"scales", "the scale factors", [](MovedModel& m) {
                                         return m.codes ? std::vector<Grid>{}
                                                        : std::vector{scales_of(m.from)};
                                       }});
  return out;
}

}  // namespace assay::proptests::diagnosis

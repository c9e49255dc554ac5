// SPDX-License-Identifier: Apache-2.0
// What may go wrong where k is cut in parts: tiles of a loop, or a k that is split between threads.
#include <cmath>
#include <utility>

#include "golden/codec.h"
#include "golden/layout.h"
#include "proptests/diagnosis/product_rows.h"

namespace assay::proptests::diagnosis {
namespace {

using formats::RoundingMode;
using golden::FactoredMatrix;
using golden::RationalValue;
using golden::Value;
using Step = ProductModel::Step;

/// A way of cutting k: the number of places in each part.
struct Cut {
  std::string text;  ///< "each 64 along k"
  std::function<std::int64_t(std::int64_t k)> size;
};
const std::vector<Cut>& tiles() {
  static const std::vector<Cut> rows = [] {
    std::vector<Cut> all;
    for (const std::int64_t tile : {16, 32, 64, 128, 256, 512})
      all.push_back(
          {"each " + std::to_string(tile) + " along k", [tile](std::int64_t) { return tile; }});
    return all;
  }();
  return rows;
}
const std::vector<Cut>& splits() {
  static const std::vector<Cut> rows = [] {
    std::vector<Cut> all;
    for (const std::int64_t parts : {2, 4, 3, 8})
      for (const std::int64_t unit : {1, 2, 8, 16, 32, 64, 128}) {
        if (parts == 3 && unit > 1 && unit < 16) continue;
        const std::string whole = unit == 1 ? "" : ", each a multiple of " + std::to_string(unit);
        all.push_back(
            {"k in " + std::to_string(parts) + " parts" + whole, [parts, unit](std::int64_t k) {
               const std::int64_t size = (k + parts - 1) / parts;
               return std::max<std::int64_t>((size + unit - 1) / unit * unit, 1);
             }});
      }
    return all;
  }();
  return rows;
}

struct Narrowing {
  const char* text;
  RationalValue (*to)(const RationalValue&);
};
template <const formats::FormatSpec& format, RoundingMode mode>
RationalValue in(const RationalValue& x) {
  return rounded_to(format, mode, x);
}
/// Toward zero, to so many significant bits.
template <int bits>
RationalValue truncated(const RationalValue& x) {
  if (!x.is_finite() || x.is_zero()) return x;
  const golden::Rational size = boost::multiprecision::abs(x.number);
  const int top = std::ilogb(size.convert_to<double>());
  const golden::Rational unit = golden::Exact::power_of_two(top - bits + 1).rational();
  const golden::Rational count = size / unit;
  const golden::Rational whole = unit * golden::Rational(boost::multiprecision::numerator(count) /
                                                         boost::multiprecision::denominator(count));
  return RationalValue::finite(x.negative ? golden::Rational(-whole) : whole);
}
constexpr Narrowing narrowings[] = {
    {"rounded to bf16", in<formats::bf16, RoundingMode::nearest_even>},
    {"rounded to fp16", in<formats::fp16, RoundingMode::nearest_even>},
    {"truncated to bf16", in<formats::bf16, RoundingMode::toward_zero>},
    {"truncated to fp16", in<formats::fp16, RoundingMode::toward_zero>},
    {"truncated to 14 significant bits", truncated<14>},
    {"truncated to 13 significant bits", truncated<13>},
    {"truncated to 11 significant bits", truncated<11>},
    {"truncated to 10 significant bits", truncated<10>},
};

void sums(std::vector<ProductRow>& out, const Cut& cut) {
  const auto parts_of = [&cut](bool part, const Narrowing& n, bool last, bool scaled) {
    return [&cut, part, &n, last, scaled](ProductModel& p) {
      ProductModel::Parts parts;
      parts.of = [&cut](std::int64_t at, std::int64_t k) { return at / cut.size(k); };
      (part ? parts.part : parts.running) = n.to;
      parts.last = last;
      parts.scaled = scaled;
      p.parts = std::move(parts);
      return cut.size(p.k) < p.k || last;
    };
  };
  for (const Narrowing& n : narrowings) {
    const std::string to = n.text;
    for (const bool scaled : {false, true})
      out.push_back({"part_sums_narrowed",
                     "the sum of each part is " + to + " before parts are added (" + cut.text +
                         (scaled ? "), scaled already" : ")"),
                     parts_of(true, n, true, scaled)});
    out.push_back({"running_sum_narrowed",
                   "the running sum is " + to + " between parts (" + cut.text + ")",
                   parts_of(false, n, false, false)});
    out.push_back({"running_sum_narrowed",
                   "the running sum is " + to + " behind each part (" + cut.text + ")",
                   parts_of(false, n, true, false)});
  }
}

/// Terms at the borders of parts, and whole parts.
struct Terms {
  const char* id;
  const char* text;
  bool (*holds)(std::int64_t p, std::int64_t size, std::int64_t k);
};
constexpr Terms terms[] = {
    {"first_of_part", "the first term of each part behind the first one",
     [](auto p, auto size, auto) { return p >= size && p % size == 0; }},
    {"last_of_part", "the last term of each part before the last one",
     [](auto p, auto size, auto k) { return p % size == size - 1 && p + 1 < k; }},
    {"last_part", "the last part, where there are more,",
     [](auto p, auto size, auto k) { return k > size && p / size == (k - 1) / size; }},
    {"first_part", "the first part, where there are more,",
     [](auto p, auto size, auto k) { return k > size && p < size; }},
    {"middle_part", "every part but the first and the last",
     [](auto p, auto size, auto k) { return p >= size && p / size < (k - 1) / size; }},
    {"last_whole_part", "the last whole part before a partial one",
     [](auto p, auto size, auto k) {
       return k > size && k % size != 0 && p / size == k / size - 1;
     }},
    {"partial_part", "the last part, where it is partial,",
     [](auto p, auto size, auto k) { return k % size != 0 && p / size == k / size; }},
};
void count(std::vector<ProductRow>& out, const Cut& cut) {
  for (const Terms& which : terms)
    for (const int times : {0, 2})
      out.push_back(
          {std::string(which.id) + (times == 0 ? "_omitted" : "_twice"),
           std::string(which.text) + (times == 0 ? " does not count (" : " counts twice (") +
               cut.text + ")",
           [&cut, &which, times](ProductModel& p) {
             const std::int64_t size = cut.size(p.k);
             bool any = false;
             for (std::int64_t at = 0; at < p.k && !any; ++at) any = which.holds(at, size, p.k);
             count_terms(
                 p,
                 [&which, size](std::int64_t c, std::int64_t k) { return which.holds(c, size, k); },
                 times);
             return any;
           }});
}

/// The block in which element c of a part that begins at `first` looks for its scale factor.
struct Counting {
  const char* text;
  std::int64_t (*block)(std::int64_t c, std::int64_t first, std::int64_t width);
};
constexpr Counting countings[] = {
    {"counts scale blocks from the block in which it begins",
     [](auto c, auto first, auto width) { return first / width + (c - first) / width; }},
    {"counts scale blocks from the block behind its beginning",
     [](auto c, auto first, auto width) {
       return (first + width - 1) / width + (c - first) / width;
     }},
    {"counts scale blocks from the first of the row",
     [](auto c, auto first, auto width) { return (c - first) / width; }},
    {"has the scale factor of the block in which it begins for all its blocks",
     [](auto, auto first, auto width) { return first / width; }},
};
void scales(std::vector<ProductRow>& out, const Cut& cut) {
  for (const Counting& row : countings)
    for (const char side : {'2', 'a', 'b'})
      out.push_back(
          {"part_scale_blocks",
           std::string("each part of k ") + row.text + " (" + cut.text + "), " + operand_text(side),
           [&cut, &row, side](ProductModel& p) {
             const std::int64_t size = cut.size(p.k);
             if (size >= p.k || (side == 'a' && !p.a)) return false;
             const auto load = [size, &row](const formats::BlockScaledTensor& t, std::int64_t r,
                                            std::int64_t c) {
               const golden::BlockGrid g = golden::block_grid(*t.format, t.rows, t.cols);
               const std::int64_t b = row.block(c, c / size * size, g.block_cols);
               return golden::load_scale(t, r / g.block_rows, std::min(b, g.across - 1));
             };
             if (side != 'b' && p.a) p.a->load_scale = load;
             if (side != 'a') p.b.load_scale = load;
             return true;
           }});
}

}  // namespace

void count_terms(ProductModel& p, std::function<bool(std::int64_t c, std::int64_t k)> holds,
                 int times) {
  p.edit_operands = [edit = p.edit_operands, holds = std::move(holds), times](FactoredMatrix& a,
                                                                              FactoredMatrix& b) {
    if (edit) edit(a, b);
    for (std::int64_t c = 0; c < a.cols; ++c) {
      if (!holds(c, a.cols)) continue;
      for (FactoredMatrix* m : {&a, &b})
        for (std::int64_t r = 0; r < m->rows; ++r) {
          const std::int64_t at = r * m->cols + c;
          if (times == 0) {
            m->elements[at] = Value::zero(false);
            m->scales[at] = Value::finite(1);
          } else if (m == &a) {
            m->elements[at] = m->elements[at] * Value::finite(times);
          }
        }
    }
  };
}

std::string operand_text(char side) {
  return side == 'a' ? "in operand A" : side == 'b' ? "in operand B" : "in both operands";
}

std::vector<ProductRow> part_rows() {
  std::vector<ProductRow> out;
  for (const auto* list : {&tiles(), &splits()})
    for (const Cut& cut : *list) {
      scales(out, cut);
      count(out, cut);
      sums(out, cut);
    }
  return out;
}

}  // namespace assay::proptests::diagnosis

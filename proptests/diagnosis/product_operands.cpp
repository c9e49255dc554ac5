// SPDX-License-Identifier: Apache-2.0
// What may go wrong with the operands of a product on the way to their multiplication.
#include <algorithm>

#include "golden/fp32_order.h"
#include "golden/layout.h"
#include "proptests/diagnosis/decodes.h"
#include "proptests/diagnosis/product_rows.h"
#include "proptests/diagnosis/swizzles.h"

namespace assay::proptests::diagnosis {
namespace {

using formats::BlockScaledTensor;
using golden::FactoredMatrix;
using golden::Value;

/// Readers of one side, or of both.
std::vector<ReaderModel*> readers(ProductModel& p, char side) {
  std::vector<ReaderModel*> out;
  if (side != 'b' && p.a) out.push_back(&*p.a);
  if (side != 'a') out.push_back(&p.b);
  if (side == '2' && !p.a) out.clear();  // as of B alone
  return out;
}
std::string prefix(char side) { return side == '2' ? "" : std::string(1, side) + "_"; }
std::string of_side(const char* what, char side) {
  return std::string(what) + (side == 'a' ? " of A" : side == 'b' ? " of B" : " of both operands");
}
constexpr char sides[] = {'2', 'b', 'a'};

/// What may be added to an edit of the factored operands.
using Matrices = std::function<void(FactoredMatrix& a, FactoredMatrix& b)>;
void behind(ProductModel& p, Matrices f) {
  p.edit_operands = [edit = p.edit_operands, f = std::move(f)](FactoredMatrix& a,
                                                               FactoredMatrix& b) {
    if (edit) edit(a, b);
    f(a, b);
  };
}

void decoding(std::vector<ProductRow>& out) {
  for (const char side : sides)
    for (const Decode& row : decodes()) {
      out.push_back({prefix(side) + "element_" + row.id, said(row.text, of_side("elements", side)),
                     [&row, side](ProductModel& p) {
                       const std::vector<ReaderModel*> list = readers(p, side);
                       for (ReaderModel* m : list) {
                         const formats::FormatSpec& f = *m->t.format->element;
                         if (&f == &formats::e2m1) return false;  // reader_errors.cpp has these
                         m->element = [&row, &f](std::uint32_t c) { return row.of(f, c); };
                       }
                       return !list.empty();
                     }});
      out.push_back({prefix(side) + "scale_" + row.id,
                     said(row.text, of_side("scale factors", side)), [&row, side](ProductModel& p) {
                       const std::vector<ReaderModel*> list = readers(p, side);
                       for (ReaderModel* m : list)
                         m->scale = [&row](const formats::FormatSpec& f, std::uint32_t c) {
                           return row.of(f, c);
                         };
                       return !list.empty();
                     }});
    }
}

/// Element times scale factor, as one number, with the tensor scale or without.
void dequantized(std::vector<ProductRow>& out) {
  for (const bool whole : {false, true})
    for (const char side : sides)
      for (const ValueEdit& edit : value_edits()) {
        if (edit.factor) continue;
        const std::string text = of_side("each dequantized element", side) +
                                 (whole ? ", its tensor scale included," : "");
        out.push_back({prefix(side) + "dequantized_" + edit.id, said(edit.text, text),
                       [&edit, side, whole](ProductModel& p) {
                         if (side != 'b' && !p.a) return false;
                         behind(p, [&edit, side, whole](FactoredMatrix& a, FactoredMatrix& b) {
                           for (FactoredMatrix* m : {&a, &b}) {
                             if ((side == 'a' && m == &b) || (side == 'b' && m == &a)) continue;
                             const Value g = golden::value_of(whole ? m->tensor_scale : 1.0F);
                             for (std::size_t i = 0; i < m->elements.size(); ++i) {
                               m->elements[i] = edited_value(
                                   edit, golden::fl(m->elements[i] * m->scales[i] * g));
                               m->scales[i] = Value::finite(1);
                             }
                             if (whole) m->tensor_scale = 1.0F;
                           }
                         });
                         return true;
                       }});
      }
  // Weights made anew for an FP8 unit, in units of the largest scale factor of 128 columns.
  out.push_back({"reencoded_subnormals_flushed",
                 "weights that are E4M3 subnormals beside the largest scale factor of their 128 "
                 "columns count as 0",
                 [](ProductModel& p) {
                   if (!p.a || p.a->t.format->element == &formats::e2m1) return false;
                   behind(p, [](FactoredMatrix&, FactoredMatrix& b) {
                     for (std::int64_t r = 0; r < b.rows; ++r)
                       for (std::int64_t c = 0; c < b.cols; ++c) {
                         const std::int64_t first = r * b.cols + c / 128 * 128;
                         const std::int64_t last = std::min(first + 128, r * b.cols + b.cols);
                         Value top = Value::zero(false);
                         for (std::int64_t i = first; i < last; ++i)
                           if (golden::less(top, b.scales[i])) top = b.scales[i];
                         Value& e = b.elements[r * b.cols + c];
                         const Value size = e * b.scales[r * b.cols + c];
                         const Value least = top * Value::finite(golden::Exact::power_of_two(-12));
                         if (golden::less(size.negative ? -size : size, least))
                           e = Value::zero(e.negative);
                       }
                   });
                   return true;
                 }});
}

/// Blocks that do not meet their own scale factor.
struct Blocks {
  const char* text;
  bool (*holds)(std::int64_t b, std::int64_t across, bool partial);
};
constexpr Blocks blocks[] = {
    {"the last block of a row", [](auto b, auto n, bool) { return b == n - 1; }},
    {"the last block of a row, where it is partial,",
     [](auto b, auto n, bool partial) { return partial && b == n - 1; }},
    {"the last of an odd number of blocks",
     [](auto b, auto n, bool) { return n % 2 == 1 && b == n - 1; }},
    {"every odd block", [](auto b, auto, bool) { return b % 2 == 1; }},
    {"every even block", [](auto b, auto, bool) { return b % 2 == 0; }},
    {"blocks behind the last whole 4", [](auto b, auto n, bool) { return b >= n / 4 * 4; }},
    {"blocks from the fifth on", [](auto b, auto, bool) { return b >= 4; }},
    {"the first block of a row", [](auto b, auto, bool) { return b == 0; }},
};
struct Instead {
  const char* id;
  const char* text;
  std::int64_t (*block)(std::int64_t b, std::int64_t across);
};
constexpr std::int64_t as_one = -1;
constexpr std::int64_t as_zero = -2;
constexpr Instead insteads[] = {
    {"scale_block_off_by_one", "the scale factor of the block before",
     [](auto b, auto) { return std::max<std::int64_t>(b - 1, 0); }},
    {"scale_block_off_by_one", "the scale factor of the next block",
     [](auto b, auto n) { return std::min<std::int64_t>(b + 1, n - 1); }},
    {"scale_of_first_block", "the scale factor of the first block",
     [](auto, auto) { return std::int64_t{0}; }},
    {"scale_omitted_in_part", "no scale factor", [](auto, auto) { return as_one; }},
    {"block_omitted", "the scale factor 0", [](auto, auto) { return as_zero; }},
};
void some_blocks(std::vector<ProductRow>& out) {
  for (const char side : sides)
    for (const Blocks& which : blocks)
      for (const Instead& instead : insteads)
        out.push_back(
            {prefix(side) + instead.id,
             std::string(which.text) + " meets " + instead.text + ", " + operand_text(side),
             [side, &which, &instead](ProductModel& p) {
               if (side == 'a' && !p.a) return false;
               const auto widths = std::pair(p.claim.a == nullptr ? 0 : p.claim.a->block.cols,
                                             p.claim.b->block.cols);
               behind(p, [side, &which, &instead, widths](FactoredMatrix& a, FactoredMatrix& b) {
                 for (FactoredMatrix* m : {&a, &b}) {
                   if ((side == 'a' && m == &b) || (side == 'b' && m == &a)) continue;
                   const std::int64_t width = m == &a ? widths.first : widths.second;
                   if (width == 0) continue;
                   const std::int64_t across = (m->cols + width - 1) / width;
                   const std::vector<Value> from = m->scales;
                   for (std::int64_t i = 0; i < m->rows * m->cols; ++i) {
                     const std::int64_t block = i % m->cols / width;
                     if (!which.holds(block, across, m->cols % width != 0)) continue;
                     const std::int64_t other = instead.block(block, across);
                     m->scales[i] = other == as_one ? Value::finite(1)
                                    : other == as_zero
                                        ? Value::zero(false)
                                        : from[i / m->cols * m->cols + other * width];
                   }
                 }
               });
               return true;
             }});
}

}  // namespace

std::vector<ProductRow> swizzle_rows() {
  std::vector<ProductRow> out;
  for (const char side : sides)
    for (const Swizzle& row : swizzles())
      for (const bool wraps : {true, false})
        out.push_back({row.id, std::string(row.text) + ", " + operand_text(side),
                       [side, &row, wraps](ProductModel& p) {
                         for (ReaderModel* m : readers(p, side))
                           m->load_scale = [&row, wraps](const BlockScaledTensor& t, std::int64_t r,
                                                         std::int64_t c) -> std::uint32_t {
                             const golden::BlockGrid g =
                                 golden::block_grid(*t.format, t.rows, t.cols);
                             const std::int64_t at = row.at(g, r, c / g.block_cols);
                             const auto size = static_cast<std::int64_t>(t.scales.size());
                             return at < size ? t.scales[at] : wraps ? t.scales[at % size] : 0;
                           };
                         return !readers(p, side).empty();
                       },
                       is_swizzled});
  return out;
}

namespace {

/// The end of k is what a buffer held before: some columns are those of an earlier tile.
void stale(std::vector<ProductRow>& out) {
  for (const char side : {'a', 'b'})
    for (const std::int64_t back : {16, 32, 64, 128, 192, 256})
      for (const std::int64_t width : {0, 1, 2, 4, 8, 16, 32})
        for (const bool scales : {false, true})
          out.push_back(
              {prefix(side) + "tile_stale",
               (width == 0 ? "all columns behind the last whole " + std::to_string(back)
                           : "the last " + std::to_string(width) + " columns along k") +
                   (scales ? " of " : " of the codes of ") + static_cast<char>(side - 32) +
                   " are those " + std::to_string(back) + " before: a buffer that is stale",
               [side, back, width, scales](ProductModel& p) {
                 if (p.k <= back) return false;
                 behind(p, [side, back, width, scales](FactoredMatrix& a, FactoredMatrix& b) {
                   FactoredMatrix& m = side == 'a' ? a : b;
                   const FactoredMatrix from = m;
                   const std::int64_t first =
                       width == 0 ? m.cols / back * back : std::max(back, m.cols - width);
                   for (std::int64_t r = 0; r < m.rows; ++r)
                     for (std::int64_t c = first; c < m.cols; ++c) {
                       m.elements[r * m.cols + c] = from.elements[r * m.cols + c - back];
                       if (scales) m.scales[r * m.cols + c] = from.scales[r * m.cols + c - back];
                     }
                 });
                 return true;
               }});
}

/// k is rounded up, and what follows a row in dense memory counts: the beginning of the next.
void beyond_rows(std::vector<ProductRow>& out) {
  for (const std::int64_t tile : {2, 4, 8, 16, 32, 64, 128})
    out.push_back({"k_rounded_up",
                   "k is rounded up to a multiple of " + std::to_string(tile) +
                       ": the beginning of the next row counts too",
                   [tile](ProductModel& p) {
                     if (p.k == 0 || p.k % tile == 0) return false;
                     behind(p, [tile](FactoredMatrix& a, FactoredMatrix& b) {
                       for (FactoredMatrix* m : {&a, &b}) {
                         const FactoredMatrix from = *m;
                         m->cols = (from.cols + tile - 1) / tile * tile;
                         m->elements.clear();
                         m->scales.clear();
                         for (std::int64_t r = 0; r < m->rows; ++r)
                           for (std::int64_t c = 0; c < m->cols; ++c) {
                             const std::int64_t at = r * from.cols + c;
                             const bool there = at < from.rows * from.cols;
                             m->elements.push_back(there ? from.elements[at] : Value::zero(false));
                             m->scales.push_back(there ? from.scales[at] : Value::finite(1));
                           }
                       }
                     });
                     return true;
                   }});
}

template <const formats::FormatSpec& format>
void block_sums(std::vector<ProductRow>& out, const char* name) {
  out.push_back({"block_sum_narrow",
                 std::string("the sum of element products within a scale block is kept in ") + name,
                 [](ProductModel& p) {
                   p.accumulate_in_block = [](const Value& sum, const Value& product) {
                     return golden::decode(
                         format,
                         golden::encode(format, sum + product, formats::RoundingMode::nearest_even,
                                        golden::policy_of(formats::ieee, format)));
                   };
                   return true;
                 }});
}

}  // namespace

std::vector<ProductRow> operand_rows() {
  std::vector<ProductRow> out;
  decoding(out);
  dequantized(out);
  some_blocks(out);
  beyond_rows(out);
  block_sums<formats::fp16>(out, "fp16");
  block_sums<formats::bf16>(out, "bf16");
  stale(out);
  return out;
}

}  // namespace assay::proptests::diagnosis

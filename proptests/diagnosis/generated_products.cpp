// SPDX-License-Identifier: Apache-2.0
// What may go wrong at the stages of a product: reading, which terms count, the epilogue. Plain,
// fused and gated products have these stages in common.
#include <cmath>
#include <type_traits>

#include "proptests/diagnosis/product_rows.h"
#include "proptests/diagnosis/stages.h"

namespace assay::proptests::diagnosis {
namespace {

using golden::Value;

template <class Model>
using ProductOf = ProductModel& (*)(Model&);

/// By the names of the known errors, where they have one.
std::string terms_id(const Some& which, int times) {
  const std::string id = which.id;
  if (times != 0) return "terms_twice";
  if (id == "first" || id == "last") return id + "_k_dropped";
  if (id.starts_with("behind_") || id.starts_with("tail_")) return "k_tail_dropped";
  return "terms_omitted";
}

/// Both grids of a block-scaled operand: what moves a row of codes moves its scale factors.
std::vector<Grid> both(formats::BlockScaledTensor& t) { return {codes_of(t), scales_of(t)}; }

template <class Model>
void of_product(std::vector<Hypothesis>& out, const Operation<Model>& op, ProductOf<Model> of,
                bool reads_a) {
  const auto stage = [&](const char* id, const char* text, auto grids, bool factor = false,
                         bool values = true) {
    cross(out, op, Stage<Model>{id, text, grids, factor, values});
  };
  stage("bias", "the bias", [of](Model& m) {
    ProductModel& p = of(m);
    return p.bias.empty() ? std::vector<Grid>{} : std::vector{grid_of(p.bias, 1, p.n)};
  });
  stage("c", "C", [of](Model& m) {
    ProductModel& p = of(m);
    return p.c.empty() || p.beta == 0.0F ? std::vector<Grid>{}
                                         : std::vector{grid_of(p.c, p.m, p.n)};
  });
  if (reads_a) {
    stage("a", "A", [of](Model& m) {
      ProductModel& p = of(m);
      return p.a ? both(p.a->t) : std::vector{grid_of(p.a_bf16, p.m, p.k)};
    });
    stage("a_codes", "the codes of A", [of](Model& m) {
      ProductModel& p = of(m);
      return p.a ? std::vector{codes_of(p.a->t)} : std::vector<Grid>{};
    });
    stage("a_scale", "the scale factors of A", [of](Model& m) {
      ProductModel& p = of(m);
      return p.a ? std::vector{scales_of(p.a->t)} : std::vector<Grid>{};
    });
  }
  stage("b", "B", [of](Model& m) { return both(of(m).b.t); });
  stage("b_codes", "the codes of B", [of](Model& m) { return std::vector{codes_of(of(m).b.t)}; });
  stage("b_scale", "the scale factors of B",
        [of](Model& m) { return std::vector{scales_of(of(m).b.t)}; });
  for (const ValueEdit& edit : value_edits())
    for (const char side : {'a', 'b'}) {
      if (side == 'a' && !reads_a) continue;
      const auto spoil = [&edit, side, of](Model& m, const Case&) {
        ProductModel& p = of(m);
        if (side == 'a' && !p.a) return false;
        (side == 'a' ? *p.a : p.b).factor = [&edit](const Value& s) {
          return edited_value(edit, s);
        };
        return true;
      };
      const std::string text = side == 'a' ? "each scale factor of A" : "each scale factor of B";
      out.push_back(
          edited(op, std::string(1, side) + "_scale_" + edit.id, said(edit.text, text), spoil));
    }
  for (const Some& which : some())
    for (const int times : {0, 2})
      out.push_back(edited(op, terms_id(which, times),
                           std::string(which.text) +
                               (times == 0 ? " along k does not count" : " along k counts twice"),
                           [&which, times, of](Model& m, const Case&) {
                             count_terms(of(m), which.holds, times);
                             return true;
                           }));
  for (const ReaderError& row : reader_errors())
    for (const char side : {'a', 'b'}) {
      if (std::is_same_v<Model, ProductModel>) break;  // known of plain products
      out.push_back(edited(
          op, row.id, row.name + (side == 'a' ? ", in operand A" : ", in operand B"),
          [&row, side, of](Model& m, const Case&) {
            ProductModel& p = of(m);
            if (side == 'a' && !p.a) return false;
            row.spoil(side == 'a' ? *p.a : p.b);
            return true;
          },
          [&row, side](const kernels::Claim& c) {
            const formats::BlockFormat* f = side == 'a' ? c.a : c.b;
            return f != nullptr && (row.applies == nullptr || row.applies(*f));
          }));
    }
}

template <class Model>
void of_rows(std::vector<Hypothesis>& out, const Operation<Model>& op, ProductOf<Model> of,
             std::vector<ProductRow> rows) {
  for (ProductRow& row : rows)
    out.push_back(edited(
        op, row.id, row.text,
        [spoil = std::move(row.spoil), of](Model& m, const Case&) { return spoil(of(m)); },
        row.applies));
}

/// A bias that stays where it was copied to.
template <class Model>
Hypothesis kept_bias(const Operation<Model>& op, ProductOf<Model> of) {
  Hypothesis h = of_earlier_call(op, "bias", "the bias of a call without one", true,
                                 [of](Model& m, Model& before) {
                                   ProductModel& now = of(m);
                                   const ProductModel& then = of(before);
                                   if (!now.bias.empty() || then.bias.empty() || now.n != then.n)
                                     return false;
                                   now.bias = then.bias;
                                   return true;
                                 });
  return h;
}

template <class Model>
void of_factors(std::vector<Hypothesis>& out, const Operation<Model>& op, float* (*alpha)(Model&),
                float* (*beta)(Model&), float* (*ga)(Model&), float* (*gb)(Model&)) {
  cross(out, op, scalar<Model>("alpha", "alpha", alpha));
  cross(out, op, scalar<Model>("beta", "beta", beta));
  cross(out, op, scalar<Model>("a_tensor_scale", "the tensor scale of A", ga));
  cross(out, op, scalar<Model>("b_tensor_scale", "the tensor scale of B", gb));
}

}  // namespace

std::vector<Hypothesis> generated_of_products() {
  std::vector<Hypothesis> out;
  const auto plain = [](ProductModel& m) -> ProductModel& { return m; };
  const auto fused = [](FusedModel& m) -> ProductModel& { return m.product; };
  const auto gated = [](GatedModel& m) -> ProductModel& { return m.product; };
  // The simplest first: of two that explain as much, that one is named.
  of_rows<ProductModel>(out, multiplying, plain, swizzle_rows());
  of_rows<FusedModel>(out, fusing, fused, swizzle_rows());
  of_rows<GatedModel>(out, gating, gated, swizzle_rows());
  of_product<ProductModel>(out, multiplying, plain, true);
  of_factors<ProductModel>(
      out, multiplying, [](ProductModel& m) { return &m.alpha; },
      [](ProductModel& m) { return m.beta == 0.0F ? nullptr : &m.beta; },
      [](ProductModel& m) { return m.a ? &m.a->t.tensor_scale : nullptr; },
      [](ProductModel& m) { return &m.b.t.tensor_scale; });
  of_product<FusedModel>(out, fusing, fused, false);
  of_factors<FusedModel>(
      out, fusing, [](FusedModel& m) { return &m.product.alpha; },
      [](FusedModel& m) { return m.product.beta == 0.0F ? nullptr : &m.product.beta; },
      [](FusedModel&) -> float* { return nullptr; },
      [](FusedModel& m) { return &m.product.b.t.tensor_scale; });
  of_product<GatedModel>(out, gating, gated, true);
  of_factors<GatedModel>(
      out, gating, [](GatedModel&) -> float* { return nullptr; },
      [](GatedModel&) -> float* { return nullptr; },
      [](GatedModel& m) { return m.product.a ? &m.product.a->t.tensor_scale : nullptr; },
      [](GatedModel& m) { return &m.product.b.t.tensor_scale; });
  for (const ProductError& row : product_errors())
    out.push_back(edited(gating, row.id, row.name,
                         [&row](GatedModel& m, const Case&) { row.spoil(m.product); }));
  of_rows<ProductModel>(out, multiplying, plain, epilogue_rows());
  of_rows<FusedModel>(out, fusing, fused, epilogue_rows());
  for (auto* rows : {operand_rows, part_rows}) {
    of_rows<ProductModel>(out, multiplying, plain, rows());
    of_rows<FusedModel>(out, fusing, fused, rows());
    of_rows<GatedModel>(out, gating, gated, rows());
  }
  out.push_back(kept_bias<ProductModel>(multiplying, plain));
  out.push_back(kept_bias<FusedModel>(fusing, fused));
  // Between the codes that a fused kernel shows and the product.
  for (const MapEdit& edit : map_edits())
    for (const bool scales : {false, true})
      out.push_back(edited(
          fusing, std::string(scales ? "a_scale_" : "a_codes_") + edit.id,
          said(edit.text, scales ? "the scale factors of the quantized A" : "the quantized A"),
          [&edit, scales](FusedModel& m, const Case&) {
            m.between = [&edit, scales](formats::BlockScaledTensor& t) {
              Grid g = scales ? scales_of(t) : codes_of(t);
              apply(edit, g, true);
            };
          }));
  for (const ValueEdit& edit : value_edits())
    out.push_back(edited(fusing, std::string("a_tensor_scale_") + edit.id,
                         said(edit.text, "the tensor scale of the quantized A"),
                         [&edit](FusedModel& m, const Case&) {
                           m.between = [&edit](formats::BlockScaledTensor& t) {
                             t.tensor_scale = edit.value(t.tensor_scale);
                           };
                         }));
  return out;
}

}  // namespace assay::proptests::diagnosis

// SPDX-License-Identifier: Apache-2.0
#pragma once
// Stages of an operation, and the hypotheses that edits.h makes of each.

#include <bit>
#include <string>
#include <utility>
#include <vector>

#include "proptests/diagnosis/edits.h"
#include "proptests/diagnosis/operations.h"

namespace assay::proptests::diagnosis {

/// Numbers or codes that a model holds, and that an error may spoil before they are used.
template <class Model>
struct Stage {
  std::string id;    ///< "bias"
  std::string text;  ///< "the bias"
  /// Grids that move together (codes and their scale factors would be two). None: absent here.
  std::function<std::vector<Grid>(Model&)> grids;
  bool factor = false;  ///< multiplies what it meets
  bool values = true;   ///< it makes sense to edit its numbers one by one
  bool places = true;   ///< it has more than one place
};

/// Elements that lie between the rows of an operand of this width, and the bits of one.
inline void spread(Grid& g, const Call& call) {
  g.gap = g.rows > 1 ? call.row_gap : 0;
  g.pad = g.width == 0    ? call.pad & 0xFU
          : g.width == 16 ? call.pad * 0x0101U
                          : call.pad * 0x01010101U;
}

/// What both have room for; false where nothing changes.
inline bool copy(Grid& now, const Grid& then) {
  bool changed = false;
  for (std::int64_t r = 0; r < std::min(now.rows, then.rows); ++r)
    for (std::int64_t k = 0; k < std::min(now.cols, then.cols); ++k) {
      const std::uint32_t bits = then.get(r, k);
      changed = changed || bits != now.get(r, k);
      now.set(r, k, bits);
    }
  return changed;
}

/// A stage that is that of an earlier call, whichever reproduces the answer: the last one, for a
/// single number, or any (`all`), for an operand that a cache may hold. `take` replaces what is
/// kept, and returns whether that changes anything.
template <class Model, class Take>
Hypothesis of_earlier_call(const Operation<Model>& operation, const std::string& id,
                           const std::string& text, bool all, Take take) {
  Hypothesis h;
  h.id = id + "_of_earlier_call";
  h.name = said("{} is that of an earlier call", text);
  h.applies = operation.is;
  h.predict = [&operation, all, take](const Case& c,
                                      const Prediction& right) -> std::optional<Prediction> {
    constexpr std::size_t few = 2;
    const Seen left = seen(c);
    for (std::size_t i = 0; i < c.earlier.size() && (all || i < few); ++i) {
      Model model = operation.of(c);
      Model before = operation.of(Case{c.earlier[i], c.answer});
      if (!take(model, before)) continue;
      Prediction p = operation.predict(model);
      keep_places(p, right);
      if (reproduces(p, right, left)) return p;
    }
    return std::nullopt;
  };
  return h;
}

template <class Model>
void cross(std::vector<Hypothesis>& out, const Operation<Model>& operation,
           const Stage<Model>& stage) {
  if (stage.values)
    for (const ValueEdit& edit : value_edits()) {
      const bool additive_omission = std::string(edit.id) == "omitted" && !edit.factor;
      if (edit.factor && !stage.factor) continue;
      if (stage.factor && additive_omission) continue;
      out.push_back(edited(operation, stage.id + "_" + edit.id, said(edit.text, stage.text),
                           [&edit, grids = stage.grids](Model& m, const Case&) {
                             bool changed = false;
                             for (Grid& g : grids(m)) changed = apply(edit, g) || changed;
                             return changed;
                           }));
    }
  for (const MapEdit& edit : map_edits())
    for (const bool wrap : {false, true}) {
      if (!stage.places) break;
      out.push_back(edited(operation, stage.id + "_" + edit.id, said(edit.text, stage.text),
                           [&edit, wrap, grids = stage.grids](Model& m, const Case& c) {
                             bool changed = false;
                             for (Grid& g : grids(m)) {
                               spread(g, c.call);
                               changed = apply(edit, g, wrap) || changed;
                             }
                             return changed;
                           }));
    }
  out.push_back(of_earlier_call(operation, stage.id, stage.text, stage.places,
                                [grids = stage.grids](Model& m, Model& before) {
                                  std::vector<Grid> now = grids(m);
                                  std::vector<Grid> then = grids(before);
                                  bool changed = false;
                                  for (std::size_t i = 0; i < now.size() && i < then.size(); ++i)
                                    changed = copy(now[i], then[i]) || changed;
                                  return changed;
                                }));
}

/// A single number of a model.
template <class Model>
Stage<Model> scalar(std::string id, std::string text, float* (*of)(Model&)) {
  return {std::move(id),
          std::move(text),
          [of](Model& m) {
            float* const x = of(m);
            if (x == nullptr) return std::vector<Grid>{};
            return std::vector<Grid>{
                {1, 1, [x](auto, auto) { return std::bit_cast<std::uint32_t>(*x); },
                 [x](auto, auto, auto bits) { *x = std::bit_cast<float>(bits); }}};
          },
          true,
          true,
          false};
}

// The parts of generated_hypotheses().
[[nodiscard]] std::vector<Hypothesis> generated_of_outputs();
[[nodiscard]] std::vector<Hypothesis> generated_of_quantizers();
[[nodiscard]] std::vector<Hypothesis> generated_of_readers();
[[nodiscard]] std::vector<Hypothesis> generated_of_moves();
[[nodiscard]] std::vector<Hypothesis> generated_of_conversions();
[[nodiscard]] std::vector<Hypothesis> generated_of_packing();  ///< among those of conversions
[[nodiscard]] std::vector<Hypothesis> generated_of_draws();
[[nodiscard]] std::vector<Hypothesis> generated_of_generators();  ///< among those of draws
[[nodiscard]] std::vector<Hypothesis> generated_of_products();
[[nodiscard]] std::vector<Hypothesis> generated_of_gates();
[[nodiscard]] std::vector<Hypothesis> generated_of_gate_halves();
[[nodiscard]] std::vector<Hypothesis> generated_of_groups();
[[nodiscard]] std::vector<Hypothesis> generated_of_group_memory();
[[nodiscard]] std::vector<Hypothesis> generated_of_training();
[[nodiscard]] std::vector<Hypothesis> generated_of_estimators();

}  // namespace assay::proptests::diagnosis

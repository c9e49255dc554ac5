// SPDX-License-Identifier: Apache-2.0
#pragma once
// A precision recipe as data: which format every class of tensors has, with its scale rule,
// rounding, straight-through estimator and accumulator; the master weights; loss scaling; and a
// schedule that moves classes (or some experts) from one format to another during training. Recipes
// are JSON files (simulator/recipes/, embedded at build time); a user's own file has the same form
// (docs/replay.md).

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/presets.h"

namespace assay::simulator {

/// Tensors that a recipe treats alike: the linears of attention (q, k, v, o), the linears of routed
/// experts, any other feed-forward linear, the router, the embedding, the output head, the norms,
/// the queries and keys of a sparse-attention indexer.
enum class TensorClass : std::uint8_t {
  attention,
  expert,
  dense,
  router,
  embedding,
  head,
  norm,
  indexer
};
inline constexpr std::array<std::string_view, 8> kTensorClassNames{
    "attention", "expert", "dense", "router", "embedding", "head", "norm", "indexer"};
[[nodiscard]] std::string_view name(TensorClass c);
/// Throws InputError naming the known classes.
[[nodiscard]] TensorClass tensor_class(std::string_view name);

/// Straight-through estimator of a quantized weight: golden::Estimator, by value and name;
/// formulas in golden/estimator.h.
enum class SteKind : std::uint8_t { identity, clip_mask, lsq, pact, ewgs, dge, trust_mask };
inline constexpr std::array<std::string_view, 7> kSteNames{
    "identity", "clip_mask", "lsq", "pact", "ewgs", "dge", "trust_mask"};
[[nodiscard]] std::string_view name(SteKind k);

/// Where the scale factors of a block format come from.
enum class ScaleSource : std::uint8_t {
  rule,           ///< the block format's own rule, from amax
  least_squares,  ///< ScaleRule::given: the group scale of least squared error (group_scale.h),
                  ///< which is where a learned scale converges for frozen weights; said in every
                  ///< report
};

/// How one operand (weight, activation, gradient) of a linear is stored: cast to `element`, or
/// quantized to `block`; exactly one of the two is set.
struct OperandFormat {
  const formats::FormatSpec* element = nullptr;
  std::optional<formats::BlockFormat> block;  ///< a preset, or a preset with another block shape
  formats::RoundingMode rounding = formats::RoundingMode::nearest_even;
  int random_bits = 0;  ///< of stochastic rounding, 1..16
  ScaleSource scales = ScaleSource::rule;
  /// Before the operand is quantized, groups of so many elements along the longer side of its block
  /// (rows where it is square, or a cast) are replaced by their Hadamard transform; 0: they are
  /// not.
  int hadamard = 0;
  bool random_signs = false;  ///< multiplied by one fixed vector of random signs before it
  /// The format the dequantized values are encoded to again before the GEMM (DeepSeek-V4: E4M3);
  /// replay counts the elements that this changes.
  std::optional<formats::BlockFormat> reencode;

  [[nodiscard]] std::string_view format_name() const;
};

/// What the recipe's GEMM accumulates in (simulator/graph/accumulate.h). Replay accumulates in
/// double unless asked for this; golden/bounds.h bounds what an accumulator adds.
struct AccumulatorModel {
  std::string kind = "fp32";  ///< fp32 | truncating | the name of an MmaModel
  int fraction_bits = 0;      ///< of a truncating accumulator
  int promotion = 0;          ///< promoted to FP32 every so many elements of k; 0: never
};

/// Everything a recipe says about the linears of one class.
struct Treatment {
  OperandFormat weight, activation, gradient;
  /// What the product of the weight gradient reads in place of `activation` and `gradient`.
  std::optional<OperandFormat> wgrad_input, wgrad_gradient;
  SteKind ste = SteKind::identity;
  AccumulatorModel accumulator;
  float ste_parameter = 0;  ///< delta of ewgs, T of trust_mask (golden::Estimator); else 0
};

/// From `step` on, weights of `tensor_class` (of these experts; empty: all) have `weight`. A class
/// that appears in the schedule is in high precision before its first entry.
struct ScheduleEntry {
  std::int64_t step = 0;
  TensorClass tensor_class = TensorClass::expert;
  std::vector<int> experts;
  OperandFormat weight;
};

struct LossScaling {
  std::string kind = "none";  ///< none | static | dynamic
  double initial = 1.0;
  int growth_interval = 0;  ///< steps without overflow before a dynamic scale doubles
};

/// Layers that stay in high precision, as shares of the network's depth.
struct KeptLayers {
  double first = 0, last = 0;  ///< 0..1; a share of L layers is ceil(share * L) of them
};

/// Where a tensor lies in the depth of its network; outside the layers: layer -1.
struct LayerPlace {
  int layer = -1;
  int layers = 0;
};

struct Recipe {
  std::string name;
  std::string summary;
  std::string source;
  std::vector<std::string> notes;                 ///< what this project had to choose
  OperandFormat high_precision;                   ///< of every class that `classes` does not name
  std::vector<std::optional<Treatment>> classes;  ///< indexed by TensorClass
  const formats::FormatSpec* master = &formats::fp32;
  const formats::FormatSpec* moments = &formats::fp32;          ///< of the optimizer
  const formats::FormatSpec* weight_gradient = &formats::fp32;  ///< as it is accumulated
  LossScaling loss_scaling;
  std::vector<ScheduleEntry> schedule;  ///< ascending steps
  KeptLayers kept;

  /// What holds for a tensor of class `c` (of expert `expert`, or -1) at training step `step`.
  [[nodiscard]] Treatment treatment(TensorClass c, int expert, std::int64_t step,
                                    LayerPlace place = {}) const;
};

/// Reads a recipe. `origin` names the text in errors. Throws InputError with one
/// sentence that names the origin, the key and what is allowed.
[[nodiscard]] Recipe parse_recipe(std::string_view json, std::string_view origin);

/// The embedded recipe of this name, or else the recipe file at this path. Throws
/// InputError naming the known recipes.
[[nodiscard]] Recipe load_recipe(const std::string& name_or_path);

/// The JSON text that load_recipe() reads; throws as it does.
[[nodiscard]] std::string recipe_text(const std::string& name_or_path);

/// Names of the embedded recipes, in the order of the tables users see.
[[nodiscard]] std::vector<std::string_view> recipe_names();

/// The embedded JSON text of a recipe; throws like load_recipe.
[[nodiscard]] std::string_view recipe_json(std::string_view name);

}  // namespace assay::simulator

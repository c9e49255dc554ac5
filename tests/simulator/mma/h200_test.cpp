// SPDX-License-Identifier: Apache-2.0
// The models of Hopper's instructions against what an H200 returned: a tile of each instruction and
// family of operands, written by `assay probe --vectors` (docs/evidence/probe-h200.md).
#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "simulator/mma/dot.h"
#include "simulator/safetensors.h"

namespace assay::simulator {
namespace {

struct Tile {
  std::string family;
  std::size_t k = 0;
  std::vector<std::uint32_t> a, b, c, d;  ///< 64 x k, 8 x k, 64 x 8, 64 x 8
};

std::vector<std::uint32_t> codes_of(const TensorView& view) {
  const std::size_t width = view.bytes.size() / view.element_count();
  std::vector<std::uint32_t> codes(view.element_count());
  for (std::size_t i = 0; i < codes.size(); ++i)
    std::memcpy(&codes[i], view.bytes.data() + i * width, width);
  return codes;
}

/// By model.
const std::map<std::string, std::vector<Tile>>& tiles() {
  static const auto all = [] {
    const SafetensorsFile file(ASSAY_H200_VECTORS);
    std::map<std::string, std::vector<Tile>> by_model;
    for (const SafetensorsEntry& entry : file.header().entries) {
      if (!entry.name.ends_with("/a")) continue;
      const std::string base = entry.name.substr(0, entry.name.size() - 1);
      const std::size_t slash = base.find('/');
      Tile t;
      t.family = base.substr(slash + 1);
      t.k = static_cast<std::size_t>(entry.shape.at(1));
      t.a = codes_of(file.tensor(base + "a"));
      t.b = codes_of(file.tensor(base + "b"));
      t.c = codes_of(file.tensor(base + "c"));
      t.d = codes_of(file.tensor(base + "d"));
      by_model[base.substr(0, slash)].push_back(std::move(t));
    }
    return by_model;
  }();
  return all;
}

template <class Dot>
std::size_t mismatches(const Tile& t, Dot dot_of) {
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < t.d.size(); ++i) {
    const std::span a = std::span(t.a).subspan(i / 8 * t.k, t.k);
    const std::span b = std::span(t.b).subspan(i % 8 * t.k, t.k);
    wrong += dot_of(DotOperands{a, b, t.c[i]}) != t.d[i] ? 1 : 0;
  }
  return wrong;
}

TEST(H200, EveryBit) {
  ASSERT_FALSE(tiles().empty());
  for (const auto& [name, of_model] : tiles()) {
    const MmaModel& model = find_mma_model(name);
    for (const Tile& t : of_model)
      EXPECT_EQ(mismatches(t, [&](const DotOperands& o) { return dot(model, o); }), 0U)
          << name << " " << t.family;
  }
}

TEST(H200, EveryHopperModelHasVectors) {
  for (const MmaModel& m : all_mma_models())
    EXPECT_TRUE(!m.name.starts_with("hopper.") || tiles().contains(m.name)) << m.name;
}

struct Change {
  const char* what;
  void (*make)(MmaModel&);
  bool (*shows)(const MmaModel&);  ///< what else cannot differ on any operands
};
/// FP16 results keep 14 bits fewer than sums with F = 25: a tile is too small to meet operands that
/// show it.
bool shows_alignment(const MmaModel& m) { return m.d == &formats::fp32 || m.fraction_bits <= 13; }
constexpr Change changes[] = {
    {"F - 1", [](MmaModel& m) { --m.fraction_bits; }, shows_alignment},
    {"F + 1", [](MmaModel& m) { ++m.fraction_bits; }, shows_alignment},
    {"L / 2",
     [](MmaModel& m) {
       m.step /= 2;
       m.shortest_k = std::min(m.shortest_k, m.step);
     },
     [](const MmaModel&) { return true; }},
    {"to nearest in place of truncation", [](MmaModel& m) { m.conversion = Conversion::rne_fp32; },
     [](const MmaModel& m) { return m.d == &formats::fp32; }},
    {"sign of an underflow kept", [](MmaModel& m) { m.signed_underflow = true; },
     // FP8 products reach neither FP32's nor, truncated to 13 bits, FP16's underflow often enough.
     [](const MmaModel& m) { return m.name == "hopper.mma.f16.f16"; }},
};

TEST(H200, RejectsChangedParameters) {
  for (const auto& [name, of_model] : tiles()) {
    for (const Change& change : changes) {
      MmaModel model = find_mma_model(name);
      if (!change.shows(model)) continue;
      change.make(model);
      std::size_t wrong = 0;
      for (const Tile& t : of_model)
        wrong += mismatches(t, [&](const DotOperands& o) { return dot(model, o); });
      EXPECT_GT(wrong, 0U) << name << ": " << change.what;
    }
  }
}

/// c added after the sum, as an ordinary accumulator would.
TEST(H200, RejectsAnAccumulatorOutsideTheSum) {
  for (const auto& [name, of_model] : tiles()) {
    const MmaModel& model = find_mma_model(name);
    if (model.arithmetic != Arithmetic::fused || model.d != &formats::fp32) continue;
    std::size_t wrong = 0;
    for (const Tile& t : of_model)
      wrong += mismatches(t, [&](const DotOperands& o) {
        const std::uint32_t sum = dot(model, {o.a, o.b, 0});
        const float d = std::bit_cast<float>(sum) + std::bit_cast<float>(o.c);
        return std::bit_cast<std::uint32_t>(d);
      });
    EXPECT_GT(wrong, 0U) << name;
  }
}

}  // namespace
}  // namespace assay::simulator

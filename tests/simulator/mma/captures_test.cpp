// SPDX-License-Identifier: Apache-2.0
// The models against outputs of real GPUs: vectors that Khattak and Mikaitis captured, in the
// folder that ASSAY_CAPTURES names. Each row of the map says which instruction a file's vectors
// came from.
#include <gtest/gtest.h>

#include <bit>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "golden/codec.h"
#include "simulator/mma/dot.h"
#include "simulator/safetensors.h"

namespace assay::simulator {
namespace {

struct Capture {
  const char* gpu;
  const char* vectors;  ///< IN/OUT in the file
  const char* model;
  bool ignores_c = false;  ///< the stored c was not an operand
};

constexpr Capture captures[] = {
    {"v100", "fp16/fp32", "volta.mma.f16.f32"},
    {"v100", "fp16/fp16", "volta.mma.f16.f16"},
    {"a100", "tf32/fp32", "ampere.mma.tf32.f32"},
    {"a100", "fp16/fp32", "ampere.mma.f16.f32"},
    {"a100", "bf16/fp32", "ampere.mma.bf16.f32"},
    {"a100", "fp16/fp16", "ampere.mma.f16.f16"},
    {"a2", "tf32/fp32", "ampere.mma.tf32.f32"},
    {"a2", "fp16/fp32", "ampere.mma.f16.f32"},
    {"a2", "bf16/fp32", "ampere.mma.bf16.f32"},
    {"a2", "fp16/fp16", "ampere.mma.f16.f16"},
    {"ada", "tf32/fp32", "ada.mma.tf32.f32"},
    {"ada", "fp16/fp32", "ada.mma.f16.f32"},
    {"ada", "bf16/fp32", "ada.mma.bf16.f32"},
    {"ada", "fp16/fp16", "ada.mma.f16.f16"},
    {"ada", "e4m3/fp32", "ada.mma.e4m3.f32"},
    {"ada", "e5m2/fp32", "ada.mma.e5m2.f32"},
    {"ada", "e4m3/fp16", "ada.mma.e4m3.f16"},
    {"ada", "e5m2/fp16", "ada.mma.e5m2.f16"},
    {"l40s", "tf32/fp32", "ada.mma.tf32.f32"},
    {"l40s", "fp16/fp32", "ada.mma.f16.f32"},
    {"l40s", "bf16/fp32", "ada.mma.bf16.f32"},
    {"l40s", "fp16/fp16", "ada.mma.f16.f16"},
    {"l40s", "e4m3/fp32", "ada.mma.e4m3.f32"},
    {"l40s", "e5m2/fp32", "ada.mma.e5m2.f32"},
    {"h100", "tf32/fp32", "hopper.mma.tf32.f32"},
    {"h100", "fp16/fp32", "hopper.mma.f16.f32"},
    {"h100", "bf16/fp32", "hopper.mma.bf16.f32"},
    {"h100", "fp16/fp16", "hopper.mma.f16.f16"},
    {"h100", "e4m3/fp32", "hopper.wgmma.e4m3.f32", true},
    {"h100", "e5m2/fp32", "hopper.wgmma.e5m2.f32", true},
    {"h100", "e4m3/fp16", "hopper.mma.e4m3.f16"},
    {"h100", "e5m2/fp16", "hopper.mma.e5m2.f16"},
    {"h200", "tf32/fp32", "hopper.mma.tf32.f32"},
    {"h200", "fp16/fp32", "hopper.mma.f16.f32"},
    {"h200", "bf16/fp32", "hopper.mma.bf16.f32"},
    {"h200", "fp16/fp16", "hopper.mma.f16.f16"},
    {"h200", "e4m3/fp32", "hopper.wgmma.e4m3.f32", true},
    {"h200", "e5m2/fp32", "hopper.wgmma.e5m2.f32", true},
    {"h200", "e4m3/fp16", "hopper.mma.e4m3.f16"},
    {"h200", "e5m2/fp16", "hopper.mma.e5m2.f16"},
    {"b200", "tf32/fp32", "blackwell.mma.tf32.f32"},
    {"b200", "fp16/fp32", "blackwell.mma.f16.f32"},
    {"b200", "bf16/fp32", "blackwell.mma.bf16.f32"},
    {"b200", "fp16/fp16", "blackwell.mma.f16.f16"},
    {"b200", "e4m3/fp32", "blackwell.mma.e4m3.f32"},
    {"b200", "e5m2/fp32", "blackwell.mma.e5m2.f32"},
    {"b200", "e4m3/fp16", "blackwell.mma.e4m3.f16"},
    {"b200", "e5m2/fp16", "blackwell.mma.e5m2.f16"},
};

std::vector<std::uint32_t> codes_of(const TensorView& view) {
  const std::size_t width = view.bytes.size() / view.element_count();
  std::vector<std::uint32_t> codes(view.element_count());
  for (std::size_t i = 0; i < codes.size(); ++i)
    std::memcpy(&codes[i], view.bytes.data() + i * width, width);
  return codes;
}

struct Vectors {
  std::size_t n = 0, k = 0;
  std::vector<std::uint32_t> a, b, c, d;  ///< c in the format of d
};

Vectors read_vectors(const Capture& capture, const MmaModel& model) {
  const std::filesystem::path folder = std::getenv("ASSAY_CAPTURES");
  const SafetensorsFile file(folder / (std::string(capture.gpu) + ".safetensors"));
  const auto part = [&](const char* name) {
    return file.tensor(std::string(capture.vectors) + "/" + name);
  };
  Vectors v{
      0, 0, codes_of(part("a")), codes_of(part("b")), codes_of(part("c")), codes_of(part("d"))};
  v.n = v.d.size();
  v.k = v.a.size() / v.n;
  for (std::uint32_t& c : v.c) {
    if (capture.ignores_c) c = 0;
    if (model.d == &formats::fp16)
      c = golden::encode(formats::fp16, golden::decode(formats::fp32, c),
                         formats::RoundingMode::nearest_even,
                         golden::policy_of(formats::ieee, formats::fp16));
  }
  return v;
}

std::size_t mismatches(const Vectors& v, const MmaModel& model) {
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < v.n; ++i) {
    const std::span a = std::span(v.a).subspan(i * v.k, v.k);
    const std::span b = std::span(v.b).subspan(i * v.k, v.k);
    wrong += dot(model, {a, b, v.c[i]}) != v.d[i] ? 1 : 0;
  }
  return wrong;
}

/// c added after the sum, as an ordinary accumulator would.
std::size_t mismatches_with_c_outside(const Vectors& v, const MmaModel& model) {
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < v.n; ++i) {
    const std::span a = std::span(v.a).subspan(i * v.k, v.k);
    const std::span b = std::span(v.b).subspan(i * v.k, v.k);
    const float d = std::bit_cast<float>(dot(model, {a, b, 0})) + std::bit_cast<float>(v.c[i]);
    wrong += std::bit_cast<std::uint32_t>(d) != v.d[i] ? 1 : 0;
  }
  return wrong;
}

class Captures : public testing::TestWithParam<Capture> {
 protected:
  void SetUp() override {
    if (std::getenv("ASSAY_CAPTURES") == nullptr)
      GTEST_SKIP() << "ASSAY_CAPTURES does not name the folder of captured vectors";
  }
};

TEST_P(Captures, EveryBit) {
  const MmaModel& model = find_mma_model(GetParam().model);
  EXPECT_EQ(mismatches(read_vectors(GetParam(), model), model), 0U);
}

/// What the vectors pin down: a row with one parameter changed does not reproduce them.
TEST_P(Captures, RejectChangedParameters) {
  const MmaModel& model = find_mma_model(GetParam().model);
  const Vectors v = read_vectors(GetParam(), model);
  // An FP16 result has too few bits to show F; `lowered` sums of these numbers are exact on either
  // side of it, so that their vectors show the order of the sums alone.
  if (model.d == &formats::fp32 && model.arithmetic == Arithmetic::fused) {
    for (const int change : {-1, 1}) {
      MmaModel changed = model;
      changed.fraction_bits += change;
      EXPECT_GT(mismatches(v, changed), 0U) << "F " << change;
    }
    MmaModel halved = model;
    halved.step /= 2;
    if (static_cast<int>(v.k) > halved.step) {
      EXPECT_GT(mismatches(v, halved), 0U) << "L / 2";
    }
    MmaModel nearest = model;
    nearest.conversion = Conversion::rne_fp32;
    EXPECT_GT(mismatches(v, nearest), 0U) << "to nearest in place of truncation";
    if (!GetParam().ignores_c) {
      EXPECT_GT(mismatches_with_c_outside(v, model), 0U) << "c outside the sum";
    }
  }
  if (model.arithmetic == Arithmetic::lowered) {
    MmaModel fused = model;
    fused.arithmetic = Arithmetic::fused;
    EXPECT_GT(mismatches(v, fused), 0U) << "one sum";
  }
}

std::string title(const testing::TestParamInfo<Capture>& info) {
  std::string text = std::string(info.param.gpu) + "_" + info.param.vectors;
  for (char& c : text)
    if (c == '/') c = '_';
  return text;
}
INSTANTIATE_TEST_SUITE_P(Khattak, Captures, testing::ValuesIn(captures), title);

}  // namespace
}  // namespace assay::simulator

// SPDX-License-Identifier: Apache-2.0
// Sets of spoiled kernels: the entries of the plugin and its truth.json name the same faults, one
// to one, and none of the faults is dead: each entry differs from the right kernel beside it on
// some call that its claim takes. Nothing of the catalogue runs here.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <deque>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <stdexcept>

#include "formats/layout.h"
#include "kernels/abi/claim.h"
#include "kernels/abi/plugin.h"

namespace {

namespace formats = assay::formats;
namespace kernels = assay::kernels;
namespace abi = assay::kernels::abi;
using kernels::Claim;
using Shape = std::vector<std::int64_t>;

/// The numbers that a call is made of.
enum class Kind { normal, wide, tiny, ties, special };

struct Plan {
  std::int64_t m, n, k;
  Kind kind;
  bool swizzles = false;  ///< of a layout: which way; of a requantization: from X or from Q
};

/// The operands of one call after another. The n-th of each begins where that of the call before
/// did, as buffers do that a program keeps: some faults are of what an address is remembered by.
class Memory {
 public:
  void begin() { used_ = 0; }
  std::vector<std::uint8_t>& take(std::size_t bytes) {
    constexpr std::size_t most = 1U << 22U;
    if (bytes > most) throw std::length_error("more than a call of this test needs");
    if (used_ == buffers_.size()) buffers_.emplace_back().reserve(most);
    buffers_[used_].assign(bytes, 0);
    return buffers_[used_++];
  }
  std::vector<std::uint8_t>& last() { return buffers_[used_ - 1]; }

 private:
  std::deque<std::vector<std::uint8_t>> buffers_;
  std::size_t used_ = 0;
};

/// A call of a claim with random operands. Rows lie further apart than they are long.
class Problem {
 public:
  Problem(Memory& memory, const Claim& claim, const Plan& plan, kernels::Estimator estimator)
      : claim_(claim),
        plan_(plan),
        engine_(static_cast<std::uint32_t>(plan.m * 31 + plan.k)),
        memory_(memory) {
    call_.size = sizeof call_;
    call_.operation = abi::operation_of(claim.operation);
    call_.m = plan.m, call_.n = plan.n, call_.k = plan.k, call_.groups = 1;
    call_.alpha = 1, call_.seed = 0x0123456789ABCDEFU;
    call_.estimator = static_cast<std::uint32_t>(estimator);
    (this->*filler())();
  }

  /// What is in the outputs after the call, padding included.
  std::vector<std::vector<std::uint8_t>> answer(const kernels::DeviceUnderTest& device,
                                                const Claim& claim) {
    for (std::vector<std::uint8_t>* bytes : results_) std::fill(bytes->begin(), bytes->end(), 0xA5);
    call_.in = in_.data(), call_.out = out_.data();
    call_.n_in = static_cast<std::uint32_t>(in_.size());
    call_.n_out = static_cast<std::uint32_t>(out_.size());
    call_.entry = claim.entry;
    std::vector<std::vector<std::uint8_t>> all;
    EXPECT_EQ(device.run(claim, call_), kernels::Status::ok) << claim.name;
    for (const std::vector<std::uint8_t>* bytes : results_) all.push_back(*bytes);
    return all;
  }

 private:
  using Filler = void (Problem::*)();
  struct Type {
    std::uint8_t code;
    int bits;
  };
  static constexpr Type f32{ASSAY_DUT_FLOAT, 32}, i64{ASSAY_DUT_INT, 64}, u32{ASSAY_DUT_UINT, 32};

  [[nodiscard]] Filler filler() const {
    switch (call_.operation) {
      case ASSAY_DUT_CONVERT:
        return &Problem::convert;
      case ASSAY_DUT_QUANTIZE:
      case ASSAY_DUT_STOCHASTIC_QUANTIZE:
        return &Problem::quantize;
      case ASSAY_DUT_DEQUANTIZE:
        return &Problem::dequantize;
      case ASSAY_DUT_TRANSPOSE_REQUANTIZE:
        return &Problem::requantize;
      case ASSAY_DUT_LAYOUT:
        return &Problem::layout;
      case ASSAY_DUT_QAT_FORWARD:
      case ASSAY_DUT_QAT_BACKWARD:
        return &Problem::train;
      case ASSAY_DUT_GROUPED_GEMM:
        return &Problem::grouped;
      default:
        return &Problem::product;
    }
  }

  static Type type_of(const formats::FormatSpec& format) {
    if (&format == &formats::e2m1) return {ASSAY_DUT_FLOAT4_E2M1FN, 4};
    if (&format == &formats::e4m3 || &format == &formats::ue4m3)
      return {ASSAY_DUT_FLOAT8_E4M3FN, 8};
    if (&format == &formats::e8m0) return {ASSAY_DUT_FLOAT8_E8M0FNU, 8};
    if (&format == &formats::bf16) return {ASSAY_DUT_BFLOAT, 16};
    return {ASSAY_DUT_FLOAT, format.storage_bits};
  }

  /// Its bytes, zeros, which have room for every row.
  std::vector<std::uint8_t>& add(std::vector<assay_dut_tensor>& list, std::uint32_t role,
                                 std::uint32_t part, Type type, const Shape& shape,
                                 bool swizzled = false) {
    assay_dut_tensor t{};
    t.role = role, t.part = part, t.type_code = type.code;
    t.type_bits = static_cast<std::uint8_t>(type.bits);
    t.type_lanes = type.bits == 4 ? 2 : 1;
    t.ndim = static_cast<std::int32_t>(shape.size());
    std::int64_t step = 1;
    for (int i = t.ndim - 1; i >= 0; --i) {
      t.shape[i] = shape[i], t.strides[i] = step;
      step *= shape[i];
      if (i == t.ndim - 1 && t.ndim > 1) step += step % 2 + 4;
    }
    std::int64_t bytes = (step * type.bits + 7) / 8;
    if (swizzled) {
      t.layout = ASSAY_DUT_SCALES_128X4;
      bytes = formats::round_up(shape[t.ndim - 2], 128) * formats::round_up(shape[t.ndim - 1], 4) *
              (t.ndim > 2 ? shape[0] : 1);
    }
    std::vector<std::uint8_t>& memory = memory_.take(static_cast<std::size_t>(bytes));
    t.data = memory.data();
    t.bytes = memory.size();
    list.push_back(t);
    return memory;
  }
  void result(std::uint32_t role, std::uint32_t part, Type type, const Shape& shape,
              bool swizzled = false) {
    results_.push_back(&add(out_, role, part, type, shape, swizzled));
  }

  std::uint32_t below(std::uint32_t end) { return static_cast<std::uint32_t>(engine_()) % end; }
  float number() {
    const auto normal = std::normal_distribution<float>()(engine_);
    switch (plan_.kind) {
      case Kind::wide:
        return std::ldexp(normal, static_cast<int>(below(24)) - 12);
      case Kind::tiny:
        return normal * 0x1p-17F;
      case Kind::ties: {  // on midpoints of E2M1, or next to them
        const float tie = static_cast<float>(below(25)) * 0.25F * (below(2) == 0 ? 1.0F : -1.0F);
        return below(2) == 0 ? tie : std::nextafter(tie, 8.0F);
      }
      case Kind::special:  // NaN, or just below a power of two
        if (below(64) == 0) return NAN;
        return std::nextafter(std::ldexp(1.0F, 60 + static_cast<int>(below(3))), 0.0F);
      default:
        return normal;
    }
  }
  template <class T, class Make>
  void fill(std::uint32_t role, std::uint32_t part, Type type, const Shape& shape,
            const Make& make) {
    std::vector<std::uint8_t>& bytes = add(in_, role, part, type, shape);
    for (std::size_t i = 0; i + sizeof(T) <= bytes.size(); i += sizeof(T)) {
      const T value = make();
      std::memcpy(&bytes[i], &value, sizeof(T));
    }
  }
  void numbers(std::uint32_t role, const Shape& shape) {
    fill<float>(role, ASSAY_DUT_VALUES, f32, shape, [&] { return number(); });
  }
  void halves(std::uint32_t role, Type type, const Shape& shape) {
    fill<std::uint16_t>(role, ASSAY_DUT_VALUES, type, shape, [&] {
      const std::uint32_t bf16 = std::bit_cast<std::uint32_t>(number()) >> 16U;
      // Any finite FP16, subnormals among them.
      const std::uint32_t fp16 = below(0x7C00) | below(2) << 15U;
      return static_cast<std::uint16_t>(type.code == ASSAY_DUT_BFLOAT ? bf16 : fp16);
    });
  }

  static Shape with_cols(Shape shape, std::int64_t cols) {
    shape.back() = cols;
    return shape;
  }
  /// The shape of the scale factors of a matrix.
  static Shape scales_of(const formats::BlockFormat& format, const Shape& shape) {
    return with_cols(shape, formats::ceil_div(shape.back(), format.block.cols));
  }
  [[nodiscard]] bool swizzled() const {
    return claim_.scale_layout == formats::ScaleLayout::swizzled_128x4;
  }
  void codes(std::uint32_t role, const formats::BlockFormat& format, const Shape& shape,
             std::int64_t groups = 1) {
    const bool fp8 = format.element == &formats::e4m3;
    fill<std::uint8_t>(role, ASSAY_DUT_VALUES, type_of(*format.element), shape, [&] {
      return static_cast<std::uint8_t>(fp8 ? below(0x7F) | below(2) << 7U : below(256));
    });
    // The unused nibble of an odd row is zero.
    if (!fp8 && shape.back() % 2 != 0) {
      const assay_dut_tensor& t = in_.back();
      const std::int64_t rows =
          t.ndim == 3 ? t.shape[0] * t.shape[1] : t.shape[0];  // one matrix after the other
      for (std::int64_t r = 0; r < rows; ++r)
        memory_.last()[(r * t.strides[t.ndim - 2] + shape.back()) / 2] &= 15;
    }
    const bool power = format.scale == &formats::e8m0;
    std::vector<std::uint8_t>& bytes = add(in_, role, ASSAY_DUT_SCALES, type_of(*format.scale),
                                           scales_of(format, shape), swizzled());
    const auto scale = [&] {
      const bool rare = below(6) == 0;
      if (power && rare && plan_.kind == Kind::special) return std::uint8_t{255};
      if (!power) return static_cast<std::uint8_t>(rare ? below(8) : 40 + below(40));
      return static_cast<std::uint8_t>(123 + below(8));
    };
    for (std::uint8_t& byte : bytes) byte = scale();
    if (swizzled()) clear_padding(bytes, scales_of(format, shape));
    if (format.tensor_scale == formats::TensorScale::fp32)
      fill<float>(role, ASSAY_DUT_TENSOR_SCALE, f32, {groups},
                  [&] { return 0.5F + static_cast<float>(below(1000)) / 1000; });
  }
  static void clear_padding(std::vector<std::uint8_t>& bytes, const Shape& shape) {
    const std::int64_t rows = shape[shape.size() - 2];
    const std::int64_t cols = shape.back();
    const std::int64_t each = formats::round_up(rows, 128) * formats::round_up(cols, 4);
    for (std::size_t at = 0; at < bytes.size(); at += each)
      for (std::int64_t r = 0; r < formats::round_up(rows, 128); ++r)
        for (std::int64_t c = 0; c < formats::round_up(cols, 4); ++c)
          if (r >= rows || c >= cols) bytes[at + formats::swizzled_128x4(r, c, cols)] = 0;
  }
  void result_codes(std::uint32_t role, const formats::BlockFormat& format, const Shape& shape) {
    result(role, ASSAY_DUT_VALUES, type_of(*format.element), shape);
    result(role, ASSAY_DUT_SCALES, type_of(*format.scale), scales_of(format, shape), swizzled());
    if (format.tensor_scale == formats::TensorScale::fp32)
      result(role, ASSAY_DUT_TENSOR_SCALE, f32, {1});
  }

  void convert() {
    if (claim_.output == &formats::fp32)
      numbers(ASSAY_DUT_X, {plan_.m, plan_.k});
    else
      halves(ASSAY_DUT_X, type_of(*claim_.output), {plan_.m, plan_.k});
    result(ASSAY_DUT_Q, ASSAY_DUT_VALUES, type_of(*claim_.code), {plan_.m, plan_.k});
  }
  void quantize() {
    numbers(ASSAY_DUT_X, {plan_.m, plan_.k});
    if (claim_.operation == "stochastic_quantize" && claim_.random == ASSAY_DUT_RANDOM_WORDS)
      fill<std::uint32_t>(ASSAY_DUT_RANDOM, ASSAY_DUT_VALUES, u32, {plan_.m, plan_.k},
                          [&] { return static_cast<std::uint32_t>(engine_()); });
    result_codes(ASSAY_DUT_Q, *claim_.a, {plan_.m, plan_.k});
  }
  void dequantize() {
    codes(ASSAY_DUT_Q, *claim_.a, {plan_.m, plan_.k});
    result(ASSAY_DUT_X, ASSAY_DUT_VALUES, f32, {plan_.m, plan_.k});
  }
  void requantize() {
    if (plan_.swizzles)
      codes(ASSAY_DUT_Q, *claim_.a, {plan_.m, plan_.k});
    else
      numbers(ASSAY_DUT_X, {plan_.m, plan_.k});
    result_codes(ASSAY_DUT_QT, *claim_.a, {plan_.k, plan_.m});
  }
  void layout() {
    const Shape shape = scales_of(*claim_.a, {plan_.m, plan_.k});
    const Type type = type_of(*claim_.a->scale);
    std::vector<std::uint8_t>& bytes =
        add(in_, ASSAY_DUT_Q, ASSAY_DUT_SCALES, type, shape, !plan_.swizzles);
    for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(below(0x7F));
    if (!plan_.swizzles) clear_padding(bytes, shape);
    result(ASSAY_DUT_QT, ASSAY_DUT_SCALES, type, shape, plan_.swizzles);
  }
  void product() {
    const bool gated = claim_.operation == "gated_gemm";
    if (claim_.operation == "quantize_gemm")
      numbers(ASSAY_DUT_A, {plan_.m, plan_.k});
    else if (claim_.a != nullptr)
      codes(ASSAY_DUT_A, *claim_.a, {plan_.m, plan_.k});
    else
      halves(ASSAY_DUT_A, {ASSAY_DUT_BFLOAT, 16}, {plan_.m, plan_.k});
    codes(ASSAY_DUT_B, *claim_.b, {(gated ? 2 : 1) * plan_.n, plan_.k});
    if (gated) {
      call_.limit = plan_.kind == Kind::normal ? 2.0F : 0.0F;
    } else {
      call_.alpha = 0.75F, call_.beta = 0.5F;
      numbers(ASSAY_DUT_C, {plan_.m, plan_.n});
      numbers(ASSAY_DUT_BIAS, {plan_.n});
    }
    if (claim_.operation == "quantize_gemm")
      result_codes(ASSAY_DUT_Q, *claim_.a, {plan_.m, plan_.k});
    result(ASSAY_DUT_D, ASSAY_DUT_VALUES, type_of(*claim_.output), {plan_.m, plan_.n});
  }
  void grouped() {
    call_.groups = 4;
    const bool masked = claim_.group_layout == ASSAY_DUT_MASKED;
    const Shape a = masked ? Shape{4, plan_.m, plan_.k} : Shape{plan_.m, plan_.k};
    if (claim_.a != nullptr)
      codes(ASSAY_DUT_A, *claim_.a, a);
    else
      halves(ASSAY_DUT_A, {ASSAY_DUT_BFLOAT, 16}, a);
    codes(ASSAY_DUT_B, *claim_.b, {4, plan_.n, plan_.k}, 4);
    const std::int64_t m = plan_.m;
    const Shape ends = masked ? Shape{m, 0, m - 1, m / 2} : Shape{1, m / 3, m / 3, m - 2, m};
    auto next = ends.begin();
    const auto padded = [&] { return next == ends.end() ? 0 : *next++; };
    fill<std::int64_t>(masked ? ASSAY_DUT_COUNTS : ASSAY_DUT_OFFSETS, ASSAY_DUT_VALUES, i64,
                       {static_cast<std::int64_t>(ends.size())}, padded);
    result(ASSAY_DUT_D, ASSAY_DUT_VALUES, type_of(*claim_.output), with_cols(a, plan_.n));
  }
  void train() {
    const Shape w{plan_.n, plan_.k};
    numbers(ASSAY_DUT_X, {plan_.m, plan_.k});
    numbers(ASSAY_DUT_W, w);
    const bool given = claim_.b->rule == formats::ScaleRule::given;
    if (given)
      fill<float>(ASSAY_DUT_GIVEN, ASSAY_DUT_VALUES, f32, scales_of(*claim_.b, w),
                  [&] { return (static_cast<float>(below(1000)) - 300) / 3000; });
    if (claim_.operation == "qat_forward") {
      numbers(ASSAY_DUT_BIAS, {plan_.n});
      result(ASSAY_DUT_Y, ASSAY_DUT_VALUES, f32, {plan_.m, plan_.n});
      return;
    }
    call_.limit = 0.25F;
    numbers(ASSAY_DUT_DY, {plan_.m, plan_.n});
    result(ASSAY_DUT_DX, ASSAY_DUT_VALUES, f32, {plan_.m, plan_.k});
    result(ASSAY_DUT_DW, ASSAY_DUT_VALUES, f32, w);
    result(ASSAY_DUT_DBIAS, ASSAY_DUT_VALUES, f32, {plan_.n});
    if (kernels::has_scale_gradient(static_cast<kernels::Estimator>(call_.estimator)))
      result(ASSAY_DUT_DSCALE, ASSAY_DUT_VALUES, f32, scales_of(*claim_.b, w));
  }

  Claim claim_;
  Plan plan_;
  std::mt19937 engine_;
  assay_dut_call call_{};
  std::vector<assay_dut_tensor> in_, out_;
  Memory& memory_;
  std::vector<std::vector<std::uint8_t>*> results_;
};

/// Whether some call tells the two entries apart. Shapes come twice, the larger numbers first: some
/// faults are of what a call leaves behind.
bool differ(const kernels::DeviceUnderTest& device, const Claim& right, const Claim& wrong) {
  Memory memory;
  for (const auto& [m, n, k] :
       {std::array<std::int64_t, 3>{5, 7, 48}, {40, 33, 176}, {140, 18, 145}})
    for (const Kind kind : {Kind::wide, Kind::normal, Kind::ties, Kind::tiny, Kind::special})
      for (const bool swizzles : {false, true})
        for (std::size_t e = 0; e < kernels::estimator_names.size(); ++e) {
          if ((right.estimators >> e & 1U) == 0) continue;
          memory.begin();
          Problem problem(memory, right, {m, n, k, kind, swizzles},
                          static_cast<kernels::Estimator>(e));
          if (problem.answer(device, right) != problem.answer(device, wrong)) return true;
        }
  return false;
}

struct Set {
  const char* name;
  const char* plugin;
  const char* truth;
};
class SpoiledSets : public testing::TestWithParam<Set> {
 protected:
  void SetUp() override {
    device_ = abi::open_plugin(GetParam().plugin);
    truth_ = nlohmann::ordered_json::parse(std::ifstream(GetParam().truth)).at("faults");
    for (Claim& claim : kernels::numbered_claims(*device_))
      (claim.name.starts_with("right.") ? right_ : wrong_).push_back(std::move(claim));
  }

  std::shared_ptr<const kernels::DeviceUnderTest> device_;
  nlohmann::ordered_json truth_;
  std::vector<Claim> right_, wrong_;
};

TEST_P(SpoiledSets, TruthNamesTheEntriesInOrder) {
  std::vector<std::string> entries, faults;
  for (const Claim& claim : wrong_) entries.push_back(claim.name);
  for (const auto& [name, fault] : truth_.items()) faults.push_back(name);
  EXPECT_EQ(entries, faults);
}

TEST_P(SpoiledSets, EveryFaultIsSaidOnce) {
  std::set<std::string> sentences;
  for (const auto& [name, fault] : truth_.items()) {
    EXPECT_TRUE(sentences.insert(fault.at("wrong").get<std::string>()).second) << name;
    EXPECT_FALSE(fault.at("names").empty()) << name;
  }
}

TEST_P(SpoiledSets, NoFaultIsDead) {
  for (const Claim& wrong : wrong_) {
    const std::string name = "right." + truth_.at(wrong.name).at("kernel").get<std::string>();
    const auto right = std::find_if(right_.begin(), right_.end(),
                                    [&](const Claim& claim) { return claim.name == name; });
    ASSERT_NE(right, right_.end()) << name;
    EXPECT_TRUE(differ(*device_, *right, wrong)) << wrong.name;
  }
}

INSTANTIATE_TEST_SUITE_P(All, SpoiledSets,
                         testing::Values(Set{"blind3", ASSAY_BLIND3_MUTANTS, ASSAY_BLIND3_TRUTH},
                                         Set{"blind4", ASSAY_BLIND4_MUTANTS, ASSAY_BLIND4_TRUTH}),
                         [](const testing::TestParamInfo<Set>& info) {
                           return std::string(info.param.name);
                         });

}  // namespace

// SPDX-License-Identifier: Apache-2.0
// The steps that a GPU computes, on the host, against the interpreter: every model that has them,
// every family of operands.
#include "simulator/mma/device_step.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "mma/operand_families.h"
#include "simulator/mma/dot.h"

namespace assay::simulator {
namespace {

using tests::Operands;

/// What a thread of the kernel does for one output. False: dot() takes it.
template <class T>
bool fused(const DeviceMma& m, const Operands& o, std::uint32_t& code) {
  const MmaUnit& u = m.unit;
  for (std::size_t at = 0; at < o.a.size(); at += static_cast<std::size_t>(u.step)) {
    int largest = -16384;
    bool zero = false;
    for (std::size_t i = at; i < at + static_cast<std::size_t>(u.step); ++i) {
      const auto a = device_read<T>(u.a, o.a[i]);
      const auto b = device_read<T>(u.b, o.b[i]);
      if (a.special || b.special) return false;
      zero = zero || a.exponent == device_zero_exponent || b.exponent == device_zero_exponent;
      largest = std::max(largest, a.exponent + b.exponent);
    }
    const auto start = device_accumulator<T>(u.d, code);
    const int e_max = device_e_max(u, largest, zero, start.exponent);
    if (start.special || e_max > device_highest_exponent) return false;
    const T constant = device_constant<T>(u, e_max);
    T sum = device_truncated<T>(start.value, T{1}, constant);
    for (std::size_t i = at; i < at + static_cast<std::size_t>(u.step); ++i)
      sum += device_truncated(device_read<T>(u.a, o.a[i]).value, device_read<T>(u.b, o.b[i]).value,
                              constant);
    code = device_converted<T>(u, sum, e_max);
  }
  return true;
}

bool grouped(const DeviceMma& m, const Operands& o, std::uint32_t& code) {
  for (std::size_t at = 0; at < o.a.size(); at += device_grouped_chunk) {
    DeviceGroup group[4];
    std::int32_t scale[4];
    std::int32_t exponent[4];
    for (std::size_t g = 0; g < 4; ++g) {
      group[g] = {0, true};
      for (std::size_t i = at + g * 16; i < at + g * 16 + 16; i += 4) {
        std::uint32_t a = 0;
        std::uint32_t b = 0;
        for (std::size_t j = 0; j < 4; ++j) {
          a |= device_e2m1(o.a[i + j]) << (8 * j);
          b |= device_e2m1(o.b[i + j]) << (8 * j);
          if (device_e2m1(o.a[i + j]) != 0 && device_e2m1(o.b[i + j]) != 0) group[g].zero = false;
        }
        group[g].sum = device_dot4(a, b, group[g].sum);
      }
      const std::size_t block = (at + g * 16) / static_cast<std::size_t>(m.scale_block);
      const DeviceScale a = device_scale(m.scale, o.scale_a[block]);
      const DeviceScale b = device_scale(m.scale, o.scale_b[block]);
      if (a.nan || b.nan) return false;
      scale[g] = a.significand * b.significand;
      exponent[g] = a.exponent + b.exponent;
    }
    if (!device_grouped_step(m, group, scale, exponent, code)) return false;
  }
  return true;
}

std::vector<std::size_t> device_models() {
  std::vector<std::size_t> numbers;
  for (std::size_t i = 0; i < all_mma_models().size(); ++i)
    if (has_device_mma(all_mma_models()[i])) numbers.push_back(i);
  return numbers;
}

class EveryDeviceModel : public testing::TestWithParam<std::size_t> {};

TEST_P(EveryDeviceModel, IsTheInterpreter) {
  MmaModel model = all_mma_models()[GetParam()];
  std::mt19937_64 random(GetParam() + 7);
  int taken = 0;
  for (const ZeroRule rule : {ZeroRule::term, ZeroRule::floor}) {
    model.zero_rule = rule;
    const DeviceMma m = device_mma_of(model);
    for (const tests::Family family : tests::families) {
      for (int i = 0; i < 200; ++i) {
        const std::size_t k = static_cast<std::size_t>(model.step) * (i % 2 == 0 ? 1 : 3);
        Operands o = draw(model, family, k, random);
        if (i % 5 == 0) o.c = 0;
        std::uint32_t code = o.c;
        const bool done = m.grouped ? grouped(m, o, code)
                          : m.wide  ? fused<double>(m, o, code)
                                    : fused<float>(m, o, code);
        if (!done) continue;
        ++taken;
        ASSERT_EQ(code, dot(model, {o.a, o.b, o.c, o.scale_a, o.scale_b}))
            << model.name << " " << tests::family_names[static_cast<int>(family)];
      }
    }
  }
  EXPECT_GT(taken, 1400) << "of 2800";
}

std::string title(const testing::TestParamInfo<std::size_t>& info) {
  std::string text = all_mma_models()[info.param].name;
  for (char& c : text)
    if (c == '.') c = '_';
  return text;
}
INSTANTIATE_TEST_SUITE_P(Mma, EveryDeviceModel, testing::ValuesIn(device_models()), title);

}  // namespace
}  // namespace assay::simulator

// SPDX-License-Identifier: Apache-2.0
#include "tools/audit/domain.h"

#include <algorithm>
#include <numeric>

#include "formats/codec.h"
#include "golden/codec.h"
#include "golden/intervals.h"

namespace assay::tools::audit {

using formats::FormatSpec;
using formats::Policy;
using formats::RoundingMode;

std::uint32_t widened(const FormatSpec& source, std::uint32_t code) {
  return source.storage_bits == 32 ? code : __builtin_bit_cast(std::uint32_t, decode(source, code));
}

std::vector<std::uint32_t> tried_inputs(const FormatSpec& source, const FormatSpec& destination,
                                        RoundingMode mode, const Policy& policy) {
  std::vector<std::uint32_t> inputs(1 << 16);
  std::iota(inputs.begin(), inputs.end(), 0U);
  if (source.storage_bits == 16) return inputs;
  for (std::uint32_t& code : inputs) code <<= 16;
  for (std::uint32_t code = 0; code < 1 << 16; ++code)
    inputs.push_back(widened(formats::fp16, code));
  for (std::uint32_t top = 0; top < 512; ++top) {
    for (const std::uint32_t fraction :
         {0x000001U, 0x000002U, 0x3FFFFFU, 0x400000U, 0x400001U, 0x400002U, 0x7FFFFEU, 0x7FFFFFU})
      inputs.push_back(top << 23 | fraction);
  }
  for (const golden::Interval& interval : golden::decision_intervals(destination, mode, policy)) {
    for (std::uint32_t step = 0; step < 3; ++step) {
      inputs.push_back(interval.first_bits + step);
      inputs.push_back(interval.last_bits - step);
    }
  }
  std::sort(inputs.begin(), inputs.end());
  inputs.erase(std::unique(inputs.begin(), inputs.end()), inputs.end());
  return inputs;
}

Expected::Expected(const FormatSpec& source, const FormatSpec& destination, RoundingMode mode,
                   const Policy& policy) {
  if (source.storage_bits == 32) {
    for (const golden::Interval& interval : golden::decision_intervals(destination, mode, policy))
      steps_.push_back({interval.last_bits, interval.code});
    return;
  }
  for (std::uint32_t code = 0; code < 1 << 16; ++code)
    steps_.push_back({code, encode(destination, golden::decode(source, code), mode, policy)});
}

std::vector<std::uint32_t> Expected::codes(const std::vector<std::uint32_t>& in) const {
  std::vector<std::uint32_t> codes;
  codes.reserve(in.size());
  auto step = steps_.begin();
  if (!in.empty())
    step = std::partition_point(steps_.begin(), steps_.end(),
                                [&](const Step& s) { return s.last < in.front(); });
  for (const std::uint32_t input : in) {
    while (step->last < input) ++step;
    codes.push_back(step->code);
  }
  return codes;
}

}  // namespace assay::tools::audit

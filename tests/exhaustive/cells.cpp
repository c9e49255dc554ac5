// SPDX-License-Identifier: Apache-2.0
#include "exhaustive/cells.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "formats/codec_cases.h"
#include "golden/intervals.h"

namespace assay::exhaustive {
namespace {

constexpr const char* overflow_names[] = {"saturate", "to_infinity", "to_nan"};
constexpr const char* nan_names[] = {"canonical",  "keep_sign", "all_ones",
                                     "max_finite", "zero",      "opposite_zero"};
constexpr const char* unsigned_names[] = {"clamp", "nan", "absolute"};

void fill_nibbles(std::span<std::uint8_t> out, std::size_t begin, std::size_t end,
                  std::uint32_t code) {
  const auto put = [&](std::size_t i) {
    const auto shift = static_cast<int>(4 * (i % 2));
    out[i / 2] = static_cast<std::uint8_t>((out[i / 2] & ~(0xF << shift)) | code << shift);
  };
  if (begin < end && begin % 2 != 0) put(begin++);
  if (begin < end && end % 2 != 0) put(--end);
  if (begin < end) std::memset(&out[begin / 2], static_cast<int>(code * 0x11), (end - begin) / 2);
}

void fill(std::span<std::uint8_t> out, int storage_bits, std::size_t begin, std::size_t end,
          std::uint32_t code) {
  if (storage_bits == 4) {
    fill_nibbles(out, begin, end, code);
  } else if (storage_bits == 8) {
    std::memset(out.data() + begin, static_cast<int>(code), end - begin);
  } else {
    const auto word = static_cast<std::uint16_t>(code);
    for (std::size_t i = begin; i < end; ++i) std::memcpy(&out[2 * i], &word, 2);
  }
}

Oracle intervals_oracle(const formats::FormatSpec& spec, formats::RoundingMode mode,
                        const formats::Policy& policy) {
  const auto intervals = std::make_shared<const std::vector<golden::Interval>>(
      golden::decision_intervals(spec, mode, policy));
  const auto at = [intervals](std::uint64_t first) {
    return std::partition_point(intervals->begin(), intervals->end(),
                                [first](const auto& i) { return i.last_bits < first; });
  };
  const auto fill_range = [intervals, at, bits = spec.storage_bits](
                              std::uint64_t first, std::size_t count, std::span<std::uint8_t> out) {
    const std::uint64_t end = first + count;
    auto it = at(first);
    for (; it != intervals->end() && it->first_bits < end; ++it) {
      const std::uint64_t from = std::max<std::uint64_t>(it->first_bits, first);
      const std::uint64_t to = std::min<std::uint64_t>(std::uint64_t{it->last_bits} + 1, end);
      fill(out, bits, from - first, to - first, it->code);
    }
  };
  const auto constant = [at](std::uint64_t first,
                             std::size_t count) -> std::optional<std::uint32_t> {
    const auto it = at(first);
    if (it->last_bits < first + count - 1) return std::nullopt;
    return it->code;
  };
  return {fill_range, constant};
}

}  // namespace

std::string Cell::name() const {
  std::string conventions = profile;
  if (profile.empty()) {
    conventions = fmt::format("{},nan={}", overflow_names[static_cast<int>(policy.overflow)],
                              nan_names[static_cast<int>(policy.nan)]);
    if (spec->sign_bits == 0) {
      conventions +=
          fmt::format(",negative={}", unsigned_names[static_cast<int>(policy.unsigned_rule)]);
    }
  }
  return fmt::format("{}/{}/{}/{}", oracle_name, spec->name, name_of(mode), conventions);
}

std::vector<Cell> golden_cells() {
  std::vector<Cell> cells;
  for (const auto* spec : formats::all_formats) {
    if (spec->storage_bits > 8 && spec != &formats::bf16) continue;
    for (const auto& policy : tests::policies_of(*spec)) {
      for (const auto mode : tests::deterministic_modes) {
        cells.push_back({"golden", "", spec, mode, policy,
                         [=] { return intervals_oracle(*spec, mode, policy); }});
      }
    }
  }
  return cells;
}

}  // namespace assay::exhaustive

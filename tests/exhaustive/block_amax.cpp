// SPDX-License-Identifier: Apache-2.0
// The amax rules on all 2^31 FP32 patterns with sign 0: every block of one element, through the
// shipped quantizer. Expected scale codes: for one-byte scale formats the intervals that golden
// derives exactly (monotone_intervals: every step of the orders is monotone in the amax of the
// block); for FP32 scales the definition of rounding to nearest even, checked in exact double
// arithmetic on each input.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <vector>

#include "exhaustive/ledger.h"
#include "formats/block.h"
#include "formats/layout.h"
#include "formats/presets.h"
#include "golden/intervals.h"
#include "golden/order.h"

namespace assay::exhaustive {
namespace {

using formats::BlockFormat;

constexpr std::uint64_t kPatterns = std::uint64_t{1} << 31;
constexpr std::int64_t kStep = 1 << 20;
constexpr std::uint32_t kInfinity = 0x7F800000;

struct Case {
  const BlockFormat* format;
  float tensor_amax;  ///< 0: the format has no tensor scale
};

/// Whether `code` is FP32(amax / 448) to nearest even, or 1 where that is 0. With f the value of
/// the code and h half the spacing beside it: |amax - 448 f| <= 448 h, and an even code where
/// equal. 448 f has at most 24 + 3 significant bits, and near a quotient the difference is a small
/// multiple of the last bits of both operands: all exact in double.
bool is_amax_over_448(std::uint32_t bits, std::uint32_t code) {
  const double amax = static_cast<double>(std::bit_cast<float>(bits));
  // Up to the midpoint of 0 and the smallest FP32, the quotient rounds to 0, the even one.
  if (amax <= 448 * 0x1p-150) return code == 0x3F800000;
  if (code == 0 || code >= kInfinity) return false;
  const double f = static_cast<double>(std::bit_cast<float>(code));
  const auto field = static_cast<int>(std::max(code >> 23, 1U));
  const double up = 448 * std::ldexp(1.0, field - 127 - 23 - 1);
  // Below a power of two the spacing halves.
  const bool at_binade = (code & 0x7FFFFF) == 0 && field > 1;
  const double down = at_binade ? up / 2 : up;
  const double residue = amax - 448 * f;
  if (residue == up || residue == -down) return (code & 1) == 0;
  return residue < up && residue > -down;
}

std::vector<golden::Interval> expected_codes(const BlockFormat& format, float tensor_amax) {
  std::vector<golden::Interval> expected = golden::monotone_intervals(
      [&](std::uint32_t bits) {
        return golden::scale_code(format, golden::value_of(std::bit_cast<float>(bits)),
                                  golden::value_of(tensor_amax));
      },
      0, kInfinity - 1);
  // A block that is not finite stores the scale format's canonical NaN (tensor.h).
  expected.push_back({kInfinity, 0x7FFFFFFF, golden::canonical_nan(*format.scale)});
  return expected;
}

/// Number of inputs whose scale code differs.
std::uint64_t sweep(const Case& c) {
  BlockFormat format = *c.format;
  format.block = {1, 1};
  const bool fp32_scale = format.scale->storage_bits == 32;
  const std::vector<golden::Interval> expected =
      fp32_scale ? std::vector<golden::Interval>() : expected_codes(format, c.tensor_amax);
  formats::BlockQuantizer quantizer(format, 1, kStep);
  if (quantizer.needs_amax()) quantizer.observe(std::span(&c.tensor_amax, 1), {0, 0, 1, 1});
  std::vector<float> x(static_cast<std::size_t>(kStep));
  std::uint64_t differences = 0;
  std::size_t interval = 0;
  for (std::uint64_t first = 0; first < kPatterns; first += kStep) {
    for (std::size_t i = 0; i < x.size(); ++i) {
      x[i] = std::bit_cast<float>(static_cast<std::uint32_t>(first + i));
    }
    const auto t = quantizer.quantize_tile(x, {0, 0, 1, kStep});
    for (std::size_t i = 0; i < x.size(); ++i) {
      const auto bits = static_cast<std::uint32_t>(first + i);
      bool same = false;
      if (fp32_scale) {
        const std::uint32_t code =
            formats::load_code(t.scales.data(), static_cast<std::int64_t>(i), 32);
        same = bits >= kInfinity ? code == 0x7FC00000 : is_amax_over_448(bits, code);
      } else {
        while (bits > expected[interval].last_bits) ++interval;
        same = t.scales[i] == expected[interval].code;
      }
      if (!same && differences++ == 0) {
        fmt::print("{}: first difference at amax 0x{:08X}\n", format.name, bits);
      }
    }
  }
  return differences;
}

std::vector<Case> all_cases() {
  std::vector<Case> cases{{&formats::mxfp4_floor, 0},
                          {&formats::mxfp4_rceil, 0},
                          {&formats::deepseek_v4, 0},
                          {&formats::fp8_deepseek_v4, 0},
                          {&formats::fp8_deepseek_v3, 0}};
  // 2688: tensor scale 1, so E4M3 nearest of amax / 6. The others: an ordinary tensor and the ends
  // of FP32.
  for (const float amax : {2688.0F, 1.4375F, 0x1p-149F, 0x1.fffffep+127F}) {
    cases.push_back({&formats::nvfp4, amax});
    cases.push_back({&formats::nvfp4_divide, amax});
  }
  return cases;
}

int run(const std::string& only, const std::string& ledger, const std::string& commit) {
  std::vector<LedgerRow> rows;
  std::uint64_t differences = 0;
  for (const Case& c : all_cases()) {
    if (!only.empty() && only != c.format->name) continue;
    const auto begin = std::chrono::steady_clock::now();
    const std::uint64_t bad = sweep(c);
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    fmt::print("{} tensor amax {}: {} differences of {} in {:.1f} s\n", c.format->name,
               c.tensor_amax, bad, kPatterns, seconds);
    std::fflush(stdout);
    add_to_ledger(rows, {fmt::format("block amax {}", c.format->name), 1, kPatterns, bad, seconds});
    differences += bad;
    // After every case, so that an interrupted run keeps what it has enumerated.
    if (!ledger.empty()) write_ledger(ledger, "block_amax_sweep", rows, "block_amax_sweep", commit);
  }
  if (rows.empty()) {
    fmt::print(stderr, "block_amax_sweep: no case is named '{}'\n", only);
    return 5;
  }
  return differences == 0 ? 0 : 1;
}

}  // namespace
}  // namespace assay::exhaustive

int main(int argc, char** argv) {
  CLI::App app("The amax rules on all 2^31 nonnegative FP32 patterns");
  std::string only;
  std::string ledger;
  std::string commit = "unknown";
  app.add_option("--only", only, "the format to sweep");
  app.add_option("--ledger", ledger, "write this driver's section of this file");
  app.add_option("--commit", commit, "the commit that the ledger names");
  CLI11_PARSE(app, argc, argv);
  return assay::exhaustive::run(only, ledger, commit);
}

// SPDX-License-Identifier: Apache-2.0
#include "exhaustive/sweep.h"

#include <fmt/format.h>

#include <chrono>
#include <cstring>
#include <optional>

#include "formats/array.h"

namespace assay::exhaustive {
namespace {

// Inputs per task: the buffers stay in the near caches.
constexpr std::uint64_t stride = 1 << 13;
constexpr std::uint64_t domain = std::uint64_t{1} << 32;

std::uint32_t code_at(int storage_bits, const std::vector<std::uint8_t>& packed, std::size_t i) {
  if (storage_bits == 4) return (packed[i / 2] >> (4 * (i % 2))) & 0xF;
  std::uint32_t code = 0;
  std::memcpy(&code, &packed[i * storage_bits / 8], storage_bits / 8);
  return code;
}

// The lowest input that a thread found different, and how many there were.
struct Tally {
  std::uint64_t differences = 0;
  std::uint64_t input = domain;
  std::uint32_t got = 0;
  std::uint32_t expected = 0;

  void add(const Tally& other) {
    const std::uint64_t sum = differences + other.differences;
    if (other.input < input) *this = other;
    differences = sum;
  }
};

// Whether all codes of `packed` are `code`: the first is, and every byte repeats the one a code
// earlier.
bool all_are(int storage_bits, const std::vector<std::uint8_t>& packed, std::uint32_t code) {
  const std::uint32_t first = storage_bits == 4 ? code * 0x11 : code;
  const std::size_t width = storage_bits == 16 ? 2 : 1;
  for (std::size_t b = 0; b < width; ++b) {
    if (packed[b] != (first >> (8 * b) & 0xFF)) return false;
  }
  return std::memcmp(packed.data(), packed.data() + width, packed.size() - width) == 0;
}

void compare(int storage_bits, std::uint64_t first, const std::vector<std::uint8_t>& got,
             const std::vector<std::uint8_t>& expected, Tally& tally) {
  if (got == expected) return;
  for (std::size_t i = 0; i < stride; ++i) {
    const std::uint32_t g = code_at(storage_bits, got, i);
    const std::uint32_t e = code_at(storage_bits, expected, i);
    if (g != e) tally.add({1, first + i, g, e});
  }
}

// One cell and the buffers of one thread.
class Runner {
 public:
  Runner(const Cell& cell, const Oracle& oracle)
      : cell_(cell),
        oracle_(oracle),
        options_{.mode = cell.mode, .policy = cell.policy},
        got_(formats::packed_size(*cell.spec, stride)),
        expected_(got_.size()) {}

  void run(std::uint64_t first, std::span<const float> in) {
    const int bits = cell_.spec->storage_bits;
    formats::encode_array(*cell_.spec, in, options_, got_);
    const auto code = oracle_.constant ? oracle_.constant(first, stride) : std::nullopt;
    if (code && all_are(bits, got_, *code)) return;
    oracle_.fill(first, stride, expected_);
    compare(bits, first, got_, expected_, tally);
  }

  Tally tally;

 private:
  const Cell& cell_;
  const Oracle& oracle_;
  formats::ArrayOptions options_;
  std::vector<std::uint8_t> got_;
  std::vector<std::uint8_t> expected_;
};

}  // namespace

std::vector<Outcome> sweep(std::span<const Cell> cells, int threads) {
  const auto start = std::chrono::steady_clock::now();
  std::vector<Oracle> oracles(cells.size());
  std::vector<Tally> totals(cells.size());
#pragma omp parallel num_threads(threads)
  {
#pragma omp for schedule(dynamic, 1)
    for (std::size_t c = 0; c < cells.size(); ++c) oracles[c] = cells[c].make_oracle();
    std::vector<Runner> runners;
    for (std::size_t c = 0; c < cells.size(); ++c) runners.emplace_back(cells[c], oracles[c]);
    std::vector<float> in(stride);
#pragma omp for schedule(dynamic, 64)
    for (std::uint64_t task = 0; task < domain / stride; ++task) {
      const std::uint64_t first = task * stride;
      for (std::size_t i = 0; i < stride; ++i) {
        in[i] = __builtin_bit_cast(float, static_cast<std::uint32_t>(first + i));
      }
      for (Runner& runner : runners) runner.run(first, in);
    }
#pragma omp critical
    for (std::size_t c = 0; c < cells.size(); ++c) totals[c].add(runners[c].tally);
  }
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
  std::vector<Outcome> outcomes;
  for (const Tally& total : totals) {
    outcomes.push_back({domain, total.differences, {}, time.count() / double(cells.size())});
    if (total.differences == 0) continue;
    outcomes.back().first = fmt::format("input {:#010x}: code {:#x}, expected {:#x}", total.input,
                                        total.got, total.expected);
  }
  return outcomes;
}

}  // namespace assay::exhaustive

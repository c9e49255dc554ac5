// SPDX-License-Identifier: Apache-2.0
#include "exhaustive/sweep.h"

#include <fmt/format.h>

#include <chrono>
#include <cstring>

#include "formats/array.h"

namespace assay::exhaustive {
namespace {

// Inputs per task: the buffers stay in the near caches.
constexpr std::uint64_t stride = 1 << 14;
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
};

void compare(int storage_bits, std::uint64_t first, const std::vector<std::uint8_t>& got,
             const std::vector<std::uint8_t>& expected, Tally& tally) {
  if (got == expected) return;
  for (std::size_t i = 0; i < stride; ++i) {
    const std::uint32_t g = code_at(storage_bits, got, i);
    const std::uint32_t e = code_at(storage_bits, expected, i);
    if (g == e) continue;
    if (first + i < tally.input) {
      tally.input = first + i;
      tally.got = g;
      tally.expected = e;
    }
    ++tally.differences;
  }
}

}  // namespace

Outcome sweep(const Cell& cell, int threads) {
  const auto start = std::chrono::steady_clock::now();
  const Oracle oracle = cell.make_oracle();
  const int bits = cell.spec->storage_bits;
  const formats::ArrayOptions options{.mode = cell.mode, .policy = cell.policy};
  Tally total;
#pragma omp parallel num_threads(threads)
  {
    std::vector<float> in(stride);
    std::vector<std::uint8_t> got(formats::packed_size(*cell.spec, stride));
    std::vector<std::uint8_t> expected(got.size());
    Tally mine;
#pragma omp for schedule(dynamic, 64)
    for (std::uint64_t task = 0; task < domain / stride; ++task) {
      const std::uint64_t first = task * stride;
      for (std::size_t i = 0; i < stride; ++i) {
        in[i] = __builtin_bit_cast(float, static_cast<std::uint32_t>(first + i));
      }
      formats::encode_array(*cell.spec, std::span<const float>(in), options, got);
      oracle(first, stride, expected);
      compare(bits, first, got, expected, mine);
    }
#pragma omp critical
    {
      total.differences += mine.differences;
      if (mine.input < total.input) {
        const std::uint64_t differences = total.differences;
        total = mine;
        total.differences = differences;
      }
    }
  }
  Outcome outcome{.inputs = domain, .differences = total.differences, .first = {}, .seconds = 0};
  if (total.differences != 0) {
    outcome.first = fmt::format("input {:#010x}: code {:#x}, expected {:#x}", total.input,
                                total.got, total.expected);
  }
  outcome.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return outcome;
}

}  // namespace assay::exhaustive

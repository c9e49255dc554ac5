// SPDX-License-Identifier: Apache-2.0
#include "proptests/arena.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <stdexcept>

namespace assay::proptests {
namespace {

constexpr std::size_t alignment = 16;

std::size_t round_up(std::size_t x, std::size_t multiple) {
  return (x + multiple - 1) / multiple * multiple;
}

/// The rows of a tensor in memory; a tensor without rows to spread is one row.
struct Rows {
  std::size_t count = 1, bytes = 0, stride = 0;
  [[nodiscard]] std::size_t extent() const { return count == 0 ? 0 : (count - 1) * stride + bytes; }
};
std::size_t bytes_of(std::int64_t elements, const assay_dut_tensor& t) {
  return (static_cast<std::size_t>(elements) * t.type_bits + 7) / 8;
}
Rows rows_of(const assay_dut_tensor& t, std::int64_t gap) {
  if (t.layout != ASSAY_DUT_STRIDED || t.ndim < 2) return {1, t.bytes, t.bytes};
  Rows rows;
  for (int i = 0; i + 1 < t.ndim; ++i) rows.count *= static_cast<std::size_t>(t.shape[i]);
  rows.bytes = bytes_of(t.shape[t.ndim - 1], t);
  rows.stride = bytes_of(t.strides[t.ndim - 2] + (t.type_bits == 4 ? gap / 2 * 2 : gap), t);
  return rows;
}

void spread(assay_dut_tensor& t, std::int64_t gap) {
  if (t.layout != ASSAY_DUT_STRIDED || t.ndim < 2) return;
  t.strides[t.ndim - 2] += t.type_bits == 4 ? gap / 2 * 2 : gap;
  for (int i = t.ndim - 3; i >= 0; --i) t.strides[i] = t.strides[i + 1] * t.shape[i + 1];
}

/// Calls visit(operand, offset of its data, rows, whether it is an output) for every tensor, and
/// returns the bytes in all.
template <class Visit>
std::size_t for_each(const Call& call, const Placement& placement, const Visit& visit) {
  std::size_t at = 0;
  const auto one = [&](const Operand& operand, bool is_output) {
    const Rows rows = rows_of(operand.shape, call.row_gap);
    const std::size_t extent = rows.extent();
    if (!placement.guard_pages) {
      at += arena_gap;
      visit(operand, at, rows, is_output);
      at = round_up(at + extent, alignment);
      return;
    }
    const std::size_t pages = std::max(round_up(extent, arena_page), arena_page);
    at += arena_page;
    // An empty tensor lies on its page too, not on the guard page behind it.
    const std::size_t slack = (pages - std::max<std::size_t>(extent, 1)) / alignment * alignment;
    visit(operand, at + (placement.at_end ? slack : 0), rows, is_output);
    at += pages;
  };
  for (const Operand& operand : call.in) one(operand, false);
  for (const Operand& operand : call.out) one(operand, true);
  return placement.guard_pages ? at + arena_page : round_up(at + arena_gap, alignment);
}

/// Calls visit(first, bytes) for the stretches of a tensor at `at` that are looked at: all of it,
/// or of rows far apart each with a page of the padding on either side.
template <class Visit>
void stretches(const Rows& rows, std::size_t at, const Visit& visit) {
  const std::size_t end = at + rows.extent();
  if (rows.count < 2 || rows.stride < far_apart) {
    if (end != at) visit(at, end - at);
    return;
  }
  for (std::size_t r = 0; r < rows.count; ++r) {
    const std::size_t row = at + r * rows.stride;
    const std::size_t first = r == 0 ? at : row - arena_page;
    visit(first, std::min(row + rows.bytes + arena_page, end) - first);
  }
}

/// The same for the whole memory: everything, or the stretches of its tensors and a page on either
/// side of each, which may overlap.
template <class Visit>
void looked_at(const Call& call, const Placement& placement, std::size_t size, const Visit& visit) {
  if (!has_far_rows(call)) {
    visit(0, size);
    return;
  }
  for_each(call, placement, [&](const Operand&, std::size_t at, const Rows& rows, bool) {
    stretches(rows, at, [&](std::size_t first, std::size_t bytes) {
      const std::size_t from = first - std::min(first, arena_page);
      visit(from, std::min(first + bytes + arena_page, size) - from);
    });
  });
}

/// The memory as it is before a run.
void fill(const Call& call, const Placement& placement, std::uint8_t* memory, std::size_t size) {
  looked_at(call, placement, size, [&](std::size_t first, std::size_t bytes) {
    std::memset(memory + first, placement.poison, bytes);
  });
  for_each(call, placement,
           [&](const Operand& operand, std::size_t at, const Rows& rows, bool is_output) {
             if (is_output || rows.extent() == 0) return;
             stretches(rows, at, [&](std::size_t first, std::size_t bytes) {
               std::memset(memory + first, call.pad, bytes);
             });
             for (std::size_t r = 0; r < rows.count; ++r)
               std::memcpy(memory + at + r * rows.stride, operand.bytes.data() + r * rows.bytes,
                           rows.bytes);
           });
}

}  // namespace

SparseMemory::SparseMemory(std::size_t bytes) : bytes_(bytes) {
  if (bytes == 0) return;
  void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED)
    throw std::runtime_error("cannot map " + std::to_string(bytes) + " bytes for rows far apart");
  data_ = static_cast<std::uint8_t*>(memory);
}
SparseMemory::~SparseMemory() {
  if (data_ != nullptr) munmap(data_, bytes_);
}

bool has_far_rows(const Call& call) {
  // Of 4-bit elements, the narrowest.
  return static_cast<std::size_t>(std::max<std::int64_t>(call.row_gap, 0)) / 2 >= far_apart;
}

std::size_t arena_bytes(const Call& call, const Placement& placement) {
  return for_each(call, placement, [](const Operand&, std::size_t, const Rows&, bool) {});
}

Placed place(const Call& call, const Placement& placement, std::uint8_t* memory) {
  Placed placed;
  const std::size_t size = arena_bytes(call, placement);
  fill(call, placement, memory, size);
  for_each(call, placement, [&](const Operand& operand, std::size_t at, const Rows& rows, bool) {
    assay_dut_tensor t = operand.shape;
    spread(t, call.row_gap);
    t.bytes = rows.extent();
    t.data = memory + at;
    placed.tensors.push_back(t);
    placed.offsets.push_back(at);
    if (!placement.guard_pages) return;
    const std::size_t first = at / arena_page * arena_page;
    if (placed.guard_pages.empty()) placed.guard_pages.push_back(0);
    placed.guard_pages.push_back(
        first + std::max(round_up(at % arena_page + rows.extent(), arena_page), arena_page));
  });
  assay_dut_call& c = placed.call;
  c.size = sizeof c;
  c.operation = 0;
  c.entry = call.claim.entry;
  c.tactic = call.claim.tactic;
  c.m = call.m;
  c.n = call.n;
  c.k = call.k;
  c.groups = call.groups;
  c.alpha = call.alpha;
  c.beta = call.beta;
  c.limit = call.limit;
  c.estimator = call.estimator;
  c.seed = call.seed;
  c.n_in = static_cast<std::uint32_t>(call.in.size());
  c.n_out = static_cast<std::uint32_t>(call.out.size());
  return placed;
}

Answer collect(const Call& call, const Placement& placement, const Placed& placed,
               const std::uint8_t* memory) {
  Answer answer;
  const std::size_t size = arena_bytes(call, placement);
  std::vector<std::uint8_t> near(has_far_rows(call) ? 0 : size);
  const SparseMemory far(has_far_rows(call) ? size : 0);
  std::uint8_t* const expected = has_far_rows(call) ? far.data() : near.data();
  fill(call, placement, expected, size);
  // What the device may write is taken over as it is, so that every difference left is a fault.
  for_each(call, placement,
           [&](const Operand& operand, std::size_t at, const Rows& rows, bool is_output) {
             if (!is_output) {
               stretches(rows, at, [&](std::size_t first, std::size_t bytes) {
                 answer.inputs_changed = answer.inputs_changed ||
                                         std::memcmp(memory + first, expected + first, bytes) != 0;
                 std::copy_n(memory + first, bytes, expected + first);
               });
               return;
             }
             std::vector<std::uint8_t>& out = answer.outputs.emplace_back(rows.count * rows.bytes);
             for (std::size_t r = 0; r < rows.count; ++r) {
               if (!operand.written.empty() && operand.written[r] == 0) continue;
               const std::size_t row = at + r * rows.stride;
               std::copy_n(memory + row, rows.bytes, out.data() + r * rows.bytes);
               std::copy_n(memory + row, rows.bytes, expected + row);
             }
           });
  looked_at(call, placement, size, [&](std::size_t from, std::size_t bytes) {
    if (!answer.overrun.empty() || std::memcmp(memory + from, expected + from, bytes) == 0) return;
    const std::uint8_t* const other =
        std::mismatch(expected + from, expected + from + bytes, memory + from).first;
    answer.overrun = place_of(placed, static_cast<std::size_t>(other - expected));
  });
  return answer;
}

std::string place_of(const Placed& placed, std::size_t at) {
  const auto byte = static_cast<std::int64_t>(at);
  std::string text;
  std::int64_t nearest = std::numeric_limits<std::int64_t>::max();
  for (std::size_t i = 0; i < placed.offsets.size(); ++i) {
    const auto first = static_cast<std::int64_t>(placed.offsets[i]);
    const auto end = first + static_cast<std::int64_t>(placed.tensors[i].bytes);
    const std::int64_t distance =
        byte < first ? first - byte : std::max<std::int64_t>(0, byte - end + 1);
    if (distance >= nearest) continue;
    nearest = distance;
    const std::size_t inputs = placed.call.n_in;
    text = fmt::format("byte {} {} {} {} ({} bytes long)",
                       byte < first  ? first - byte
                       : byte >= end ? byte - end
                                     : byte - first,
                       byte < first  ? "in front of"
                       : byte >= end ? "behind the end of"
                                     : "of",
                       i < inputs ? "input" : "output", i < inputs ? i : i - inputs, end - first);
  }
  return text;
}

}  // namespace assay::proptests

// SPDX-License-Identifier: Apache-2.0
#include "proptests/devices/segment.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "kernels/abi/claim.h"

namespace assay::proptests {
namespace {

constexpr std::size_t claims_at = wire::page;
constexpr std::size_t most_claims = 1024;
constexpr std::size_t first_batch = claims_at + most_claims * sizeof(assay_dut_claim);
static_assert(first_batch % wire::page == 0 && sizeof(wire::Header) <= claims_at);
static_assert(arena_page == wire::page);

[[noreturn]] void give_up(const char* what) {
  throw std::runtime_error(std::string("no shared memory for a device: ") + what + ": " +
                           std::strerror(errno));
}

std::size_t round_up(std::size_t x, std::size_t multiple) {
  return (x + multiple - 1) / multiple * multiple;
}

/// An offset where the C struct has a pointer.
template <class T>
T* as_pointer(std::size_t offset) {
  return reinterpret_cast<T*>(offset);
}

}  // namespace

Segment::Segment() : memory_(memfd_create("assay", MFD_CLOEXEC | MFD_ALLOW_SEALING)) {
  if (memory_.get() < 0) give_up("memfd_create");
  // A device that shortened the file would take us down with it.
  if (fcntl(memory_.get(), F_ADD_SEALS, F_SEAL_SHRINK) != 0) give_up("fcntl");
  reserve(first_batch);
  reset_header();
}

Segment::~Segment() { munmap(base_, size_); }

void Segment::reserve(std::size_t bytes) {
  if (bytes <= size_) return;
  bytes = std::max(bytes, size_ + size_ / 2);
  bytes = round_up(bytes, wire::page);
  if (ftruncate(memory_.get(), static_cast<off_t>(bytes)) != 0) give_up("ftruncate");
  void* const memory =
      base_ == nullptr ? mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory_.get(), 0)
                       : mremap(base_, size_, bytes, MREMAP_MAYMOVE);
  if (memory == MAP_FAILED) give_up("mmap");
  base_ = static_cast<std::uint8_t*>(memory);
  size_ = bytes;
}

void Segment::reset_header() {
  wire::Header& h = header();
  h = {};
  h.magic = wire::magic;
  h.version = wire::version;
  h.bytes = size_;
  h.claims = claims_at;
  h.most_claims = most_claims;
  h.claim_size = sizeof(assay_dut_claim);
  h.fault = wire::no_fault;
}

std::vector<LaidOut> Segment::lay_out(std::span<const Call> calls, bool guard_pages) {
  std::vector<LaidOut> runs;
  std::size_t n_tensors = 0;
  std::size_t arenas = 0;
  for (const Call& call : calls)
    for (Placement placement : {first_run, second_run}) {
      placement.guard_pages = guard_pages;
      runs.push_back({&call, placement, {}, arenas});
      arenas += round_up(arena_bytes(call, placement), wire::page);
      n_tensors += call.in.size() + call.out.size();
    }
  // A guard page before the first tensor and after every one.
  const std::size_t most_guards = guard_pages ? n_tensors + runs.size() : 0;
  runs_ = first_batch;
  std::size_t tensors_at = runs_ + runs.size() * sizeof(wire::Run);
  std::size_t guards_at = tensors_at + n_tensors * sizeof(assay_dut_tensor);
  const std::size_t arenas_at =
      round_up(guards_at + most_guards * sizeof(std::uint64_t), wire::page);
  reserve(arenas_at + arenas);
  for (std::size_t i = 0; i < runs.size(); ++i) {
    LaidOut& run = runs[i];
    run.arena += arenas_at;
    run.placed = place(*run.call, run.placement, at<std::uint8_t>(run.arena));
    wire::Run to{};
    to.call = run.placed.call;
    to.call.operation = kernels::abi::operation_of(run.call->claim.operation);
    to.call.in = as_pointer<assay_dut_tensor>(tensors_at);
    to.call.out =
        as_pointer<assay_dut_tensor>(tensors_at + run.call->in.size() * sizeof(assay_dut_tensor));
    to.guards = guards_at;
    to.n_guards = static_cast<std::uint32_t>(run.placed.guard_pages.size());
    to.follows = i % 2;
    to.status = wire::not_run;
    *at<wire::Run>(runs_ + i * sizeof to) = to;
    for (std::size_t t = 0; t < run.placed.tensors.size();
         ++t, tensors_at += sizeof(assay_dut_tensor)) {
      assay_dut_tensor tensor = run.placed.tensors[t];
      tensor.data = as_pointer<void>(run.arena + run.placed.offsets[t]);
      *at<assay_dut_tensor>(tensors_at) = tensor;
    }
    for (const std::size_t page : run.placed.guard_pages) {
      *at<std::uint64_t>(guards_at) = run.arena + page;
      guards_at += sizeof(std::uint64_t);
    }
  }
  wire::Header& h = header();
  h.bytes = size_;
  h.runs = runs_;
  h.n_runs = static_cast<std::uint32_t>(runs.size());
  h.started = h.finished = 0;
  h.fault = wire::no_fault;
  return runs;
}

wire::Run Segment::result(std::size_t i) const {
  wire::Run run = *at<wire::Run>(runs_ + i * sizeof(wire::Run));
  run.message[sizeof run.message - 1] = '\0';
  return run;
}

}  // namespace assay::proptests

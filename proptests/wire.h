// SPDX-License-Identifier: Apache-2.0
#pragma once
// How the harness (the host) and a device in a process of its own talk. Every struct has a fixed
// layout, little-endian, and holds offsets from the start of one shared memory segment where
// assay_dut.h has pointers, so that a device can be written in any language.
//
// The host starts the device's program with
//   descriptor 3: a stream socket, one byte a message,
//   descriptor 4: the shared memory (a memfd), its Header at offset 0,
//   standard input empty; what it prints is kept for the report. No other descriptor is open.
//
// 1. Start. The device maps descriptor 4 (Header::bytes long), checks magic and version, writes
//    name, n_claims and its claims (an assay_dut_claim for each entry, in the order of their
//    numbers; an entry with tactics says how many) to the offset Header::claims, then sends
//    `ready`. If it cannot start it writes why to Header::message and sends `unable`, or exits.
// 2. A batch. The host writes runs and their tensors, sets n_runs, started = finished = 0, and
//    sends `go`. If Header::bytes differs from what the device has mapped, it maps anew; nothing
//    but offsets stays valid from batch to batch. For run i = 0 .. n_runs - 1, in order:
//      - started = i + 1, before anything else: a crash is blamed on this run;
//      - if run.follows and the run before it did not end with ASSAY_DUT_OK, it is left alone;
//      - otherwise the guard pages are made inaccessible where the language can (mprotect), the
//        entry is called, the pages are made accessible again, status and message are written;
//      - finished = i + 1, after everything else.
//    A run that ends with ASSAY_DUT_ERROR ends the batch: what a broken device would say of the
//    others is no evidence. The host starts a new process and asks it the rest.
// 3. The device sends `done` and waits for the next `go`. When the socket is closed it exits.
//
// The host believes nothing in the segment but what the device is to write, and checks that. The
// device is killed when a run exceeds its time limit, when the host dies, and at the end.
// Expected values are never in the segment, nor in the device's process.

#include <cstddef>
#include <cstdint>

#include "kernels/abi/assay_dut.h"

namespace assay::proptests::wire {

inline constexpr std::uint32_t magic = 0x59415341;  ///< "ASAY" in memory
inline constexpr std::uint32_t version = 1;         ///< equal on both sides
inline constexpr int socket_descriptor = 3;
inline constexpr int memory_descriptor = 4;
inline constexpr std::size_t page = 4096;

inline constexpr char ready = 'r', unable = 'x', go = 'g', done = 'd';

/// Run::status before the run, and of one that was left alone; else enum assay_dut_status.
inline constexpr std::int32_t not_run = 2;
inline constexpr std::uint64_t no_fault = ~std::uint64_t{0};

struct Header {
  std::uint32_t magic;
  std::uint32_t version;
  std::uint64_t bytes;  ///< host: of the whole segment; grows, never shrinks
  std::uint64_t runs;   ///< host: offset of n_runs structs Run
  std::uint32_t n_runs;
  std::uint32_t started;      ///< device: runs begun in this batch
  std::uint32_t finished;     ///< device: runs ended in this batch
  std::uint32_t n_claims;     ///< device, before `ready`
  std::uint64_t claims;       ///< host: offset of room for claims
  std::uint32_t most_claims;  ///< host: how many fit there
  std::uint32_t claim_size;   ///< host: sizeof(assay_dut_claim), the distance from one to the next
  /// Device, if it catches SIGSEGV: offset of the address that faulted, where it lies in the
  /// segment.
  std::uint64_t fault;
  char name[128];     ///< device: for reports; ends with a zero
  char message[832];  ///< device: why it is unable to start; ends with a zero
};
static_assert(offsetof(Header, started) == 28 && offsetof(Header, claims) == 40 &&
              offsetof(Header, fault) == 56 && offsetof(Header, name) == 64 &&
              offsetof(Header, message) == 192 && sizeof(Header) == 1024);

struct Run {
  /// `in` and `out` hold offsets of n_in and n_out structs assay_dut_tensor, whose `data` are
  /// offsets as well. `stream` is 0.
  assay_dut_call call;
  std::uint64_t guards;  ///< offset of n_guards offsets (std::uint64_t) of pages
  std::uint32_t n_guards;
  std::uint32_t follows;  ///< 1: only if the run before this one ended with ASSAY_DUT_OK
  std::int32_t status;    ///< device
  char message[252];      ///< device: what went wrong, where it says; ends with a zero
};
static_assert(offsetof(Run, guards) == 104 && offsetof(Run, status) == 120 && sizeof(Run) == 376);

// The layouts of assay_dut.h on every machine with 64-bit pointers.
static_assert(sizeof(assay_dut_claim) == 320 && offsetof(assay_dut_claim, operation) == 4 &&
              offsetof(assay_dut_claim, a) == 72 && offsetof(assay_dut_claim, mma_model) == 200 &&
              offsetof(assay_dut_claim, rounding) == 248 &&
              offsetof(assay_dut_claim, fraction_bits) == 272 &&
              offsetof(assay_dut_claim, m_multiple) == 288 &&
              offsetof(assay_dut_claim, tactics) == 312);
static_assert(sizeof(assay_dut_call) == 104 && offsetof(assay_dut_call, m) == 16 &&
              offsetof(assay_dut_call, alpha) == 48 && offsetof(assay_dut_call, seed) == 64 &&
              offsetof(assay_dut_call, in) == 80);
static_assert(sizeof(assay_dut_tensor) == 104 && offsetof(assay_dut_tensor, role) == 16 &&
              offsetof(assay_dut_tensor, type_code) == 24 &&
              offsetof(assay_dut_tensor, layout) == 28 && offsetof(assay_dut_tensor, shape) == 40);

}  // namespace assay::proptests::wire

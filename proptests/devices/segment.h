// SPDX-License-Identifier: Apache-2.0
#pragma once
// The host's side of the shared memory of wire.h: what lies where in it.

#include <cstddef>
#include <span>
#include <vector>

#include "proptests/arena.h"
#include "proptests/devices/child.h"
#include "proptests/wire.h"

namespace assay::proptests {

/// One run as it was laid out. What the device could have written over is kept on our side.
struct LaidOut {
  const Call* call = nullptr;
  Placement placement;
  Placed placed;
  std::size_t arena = 0;  ///< offset of its memory in the segment
};

class Segment {
 public:
  /// Throws std::runtime_error where the system has no shared memory.
  Segment();
  ~Segment();
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;

  [[nodiscard]] int descriptor() const { return memory_.get(); }
  [[nodiscard]] wire::Header& header() const { return *at<wire::Header>(0); }
  template <class T>
  [[nodiscard]] T* at(std::size_t offset) const {
    return reinterpret_cast<T*>(base_ + offset);
  }
  /// Forgets what an earlier process has written.
  void reset_header();
  /// Both runs of every call, one after the other: tables, then arenas. Grows as needed.
  [[nodiscard]] std::vector<LaidOut> lay_out(std::span<const Call> calls, bool guard_pages);
  /// The state that run i was left in, read once and made safe.
  [[nodiscard]] wire::Run result(std::size_t i) const;

 private:
  void reserve(std::size_t bytes);

  Descriptor memory_;
  std::uint8_t* base_ = nullptr;
  std::size_t size_ = 0;
  std::size_t runs_ = 0;
};

}  // namespace assay::proptests

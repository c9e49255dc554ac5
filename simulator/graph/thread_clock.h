// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a computation on one thread took of it.

#include <ctime>

namespace assay::simulator {

/// CPU time of the calling thread: nothing of what else the machine does meanwhile is in it, but
/// for the caches and the memory that threads share.
class ThreadClock {
 public:
  [[nodiscard]] double seconds() const { return now() - begin_; }

 private:
  static double now() {
    std::timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  }
  double begin_ = now();
};

}  // namespace assay::simulator

// SPDX-License-Identifier: Apache-2.0
#pragma once
// One thread while it lives.

#ifdef _OPENMP
#include <omp.h>
#endif

namespace assay::simulator {

/// The quantizers' own threads cost more than they give on tensors of this size; what is parallel
/// here is recipes, groups and operands.
class OneThread {
 public:
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;
#ifdef _OPENMP
  OneThread() : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(before_); }

 private:
  int before_;
#else
  OneThread() = default;
  ~OneThread() = default;
#endif
};

}  // namespace assay::simulator

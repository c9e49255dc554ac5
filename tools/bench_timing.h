// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the benchmarks share: clocks, a median, a number of threads.

#include <functional>
#include <vector>

namespace assay::tools {

double seconds_of(const std::function<void()>& run);

/// Of this thread on a processor: what others do on the machine counts little.
double thread_seconds_of(const std::function<void()>& run);

/// The upper one of two middle values.
double median(std::vector<double> values);

/// Of OpenMP, where there is one.
void set_threads(int threads);

}  // namespace assay::tools

// SPDX-License-Identifier: Apache-2.0
#include "simulator/graph/side_by_side.h"

#include <atomic>
#include <exception>
#include <mutex>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace assay::simulator {

int most_at_once() {
#ifdef _OPENMP
  return omp_get_max_threads();
#else
  return 1;
#endif
}

void measure_side_by_side(const Graph& graph, const Forward& clean,
                          std::span<const Recipe* const> recipes, const ReplayOptions& options,
                          const MeasureOptions& extra, [[maybe_unused]] int at_once,
                          const RecipeMeasured& done) {
  if (recipes.empty()) return;
  Backward gradients;  // of the clean execution: the same for every recipe
  MeasureOptions shared = extra;
  if (shared.clean_gradients == nullptr) {
    gradients = loss_gradients(graph, clean);
    shared.clean_gradients = &gradients;
  }
  std::vector<std::exception_ptr> failures(recipes.size());
  std::atomic<std::size_t> next{0};
  std::atomic<bool> failed{false};
  std::mutex finishing;
#pragma omp parallel num_threads(at_once)
  while (!failed) {
    const std::size_t i = next++;
    if (i >= recipes.size()) break;
    try {
      Measurement m = measure(graph, clean, *recipes[i], options, {}, shared);
      const std::lock_guard<std::mutex> lock(finishing);
      done(i, std::move(m));
    } catch (...) {
      failures[i] = std::current_exception();
      failed = true;
    }
  }
  for (const auto& failure : failures)
    if (failure) std::rethrow_exception(failure);
}

}  // namespace assay::simulator

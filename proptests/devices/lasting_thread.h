// SPDX-License-Identifier: Apache-2.0
#pragma once
// A thread that never ends. A child that is to die with its parent (PR_SET_PDEATHSIG) dies with the
// thread that forked it, so the forks of workers that come and go are made here.

#include <functional>

namespace assay::proptests {

/// Runs `job` there and waits for it; what it throws is thrown here.
void on_lasting_thread(const std::function<void()>& job);

}  // namespace assay::proptests

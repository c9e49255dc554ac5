// SPDX-License-Identifier: Apache-2.0
#include "proptests/devices/lasting_thread.h"

#include <unistd.h>

#include <condition_variable>
#include <future>
#include <mutex>
#include <thread>

namespace assay::proptests {
namespace {

/// One job at a time is handed over and taken.
class Lasting {
 public:
  Lasting() {
    std::thread([this] {
      for (;;) {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return job_ != nullptr; });
        (*job_)();
        job_ = nullptr;
        changed_.notify_all();
      }
    }).detach();
  }
  void run(std::packaged_task<void()>& job) {
    const std::lock_guard turn(callers_);
    std::unique_lock lock(mutex_);
    job_ = &job;
    changed_.notify_all();
    changed_.wait(lock, [this] { return job_ == nullptr; });
  }
  const pid_t owner = getpid();

 private:
  std::mutex callers_, mutex_;
  std::condition_variable changed_;
  std::packaged_task<void()>* job_ = nullptr;
};

/// It is never destroyed, and a process that was forked from this one makes its own.
Lasting& lasting() {
  static std::mutex mutex;
  static Lasting* thread = nullptr;
  const std::lock_guard lock(mutex);
  if (thread == nullptr || thread->owner != getpid()) thread = new Lasting;
  return *thread;
}

}  // namespace

void on_lasting_thread(const std::function<void()>& job) {
  std::packaged_task<void()> task(job);
  std::future<void> done = task.get_future();
  lasting().run(task);
  done.get();
}

}  // namespace assay::proptests

// SPDX-License-Identifier: Apache-2.0
#include "simulator/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <string>
#include <utility>

#include "simulator/input_error.h"

namespace assay::simulator {
namespace {

/// The names of the temporary files alive, for discard_all(): a fixed table, since a signal handler
/// may neither allocate nor lock. A file beyond the table works, but no signal discards it.
std::array<std::atomic<const char*>, 32> alive{};

int enter(const char* name) {
  for (std::size_t i = 0; i < alive.size(); ++i) {
    const char* free = nullptr;
    if (alive[i].compare_exchange_strong(free, name)) return static_cast<int>(i);
  }
  return -1;
}

void leave(int slot) {
  if (slot >= 0) alive[static_cast<std::size_t>(slot)] = nullptr;
}

/// Holds signals back from the moment a file exists until its name is in the table.
class SignalsHeld {
 public:
  SignalsHeld() {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_BLOCK, &all, &before_);
  }
  ~SignalsHeld() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsHeld(const SignalsHeld&) = delete;
  SignalsHeld& operator=(const SignalsHeld&) = delete;

 private:
  sigset_t before_;
};

[[noreturn]] void fail(const std::filesystem::path& path, int error) {
  throw OutputError("cannot write " + path.string() + ": " + std::strerror(error) + ".");
}

}  // namespace

AtomicFile::AtomicFile(std::filesystem::path path) : path_(std::move(path)) {
  // Renaming onto a folder, or replacing a device such as /dev/full by a file, is never what was
  // meant.
  struct stat status {};
  if (::stat(path_.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    throw OutputError("cannot write " + path_.string() +
                      ": it exists and is not a regular file; choose another name.");
  }
  std::string name = path_.string() + ".XXXXXX";
  const SignalsHeld held;
  descriptor_ = ::mkostemp(name.data(), O_CLOEXEC);
  if (descriptor_ < 0) fail(path_, errno);
  temporary_ = name;
  slot_ = enter(temporary_.c_str());
  // mkostemp makes files that only their owner reads; the output gets what open() would have given.
  const mode_t mask = ::umask(0);
  ::umask(mask);
  ::fchmod(descriptor_, 0666 & ~mask);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
  leave(slot_);
}

void AtomicFile::discard_all() noexcept {
  for (const auto& name : alive) {
    if (const char* path = name.load()) ::unlink(path);
  }
}

void AtomicFile::write(std::span<const std::byte> bytes) { write_at(size_, bytes); }

void AtomicFile::write(std::string_view text) { write(std::as_bytes(std::span(text))); }

void AtomicFile::write_at(std::uint64_t offset, std::span<const std::byte> bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = ::pwrite(descriptor_, bytes.data() + done, bytes.size() - done,
                               static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(path_, errno);
    if (n == 0) fail(path_, ENOSPC);
    done += static_cast<std::size_t>(n);
  }
  size_ = std::max(size_, offset + bytes.size());
}

void AtomicFile::commit() {
  if (::fsync(descriptor_) != 0 && errno != EINVAL) fail(path_, errno);
  if (::close(std::exchange(descriptor_, -1)) != 0) fail(path_, errno);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail(path_, errno);
  leave(std::exchange(slot_, -1));
  temporary_.clear();
}

}  // namespace assay::simulator

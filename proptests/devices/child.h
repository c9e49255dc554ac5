// SPDX-License-Identifier: Apache-2.0
#pragma once
// A child process that talks in single bytes over a socket and whose printing is kept.

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace assay::proptests {

/// A file descriptor that closes itself.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  Descriptor& operator=(Descriptor&& other) noexcept;
  ~Descriptor();
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_ = -1;
};

class Child {
 public:
  /// Runs `command` with descriptor 3 a socket to us and descriptor 4 `memory`, nothing else open,
  /// standard input empty, in a process group of its own that is killed with us. A command that
  /// cannot be run is a child that exits. Throws std::runtime_error where the system has no more
  /// processes or descriptors.
  Child(const std::vector<std::string>& command, int memory);
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  enum class Event { message, silence, gone };
  /// Waits this long for a byte, and for whatever it prints. Gone: no byte will ever come.
  Event wait(char& message, std::chrono::milliseconds limit);
  bool send(char message);
  /// Kills it if need be: "SIGSEGV", "exit status 3", or, of one that was still alive, "".
  std::string end();
  /// The last lines it printed, "" if none.
  [[nodiscard]] std::string last_words();

 private:
  void read_output();
  bool dead();

  pid_t pid_ = -1;
  Descriptor socket_, output_;
  std::optional<std::string> end_;  // how it died
  bool collected_ = false;
  std::string printed_;  // the end of it
};

}  // namespace assay::proptests

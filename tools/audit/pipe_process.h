// SPDX-License-Identifier: Apache-2.0
#pragma once
// A program that answers what it is asked: standard input and output as streams, and what it
// printed beside them for the error that names it.

#include <sys/types.h>

#include <cstdio>
#include <span>
#include <string>
#include <vector>

namespace assay::tools::audit {

class PipeProcess {
 public:
  /// Runs `command`, found as a shell would find it. Throws std::runtime_error where it cannot be
  /// run.
  explicit PipeProcess(const std::vector<std::string>& command);
  ~PipeProcess();  ///< closes its input and waits for its end
  PipeProcess(const PipeProcess&) = delete;
  PipeProcess& operator=(const PipeProcess&) = delete;

  /// These throw std::runtime_error, with its last line on standard error, where it has ended.
  void write(std::span<const std::byte> bytes);
  void read(std::span<std::byte> bytes);
  std::string read_line();

 private:
  [[noreturn]] void lost();

  std::string name_;
  pid_t pid_ = -1;
  std::FILE* in_ = nullptr;      // what it reads
  std::FILE* out_ = nullptr;     // what it answers
  std::FILE* errors_ = nullptr;  // a file without a name that its standard error goes to
};

}  // namespace assay::tools::audit

// SPDX-License-Identifier: Apache-2.0
#include "tools/audit/pipe_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <stdexcept>

extern char** environ;

namespace assay::tools::audit {
namespace {

std::array<int, 2> make_pipe() {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0)
    throw std::runtime_error(fmt::format("cannot make a pipe: {}", std::strerror(errno)));
  return ends;
}

}  // namespace

PipeProcess::PipeProcess(const std::vector<std::string>& command) : name_(command.front()) {
  const std::array<int, 2> to = make_pipe();
  const std::array<int, 2> from = make_pipe();
  errors_ = std::tmpfile();
  if (errors_ == nullptr)
    throw std::runtime_error(fmt::format("cannot make a temporary file: {}", std::strerror(errno)));
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, to[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, from[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, fileno(errors_), STDERR_FILENO);
  std::vector<char*> words;
  words.reserve(command.size() + 1);
  for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  const int error = posix_spawnp(&pid_, words[0], &actions, nullptr, words.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(to[0]);
  close(from[1]);
  in_ = fdopen(to[1], "wb");
  out_ = fdopen(from[0], "rb");
  if (error != 0) {
    pid_ = -1;
    std::fclose(in_);
    std::fclose(out_);
    std::fclose(errors_);
    throw std::runtime_error(fmt::format("cannot run '{}': {}", name_, std::strerror(error)));
  }
}

PipeProcess::~PipeProcess() {
  std::fclose(in_);
  std::fclose(out_);
  std::fclose(errors_);
  if (pid_ > 0) waitpid(pid_, nullptr, 0);
}

void PipeProcess::lost() {
  std::string text;
  std::rewind(errors_);
  for (int c = std::fgetc(errors_); c != EOF; c = std::fgetc(errors_)) text += static_cast<char>(c);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  const std::string last = text.substr(text.rfind('\n') + 1);
  throw std::runtime_error(
      fmt::format("'{}' ended before its answer{}{}", name_, last.empty() ? "" : ": ", last));
}

void PipeProcess::write(std::span<const std::byte> bytes) {
  // Where the reader is gone, an error and no signal.
  const auto before = ::signal(SIGPIPE, SIG_IGN);
  const bool written =
      std::fwrite(bytes.data(), 1, bytes.size(), in_) == bytes.size() && std::fflush(in_) == 0;
  ::signal(SIGPIPE, before);
  if (!written) lost();
}

void PipeProcess::read(std::span<std::byte> bytes) {
  if (std::fread(bytes.data(), 1, bytes.size(), out_) != bytes.size()) lost();
}

std::string PipeProcess::read_line() {
  std::string line;
  for (int c = std::fgetc(out_); c != '\n'; c = std::fgetc(out_)) {
    if (c == EOF) lost();
    line += static_cast<char>(c);
  }
  return line;
}

}  // namespace assay::tools::audit

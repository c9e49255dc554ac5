// SPDX-License-Identifier: Apache-2.0
#include "proptests/devices/child.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <stdexcept>
#include <thread>

#include "proptests/devices/lasting_thread.h"
#include "proptests/wire.h"

namespace assay::proptests {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kept_output = 4096;

[[noreturn]] void give_up(const char* what) {
  throw std::runtime_error(std::string("cannot start a device: ") + what + ": " +
                           std::strerror(errno));
}

/// Descriptors above those that the child is to have, so that none is overwritten before its turn.
constexpr int above = 16;
Descriptor lifted(int fd) {
  const int copy = fcntl(fd, F_DUPFD_CLOEXEC, above);
  if (copy < 0) give_up("fcntl");
  return Descriptor(copy);
}

/// In the child, between fork and exec: nothing that may take a lock or memory.
[[noreturn]] void become(char* const* argv, pid_t parent, const int (&descriptors)[5]) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);  // it died before it could be watched
  setpgid(0, 0);
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int fd = 0; fd < 5; ++fd)
    if (dup2(descriptors[fd], fd) < 0) _exit(127);
  if (syscall(SYS_close_range, 5U, ~0U, 0U) != 0)
    for (int fd = 5; fd < 65536; ++fd) close(fd);
  execvp(argv[0], argv);
  const auto say = [](const char* text) {
    if (write(STDERR_FILENO, text, std::strlen(text)) < 0) _exit(127);
  };
  const char* const reason = strerrordesc_np(errno);
  say("cannot run ");
  say(argv[0]);
  say(": ");
  say(reason != nullptr ? reason : "unknown error");
  say("\n");
  _exit(127);
}

}  // namespace

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}
Descriptor::~Descriptor() {
  if (fd_ >= 0) close(fd_);
}

Child::Child(const std::vector<std::string>& command, int memory) {
  std::vector<char*> argv;
  argv.reserve(command.size() + 1);
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  std::array<int, 2> sockets{};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets.data()) != 0)
    give_up("socketpair");
  socket_ = Descriptor(sockets[0]);
  const Descriptor its_socket(sockets[1]);
  std::array<int, 2> pipes{};
  if (pipe2(pipes.data(), O_CLOEXEC) != 0) give_up("pipe");
  output_ = Descriptor(pipes[0]);
  const Descriptor its_output(pipes[1]);
  fcntl(output_.get(), F_SETFL, O_NONBLOCK);
  const Descriptor nothing(open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (nothing.get() < 0) give_up("/dev/null");
  const Descriptor in = lifted(nothing.get()), out = lifted(its_output.get()),
                   talk = lifted(its_socket.get()), shared = lifted(memory);
  const int descriptors[5] = {in.get(), out.get(), out.get(), talk.get(), shared.get()};
  static_assert(wire::socket_descriptor == 3 && wire::memory_descriptor == 4);
  const pid_t self = getpid();
  on_lasting_thread([&] {
    pid_ = fork();
    if (pid_ < 0) give_up("fork");
    if (pid_ == 0) become(argv.data(), self, descriptors);
  });
  setpgid(pid_, pid_);  // whoever of us comes first
}

Child::~Child() { (void)end(); }

/// Leaves the body where it is: as long as it lies there its process group is not another's.
bool Child::dead() {
  siginfo_t info{};
  if (end_ || collected_ ||
      waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
      info.si_pid != pid_)
    return end_.has_value();
  const char* const signal = info.si_code == CLD_EXITED ? nullptr : sigabbrev_np(info.si_status);
  end_ = signal != nullptr            ? std::string("SIG") + signal
         : info.si_code == CLD_EXITED ? "exit status " + std::to_string(info.si_status)
                                      : "signal " + std::to_string(info.si_status);
  return true;
}

Child::Event Child::wait(char& message, milliseconds limit) {
  // A process that it forked may hold the socket open after its death, so we look now and then.
  constexpr milliseconds glance{50};
  const auto until = Clock::now() + limit;
  for (;;) {
    const auto left = std::chrono::duration_cast<milliseconds>(until - Clock::now());
    std::array<pollfd, 2> polled{{{socket_.get(), POLLIN, 0}, {output_.get(), POLLIN, 0}}};
    poll(polled.data(), polled.size(),
         static_cast<int>(std::clamp(left, milliseconds(0), glance).count()));
    if ((polled[1].revents & POLLIN) != 0) read_output();
    if (polled[0].revents != 0) {
      const ssize_t n = recv(socket_.get(), &message, 1, MSG_DONTWAIT);
      if (n == 1) return Event::message;
      if (n == 0 || errno != EAGAIN) return Event::gone;
    } else if (dead()) {
      return Event::gone;
    }
    if (left.count() <= 0) return Event::silence;
    if ((polled[1].revents & (POLLHUP | POLLIN)) == POLLHUP)
      std::this_thread::sleep_for(milliseconds(1));  // it closed its output: poll returns at once
  }
}

bool Child::send(char message) { return ::send(socket_.get(), &message, 1, MSG_NOSIGNAL) == 1; }

std::string Child::end() {
  if (collected_) return end_.value_or("");
  const auto wait_for = [this](milliseconds limit) {
    const auto until = Clock::now() + limit;
    while (!dead() && Clock::now() < until) std::this_thread::sleep_for(milliseconds(1));
  };
  // One that closed its socket is given a moment to die by itself.
  char ignored = 0;
  if (recv(socket_.get(), &ignored, 1, MSG_DONTWAIT | MSG_PEEK) == 0) wait_for(milliseconds(500));
  std::string by_itself = dead() ? *end_ : "";
  read_output();
  kill(-pid_, SIGKILL);
  wait_for(milliseconds(5000));  // a driver may keep it longer; then it is left behind
  waitpid(pid_, nullptr, WNOHANG);
  collected_ = true;
  end_ = by_itself;
  return by_itself;
}

void Child::read_output() {
  std::array<char, 65536> buffer{};
  // A flood must not keep us here for ever; what is left comes next time.
  for (int reads = 0; reads < 64; ++reads) {
    const ssize_t n = read(output_.get(), buffer.data(), buffer.size());
    if (n <= 0) return;
    printed_.append(buffer.data(), static_cast<std::size_t>(n));
    if (printed_.size() > kept_output) printed_.erase(0, printed_.size() - kept_output);
  }
}

std::string Child::last_words() {
  read_output();
  constexpr std::size_t lines = 3, most = 400;
  std::string text = printed_;
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  std::size_t from = text.size();
  for (std::size_t line = 0; line < lines && from != std::string::npos && from != 0; ++line)
    from = text.rfind('\n', from - 1);
  if (from != std::string::npos && from != 0) text.erase(0, from + 1);
  if (text.size() > most) text.erase(0, text.size() - most);
  std::replace(text.begin(), text.end(), '\n', '|');
  std::erase_if(text, [](char c) { return static_cast<unsigned char>(c) < ' '; });
  return text;
}

}  // namespace assay::proptests

// SPDX-License-Identifier: Apache-2.0
#include "tools/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <string_view>
#include <utility>

namespace assay::tools {
namespace {

bool watched() {
  const char* terminal = std::getenv("TERM");
  return ::isatty(STDERR_FILENO) == 1 && terminal != nullptr &&
         std::string_view(terminal) != "dumb";
}

constexpr std::size_t kTimeWidth = 14;  // of the longest time_left()

}  // namespace

std::string time_left(std::int64_t done, std::int64_t total, double seconds) {
  if (done <= 0 || seconds < 1) return "";
  const double left = seconds * static_cast<double>(total - done) / static_cast<double>(done);
  if (left < 90) return fmt::format("{:.0f} s left", left);
  if (left < 90 * 60) return fmt::format("{:.0f} min left", left / 60);
  return fmt::format("{:.0f} h left", left / 3600);
}

Progress::Progress(std::string label, std::int64_t total)
    : label_(std::move(label)),
      total_(total),
      shown_(watched()),
      begin_(std::chrono::steady_clock::now()),
      last_(begin_) {}

Progress::~Progress() {
  if (shown_) fmt::print(stderr, "\r{:{}}\r", "", label_.size() + 6 + kTimeWidth);
}

void Progress::advance(std::int64_t by, bool known) {
  done_ += by;
  if (known) known_ += by;
  const auto now = std::chrono::steady_clock::now();
  if (!shown_ || now - last_ < std::chrono::milliseconds(100)) return;
  last_ = now;
  const std::string left = time_left(done_ - known_, total_ - known_,
                                     std::chrono::duration<double>(now - begin_).count());
  fmt::print(stderr, "\r{} {:3}% {:<{}}", label_, total_ > 0 ? 100 * done_ / total_ : 100, left,
             kTimeWidth);
}

}  // namespace assay::tools

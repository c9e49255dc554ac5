// SPDX-License-Identifier: Apache-2.0
#pragma once
// How far a long run is, and about how long it will take, for a person who watches: on stderr, and
// only where that is a terminal.

#include <chrono>
#include <cstdint>
#include <string>

namespace assay::tools {

/// "12 s left", "3 min left", "2 h left": of `total` parts `done` took `seconds`; empty before a
/// second is over or where nothing is done.
[[nodiscard]] std::string time_left(std::int64_t done, std::int64_t total, double seconds);

class Progress {
 public:
  Progress(std::string label, std::int64_t total);
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress();  ///< clears the line

  /// `known`: this part was not computed now, and says nothing about the time that is left.
  void advance(std::int64_t by, bool known = false);

 private:
  std::string label_;
  std::int64_t total_;
  std::int64_t done_ = 0, known_ = 0;
  bool shown_;
  std::chrono::steady_clock::time_point begin_, last_;
};

}  // namespace assay::tools

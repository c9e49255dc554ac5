// SPDX-License-Identifier: Apache-2.0
#pragma once
// How far a long run is, for a person who watches: on stderr, and only where that is a terminal.

#include <chrono>
#include <cstdint>
#include <string>

namespace assay::tools {

class Progress {
 public:
  Progress(std::string label, std::int64_t total);
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress();  ///< clears the line

  void advance(std::int64_t by);

 private:
  std::string label_;
  std::int64_t total_;
  std::int64_t done_ = 0;
  bool shown_;
  std::chrono::steady_clock::time_point last_;
};

}  // namespace assay::tools

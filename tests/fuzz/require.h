// SPDX-License-Identifier: Apache-2.0
#pragma once
// How a fuzz target reports a wrong result: it stops, so that the fuzzer keeps the input.

#include <cstdio>
#include <cstdlib>
#include <string_view>

inline void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "fuzz: violated: %s\n", what);
  std::abort();
}

/// A refusal names the file and ends as a sentence.
inline void require_sentence(std::string_view message) {
  require(message.size() > 10 && message.back() == '.', "a refusal is one sentence");
  require(message.find(": ") != std::string_view::npos, "a refusal names the file");
}

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

/// A refusal names the file and is one sentence on one line.
inline void require_sentence(std::string_view message) {
  require(message.size() > 10 && message.back() == '.', "a refusal is one sentence");
  for (const char c : message) {
    const auto byte = static_cast<unsigned char>(c);
    require(byte >= 0x20 && byte != 0x7F, "a refusal has no control character");
  }
  require(message.find(": ") != std::string_view::npos, "a refusal names the file");
}

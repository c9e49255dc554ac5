// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a reader throws when a file is not what it claims to be: one sentence that names the file,
// the problem and, where there is one, the fix. The CLI prints it and exits with code 4.

#include <stdexcept>
#include <string>
#include <string_view>

namespace assay::simulator {

/// Control characters as \xNN: names come from files, and a NUL or a line break in one must neither
/// cut the sentence off nor break it in two.
inline std::string one_line(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string line;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7F) {
      line += c;
    } else {
      line += {'\\', 'x', kDigits[byte >> 4U], kDigits[byte & 15U]};
    }
  }
  return line;
}

class InputError : public std::runtime_error {
 public:
  explicit InputError(std::string_view text) : std::runtime_error(one_line(text)) {}
};

/// An output that could not be written (no permission, full disk); nothing is left half written.
class OutputError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace assay::simulator

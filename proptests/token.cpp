// SPDX-License-Identifier: Apache-2.0
#include "proptests/token.h"

#include <charconv>
#include <stdexcept>

namespace assay::proptests {
namespace {

constexpr std::int64_t most_steps = 100000;

[[noreturn]] void reject(std::string_view text) {
  throw std::invalid_argument(
      "--case '" + std::string(text) +
      "' is no case: copy it from the replay line of a failure, e.g. 417/0.3x2");
}

}  // namespace

std::string to_string(const Token& token) {
  std::string text = std::to_string(token.index);
  for (std::size_t i = 0; i < token.path.size();) {
    std::size_t run = 1;
    while (i + run < token.path.size() && token.path[i + run] == token.path[i]) ++run;
    text += i == 0 ? '/' : '.';
    text += std::to_string(token.path[i]);
    if (run > 1) text += "x" + std::to_string(run);
    i += run;
  }
  return text;
}

Token parse_token(std::string_view text) {
  const char* at = text.data();
  const char* const end = at + text.size();
  const auto number = [&] {
    std::int64_t value = 0;
    const auto [next, error] = std::from_chars(at, end, value);
    if (error != std::errc{} || value < 0) reject(text);
    at = next;
    return value;
  };
  Token token{number(), {}};
  for (char separator = '/'; at != end; separator = '.') {
    if (*at++ != separator) reject(text);
    const std::int64_t step = number();
    std::int64_t run = 1;
    if (at != end && *at == 'x') {
      ++at;
      run = number();
    }
    if (run < 1 || run > most_steps - static_cast<std::int64_t>(token.path.size())) reject(text);
    token.path.insert(token.path.end(), run, step);
  }
  return token;
}

}  // namespace assay::proptests

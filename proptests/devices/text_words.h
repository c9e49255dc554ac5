// SPDX-License-Identifier: Apache-2.0
#pragma once
// Reading the files of text_vectors.h word by word.

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <istream>
#include <stdexcept>
#include <string>
#include <utility>

namespace assay::proptests {

/// The words of a text, and the line each stands in.
class Words {
 public:
  /// `line`: the number of the line before the first one.
  Words(std::istream& in, std::string name, std::int64_t line = 0)
      : in_(in), name_(std::move(name)), number_(line) {}

  /// Empty at the end of the file.
  std::string next() {
    while (at_ == line_.size() || line_[at_] == '#') {
      if (!std::getline(in_, line_)) return {};
      ++number_;
      at_ = skip(0);
    }
    const std::size_t end = std::min(line_.find_first_of(" \t\r", at_), line_.size());
    std::string word = line_.substr(at_, end - at_);
    at_ = skip(end);
    return word;
  }
  void expect(const std::string& expected) {
    const std::string word = next();
    if (word != expected) reject("'" + expected + "'", word);
  }
  template <class T>
  T number(const std::string& what, int base = 10) {
    const std::string word = next();
    T value{};
    const auto [at, error] = std::from_chars(word.data(), word.data() + word.size(), value, base);
    if (error != std::errc{} || at != word.data() + word.size()) reject(what, word);
    return value;
  }
  /// What is left of the line.
  std::string rest() {
    std::string text = line_.substr(at_);
    while (!text.empty() && (text.back() == '\r' || text.back() == ' ')) text.pop_back();
    at_ = line_.size();
    return text;
  }
  /// `word` empty: the text ends.
  [[noreturn]] void reject(const std::string& expected, const std::string& word) const {
    throw std::runtime_error(
        word.empty()
            ? fmt::format("{} ends after line {}, where {} is expected", name_, number_, expected)
            : fmt::format("{} line {}: '{}' stands where {} is expected", name_, number_, word,
                          expected));
  }

 private:
  [[nodiscard]] std::size_t skip(std::size_t at) const {
    return std::min(line_.find_first_not_of(" \t\r", at), line_.size());
  }

  std::istream& in_;
  std::string name_, line_;
  std::size_t at_ = 0;
  std::int64_t number_;
};

}  // namespace assay::proptests

// SPDX-License-Identifier: Apache-2.0
#include "simulator/npy_dictionary.h"

#include <cctype>
#include <set>

#include "simulator/input_error.h"

namespace assay::simulator {
namespace {

constexpr std::size_t kMaxExtents = 64;  // numpy's own limit

class Parser {
 public:
  Parser(std::string_view text, std::string_view file) : text_(text), file_(file) {}

  NpyDictionary dictionary() {
    NpyDictionary result;
    std::set<std::string> keys;
    expect('{');
    while (!accept('}')) {
      const std::string key = string();
      if (!keys.insert(key).second) fail("the key '" + key + "' stands twice");
      expect(':');
      if (key == "descr") {
        result.descr = string();
      } else if (key == "fortran_order") {
        result.fortran_order = boolean();
      } else if (key == "shape") {
        result.shape = tuple();
      } else {
        fail("unknown key '" + key + "'");
      }
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip_blanks();
    if (at_ != text_.size()) fail("something follows the dictionary");
    if (keys.size() != 3) fail("one of descr, fortran_order and shape is missing");
    return result;
  }

 private:
  [[noreturn]] void fail(const std::string& problem) const {
    throw InputError(std::string(file_) + ": bad .npy header at its byte " + std::to_string(at_) +
                     ": " + problem + ".");
  }

  void skip_blanks() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t'))
      ++at_;
  }

  bool accept(char c) {
    skip_blanks();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  void expect(char c) {
    if (!accept(c)) fail(std::string("expected '") + c + "'");
  }

  std::string string() {
    skip_blanks();
    if (at_ == text_.size() || (text_[at_] != '\'' && text_[at_] != '"')) {
      fail("expected a string (structured types are not supported)");
    }
    const char quote = text_[at_++];
    const std::size_t end = text_.find(quote, at_);
    if (end == std::string_view::npos) fail("a string does not end");
    std::string value(text_.substr(at_, end - at_));
    for (const char c : value) {
      if (c == '\\' || std::isprint(static_cast<unsigned char>(c)) == 0)
        fail("a string has escapes");
    }
    at_ = end + 1;
    return value;
  }

  bool boolean() {
    skip_blanks();
    for (const std::string_view word : {"True", "False"}) {
      if (text_.substr(at_).starts_with(word)) {
        at_ += word.size();
        return word == "True";
      }
    }
    fail("expected True or False");
  }

  std::vector<std::int64_t> tuple() {
    std::vector<std::int64_t> values;
    expect('(');
    while (!accept(')')) {
      if (values.size() == kMaxExtents) fail("more than 64 extents");
      values.push_back(number());
      if (accept(',')) continue;
      if (values.size() == 1) fail("a tuple of one needs a comma");
      expect(')');
      break;
    }
    return values;
  }

  std::int64_t number() {
    skip_blanks();
    const std::size_t begin = at_;
    std::int64_t value = 0;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      if (__builtin_mul_overflow(value, std::int64_t{10}, &value) ||
          __builtin_add_overflow(value, std::int64_t{text_[at_] - '0'}, &value)) {
        fail("an extent is too large");
      }
    }
    if (at_ == begin) fail("expected a natural number");
    return value;
  }

  std::string_view text_;
  std::string_view file_;
  std::size_t at_ = 0;
};

}  // namespace

NpyDictionary parse_npy_dictionary(std::string_view text, std::string_view file_name) {
  return Parser(text, file_name).dictionary();
}

}  // namespace assay::simulator

// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <sstream>
#include <stdexcept>
#include <unordered_map>
#include <utility>

#include "kernels/abi/claim_text.h"
#include "proptests/devices/text_tensor.h"
#include "proptests/devices/text_vectors.h"
#include "proptests/devices/text_words.h"

namespace assay::proptests {
namespace {

/// The lines of one case.
struct Section {
  std::int64_t line = 0;  ///< the one that says "case"
  std::string text;
};

/// Cuts a file at the lines "case N", which must count from 0, down to "end N". `head` gets what
/// comes before.
std::vector<Section> sections(std::istream& in, const std::string& name, std::string& head) {
  std::vector<Section> found;
  std::int64_t number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    const bool is_case = line.starts_with("case ");
    const bool is_end = line.starts_with("end ");
    if (!is_case && !is_end) {
      (found.empty() ? head : found.back().text) += line + "\n";
      continue;
    }
    const std::string expected = fmt::format("{} {}", is_case ? "case" : "end", found.size());
    if (line != expected)
      throw std::runtime_error(fmt::format("{} line {}: '{}' stands where '{}' is expected", name,
                                           number, line, expected));
    if (is_end) return found;
    found.push_back({number, {}});
  }
  throw std::runtime_error(
      fmt::format("{} is incomplete: after {} cases and {} lines there is no "
                  "'end {}'",
                  name, found.size(), number, found.size()));
}

VectorHeader read_header(Words& words) {
  words.expect("assay-vectors");
  words.expect("1");
  VectorHeader header;
  words.expect("claim");
  header.claim = words.rest();
  words.expect("select");
  header.selection = words.rest();
  words.expect("cases");
  header.cases = words.number<std::int64_t>("a number of cases");
  words.expect("seed");
  header.seed = words.number<std::uint64_t>("a seed");
  return header;
}

/// The codes that answer one output.
std::vector<std::uint8_t> read_output(Words& words, const Operand& out) {
  const std::string name = tensor_name(out.shape);
  const std::size_t space = name.find(' ');
  words.expect(name.substr(0, space));
  words.expect(name.substr(space + 1));
  const Rows rows = rows_of(out.shape);
  const std::string what =
      fmt::format("a hexadecimal {} code of {} bits", type_name(out.shape), rows.bits);
  std::vector<std::uint8_t> bytes(rows.count * rows.row_bytes());
  for (std::int64_t r = 0; r < rows.count; ++r) {
    const bool written = out.written.empty() || out.written[r] != 0;
    for (std::int64_t i = 0; i < rows.length; ++i) {
      const auto value = words.number<std::uint64_t>(what, 16);
      if (rows.bits < 64 && value >> rows.bits != 0) words.reject(what, fmt::format("{:x}", value));
      if (written) set_element(bytes.data() + r * rows.row_bytes(), i, rows.bits, value);
    }
  }
  return bytes;
}

/// Throws where the outputs are not those of the call.
Answer read_answer(const Section& section, const std::string& name, const Call& call) {
  std::istringstream in(section.text);
  Words words(in, name, section.line);
  Answer answer;
  if (section.text.starts_with("declined")) {
    answer.outcome = Outcome::declined;
    return answer;
  }
  for (const Operand& out : call.out) answer.outputs.push_back(read_output(words, out));
  if (const std::string more = words.next(); !more.empty()) words.reject("the next case", more);
  answer.outcome = Outcome::answered;
  return answer;
}

}  // namespace

struct AnswerReader::Files {
  std::string vectors_name, answers_name;
  VectorHeader header;
  std::unordered_map<std::string, std::size_t> cases;  ///< from a call; of equal ones any
  std::vector<Section> answers;
  std::string problem;  ///< the first; empty: none
};

AnswerReader::AnswerReader(std::istream& vectors, std::string vectors_name, std::istream& answers,
                           std::string answers_name)
    : files_(std::make_unique<Files>()) {
  files_->vectors_name = std::move(vectors_name);
  files_->answers_name = std::move(answers_name);
  std::string head;
  const std::vector<Section> cases = sections(vectors, files_->vectors_name, head);
  std::istringstream in(head);
  Words words(in, files_->vectors_name);
  files_->header = read_header(words);
  for (std::size_t i = 0; i < cases.size(); ++i) files_->cases.emplace(cases[i].text, i);

  head.clear();
  files_->answers = sections(answers, files_->answers_name, head);
  std::istringstream start(head);
  Words first(start, files_->answers_name);
  first.expect("assay-answers");
  first.expect("1");
  if (files_->answers.size() != cases.size())
    throw std::runtime_error(fmt::format("{} answers {} cases and {} has {}", files_->answers_name,
                                         files_->answers.size(), files_->vectors_name,
                                         cases.size()));
}

AnswerReader::~AnswerReader() = default;

const VectorHeader& AnswerReader::header() const { return files_->header; }

std::string AnswerReader::name() const { return files_->answers_name; }

std::vector<kernels::Claim> AnswerReader::claims() const {
  return {kernels::abi::parse_claim(files_->header.claim)};
}

std::vector<Trial> AnswerReader::ask(std::span<const Call> calls) {
  std::vector<Trial> trials(calls.size());
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const auto found = files_->cases.find(vector_text(calls[i]));
    try {
      if (found == files_->cases.end())
        throw std::runtime_error(files_->vectors_name +
                                 " lacks a case of its claim, selection and seed: another version "
                                 "of assay wrote it, or it was changed; write it anew");
      trials[i].first = read_answer(files_->answers[found->second], files_->answers_name, calls[i]);
    } catch (const std::runtime_error& e) {
      if (files_->problem.empty()) files_->problem = e.what();
      trials[i].first.message = e.what();
    }
    trials[i].second = trials[i].first;
  }
  return trials;
}

void AnswerReader::require_sound() const {
  if (!files_->problem.empty()) throw std::runtime_error(files_->problem);
}

}  // namespace assay::proptests

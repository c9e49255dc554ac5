// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a property's run ends with. Statuses and their meaning: docs/certify.md.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace assay::proptests {

enum class Status : std::uint8_t {
  pass,
  fail,
  not_supported,  ///< the device claims nothing that the property is about
  skipped,        ///< ran, but no case could be judged
  crash,
  timeout,
  error,  ///< the suite itself failed; nothing is known about the device
  expected_fail,
  unexpected_pass,
};
[[nodiscard]] std::string_view name_of(Status status);
/// Throws std::invalid_argument for a name that is none.
[[nodiscard]] Status status_named(std::string_view name);

/// One difference between what was required and what was observed.
struct Mismatch {
  std::string where;      ///< the output element, e.g. d[0,3]
  std::string criterion;  ///< bit exact, bound ..., unchanged inputs, ...
  std::string expected;   ///< bits and value
  std::string observed;
  std::string exact;     ///< the exact value, where there is one
  std::string distance;  ///< in ulps of the output format, where it is defined
};

/// How far a result was from the exact one, and how far it was allowed to be.
struct ErrorPoint {
  double exact = 0;    ///< |exact|
  double allowed = 0;  ///< T + half an ulp
  double error = 0;    ///< |observed - exact|
  [[nodiscard]] double share() const { return error / allowed; }
};

struct NamedText {
  std::string name, text;
};

/// A known error of kernels that reproduces what was observed.
struct Candidate {
  std::string id;                            ///< of a hypothesis of diagnosis/, a slug
  std::string name;                          ///< what is wrong, in one line
  std::int64_t explained = 0, failing = 0;   ///< failing cases that it reproduces, of how many
  std::int64_t consistent = 0, passing = 0;  ///< passing cases that it leaves as they are
  std::string where = {};  ///< it shows there and nowhere else: "in odd rows"; empty: everywhere
};

/// What is probably wrong with a kernel.
struct Diagnosis {
  std::vector<Candidate> candidates;  ///< the most specific first; empty: none reproduces it
  std::string evidence;               ///< where the errors sit, where there is no candidate
};
/// One line: the likely bug, and how well it explains what was seen; empty for no diagnosis.
[[nodiscard]] std::string show(const Diagnosis& diagnosis);

/// The smallest failing case that was found, ready to be read and replayed.
struct Counterexample {
  std::int64_t case_index = 0;
  std::string token;  ///< --case
  std::int64_t shrink_steps = 0;
  Mismatch mismatch;
  std::vector<NamedText> operands;  ///< codes and values
  std::string replay;               ///< the whole command
  Diagnosis diagnosis;              ///< what is probably wrong
};

struct Verdict {
  std::string property;
  std::string section;    ///< the specification it follows from
  std::string statement;  ///< what must hold, in one sentence
  Status status = Status::error;
  std::int64_t planned = 0;        ///< cases that were to run; more than `cases`: unfinished
  std::int64_t cases = 0;          ///< generated and run
  std::int64_t undecided = 0;      ///< of these: no bound exists (an intermediate may overflow)
  std::int64_t not_supported = 0;  ///< of these: declined by the device
  std::int64_t flakes = 0;         ///< of these: failed, and passed when asked again
  std::vector<ErrorPoint> points;  ///< largest share of the bound first; empty: nothing has one
  std::string detail;              ///< why, where it is neither pass nor fail
  std::optional<Counterexample> counterexample;
};

}  // namespace assay::proptests

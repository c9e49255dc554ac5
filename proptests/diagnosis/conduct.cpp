// SPDX-License-Identifier: Apache-2.0
// What is wrong with a kernel's conduct: read off the two runs of a case.
#include <array>

#include "proptests/arena.h"
#include "proptests/diagnosis/diagnose.h"

namespace assay::proptests::diagnosis {
namespace {

struct OutcomeRow {
  Outcome outcome;
  const char* id;
  const char* name;
};
constexpr std::array outcomes{
    OutcomeRow{Outcome::crash, "crash", "the kernel crashes"},
    OutcomeRow{Outcome::timeout, "timeout", "the kernel does not return in time"},
    OutcomeRow{Outcome::failed, "reports_failure", "the kernel reports failure"}};

/// Bytes that both runs left as they were: poison, another one each time.
struct Unwritten {
  std::size_t bytes = 0, of = 0;
  bool at_end_only = true;  ///< no byte after an unwritten one is written, in any output
};
Unwritten unwritten(const Trial& t) {
  Unwritten u;
  for (std::size_t o = 0; o < t.first.outputs.size() && o < t.second.outputs.size(); ++o) {
    const auto& a = t.first.outputs[o];
    const auto& b = t.second.outputs[o];
    bool before = false;
    for (std::size_t i = 0; i < a.size() && i < b.size(); ++i, ++u.of) {
      const bool poison = a[i] == first_run.poison && b[i] == second_run.poison;
      u.bytes += poison ? 1 : 0;
      if (before && !poison) u.at_end_only = false;
      before = poison;
    }
  }
  return u;
}

bool all_nan(const Trial& t) {
  bool any = false;
  for (const auto& out : t.first.outputs) {
    if (out.size() % 4 != 0) return false;
    for (std::size_t i = 0; i + 3 < out.size(); i += 4, any = true)
      if ((out[i + 3] & 0x7FU) != 0x7F || (out[i + 2] & 0x80U) == 0 ||
          ((out[i + 2] & 0x7FU) == 0 && out[i + 1] == 0 && out[i] == 0))
        return false;
  }
  return any;
}

}  // namespace

std::vector<Candidate> conduct(const Observation& o) {
  std::vector<Candidate> found;
  const auto say = [&](const char* id, const char* name) {
    found.push_back({id, name, 0, 0, 0, 0});
  };
  for (const Answer* answer : {&o.trial.first, &o.trial.second}) {
    for (const OutcomeRow& row : outcomes)
      // The second run does not start where the first did not answer.
      if (answer->outcome == row.outcome &&
          (answer == &o.trial.first || o.trial.first.outcome == Outcome::answered))
        say(row.id, row.name);
    if (answer->inputs_changed) say("writes_inputs", "the kernel writes to its inputs");
    if (!answer->overrun.empty()) say("writes_outside", "the kernel writes outside of its outputs");
  }
  if (!found.empty()) return found;
  if (const Unwritten u = unwritten(o.trial); u.bytes > 0) {
    if (u.bytes == u.of) say("writes_nothing", "outputs are not written at all");
    if (u.at_end_only) say("last_output_unwritten", "the last outputs are not written");
    say("output_unwritten", "some outputs are not written");
    return found;
  }
  if (o.trial.first.outputs != o.trial.second.outputs)
    say("not_repeatable", "the same call gives other bits the second time");
  else if (o.failed && all_nan(o.trial))
    say("all_nan", "every output is NaN");
  if (o.failed && o.repeats_earlier)
    say("stale_answer", "the answer is that of an earlier call with other operands");
  return found;
}

}  // namespace assay::proptests::diagnosis

// SPDX-License-Identifier: Apache-2.0
// What is wrong with a kernel's conduct: read off the two runs of a case.
#include <array>
#include <cmath>

#include "golden/layout.h"
#include "proptests/arena.h"
#include "proptests/diagnosis/diagnose.h"
#include "proptests/judge.h"

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

/// Whether all that is unwritten pads scale factors in the 128x4 layout, and that it holds.
bool pads_scales(const Observation& o) {
  const std::optional<Call> call = o.experiment->call();
  if (!call) return false;
  const auto& first = o.trial.first.outputs;
  const auto& second = o.trial.second.outputs;
  bool any = false;
  for (std::size_t at = 0; at < call->out.size() && at < first.size() && at < second.size(); ++at) {
    const assay_dut_tensor& t = call->out[at].shape;
    std::vector<bool> used(first[at].size(), t.layout != ASSAY_DUT_SCALES_128X4);
    if (t.layout == ASSAY_DUT_SCALES_128X4) {
      if (t.ndim != 2) return false;
      for (std::int64_t r = 0; r < t.shape[0]; ++r)
        for (std::int64_t b = 0; b < t.shape[1]; ++b) {
          const auto i = static_cast<std::size_t>(golden::scale_index(
              formats::ScaleLayout::swizzled_128x4, t.shape[0], t.shape[1], r, b));
          if (i >= used.size()) return false;
          used[i] = true;
        }
    }
    for (std::size_t i = 0; i < used.size() && i < second[at].size(); ++i) {
      if (first[at][i] != first_run.poison || second[at][i] != second_run.poison) continue;
      if (used[i]) return false;
      any = true;
    }
  }
  return any;
}

/// `overrun` is a place as place_of() of arena.h names it.
const char* outside(const std::string& overrun) {
  const bool beside = overrun.find(" in front of ") != std::string::npos ||
                      overrun.find(" behind the end of ") != std::string::npos;
  return beside ? "the kernel writes outside of its outputs"
                : "the kernel writes to the padding between rows, or to rows that are not to be "
                  "written";
}

/// Outputs of FP32 and bf16 numbers, all of them NaN.
bool all_nan(const Observation& o) {
  const std::optional<Call> call = o.experiment->call();
  const auto& outputs = o.trial.first.outputs;
  if (!call) return false;
  bool any = false;
  for (std::size_t at = 0; at < call->out.size() && at < outputs.size(); ++at) {
    const std::size_t width = call->out[at].shape.type_bits / 8U;
    if (width != 2 && width != 4) return false;
    const formats::FormatSpec& format = width == 4 ? formats::fp32 : formats::bf16;
    for (const float x : to_floats(format, outputs[at])) {
      if (!std::isnan(x)) return false;
      any = true;
    }
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
    if (!answer->overrun.empty()) say("writes_outside", outside(answer->overrun));
    if (!found.empty()) break;  // the second run would say it again, and count twice
  }
  if (!found.empty()) return found;
  if (const Unwritten u = unwritten(o.trial); u.bytes > 0) {
    if (pads_scales(o)) say("padding_unwritten", "padding of the scale factors is not written");
    if (u.bytes == u.of) say("writes_nothing", "outputs are not written at all");
    if (u.at_end_only) say("last_output_unwritten", "the last outputs are not written");
    say("output_unwritten", "some outputs are not written");
    return found;
  }
  if (o.trial.first.outputs != o.trial.second.outputs)
    say("not_repeatable", "the same call gives other bits the second time");
  const bool nan = o.failed && all_nan(o);
  if (nan) say("all_nan", "every output is NaN");
  // NaN everywhere says nothing about the operands: that it comes again is no evidence.
  if (o.failed && !nan && o.repeats_earlier)
    say("stale_answer", "the answer is that of an earlier call with other operands");
  return found;
}

}  // namespace assay::proptests::diagnosis

// SPDX-License-Identifier: Apache-2.0
// JUnit XML. GitLab and others show the class name, the test's name and the body of a failure and
// drop the rest, so these carry everything: device, property, the whole screen of the failure.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "analysis/html.h"
#include "analysis/report.h"

namespace assay::analysis {
namespace {

using proptests::Status;
using proptests::Verdict;

enum class Kind : std::uint8_t { pass, failure, error, skipped };

Kind kind_of(Status status) {
  switch (status) {
    case Status::pass:
      return Kind::pass;
    case Status::fail:
    case Status::unexpected_pass:
      return Kind::failure;
    case Status::crash:
    case Status::timeout:
    case Status::error:
      return Kind::error;
    case Status::not_supported:
    case Status::skipped:
    case Status::expected_fail:
      return Kind::skipped;
  }
  return Kind::error;
}

/// An unfinished property has shown nothing that a test of that name should have shown.
Kind kind_of(const Verdict& v) {
  const Kind kind = kind_of(v.status);
  return kind == Kind::pass && v.cases < v.planned ? Kind::skipped : kind;
}

std::string message_of(const Verdict& v) {
  std::string text(proptests::name_of(v.status));
  if (!v.detail.empty()) text += ": " + v.detail;
  if (v.counterexample)
    text += fmt::format(": {} expected {} observed {}", v.counterexample->mismatch.where,
                        v.counterexample->mismatch.expected, v.counterexample->mismatch.observed);
  return text;
}

std::string test_case(const std::string& device, const Verdict& v, double seconds) {
  std::string out = fmt::format("    <testcase classname=\"{}\" name=\"{}\" time=\"{:.3f}\"",
                                escape(device), escape(v.property), seconds);
  const Kind kind = kind_of(v);
  if (kind == Kind::pass) {
    if (v.detail.empty()) return out + "/>\n";
    return out + fmt::format("><system-out>{}</system-out></testcase>\n", escape(v.detail));
  }
  const std::string message = escape(message_of(v));
  if (kind == Kind::skipped)
    return out + fmt::format("><skipped message=\"{}\"/></testcase>\n", message);
  const std::string_view tag = kind == Kind::failure ? "failure" : "error";
  return out + fmt::format("><{0} type=\"{1}\" message=\"{2}\">{3}</{0}></testcase>\n", tag,
                           proptests::name_of(v.status), message, escape(proptests::show(v)));
}

std::string counts(const std::vector<Kind>& kinds, double seconds) {
  const auto count = [&](Kind kind) { return std::count(kinds.begin(), kinds.end(), kind); };
  return fmt::format("tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{:.3f}\"",
                     kinds.size(), count(Kind::failure), count(Kind::error), count(Kind::skipped),
                     seconds);
}

}  // namespace

std::string to_junit(const Report& report) {
  std::string suites;
  std::vector<Kind> all;
  double total = 0;
  for (const proptests::Report& device : report.certifications) {
    std::string cases;
    std::vector<Kind> kinds;
    for (std::size_t i = 0; i < device.verdicts.size(); ++i) {
      const double seconds = i < device.seconds.size() ? device.seconds[i] : 0;
      cases += test_case(device.device, device.verdicts[i], seconds);
      kinds.push_back(kind_of(device.verdicts[i]));
    }
    const double seconds = std::accumulate(device.seconds.begin(), device.seconds.end(), 0.0);
    suites += fmt::format("  <testsuite name=\"assay certify {}\" {}>\n{}  </testsuite>\n",
                          escape(device.device), counts(kinds, seconds), cases);
    all.insert(all.end(), kinds.begin(), kinds.end());
    total += seconds;
  }
  return fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"assay\" {}>\n{}"
      "</testsuites>\n",
      counts(all, total), suites);
}

}  // namespace assay::analysis

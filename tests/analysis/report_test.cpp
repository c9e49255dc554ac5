// SPDX-License-Identifier: Apache-2.0
// The page: well formed, self-contained, everything from data escaped; the JSON: what the schema
// asks.
#include "analysis/report.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <vector>

#include "analysis/charts.h"
#include "analysis/html.h"

namespace assay::analysis {
namespace {

constexpr const char* kHostile = "<script>alert('&\"')</script>\x01";

proptests::Report hostile_certification() {
  proptests::Verdict v;
  v.property = kHostile;
  v.section = kHostile;
  v.statement = kHostile;
  v.detail = kHostile;
  v.status = proptests::Status::fail;
  v.cases = 10;
  v.undecided = 1;
  v.counterexample.emplace();
  v.counterexample->token = kHostile;
  v.counterexample->mismatch = {kHostile, kHostile, kHostile, kHostile, kHostile, kHostile};
  v.counterexample->operands = {{kHostile, kHostile}};
  v.counterexample->replay = kHostile;
  proptests::Report report;
  report.device = kHostile;
  report.verdicts = {v};
  return report;
}

Replayed hostile_replay() {
  Replayed r{simulator::load_recipe("nvfp4"), {}};
  r.recipe.name = r.recipe.summary = r.recipe.source = kHostile;
  r.recipe.notes = {kHostile};
  r.result.recording = kHostile;
  r.result.notes = {kHostile};
  simulator::TensorReplay t;
  t.tensor = t.op = t.format = kHostile;
  t.rows = t.cols = 4;
  t.error = {0.99, 0.01, 0.0101};
  t.histogram.bins[40] = 16;
  t.codes[1] = 16;
  r.result.tensors = {t};
  simulator::LinearReplay l;
  l.op = kHostile;
  l.error = {0.98, 0.02, 0.0204};
  r.result.linears = {l};
  simulator::RouterReplay router;
  router.op = kHostile;
  router.layer = 0;
  router.tokens = 2;
  router.experts = 4;
  router.k = 1;
  router.margins = {0.1, 0.2};
  router.local.flipped = router.accumulated.flipped = {1, 0};
  router.local.token_noise = router.accumulated.token_noise = {0.2, 0.1};
  router.local.noise_sd = router.accumulated.noise_sd = 0.1;
  r.result.routers = {router};
  return r;
}

Report hostile_report() {
  Report report;
  report.environment = {kHostile, kHostile, kHostile, kHostile, kHostile};
  report.certifications = {hostile_certification()};
  report.replays = {hostile_replay()};
  return report;
}

/// Empty where every tag closes in order and every attribute is quoted; else what is wrong.
std::string malformed(const std::string& html) {
  std::vector<std::string> open;
  for (std::size_t i = html.find('<'); i != std::string::npos; i = html.find('<', i + 1)) {
    const auto end = html.find('>', i);
    if (end == std::string::npos) return "a tag that does not end";
    const std::string tag = html.substr(i + 1, end - i - 1);
    if (tag.find('<') != std::string::npos) return "a < inside a tag: " + tag;
    if (tag.front() == '!' || tag.back() == '/') continue;
    const std::string name = tag.substr(0, tag.find(' '));
    if (name.front() != '/') {
      open.push_back(name);
    } else if (open.empty() || open.back() != name.substr(1)) {
      return "unexpected <" + tag + "> after <" + (open.empty() ? "" : open.back()) + ">";
    } else {
      open.pop_back();
    }
  }
  return open.empty() ? "" : "<" + open.back() + "> never closes";
}

TEST(Html, EscapesEveryCharacterThatMarkupUses) {
  EXPECT_EQ(escape("a<b>&\"'\x02"), "a&lt;b&gt;&amp;&quot;&#39;&#xFFFD;");
}

TEST(Html, PageIsWellFormedWhateverTheNames) {
  const std::string page = to_html(hostile_report());
  EXPECT_EQ(malformed(page), "");
  EXPECT_EQ(page.find("<script"), std::string::npos);
  EXPECT_EQ(page.find('\x01'), std::string::npos);
  EXPECT_NE(page.find("&lt;script&gt;alert"), std::string::npos);
}

TEST(Html, PageNeedsNothingElse) {
  std::string page = to_html(hostile_report());
  // A link to another place of the page itself needs nothing.
  const std::string inner = " href=\"#";
  for (auto at = page.find(inner); at != std::string::npos; at = page.find(inner))
    page.erase(at, inner.size());
  for (const char* reference : {"src=", "href=", "url(", "@import", "http:", "https:"}) {
    EXPECT_EQ(page.find(reference), std::string::npos) << reference;
  }
}

TEST(Html, PageSaysWhatAPassDoesNotMean) {
  EXPECT_NE(to_html(hostile_report()).find("What a PASS does not mean"), std::string::npos);
}

TEST(Html, EmptyReportIsAPage) { EXPECT_EQ(malformed(to_html(Report{})), ""); }

// Ties of round to nearest even on the E2M1 grid (OCP MX v1.0, section 5.3.3): to the even code.
TEST(Charts, NumberLineShowsEveryMidpoint) {
  const std::string svg = number_line(formats::e2m1, {});
  for (const char* midpoint : {">0.25<", ">0.75<", ">1.25<", ">1.75<", ">2.5<", ">3.5<", ">5<"}) {
    EXPECT_NE(svg.find(midpoint), std::string::npos) << midpoint;
  }
  std::size_t arrows_up = 0;  // an arrow head that opens to the left points up the line
  for (std::size_t i = svg.find("m-4 -3l4 3"); i != std::string::npos;
       i = svg.find("m-4 -3l4 3", i + 1)) {
    ++arrows_up;
  }
  EXPECT_EQ(arrows_up, 3U);  // 0.75 -> 1, 1.75 -> 2, 3.5 -> 4
}

TEST(Json, HasWhatTheSchemaRequires) {
  const auto json = nlohmann::json::parse(to_json(hostile_report()).dump());
  EXPECT_EQ(json["schema"], "assay-report");
  EXPECT_EQ(json["schema_version"], kReportSchemaVersion);
  EXPECT_EQ(json["certifications"][0]["verdicts"][0]["status"], "fail");
  EXPECT_EQ(json["certifications"][0]["verdicts"][0]["counterexample"]["token"], kHostile);
  const auto& replay = json["replays"][0];
  EXPECT_EQ(replay["summary"]["local_flips"], 1);
  EXPECT_EQ(replay["summary"]["router_decisions"], 2);
  EXPECT_EQ(replay["routers"][0]["local"]["worst"]["token"], 0);
  EXPECT_EQ(replay["tensors"][0]["error"]["gain"], 0.99);
}

TEST(Json, EqualResultsGiveEqualBytes) {
  EXPECT_EQ(to_json(hostile_report()).dump(), to_json(hostile_report()).dump());
  EXPECT_EQ(to_html(hostile_report()), to_html(hostile_report()));
}

TEST(Summary, CountsScaleFactorsInBitsPerWeight) {
  Replayed r{simulator::load_recipe("nvfp4"), {}};
  EXPECT_EQ(summarize(r).bits_per_weight, 4.5);
  r.recipe = simulator::load_recipe("mxfp4-rceil");
  EXPECT_EQ(summarize(r).bits_per_weight, 4.25);
  r.recipe = simulator::load_recipe("bf16");
  EXPECT_EQ(summarize(r).bits_per_weight, 16);
}

}  // namespace
}  // namespace assay::analysis

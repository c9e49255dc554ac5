// SPDX-License-Identifier: Apache-2.0
// The committed golden vectors: every result derived anew from the file's own inputs, the file as
// the command writes it, cases of every operation, and a wrong bit that is seen.
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

#include "tools/vectors/golden_case.h"

namespace assay::tools::vectors {
namespace {

std::string committed() {
  std::ifstream file(ASSAY_VECTORS);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

nlohmann::ordered_json cases() { return nlohmann::ordered_json::parse(committed()).at("cases"); }

TEST(GoldenVectors, FileIsWhatTheCommandWrites) {
  EXPECT_TRUE(committed() == document())
      << "run: assay vectors golden --out docs/vectors/assay-vectors-1.0.json";
}

TEST(GoldenVectors, EveryResultFollowsFromTheFilesInputs) {
  for (const auto& row : cases()) EXPECT_EQ(row.at("expected"), expected(row)) << row.at("id");
}

TEST(GoldenVectors, SixtyCasesOfEveryOperationEachWithASourceAndAReason) {
  std::set<std::string> ids, used;
  for (const auto& row : cases()) {
    EXPECT_TRUE(ids.insert(row.at("id").get<std::string>()).second) << row.at("id");
    used.insert(row.at("operation").get<std::string>());
    EXPECT_FALSE(row.at("source").get<std::string>().empty()) << row.at("id");
    EXPECT_FALSE(row.at("why").get<std::string>().empty()) << row.at("id");
  }
  EXPECT_GE(ids.size(), 60U);
  const std::vector<std::string> all = operations();
  EXPECT_EQ(used, std::set<std::string>(all.begin(), all.end()));
}

// Results are computed, not copied: another first code is another number.
TEST(GoldenVectors, ResultsFollowTheInputs) {
  for (auto row : cases()) {
    if (row.at("operation") != "decode") continue;
    const auto before = row.at("expected");
    auto& codes = row.at("inputs").at("codes").get_ref<std::string&>();
    codes.front() = codes.front() == '0' ? '1' : '0';
    EXPECT_NE(before, expected(row)) << row.at("id");
  }
}

TEST(GoldenVectors, MalformedCasesAreNamed) {
  const auto good = cases().front();
  const auto throws = [](const nlohmann::ordered_json& row, const std::string& words) {
    try {
      (void)expected(row);
      ADD_FAILURE() << words << ": accepted";
    } catch (const std::invalid_argument& error) {
      EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
    }
  };
  auto bad = good;
  bad["format"] = "e2m9";
  throws(bad, "e2m9");
  bad = good;
  bad["inputs"]["x"] = "3f80zz00";
  throws(bad, "3f80zz00");
  bad = good;
  bad["operation"] = "guess";
  throws(bad, good.at("id").get<std::string>());
  bad = good;
  bad.erase("parameters");
  throws(bad, "parameters");
  throws(nlohmann::ordered_json::object(), "without an id");
}

}  // namespace
}  // namespace assay::tools::vectors

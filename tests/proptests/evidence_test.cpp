// SPDX-License-Identifier: Apache-2.0
// What a third party relies on: hashes, the journal, the policy, the token.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>

#include "proptests/journal.h"
#include "proptests/policy.h"
#include "proptests/reproduction.h"
#include "proptests/sha256.h"
#include "simulator/input_error.h"
#include "tests/simulator/scratch_folder.h"

namespace assay::proptests {
namespace {

using simulator::InputError;
namespace fs = std::filesystem;

// FIPS 180-4 examples of NIST (SHA256.pdf and SHA2_Additional.pdf); lengths around a block's
// padding as sha256sum has them.
TEST(Sha256, AgreesWithNist) {
  EXPECT_EQ(sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(sha256(std::string(1000000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}
TEST(Sha256, LengthsAroundABlock) {
  EXPECT_EQ(sha256(std::string(55, 'a')),
            "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318");
  EXPECT_EQ(sha256(std::string(56, 'a')),
            "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a");
  EXPECT_EQ(sha256(std::string(64, 'a')),
            "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb");
}

std::string contents(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class JournalTest : public testing::Test {
 protected:
  JournalTest() {
    plan_.device = "cpu";
    plan_.cases = 8;
    plan_.properties = {{"a.b.c", "section", "statement", true, ""}};
  }
  static BatchResult batch(std::int64_t first, std::int64_t count) {
    BatchResult result;
    result.property = "a.b.c";
    result.range = {first, count};
    result.cases = count;
    return result;
  }
  fs::path write(const char* name, const RunPlan& plan, const BatchResult& result) {
    const fs::path path = folder_.path() / name;
    Journal journal(path, plan, {});
    journal.append(result);
    return path;
  }
  simulator::ScratchFolder folder_;
  RunPlan plan_;
};

TEST_F(JournalTest, ATornLineIsDropped) {
  const fs::path path = write("torn", plan_, batch(0, 4));
  const std::string whole = contents(path);
  const std::size_t first_line = whole.find('\n') + 1;
  for (std::size_t bytes = first_line; bytes <= whole.size(); ++bytes) {
    fs::resize_file(path, bytes);
    const JournalContents read = read_journal(path);
    EXPECT_EQ(read.results.size(), bytes == whole.size() ? 1U : 0U) << bytes;
    EXPECT_EQ(read.whole_bytes, bytes == whole.size() ? whole.size() : first_line) << bytes;
    std::ofstream(path, std::ios::binary) << whole;
  }
}

TEST_F(JournalTest, GoingOnCutsTheTornLineOff) {
  const fs::path path = write("again", plan_, batch(0, 4));
  std::ofstream(path, std::ios::binary | std::ios::app) << "{\"prop";
  Results results;
  {
    Journal journal(path, plan_, {}, results);
    journal.append(batch(4, 4));
  }
  EXPECT_EQ(results.size(), 1U);
  EXPECT_EQ(read_journal(path).results.size(), 2U);
}

TEST_F(JournalTest, IsNotOverwrittenAndNotOfAnotherRun) {
  const fs::path path = write("mine", plan_, batch(0, 4));
  const std::string before = contents(path);
  EXPECT_THROW(Journal(path, plan_, {}), InputError);
  RunPlan other = plan_;
  other.seed = 2;
  Results results;
  EXPECT_THROW(Journal(path, other, {}, results), InputError);
  EXPECT_THROW(Journal(path, plan_, {1, 2}, results), InputError);
  EXPECT_EQ(contents(path), before);
}

TEST_F(JournalTest, MergeAddsUpAndRefusesContradictions) {
  const fs::path one = write("one", plan_, batch(0, 4));
  const fs::path two = write("two", plan_, batch(4, 4));
  EXPECT_EQ(merge_journals({one, two}).results.size(), 2U);
  BatchResult different = batch(0, 4);
  different.undecided = 1;
  EXPECT_THROW((void)merge_journals({one, write("three", plan_, different)}), InputError);
  RunPlan other = plan_;
  other.seed = 2;
  EXPECT_THROW((void)merge_journals({one, write("four", other, batch(4, 4))}), InputError);
}

Report report_with(Status status) {
  Report report;
  Verdict v;
  v.property = "a.b.c";
  v.status = status;
  v.planned = v.cases = 8;
  report.verdicts = {v};
  return report;
}
Status after(const Policy& policy, Status status) {
  Report report = report_with(status);
  apply(policy, report);
  return report.verdicts.front().status;
}

TEST(Policy, AWaiverHoldsUpToAndWithItsDay) {
  Policy policy;
  policy.waivers = {{"a.b.c", "known", "ISSUE-1", "2026-02-28"}};
  for (const auto& [today, expected] : {std::pair{"2026-02-27", Status::expected_fail},
                                        {"2026-02-28", Status::expected_fail},
                                        {"2026-03-01", Status::fail}}) {
    policy.today = today;
    EXPECT_EQ(after(policy, Status::fail), expected) << today;
    EXPECT_EQ(after(policy, Status::pass), Status::pass) << today;
    EXPECT_EQ(after(policy, Status::error), Status::error) << today;
  }
}

TEST(Policy, ABaselineExpectsTheFailure) {
  Policy policy;
  policy.today = "2026-01-01";
  policy.baseline = {"a.b.c"};
  EXPECT_EQ(after(policy, Status::fail), Status::expected_fail);
  EXPECT_EQ(after(policy, Status::crash), Status::expected_fail);
  EXPECT_EQ(after(policy, Status::pass), Status::unexpected_pass);
  EXPECT_EQ(after(policy, Status::skipped), Status::skipped);
}

TEST(Policy, DaysAreDaysOfTheCalendar) {
  require_day("2028-02-29", "day");
  for (const char* day : {"2026-02-29", "2026-13-01", "2026-1-01", "2026/01/01", "", "20260101"})
    EXPECT_THROW(require_day(day, "day"), std::invalid_argument) << day;
}

TEST(Policy, PatternsMatchWholeIds) {
  const simulator::ScratchFolder folder;
  std::ofstream(folder.path() / "skips") << "# slow ones\n\n  gemm\\..*\\.k_tail  # tails\n";
  const IdPatterns skips(folder.path() / "skips");
  EXPECT_TRUE(skips.match("gemm.nvfp4_nvfp4.k_tail"));
  EXPECT_FALSE(skips.match("grouped_gemm.nvfp4_nvfp4.k_tail"));
  EXPECT_FALSE(skips.match("gemm.nvfp4_nvfp4.k_tails"));
  std::ofstream(folder.path() / "bad") << "gemm(\n";
  EXPECT_THROW(IdPatterns(folder.path() / "bad"), InputError);
}

TEST(Reproduction, OneWrongCharacterIsRefused) {
  const std::string token = to_string(Reproduction{"./libmine.so", "e", "a.b.c", 7, "3/2x3.0"});
  const Reproduction read = parse_reproduction(token);
  EXPECT_EQ(read.device, "./libmine.so");
  EXPECT_EQ(read.entry, "e");
  EXPECT_EQ(read.seed, 7U);
  EXPECT_EQ(read.token, "3/2x3.0");
  for (std::size_t i = 0; i < token.size(); ++i) {
    std::string wrong = token;
    wrong[i] = wrong[i] == 'A' ? 'B' : 'A';
    EXPECT_THROW((void)parse_reproduction(wrong), std::invalid_argument) << i;
    EXPECT_THROW((void)parse_reproduction(token.substr(0, i)), std::invalid_argument) << i;
  }
}

}  // namespace
}  // namespace assay::proptests

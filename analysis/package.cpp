// SPDX-License-Identifier: Apache-2.0
#include "analysis/package.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "proptests/profiles.h"
#include "proptests/sha256.h"
#include "simulator/atomic_file.h"
#include "simulator/input_error.h"

namespace assay::analysis {
namespace {

using Json = nlohmann::ordered_json;
using proptests::Status;
using simulator::InputError;
using Files = std::map<std::string, std::string>;

constexpr std::array<std::string_view, 7> names{
    "STATEMENT",     "claims.json", "environment.json", "journal.jsonl",
    "must-pass.txt", "policy.json", "report.json"};
constexpr std::string_view manifest_name = "manifest.sha256";

std::string contents_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file || std::filesystem::is_directory(path))
    throw InputError(path.string() + ": cannot be read");
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string pretty(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string lines_of(const std::vector<std::string>& ids) {
  std::string text;
  for (const std::string& id : ids) text += id + "\n";
  return text;
}

std::string manifest_of(const Files& files) {
  std::string text;
  for (const auto& [name, content] : files)
    text += fmt::format("{}  {}\n", proptests::sha256(content), name);
  return text;
}

std::string statement_of(const proptests::RunPlan& plan, const Report& report) {
  return fmt::format(
      "Device: {}\nTested with: assay {}, commit {}, {}\nProfile: {}\nCommand: {}\nResult: {}"
      "This speaks of the cases that ran and of the device's own claims (claims.json). It says\n"
      "nothing about other inputs, speed, or another build, machine or driver.\n",
      plan.device, plan.version, plan.commit, plan.compiler,
      plan.profile.empty() ? "the whole catalogue" : plan.profile, plan.command,
      totals(report.certifications.front()));
}

/// Everything in a package but the journal and the policy follows from these two.
Files files_of(const std::string& journal_text, const proptests::JournalContents& journal,
               const proptests::Policy& policy, const Report& report) {
  const proptests::RunPlan& plan = journal.plan;
  return {{"journal.jsonl", journal_text},
          {"policy.json", pretty(to_json(policy))},
          {"report.json", pretty(to_json(report))},
          {"claims.json", pretty(plan.claims)},
          {"must-pass.txt", lines_of(must_pass(plan.profile))},
          {"environment.json", pretty({{"version", plan.version},
                                       {"commit", plan.commit},
                                       {"compiler", plan.compiler},
                                       {"cuda_headers", plan.cuda_headers},
                                       {"command", plan.command},
                                       {"seed", plan.seed},
                                       {"cases", plan.cases}})},
          {"STATEMENT", statement_of(plan, report)}};
}

void write_file(const std::filesystem::path& path, const std::string& text) {
  simulator::AtomicFile file(path);
  file.write(text);
  file.commit();
}

/// Pass, not supported, or a failure whose waiver holds; and at least one pass.
void check_statuses(const proptests::Report& report, const std::vector<std::string>& required,
                    std::vector<std::string>& wrong) {
  for (const std::string& id : required) {
    const auto v = std::find_if(report.verdicts.begin(), report.verdicts.end(),
                                [&](const proptests::Verdict& x) { return x.property == id; });
    if (v == report.verdicts.end())
      wrong.push_back(id + " of the must-pass list did not run");
    else if (v->status != Status::pass && v->status != Status::not_supported &&
             v->status != Status::expected_fail)
      wrong.push_back(fmt::format("{} is {}", id, name_of(v->status)));
    else if (v->cases < v->planned && v->status != Status::expected_fail)
      wrong.push_back(fmt::format("{} is unfinished: {} of {} cases", id, v->cases, v->planned));
  }
  if (report.count(Status::pass) == 0) wrong.emplace_back("no property passes");
}

Files read_files(const std::filesystem::path& folder, std::vector<std::string>& wrong) {
  if (!std::filesystem::is_directory(folder))
    throw InputError(folder.string() + ": is no folder of assay certify --package");
  Files files;
  std::set<std::string> expected(names.begin(), names.end());
  expected.emplace(manifest_name);
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (!expected.contains(name) || !entry.is_regular_file())
      wrong.push_back(name + " does not belong into a package");
    else
      files[name] = contents_of(entry.path());
  }
  for (const std::string& name : expected)
    if (!files.contains(name)) wrong.push_back(name + " is missing");
  return files;
}

}  // namespace

Report report_of(const proptests::RunPlan& plan, const proptests::Results& results,
                 const proptests::Policy& policy) {
  Report report;
  report.environment = {plan.version, plan.commit, plan.compiler, plan.cuda_headers, plan.command};
  report.seed = plan.seed;
  report.certifications.push_back(proptests::report_of(plan, results));
  proptests::apply(policy, report.certifications.back());
  return report;
}

std::vector<std::string> must_pass(const std::string& profile) {
  std::vector<std::string> ids;
  if (profile.empty())
    for (const proptests::Property& p : proptests::catalogue()) ids.push_back(p.id);
  else
    for (const std::string_view id : proptests::find_profile(profile).ids) ids.emplace_back(id);
  return ids;
}

void write_package(const std::filesystem::path& folder, const std::filesystem::path& journal_path,
                   const proptests::Policy& policy) {
  if (std::filesystem::exists(folder))
    throw InputError(folder.string() + ": exists; give another --package");
  const proptests::JournalContents journal = proptests::read_journal(journal_path);
  Files files = files_of(contents_of(journal_path).substr(0, journal.whole_bytes), journal, policy,
                         report_of(journal.plan, journal.results, policy));
  files.emplace(manifest_name, manifest_of(files));
  std::filesystem::path partial = folder;
  partial += ".partial";
  std::error_code error;
  std::filesystem::remove_all(partial, error);
  if (!std::filesystem::create_directory(partial, error))
    throw simulator::OutputError(partial.string() + ": cannot be made: " + error.message());
  for (const auto& [name, content] : files) write_file(partial / name, content);
  std::filesystem::rename(partial, folder);
}

PackageFindings verify_package(const std::filesystem::path& folder) {
  PackageFindings found;
  Files files = read_files(folder, found.wrong);
  if (!found.wrong.empty()) return found;
  const std::string manifest = files.extract(std::string(manifest_name)).mapped();
  if (manifest != manifest_of(files))
    found.wrong.emplace_back("manifest.sha256 does not have the hashes of the files");
  proptests::Policy policy;
  try {
    found.journal = proptests::read_journal(folder / "journal.jsonl");
    policy = proptests::policy_from_json(Json::parse(files.at("policy.json")));
    found.report = report_of(found.journal.plan, found.journal.results, policy);
    const Files derived = files_of(files.at("journal.jsonl"), found.journal, policy, found.report);
    for (const auto& [name, content] : derived)
      if (content != files.at(name))
        found.wrong.push_back(name + (name == "must-pass.txt"
                                          ? " is not the list of this version"
                                          : " does not follow from the journal"));
  } catch (const std::exception& e) {
    found.wrong.emplace_back(simulator::one_line(e.what()));
    return found;
  }
  if (found.journal.shard.count != 1)
    found.wrong.emplace_back("journal.jsonl is that of one shard, not of a whole run");
  check_statuses(found.report.certifications.front(), must_pass(found.journal.plan.profile),
                 found.wrong);
  return found;
}

}  // namespace assay::analysis

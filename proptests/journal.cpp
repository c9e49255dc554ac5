// SPDX-License-Identifier: Apache-2.0
#include "proptests/journal.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <optional>

#include "proptests/batch_json.h"
#include "simulator/input_error.h"

namespace assay::proptests {
namespace {

using Json = nlohmann::ordered_json;
using simulator::InputError;
using simulator::OutputError;

constexpr int format_version = 1;

Json header(const RunPlan& plan, const Shard& shard) {
  return {{"assay_journal", format_version},
          {"shard", {shard.index, shard.count}},
          {"plan", to_json(plan)}};
}

std::string contents_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw InputError(path.string() + ": cannot be read");
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Where they are equal but for the time that they took.
bool same_answer(BatchResult a, BatchResult b) {
  a.seconds = b.seconds = 0;
  return line_of(to_json(a)) == line_of(to_json(b));
}

/// Nothing where not even the first line is whole.
std::optional<JournalContents> parse(const std::filesystem::path& path) {
  const std::string text = contents_of(path);
  std::optional<JournalContents> journal;
  std::size_t number = 1;
  for (std::size_t at = 0; at < text.size(); ++number) {
    const std::size_t end = text.find('\n', at);
    if (end == std::string::npos) break;
    try {
      const Json line = Json::parse(text.substr(at, end - at));
      if (!journal) {
        if (line.at("assay_journal") != format_version) throw std::invalid_argument("version");
        journal.emplace();
        journal->plan = plan_from_json(line.at("plan"));
        journal->shard = {line.at("shard").at(0), line.at("shard").at(1)};
      } else if (line.contains("batch")) {
        BatchResult batch = batch_from_json(line.at("batch"));
        journal->results.insert_or_assign({batch.property, batch.range.first}, batch);
      }
    } catch (const std::exception&) {
      if (end + 1 == text.size() && journal) break;  // a torn page instead of a torn line
      throw InputError(path.string() + ": line " + std::to_string(number) +
                       (journal ? " is damaged; the journal cannot be used"
                                : " is not the first line of a journal of assay certify"));
    }
    at = end + 1;
    journal->whole_bytes = at;
  }
  return journal;
}

[[noreturn]] void refuse_other_run(const std::filesystem::path& path, const RunPlan& mine,
                                   const RunPlan& theirs) {
  const Json a = to_json(mine);
  const Json b = to_json(theirs);
  for (const auto& [key, value] : a.items())
    if (value != b.at(key))
      throw InputError(path.string() + ": is the journal of another run: its " + key +
                       (value.is_structured() ? " differs"
                                              : " is " + line_of(b.at(key)).substr(0, 80) +
                                                    " and not " + line_of(value).substr(0, 80)));
  throw InputError(path.string() + ": is the journal of another shard of this run");
}

}  // namespace

JournalContents read_journal(const std::filesystem::path& path) {
  std::optional<JournalContents> journal = parse(path);
  if (!journal) throw InputError(path.string() + ": is no journal: it has no whole line");
  return *std::move(journal);
}

JournalContents merge_journals(const std::vector<std::filesystem::path>& paths) {
  JournalContents all = read_journal(paths.at(0));
  for (std::size_t i = 1; i < paths.size(); ++i) {
    const JournalContents next = read_journal(paths[i]);
    if (to_json(next.plan) != to_json(all.plan)) refuse_other_run(paths[i], all.plan, next.plan);
    for (const auto& [key, batch] : next.results) {
      const auto [known, is_new] = all.results.emplace(key, batch);
      if (!is_new && !same_answer(known->second, batch))
        throw InputError(paths[i].string() + ": disagrees with " + paths[0].string() + " on case " +
                         std::to_string(key.second) + " of " + key.first +
                         ": the device does not answer the same each time");
    }
  }
  all.shard = {};
  return all;
}

Journal::Journal(const std::filesystem::path& path, const RunPlan& plan, const Shard& shard)
    : path_(path) {
  open(O_CREAT | O_EXCL);
  write(line_of(header(plan, shard)));
}

Journal::Journal(const std::filesystem::path& path, const RunPlan& plan, const Shard& shard,
                 Results& results)
    : path_(path) {
  std::optional<JournalContents> before;
  if (std::filesystem::exists(path)) before = parse(path);
  if (before && (to_json(before->plan) != to_json(plan) || before->shard.index != shard.index ||
                 before->shard.count != shard.count))
    refuse_other_run(path, plan, before->plan);
  open(O_CREAT);
  const std::uint64_t whole = before ? before->whole_bytes : 0;
  if (::ftruncate(descriptor_, static_cast<off_t>(whole)) != 0)
    throw OutputError(path_.string() +
                      ": cannot be cut to its last whole line: " + std::strerror(errno));
  if (before)
    results = std::move(before->results);
  else
    write(line_of(header(plan, shard)));
}

Journal::~Journal() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void Journal::open(int flags) {
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC | flags, 0666);
  if (descriptor_ >= 0) return;
  if (errno == EEXIST)
    throw InputError(path_.string() +
                     ": exists; --resume goes on with it, or give another --journal");
  throw OutputError(path_.string() + ": cannot be written: " + std::strerror(errno));
}

void Journal::append(const BatchResult& batch) { write(line_of(Json{{"batch", to_json(batch)}})); }

void Journal::append(const Verdict& verdict) {
  write(line_of(Json{{"verdict", verdict.property},
                     {"status", name_of(verdict.status)},
                     {"cases", verdict.cases}}));
}

void Journal::write(const std::string& line) {
  std::size_t done = 0;
  while (done < line.size()) {
    const ssize_t n = ::write(descriptor_, line.data() + done, line.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw OutputError(path_.string() + ": " + std::strerror(errno));
    done += static_cast<std::size_t>(n);
  }
  if (::fdatasync(descriptor_) != 0)
    throw OutputError(path_.string() + ": " + std::strerror(errno));
}

}  // namespace assay::proptests

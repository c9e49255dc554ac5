// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a run has found so far, in a file that survives the run. JSON lines: first the plan and the
// shard, then a line per batch, on the disk before the next batch starts, and a line per property
// that is finished. A run that is killed leaves at most its last line torn; whoever reads the
// journal drops that line.

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>

#include "proptests/run_plan.h"
#include "proptests/verdict.h"

namespace assay::proptests {

/// By property and first case.
using Results = std::map<std::pair<std::string, std::int64_t>, BatchResult>;

struct JournalContents {
  RunPlan plan;
  Shard shard;
  Results results;
  std::uint64_t whole_bytes = 0;  ///< without a torn last line
};
/// Throws simulator::InputError for a file that is not a journal.
[[nodiscard]] JournalContents read_journal(const std::filesystem::path& path);

/// What several journals of one run found together. Throws simulator::InputError where their plans
/// differ, or where they disagree on a batch.
[[nodiscard]] JournalContents merge_journals(const std::vector<std::filesystem::path>& paths);

class Journal {
 public:
  /// Starts a journal. Throws simulator::InputError if `path` exists: a journal is not overwritten.
  Journal(const std::filesystem::path& path, const RunPlan& plan, const Shard& shard);
  /// Goes on with one, from the batches in `results`; starts it where there is none or where not
  /// even its first line is whole. Throws simulator::InputError for the journal of another run.
  Journal(const std::filesystem::path& path, const RunPlan& plan, const Shard& shard,
          Results& results);
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  /// On the disk when it returns. Throws simulator::OutputError.
  void append(const BatchResult& batch);
  void append(const Verdict& verdict);

 private:
  void open(int flags);
  void write(const std::string& line);

  std::filesystem::path path_;
  int descriptor_ = -1;
};

}  // namespace assay::proptests

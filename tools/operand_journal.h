// SPDX-License-Identifier: Apache-2.0
#pragma once
// What an audit of operands has found so far, a line for each operand, so that a run that was
// killed goes on where it was and ends with the same report.

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "simulator/operand_audit.h"

namespace assay::tools {

class OperandJournal {
 public:
  using Found = std::map<std::size_t, std::vector<simulator::OperandResult>>;  ///< by operand

  /// Starts a journal, or with `resume` goes on with the one that is there, if it is. `key` names
  /// the run: what is read, recipes, options and program. Throws InputError for a journal of
  /// another run, for a damaged line that is not the last, and for one that exists where `resume`
  /// is not said.
  OperandJournal(const std::filesystem::path& path, const std::string& key, bool resume);
  ~OperandJournal();
  OperandJournal(const OperandJournal&) = delete;
  OperandJournal& operator=(const OperandJournal&) = delete;

  [[nodiscard]] const Found& found() const { return found_; }
  /// With the system when it returns: a killed program loses nothing of it. Throws OutputError.
  void append(std::size_t operand, const std::vector<simulator::OperandResult>& results);

 private:
  std::uint64_t read(const std::string& key);  ///< bytes of whole lines
  void write(const std::string& line);

  std::filesystem::path path_;
  Found found_;
  int descriptor_ = -1;
};

}  // namespace assay::tools

// SPDX-License-Identifier: Apache-2.0
#pragma once
// The journal of an audit of operands: a line for each operand.

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "simulator/operand_audit.h"
#include "tools/journal.h"

namespace assay::tools {

class OperandJournal {
 public:
  using Found = std::map<std::size_t, std::vector<simulator::OperandResult>>;  ///< by operand

  /// Throws what Journal throws.
  OperandJournal(const std::filesystem::path& path, const std::string& key, bool resume);

  [[nodiscard]] const Found& found() const { return found_; }
  void append(std::size_t operand, const std::vector<simulator::OperandResult>& results);

 private:
  Found found_;  // before the journal, which fills it
  Journal journal_;
};

}  // namespace assay::tools

// SPDX-License-Identifier: Apache-2.0
#pragma once
// LEDGER.md: what has been enumerated, written by the drivers that enumerated it.

#include <cstdint>
#include <string>
#include <vector>

namespace assay::exhaustive {

struct LedgerRow {
  std::string domain;
  int cells = 0;  ///< that ran
  std::uint64_t inputs = 0;
  std::uint64_t differences = 0;
  double seconds = 0;
  int cells_in_all = 0;  ///< of the domain, where a run may have done fewer; 0: those that ran
};

/// Appends the row, or adds its numbers to the row of the same domain.
void add_to_ledger(std::vector<LedgerRow>& rows, const LedgerRow& row);

/// Replaces the section of `driver` in the file (appends it where there is none). Machine and date
/// are this one's. Throws std::runtime_error for a file that cannot be written.
void write_ledger(const std::string& path, const std::string& driver,
                  const std::vector<LedgerRow>& rows, const std::string& command,
                  const std::string& commit);

}  // namespace assay::exhaustive

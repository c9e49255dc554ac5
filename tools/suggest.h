// SPDX-License-Identifier: Apache-2.0
#pragma once
// Unknown names: one sentence that says what was meant, as far as a spelling mistake can be undone.

#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace assay::tools {

/// Insertions, deletions, substitutions and swaps of neighbours that turn one word into the other
/// (optimal string alignment distance).
int edit_distance(std::string_view a, std::string_view b);

/// The nearest of `known`, or "" if none is near: more than a third of the letters differ and
/// `word` is no prefix of it.
std::string_view nearest(std::string_view word, std::span<const std::string_view> known);

/// "unknown KIND 'WORD'; did you mean 'X'?", or the list of what there is.
std::string unknown_name(std::string_view kind, std::string_view word,
                         std::span<const std::string_view> known);

/// The row of `table` (pointers to rows with a `name`) called `name`; throws std::invalid_argument
/// with unknown_name()'s sentence.
template <typename Table>
auto find_named(const Table& table, std::string_view kind, std::string_view name) {
  std::vector<std::string_view> known;
  for (const auto* row : table) {
    if (row->name == name) return row;
    known.push_back(row->name);
  }
  throw std::invalid_argument(unknown_name(kind, name, known));
}

}  // namespace assay::tools

// SPDX-License-Identifier: Apache-2.0
#include "tools/suggest.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace assay::tools {

int edit_distance(std::string_view a, std::string_view b) {
  const std::size_t width = b.size() + 1;
  std::vector<int> d((a.size() + 1) * width);
  for (std::size_t i = 0; i <= a.size(); ++i) d[i * width] = static_cast<int>(i);
  for (std::size_t j = 0; j <= b.size(); ++j) d[j] = static_cast<int>(j);
  for (std::size_t i = 1; i <= a.size(); ++i)
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const int change = a[i - 1] == b[j - 1] ? 0 : 1;
      int best = std::min({d[(i - 1) * width + j] + 1, d[i * width + j - 1] + 1,
                           d[(i - 1) * width + j - 1] + change});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        best = std::min(best, d[(i - 2) * width + j - 2] + 1);
      d[i * width + j] = best;
    }
  return d.back();
}

std::string_view nearest(std::string_view word, std::span<const std::string_view> known) {
  std::string_view best;
  int best_distance = 0;
  for (const std::string_view name : known) {
    const bool prefix = !word.empty() && name.starts_with(word);
    const int distance = prefix ? 0 : edit_distance(word, name);
    const auto longest = static_cast<int>(std::max(word.size(), name.size()));
    if (3 * distance > longest + 2) continue;
    if (best.empty() || distance < best_distance) {
      best = name;
      best_distance = distance;
    }
  }
  return best;
}

std::string unknown_name(std::string_view kind, std::string_view word,
                         std::span<const std::string_view> known) {
  const std::string_view guess = nearest(word, known);
  if (!guess.empty()) return fmt::format("unknown {} '{}'; did you mean '{}'?", kind, word, guess);
  return fmt::format("unknown {} '{}'; there are {}", kind, word, fmt::join(known, ", "));
}

}  // namespace assay::tools

// SPDX-License-Identifier: Apache-2.0
#include "tools/network_journal.h"

#include <system_error>
#include <utility>

#include "tools/responses_file.h"

namespace assay::tools {

NetworkJournal::NetworkJournal(const std::filesystem::path& path, std::string key, bool resume,
                               std::size_t recipes)
    : path_(path), key_(std::move(key)), forecasts_(recipes) {
  if (path.empty()) return;
  const Journal::Kind kind{"assay_network_journal", 1,
                           "assay replay --predict, --measure or --both"};
  journal_.emplace(path, kind, key_, resume, [&](const Journal::Json& line) {
    if (line.contains("responses")) {
      response_seconds_ = line.at("responses").at("seconds");
    } else {
      merge(line.at("recipe"), analysis::forecast_from_json(line.at("forecast")));
    }
  });
}

void NetworkJournal::merge(std::size_t recipe, analysis::Forecast part) {
  analysis::Forecast& whole = forecasts_.at(recipe);
  whole.recipe = std::move(part.recipe);
  if (part.predicted) {
    whole.predicted = std::move(part.predicted);
    whole.statistics_seconds = part.statistics_seconds;
  }
  if (part.measured) {
    whole.measured = std::move(part.measured);
    whole.at_once = part.at_once;
  }
}

void NetworkJournal::add(std::size_t recipe, analysis::Forecast part) {
  if (journal_) journal_->append({{"recipe", recipe}, {"forecast", analysis::to_json(part)}});
  merge(recipe, std::move(part));
}

std::filesystem::path NetworkJournal::beside() const {
  std::filesystem::path path = path_;
  return path += ".responses";
}

std::optional<simulator::Responses> NetworkJournal::responses() const {
  if (!journal_ || !response_seconds_) return std::nullopt;  // without its line, of another try
  return load_responses(beside(), key_);
}

void NetworkJournal::add(const simulator::Responses& responses) {
  response_seconds_ = responses.seconds;
  if (!journal_) return;
  save_responses(beside(), key_, responses);
  journal_->append({{"responses", {{"seconds", responses.seconds}}}});
}

void NetworkJournal::drop_responses() const {
  std::error_code ignored;
  if (journal_) std::filesystem::remove(beside(), ignored);
}

}  // namespace assay::tools

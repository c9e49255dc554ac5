// SPDX-License-Identifier: Apache-2.0
#include "proptests/policy.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <stdexcept>

#include "simulator/input_error.h"
#include "simulator/strict_json.h"

namespace assay::proptests {
namespace {

using simulator::InputError;

std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file || std::filesystem::is_directory(path))
    throw InputError(path.string() + ": cannot be read");
  return {std::istreambuf_iterator<char>(file), {}};
}

void require_known(const std::filesystem::path& path, const std::string& id) {
  static const std::set<std::string> ids = [] {
    std::set<std::string> all;
    for (const Property& p : catalogue()) all.insert(p.id);
    return all;
  }();
  if (!ids.contains(id))
    throw InputError(path.string() + ": no property is called '" + id +
                     "'; assay list has every id");
}

bool failed(Status status) {
  return status == Status::fail || status == Status::crash || status == Status::timeout;
}

std::string before(const Verdict& v) { return v.detail.empty() ? std::string{} : "; " + v.detail; }

void apply_waiver(const Waiver& waiver, const std::string& today, Verdict& v) {
  const std::string terms = fmt::format("{} ({})", waiver.reason, waiver.reference);
  if (!failed(v.status)) {
    v.detail = fmt::format("has a waiver and does not need it: {}", terms) + before(v);
  } else if (today > waiver.expires) {
    v.detail = fmt::format("its waiver expired on {}: {}", waiver.expires, terms) + before(v);
  } else {
    v.detail = fmt::format("{}, waived until {}: {}", name_of(v.status), waiver.expires, terms) +
               before(v);
    v.status = Status::expected_fail;
  }
}

void apply_baseline(Verdict& v) {
  if (failed(v.status)) {
    v.detail = fmt::format("{}, as the baseline says", name_of(v.status)) + before(v);
    v.status = Status::expected_fail;
  } else if (v.status == Status::pass && v.cases >= v.planned) {
    v.detail = "passes, and the baseline says that it fails: take it out" + before(v);
    v.status = Status::unexpected_pass;
  }
}

Waiver waiver_from_json(const nlohmann::ordered_json& j) {
  Waiver w{j.at("property"), j.at("reason"), j.at("reference"), j.at("expires")};
  if (j.size() != 4) throw std::invalid_argument("has a member that no waiver has");
  if (w.reason.empty() || w.reference.empty())
    throw std::invalid_argument("needs a reason and a reference");
  require_day(w.expires, "the expiry of the waiver of " + w.property);
  return w;
}

}  // namespace

std::vector<std::string> read_lines(const std::filesystem::path& path) {
  std::vector<std::string> lines;
  const std::string text = text_of(path);
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, end - at);
    line.erase(std::min(line.find('#'), line.size()));
    const std::size_t first = line.find_first_not_of(" \t\r");
    if (first != std::string::npos)
      lines.push_back(line.substr(first, line.find_last_not_of(" \t\r") + 1 - first));
    at = end + 1;
  }
  return lines;
}

std::vector<std::string> read_baseline(const std::filesystem::path& path) {
  std::vector<std::string> ids = read_lines(path);
  for (const std::string& id : ids) require_known(path, id);
  return ids;
}

std::vector<Waiver> read_waivers(const std::filesystem::path& path) {
  const nlohmann::json list =
      simulator::parse_strict_json(text_of(path), path.string(), "the list of waivers");
  std::vector<Waiver> waivers;
  if (!list.is_array()) throw InputError(path.string() + ": is not a JSON array of waivers");
  for (const auto& item : list) {
    try {
      waivers.push_back(waiver_from_json(item));
    } catch (const std::exception& e) {
      throw InputError(fmt::format(
          "{}: waiver {} is not one (property, reason, reference, expires, all text): {}",
          path.string(), waivers.size() + 1, e.what()));
    }
    require_known(path, waivers.back().property);
  }
  return waivers;
}

IdPatterns::IdPatterns(const std::filesystem::path& path) : lines_(read_lines(path)) {
  for (const std::string& line : lines_) {
    try {
      const std::regex compiled(line);
    } catch (const std::regex_error&) {
      throw InputError(path.string() + ": '" + line + "' is not a regular expression");
    }
  }
}

bool IdPatterns::match(const std::string& id) const {
  return std::any_of(lines_.begin(), lines_.end(), [&](const std::string& line) {
    return std::regex_match(id, std::regex(line));
  });
}

void require_day(std::string_view day, std::string_view what) {
  int year = 0;
  unsigned month = 0, date = 0;
  const auto number = [&](std::size_t at, std::size_t count, auto& value) {
    const char* const end = day.data() + at + count;
    return std::from_chars(day.data() + at, end, value).ptr == end;
  };
  const bool good = day.size() == 10 && day[4] == '-' && day[7] == '-' && number(0, 4, year) &&
                    number(5, 2, month) && number(8, 2, date) &&
                    std::chrono::year_month_day{std::chrono::year{year}, std::chrono::month{month},
                                                std::chrono::day{date}}
                        .ok();
  if (!good)
    throw std::invalid_argument(fmt::format("{} is '{}': write a day as YYYY-MM-DD", what, day));
}

void apply(const Policy& policy, Report& report) {
  if (!policy.waivers.empty()) report.today = policy.today;
  for (Verdict& v : report.verdicts) {
    const auto waiver = std::find_if(policy.waivers.begin(), policy.waivers.end(),
                                     [&](const Waiver& w) { return w.property == v.property; });
    if (waiver != policy.waivers.end())
      apply_waiver(*waiver, policy.today, v);
    else if (std::find(policy.baseline.begin(), policy.baseline.end(), v.property) !=
             policy.baseline.end())
      apply_baseline(v);
  }
}

nlohmann::ordered_json to_json(const Policy& policy) {
  nlohmann::ordered_json waivers = nlohmann::ordered_json::array();
  for (const Waiver& w : policy.waivers)
    waivers.push_back({{"property", w.property},
                       {"reason", w.reason},
                       {"reference", w.reference},
                       {"expires", w.expires}});
  return {{"today", policy.today}, {"baseline", policy.baseline}, {"waivers", std::move(waivers)}};
}

Policy policy_from_json(const nlohmann::ordered_json& j) {
  Policy policy;
  policy.today = j.at("today");
  require_day(policy.today, "today");
  policy.baseline = j.at("baseline").get<std::vector<std::string>>();
  for (const auto& w : j.at("waivers")) policy.waivers.push_back(waiver_from_json(w));
  return policy;
}

}  // namespace assay::proptests

// SPDX-License-Identifier: Apache-2.0
#include "tools/audit/audit_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>

#include "formats/names.h"
#include "tools/table.h"

namespace assay::tools::audit {
namespace {

using Rows = std::vector<std::vector<std::string>>;

std::string code_text(const formats::FormatSpec& spec, std::uint32_t code) {
  if (code == refused) return "error";
  if (code == no_code) return "no code";
  if (code == any_nan) return "a NaN";
  return fmt::format("{:0{}x}", code, spec.storage_bits / 4);
}

std::string difference_text(const Cast& cast, const Difference& d) {
  return fmt::format("{:0{}x}: {}, not {}", d.input, cast.source->storage_bits / 4,
                     code_text(*cast.destination, d.theirs), code_text(*cast.destination, d.ours));
}

std::string domain_text(const Result& result) {
  return fmt::format("{}{}", result.all ? "all " : "", result.inputs);
}

std::string findings_text(const Result& result) {
  std::vector<std::string> words;
  for (const Found& found : result.found)
    if (found.differences != 0)
      words.push_back(fmt::format("{} ({})", found.finding->id, found.differences));
  return fmt::format("{}", fmt::join(words, ", "));
}

Rows conversions(const Audit& audit) {
  Rows rows{{"peer", "conversion", "source", "rounding", "profile", "inputs", "differences",
             "findings", "verdict"}};
  for (const Result& r : audit.results) {
    const Cast& c = *r.cast;
    if (!r.missing.empty()) {
      rows.push_back(
          {c.peer, c.function, std::string(c.source->name), "-", "-", "-", "-", "-", verdict(r)});
      continue;
    }
    rows.push_back({c.peer, c.function, std::string(c.source->name),
                    std::string(formats::name_of(c.mode)), std::string(c.profile->name),
                    domain_text(r), std::to_string(r.differences), findings_text(r), verdict(r)});
  }
  return rows;
}

std::string place(const Result& result) {
  return fmt::format("{}: {} to {}", result.cast->peer, result.cast->source->name,
                     result.cast->destination->name);
}

/// A row for each finding and peer, summed over the peer's conversions.
Rows differences(const Audit& audit) {
  Rows rows{{"id", "conversions", "differing inputs", "first", "what", "who is right"}};
  for (const Finding& finding : findings()) {
    std::map<std::string, std::uint64_t> places;
    std::uint64_t count = 0;
    std::string first;
    for (const Result& r : audit.results) {
      for (const Found& found : r.found) {
        if (found.finding != &finding || found.differences == 0) continue;
        places[place(r)] += found.differences;
        count += found.differences;
        if (first.empty())
          first = fmt::format("{} {}", r.cast->source->name, difference_text(*r.cast, found.first));
      }
    }
    if (count == 0) continue;
    std::vector<std::string> words;
    for (const auto& [where, n] : places) words.push_back(fmt::format("{} ({})", where, n));
    rows.push_back({std::string(finding.id), fmt::format("{}", fmt::join(words, "; ")),
                    std::to_string(count), first, std::string(finding.what),
                    std::string(finding.right)});
  }
  return rows;
}

/// Whoever gave the same codes, beside each other.
std::string answers_text(const Audit& audit, const Corner& corner) {
  std::map<std::string, std::vector<std::string>> who;
  for (const Result& r : audit.results) {
    for (const Answers& answers : r.answers) {
      if (answers.corner != &corner || answers.codes.empty()) continue;
      std::vector<std::string> codes;
      for (const auto& [code, count] : answers.codes)
        codes.push_back(code_text(*corner.destination, code));
      constexpr std::size_t most = 3;
      if (codes.size() > most)
        codes = {codes.front(), fmt::format("{} codes", codes.size()), codes.back()};
      const bool nearest = r.cast->mode == formats::RoundingMode::nearest_even;
      who[fmt::format("{}", fmt::join(codes, ", "))].push_back(
          fmt::format("{} ({}{}{})", r.cast->peer, r.cast->profile->name, nearest ? "" : ", ",
                      nearest ? "" : formats::name_of(r.cast->mode)));
    }
  }
  std::vector<std::string> words;
  for (const auto& [codes, names] : who)
    words.push_back(fmt::format("`{}`: {}", codes, fmt::join(names, ", ")));
  return fmt::format("{}", fmt::join(words, "; "));
}

Rows corner_rows(const Audit& audit) {
  Rows rows{{"to", "FP32 inputs", "what", "answers", "what the specifications say"}};
  for (const Corner& corner : corners()) {
    const std::string answers = answers_text(audit, corner);
    if (answers.empty()) continue;
    rows.push_back({std::string(corner.destination->name),
                    corner.first == corner.last
                        ? fmt::format("{:08x}", corner.first)
                        : fmt::format("{:08x} .. {:08x}", corner.first, corner.last),
                    std::string(corner.what), answers, std::string(corner.right)});
  }
  return rows;
}

Rows peer_rows(const Audit& audit) {
  Rows rows{{"peer", "version"}};
  for (const Peer& peer : audit.peers)
    rows.push_back({peer.name, peer.absent.empty() ? peer.version : "absent: " + peer.absent});
  return rows;
}

std::string markdown_table(const Rows& rows) {
  std::string text;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    text += fmt::format("| {} |\n", fmt::join(rows[i], " | "));
    if (i == 0) {
      for (std::size_t c = 0; c < rows[0].size(); ++c) text += "|---";
      text += "|\n";
    }
  }
  return text + "\n";
}

std::string surprises_text(const Audit& audit) {
  std::string text;
  for (const Result& r : audit.results)
    for (const Difference& d : r.surprises)
      text += fmt::format("{} {}: {} {}\n", r.cast->peer, r.cast->function, r.cast->source->name,
                          difference_text(*r.cast, d));
  return text;
}

}  // namespace

std::string verdict(const Result& result) {
  if (!result.missing.empty()) return result.missing;
  if (result.as_predicted()) return "as predicted";
  return fmt::format("{} NOT PREDICTED, {} PREDICTED AND ABSENT", result.unpredicted,
                     result.absent);
}

std::string to_text(const Audit& audit) {
  std::string text = table(peer_rows(audit)) + "\n";
  if (!audit.results.empty()) text += table(conversions(audit)) + "\n";
  for (const std::vector<std::string>& row : differences(audit))
    if (row.front() != "id") text += fmt::format("{}: {}; {}\n", row[0], row[4], row[5]);
  return text + surprises_text(audit);
}

std::string to_markdown(const Audit& audit) {
  std::string text = fmt::format(
      "# The conversions of others beside golden\n\n"
      "Written by `{}` on {}: assay {}, {}, {}.\n\n{}"
      "Each conversion is held against golden under the profile named beside it. FP16 and BF16 "
      "sources are tried with all\n65,536 inputs; FP32 sources {}with every BF16 and FP16 number, "
      "every sign and exponent with eight fractions, and every\nmidpoint or threshold with two "
      "neighbours on both sides. The differences that `tools/audit/findings.cpp` predicts,\ninput "
      "by input with both codes, must be exactly those found.\n\n",
      audit.command, audit.date, audit.version, audit.compiler, audit.machine,
      markdown_table(peer_rows(audit)),
      audit.full ? "with all 2^32 where the row says `all`, else " : "");
  text += "## Differences, and who is right\n\n" + markdown_table(differences(audit));
  text +=
      "Inputs are the bits of the source; `first` is the first one in the first conversion of the "
      "row.\n\n## Where conventions part\n\nAnswers to FP32 inputs, by peer and profile, rounded "
      "to nearest unless said otherwise.\n\n" +
      markdown_table(corner_rows(audit));
  Rows rows = conversions(audit);
  for (std::size_t i = 1; i < rows.size(); ++i) rows[i][1] = fmt::format("`{}`", rows[i][1]);
  text += "## Conversions\n\n" + markdown_table(rows);
  const std::string surprises = surprises_text(audit);
  if (!surprises.empty()) text += "## Not as predicted\n\n```\n" + surprises + "```\n";
  while (text.ends_with("\n\n")) text.pop_back();
  return text;
}

nlohmann::ordered_json to_json(const Audit& audit) {
  using Json = nlohmann::ordered_json;
  Json document{
      {"verb", "audit-peers"},  {"date", audit.date},         {"machine", audit.machine},
      {"assay", audit.version}, {"compiler", audit.compiler}, {"command", audit.command},
      {"full", audit.full},     {"peers", Json::array()},     {"conversions", Json::array()}};
  for (const Peer& peer : audit.peers) {
    Json row{{"name", peer.name}};
    if (peer.absent.empty()) {
      row["version"] = peer.version;
    } else {
      row["absent"] = peer.absent;
    }
    document["peers"].push_back(std::move(row));
  }
  for (const Result& r : audit.results) {
    const Cast& c = *r.cast;
    Json row{{"peer", c.peer},
             {"function", c.function},
             {"source", c.source->name},
             {"destination", c.destination->name}};
    if (!r.missing.empty()) {
      row["missing"] = r.missing;
      document["conversions"].push_back(std::move(row));
      continue;
    }
    row["rounding"] = formats::name_of(c.mode);
    row["profile"] = c.profile->name;
    row["all_inputs"] = r.all;
    row["inputs"] = r.inputs;
    row["differences"] = r.differences;
    row["as_predicted"] = r.as_predicted();
    row["unpredicted"] = r.unpredicted;
    row["predicted_and_absent"] = r.absent;
    row["findings"] = Json::array();
    const auto example = [&c](const Difference& d) {
      return Json{{"input", fmt::format("{:0{}x}", d.input, c.source->storage_bits / 4)},
                  {"golden", code_text(*c.destination, d.ours)},
                  {"peer", code_text(*c.destination, d.theirs)}};
    };
    for (const Found& found : r.found) {
      if (found.differences == 0) continue;
      row["findings"].push_back({{"id", found.finding->id},
                                 {"differences", found.differences},
                                 {"first", example(found.first)},
                                 {"what", found.finding->what},
                                 {"right", found.finding->right}});
    }
    row["surprises"] = Json::array();
    for (const Difference& d : r.surprises) row["surprises"].push_back(example(d));
    document["conversions"].push_back(std::move(row));
  }
  return document;
}

}  // namespace assay::tools::audit

// SPDX-License-Identifier: Apache-2.0
// What there is to certify, by what, and under which names.
#include <fmt/format.h>

#include <array>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "formats/names.h"
#include "proptests/certify.h"
#include "proptests/profiles.h"
#include "proptests/run_plan.h"
#include "tools/device_choice.h"
#include "tools/outputs.h"
#include "tools/table.h"
#include "tools/verb.h"

namespace assay::tools {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  std::string what, name;
  DeviceChoice device;
  Outputs outputs;
};

ExitCode emit(const Options& options, const Json& document, const std::string& text) {
  options.outputs.write_json(document);
  if (!options.outputs.to_stdout()) fmt::print("{}", text);
  return ExitCode::pass;
}

ExitCode list_entries(const Options& options) {
  if (options.name.empty())
    throw std::invalid_argument("list entries needs a device, e.g. 'assay list entries cpu'");
  DeviceChoice choice = options.device;
  choice.target = options.name;
  std::string reason;
  const auto devices = open_devices(choice, 1, reason);
  if (devices.empty()) {
    fmt::print(stderr, "assay: {}\n", reason);
    return ExitCode::absent;
  }
  const std::vector<kernels::Claim> claims = devices.front()->claims();
  std::vector<std::vector<std::string>> rows{{"entry", "operation", "a", "b", "output", "tactics"}};
  for (const kernels::Claim& c : claims) {
    const auto name = [](const formats::BlockFormat* f) {
      return std::string(f == nullptr ? "-" : f->name);
    };
    rows.push_back({name_of(c), c.operation, name(c.a), name(c.b), std::string(c.output->name),
                    std::to_string(c.tactics)});
  }
  return emit(options,
              {{"device", devices.front()->name()}, {"entries", proptests::claims_json(claims)}},
              table(rows));
}

ExitCode list_properties(const Options& options) {
  proptests::Selection selection;
  selection.property = options.name;
  Json properties = Json::array();
  std::string text;
  for (const proptests::Property& p : proptests::select(selection)) {
    properties.push_back({{"id", p.id},
                          {"section", p.section},
                          {"statement", p.statement},
                          {"about", p.applies ? "a device's kernels" : "the library's own code"}});
    text += fmt::format("{}\n  {}\n  from {}\n", p.id, p.statement, p.section);
  }
  return emit(options, {{"properties", std::move(properties)}}, text);
}

Json describe(const proptests::Profile& profile, bool with_ids) {
  Json json{{"name", profile.name},
            {"statement", profile.statement},
            {"hash", hash_of(profile)},
            {"count", profile.ids.size()}};
  if (with_ids) json["properties"] = profile.ids;
  return json;
}

ExitCode list_profiles(const Options& options) {
  if (!options.name.empty()) {
    const proptests::Profile& profile = proptests::find_profile(options.name);
    return emit(options, describe(profile, true), std::string(profile.text));
  }
  Json profiles = Json::array();
  std::vector<std::vector<std::string>> rows{{"profile", "properties", "hash", "about"}};
  for (const proptests::Profile& profile : proptests::all_profiles()) {
    profiles.push_back(describe(profile, false));
    rows.push_back({std::string(profile.name), std::to_string(profile.ids.size()), hash_of(profile),
                    std::string(profile.statement)});
  }
  return emit(options, {{"profiles", std::move(profiles)}}, table(rows));
}

struct Listing {
  std::string_view name;
  ExitCode (*run)(const Options&);
};
constexpr std::array listings{Listing{"entries", list_entries},
                              Listing{"properties", list_properties},
                              Listing{"profiles", list_profiles}};

ExitCode run(const Options& options) {
  std::vector<std::string_view> known;
  for (const Listing& listing : listings) {
    if (listing.name == options.what) return listing.run(options);
    known.push_back(listing.name);
  }
  throw std::invalid_argument(formats::unknown_name("list", options.what, known));
}

}  // namespace

Action declare_list(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("WHAT", options->what, "entries, properties or profiles")->required();
  app.add_option("NAME", options->name,
                 "entries: the device; properties: an id or the beginning of ids up to a dot; "
                 "profiles: one of them, for its list");
  options->device.declare(app);
  options->outputs.declare_json(app);
  return [options] { return run(*options); };
}

}  // namespace assay::tools

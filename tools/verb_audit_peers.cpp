// SPDX-License-Identifier: Apache-2.0
// What other people's conversions answer, held against golden, difference by difference.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "formats/names.h"
#include "tools/audit/audit.h"
#include "tools/audit/audit_text.h"
#include "tools/audit/cuda_casts.h"
#include "tools/audit/python_peers.h"
#include "tools/environment.h"
#include "tools/machine.h"
#include "tools/outputs.h"
#include "tools/verb.h"

namespace assay::tools {
namespace {

using audit::Peer;

constexpr std::string_view cuda_name = "cuda";
constexpr const char* default_python = "python3";

struct Options {
  std::vector<std::string> only;
  std::string python;
  bool full = false;
  Outputs outputs;
};

Peer cuda_peer(const std::string& version) {
  Peer peer{std::string(cuda_name), "headers " + version, "", {}};
  for (const audit::CudaCast& row : audit::cuda_casts())
    peer.casts.push_back(
        {peer.name, row.function, row.source, row.destination, row.mode, row.profile,
         [convert = row.convert](std::span<const std::uint32_t> in, std::span<std::uint32_t> out) {
           convert(in.data(), in.size(), out.data());
         },
         true, true});
  if (peer.casts.empty()) peer.absent = "the headers were not found when assay was built";
  return peer;
}

/// A Python that the user did not name may be missing; one that they named may not.
std::vector<Peer> python_peers(const Options& options) {
  const std::string script = audit::peers_script();
  try {
    return audit::python_peers(options.python.empty() ? default_python : options.python, script);
  } catch (const std::runtime_error& error) {
    if (!options.python.empty()) throw;
    std::vector<Peer> peers;
    for (const char* name : audit::python_peer_names) peers.push_back({name, "", error.what(), {}});
    return peers;
  }
}

bool chosen(const Options& options, std::string_view name) {
  return options.only.empty() ||
         std::find(options.only.begin(), options.only.end(), name) != options.only.end();
}

void require_known(const Options& options) {
  std::vector<std::string_view> known{cuda_name};
  known.insert(known.end(), audit::python_peer_names.begin(), audit::python_peer_names.end());
  for (const std::string& name : options.only)
    if (std::find(known.begin(), known.end(), name) == known.end())
      throw std::invalid_argument(formats::unknown_name("peer", name, known));
}

ExitCode outcome(const audit::Audit& audit) {
  if (audit.results.empty()) return ExitCode::nothing_ran;
  const bool all = std::all_of(audit.results.begin(), audit.results.end(),
                               [](const audit::Result& r) { return r.as_predicted(); });
  return all ? ExitCode::pass : ExitCode::fail;
}

ExitCode run(const Options& options) {
  require_known(options);
  options.outputs.require_writable();
  std::string command = "assay audit-peers";
  for (const std::string& name : options.only) command += " --peer " + name;
  if (options.full) command += " --full";
  const analysis::Environment environment = tools::environment(command);
  audit::Audit audit;
  audit.command = command;
  audit.full = options.full;
  audit.date = fmt::format("{:%Y-%m-%d}", fmt::gmtime(std::time(nullptr)));
  audit.machine = processor();
  audit.version = fmt::format("{}, commit {}", environment.version, environment.commit);
  audit.compiler = environment.compiler;
  if (chosen(options, cuda_name)) audit.peers.push_back(cuda_peer(environment.cuda_headers));
  if (std::any_of(audit::python_peer_names.begin(), audit::python_peer_names.end(),
                  [&](const char* name) { return chosen(options, name); })) {
    for (Peer& peer : python_peers(options))
      if (chosen(options, peer.name)) audit.peers.push_back(std::move(peer));
  }
  for (const Peer& peer : audit.peers)
    for (const audit::Cast& cast : peer.casts)
      audit.results.push_back(audit::audit(cast, options.full));
  options.outputs.write_json(to_json(audit));
  options.outputs.write_markdown([&] { return to_markdown(audit); });
  if (!options.outputs.to_stdout()) fmt::print("{}", to_text(audit));
  return outcome(audit);
}

}  // namespace

Action declare_audit_peers(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("--peer", options->only,
                 "only this one: cuda, ml_dtypes, torch, gfloat; repeat it");
  app.add_option("--python", options->python,
                 "the Python that has ml_dtypes, torch or gfloat (default: python3)");
  app.add_flag("--full", options->full,
               "all 2^32 FP32 inputs of cuda, ml_dtypes and torch (about a minute each)");
  options->outputs.declare_json(app);
  options->outputs.declare_markdown(app);
  return [options] { return run(*options); };
}

}  // namespace assay::tools

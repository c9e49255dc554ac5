// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "tools/certify_options.h"
#include "tools/certify_result.h"
#include "tools/verb.h"

namespace assay::tools {
namespace {

struct Options {
  std::vector<std::string> journals;
  PolicyOptions policy;
  bool verbose = false;
  Outputs outputs;
};

ExitCode run(const Options& options) {
  const proptests::Policy policy = options.policy.read();
  options.outputs.require_writable();
  const proptests::JournalContents journal =
      proptests::merge_journals({options.journals.begin(), options.journals.end()});
  return publish(analysis::report_of(journal.plan, journal.results, policy), options.outputs,
                 options.verbose);
}

}  // namespace

Action declare_report(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("JOURNAL", options->journals, "journals of one run: its shards, in any order")
      ->required();
  options->policy.declare(app);
  app.add_flag("-v,--verbose", options->verbose,
               "a line for every property, and every failure in full");
  options->outputs.declare_json(app);
  options->outputs.declare_html(app);
  options->outputs.declare_junit(app);
  options->outputs.declare_markdown(app);
  return [options] { return run(*options); };
}

}  // namespace assay::tools

// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <fstream>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>

#include "analysis/report.h"
#include "proptests/devices/text_vectors.h"
#include "tools/certify_result.h"
#include "tools/environment.h"
#include "tools/outputs.h"
#include "tools/selection.h"
#include "tools/verb.h"

namespace assay::tools {
namespace {

struct Options {
  std::string vectors, answers;
  bool verbose = false;
  Outputs outputs;
};

std::ifstream open(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path);
  return file;
}

proptests::Report judge(const Options& options, proptests::AnswerReader& device) {
  const proptests::VectorHeader& header = device.header();
  proptests::CertifyOptions certify;
  certify.cases = header.cases;
  certify.seed = header.seed;
  certify.shrink_trials = 0;  // the simulator cannot be asked again, so neither shrunk
  certify.diagnose = false;   // nor diagnosed
  proptests::Report report;
  report.device = device.name();
  report.seed = header.seed;
  report.cases_per_property = header.cases;
  for (const proptests::Property& property :
       selected_properties(header.selection, device.claims().front())) {
    report.verdicts.push_back(run_property(property, device, certify));
    device.require_sound();
    if (auto& found = report.verdicts.back().counterexample)
      found->replay = fmt::format("assay judge {} {}", options.vectors, options.answers);
  }
  return report;
}

ExitCode run(const Options& options) {
  options.outputs.require_writable();
  std::ifstream vectors = open(options.vectors);
  std::ifstream file;
  if (options.answers != "-") file = open(options.answers);
  proptests::AnswerReader device(vectors, options.vectors, options.answers == "-" ? std::cin : file,
                                 options.answers == "-" ? "standard input" : options.answers);
  analysis::Report report;
  report.environment =
      environment(fmt::format("assay judge {} {}", options.vectors, options.answers));
  report.seed = device.header().seed;
  report.certifications.push_back(judge(options, device));
  return publish(report, options.outputs, options.verbose);
}

}  // namespace

Action declare_judge(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("FILE", options->vectors, "what `assay vectors` wrote")->required();
  app.add_option("ANSWERS", options->answers, "what the simulator answered; '-': standard input")
      ->required();
  app.add_flag("-v,--verbose", options->verbose,
               "a line for every property, and every failure in full");
  options->outputs.declare_json(app);
  options->outputs.declare_html(app);
  return [options] { return run(*options); };
}

}  // namespace assay::tools

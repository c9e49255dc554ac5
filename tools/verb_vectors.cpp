// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>

#include "kernels/abi/claim_text.h"
#include "proptests/devices/text_vectors.h"
#include "simulator/atomic_file.h"
#include "tools/selection.h"
#include "tools/vectors/golden_case.h"
#include "tools/verb.h"

namespace assay::tools {
namespace {

constexpr std::string_view golden_cases = "golden";

struct Options {
  proptests::VectorHeader header{"", "", 100, 1};
  std::string out = "-";
};

std::int64_t write(const Options& options, std::ostream& out) {
  proptests::VectorWriter writer(out, options.header);
  const kernels::Claim claim = writer.claims().front();
  proptests::CertifyOptions certify;
  certify.cases = options.header.cases;
  certify.seed = options.header.seed;
  for (const proptests::Property& property : selected_properties(options.header.selection, claim)) {
    const proptests::Verdict verdict = run_property(property, writer, certify);
    if (verdict.status == proptests::Status::error)
      throw std::logic_error(property.id + ": " + verdict.detail);
  }
  return writer.finish();
}

/// The cases of docs/vectors, with what they expect.
ExitCode write_golden(const Options& options) {
  const std::string text = vectors::document();
  if (options.out == "-") {
    fmt::print("{}", text);
    return ExitCode::pass;
  }
  simulator::AtomicFile file(options.out);
  file.write(text);
  file.commit();
  return ExitCode::pass;
}

ExitCode run(Options options) {
  if (options.header.claim.empty())
    throw std::invalid_argument("--claim is required: what the simulator computes");
  if (options.header.cases < 1) throw std::invalid_argument("--cases must be at least 1");
  options.header.claim = kernels::abi::text_of(kernels::abi::parse_claim(options.header.claim));
  if (options.out == "-") {
    write(options, std::cout);
    return ExitCode::pass;
  }
  const std::string temporary = options.out + ".part";
  std::ofstream file(temporary, std::ios::binary);
  if (!file) throw std::runtime_error("cannot write " + temporary);
  std::int64_t cases = 0;
  try {
    cases = write(options, file);
  } catch (...) {
    std::remove(temporary.c_str());
    throw;
  }
  file.close();
  if (!file) {
    std::remove(temporary.c_str());
    throw std::runtime_error("cannot write " + temporary + ": is the disk full?");
  }
  std::filesystem::rename(temporary, options.out);
  fmt::print("{}: {} cases; answer them and run: assay judge {} ANSWERS\n", options.out, cases,
             options.out);
  return ExitCode::pass;
}

}  // namespace

Action declare_vectors(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("PROPERTY", options->header.selection,
                 "a property, the beginning of ids up to a dot, or a profile; golden: cases with "
                 "their results")
      ->required();
  const auto* claim =
      app.add_option("--claim", options->header.claim,
                     "what the simulator computes: the operation, then fields as FIELD=VALUE");
  app.add_option("--out", options->out, "the file to write; '-' (default): standard output");
  const auto* cases =
      app.add_option("--cases", options->header.cases, "cases of each property (default 100)");
  const auto* seed = app.add_option("--seed", options->header.seed, "of the cases (default 1)");
  return [=] {
    if (options->header.selection != golden_cases) return run(*options);
    for (const CLI::Option* option : {claim, cases, seed})
      if (option->count() != 0)
        throw std::invalid_argument(fmt::format(
            "{} does not go with the golden cases, which are what they are", option->get_name()));
    return write_golden(*options);
  };
}

}  // namespace assay::tools

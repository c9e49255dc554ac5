// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <memory>
#include <string>

#include "proptests/reproduction.h"
#include "tools/certify_options.h"
#include "tools/certify_result.h"
#include "tools/verb.h"

namespace assay::tools {
namespace {

struct Options {
  std::string token;
  DeviceChoice device;
  std::string save;
  Outputs outputs;
};

ExitCode run(const Options& options) {
  const proptests::Reproduction named = proptests::parse_reproduction(options.token);
  CertifyOptions certify;
  certify.device = options.device;
  if (certify.device.target.empty()) certify.device.target = named.device;
  certify.entry = named.entry;
  certify.property = named.property;
  certify.seed = named.seed;
  certify.token = named.token;
  certify.save = options.save;
  const std::vector<proptests::Property> properties = properties_of(certify);
  if (properties.size() != 1 || properties.front().id != named.property)
    throw std::invalid_argument("the token is of the property '" + named.property +
                                "', which this version does not have");
  std::string reason;
  const auto devices = open_devices(certify.device, 1, reason);
  if (devices.empty()) {
    fmt::print(stderr, "assay: {}\n", reason);
    return ExitCode::absent;
  }
  options.outputs.require_writable();
  proptests::RunPlan plan = plan_of(certify, properties, *devices.front());
  const proptests::Results results = replay(certify, properties.front(), *devices.front(), plan);
  const analysis::Report report = analysis::report_of(plan, results, {});
  const ExitCode code = publish(report, options.outputs, true);
  save_counterexamples(certify, properties, *devices.front(), report);
  return code;
}

}  // namespace

Action declare_reproduce(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("TOKEN", options->token, "what a failure printed: assay1:...")->required();
  app.add_option("--device", options->device.target,
                 "the device to ask (default: the one that failed)");
  app.add_option("--save", options->save,
                 "write the operands to DIR/PROPERTY: case.json and .npy files")
      ->type_name("DIR");
  options->device.declare(app);
  options->outputs.declare_json(app);
  return [options] { return run(*options); };
}

}  // namespace assay::tools

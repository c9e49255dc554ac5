// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <memory>
#include <string>

#include "formats/presets.h"
#include "tools/suggest.h"
#include "tools/verb.h"

namespace assay::tools {
namespace {

void print_overview() {
  for (const formats::FormatSpec* spec : formats::all_formats)
    fmt::print("{:<6} {}/{}/{} bias {:<4} {}\n", spec->name, spec->sign_bits, spec->exponent_bits,
               spec->mantissa_bits, spec->bias, spec->source);
}

}  // namespace

Action declare_formats(CLI::App& app) {
  auto name = std::make_shared<std::string>();
  app.add_option("NAME", *name, "a format, block format or profile; without it, all of them");
  return [name] {
    if (!name->empty()) find_named(formats::all_formats, "format", *name);
    print_overview();
    return ExitCode::pass;
  };
}

}  // namespace assay::tools

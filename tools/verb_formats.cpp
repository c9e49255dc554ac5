// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "formats/names.h"
#include "formats/rule_matrix.h"
#include "tools/format_tables.h"
#include "tools/outputs.h"
#include "tools/verb.h"

namespace assay::tools {
namespace {

struct Options {
  std::string name;
  Outputs outputs;
};

ExitCode emit(const Options& options, const Json& document, std::string (*text)(const Json&)) {
  if (!options.outputs.to_stdout()) fmt::print("{}", text(document));
  options.outputs.write_json(document);
  return ExitCode::pass;
}

ExitCode run(const Options& options) {
  if (options.name.empty()) return emit(options, describe_all(), overview_text);
  // A format comes before a short name: int4 is the integers, and their table names the preset.
  std::vector<std::string_view> known;
  for (const formats::FormatSpec* spec : formats::all_formats) {
    if (spec->name == options.name) return emit(options, describe(*spec), format_text);
    known.push_back(spec->name);
  }
  for (const formats::BlockFormat* format : formats::every_block_format) {
    if (format->name == options.name) return emit(options, describe(*format), block_format_text);
    known.push_back(format->name);
  }
  for (const formats::BlockFormatAlias& alias : formats::block_format_aliases) {
    if (alias.name == options.name)
      return emit(options, describe(*alias.format), block_format_text);
    known.push_back(alias.name);
  }
  for (const formats::PackedBlock* block : formats::all_packed_blocks) {
    if (block->name == options.name) return emit(options, describe(*block), packed_block_text);
    known.push_back(block->name);
  }
  for (const formats::Profile* profile : formats::all_profiles) {
    if (profile->name == options.name) return emit(options, describe(*profile), profile_text);
    known.push_back(profile->name);
  }
  throw std::invalid_argument(
      formats::unknown_name("format, block format, packed block or profile", options.name, known));
}

}  // namespace

Action declare_formats(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("NAME", options->name,
                 "a format, block format, packed block or profile; without it, all of them");
  options->outputs.declare_json(app);
  return [options] { return run(*options); };
}

}  // namespace assay::tools

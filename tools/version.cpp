// SPDX-License-Identifier: Apache-2.0
#include "tools/version.h"

#include <fmt/format.h>

#include <set>

#include "formats/spec.h"
#include "tools/build_info.h"

namespace assay::tools {

std::string version_text() {
  std::string text = fmt::format(
      "assay {}\ncommit: {}\ncompiler: {}\nCUDA headers: {}\nspecifications:", build_info::version,
      build_info::commit, build_info::compiler, build_info::cuda_headers);
  std::set<std::string_view> sources;
  for (const formats::FormatSpec* spec : formats::all_formats) sources.insert(spec->source);
  for (const std::string_view source : sources) text += fmt::format("\n  {}", source);
  return text;
}

}  // namespace assay::tools

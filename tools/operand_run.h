// SPDX-License-Identifier: Apache-2.0
#pragma once
// assay replay --operands: what recipes do to every tensor by itself, of a recording or of a
// checkpoint that no one recorded, streamed.

#include <filesystem>
#include <string>
#include <vector>

#include "analysis/report.h"

namespace assay::tools {

struct OperandRun {
  std::filesystem::path path;  ///< a recording, a safetensors file or folder, or a GGUF file
  std::vector<simulator::Recipe> recipes;
  std::vector<std::string> recipe_texts;  ///< as they were read: what a journal's run is known by
  simulator::ReplayOptions options;
  std::string journal;  ///< empty: none
  bool resume = false;
  std::string program;  ///< version and commit
};

/// One replay for each recipe, with tensors and notes only. Throws InputError and OutputError.
[[nodiscard]] std::vector<analysis::Replayed> run_operands(const OperandRun& run);

/// A folder with recording.json is a recording; everything else of tensors is a checkpoint.
[[nodiscard]] bool is_recording(const std::filesystem::path& path);

/// For people: a line for each recipe and class, the `worst` tensors of each recipe, and the notes.
[[nodiscard]] std::string operand_text(const std::vector<analysis::Replayed>& replays, int worst);

}  // namespace assay::tools

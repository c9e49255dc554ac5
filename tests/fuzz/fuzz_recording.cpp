// SPDX-License-Identifier: Apache-2.0
// Any text: either one clear refusal, or a header that survives its canonical form unchanged and
// whose references all resolve.
#include <filesystem>
#include <set>

#include "simulator/recording.h"
#include "tests/fuzz/require.h"

using namespace assay::simulator;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  RecordingHeader header;
  try {
    header = parse_recording({reinterpret_cast<const char*>(data), size}, "recording.json");
  } catch (const InputError& error) {
    require_sentence(error.what());
    return 0;
  }
  std::set<std::string> tensors;
  for (const TensorEntry& tensor : header.tensors) {
    require(tensors.insert(tensor.name).second, "tensors are unique");
    for (const Shard& shard : tensor.shards) {
      const std::filesystem::path path(shard.file);
      require(!path.is_absolute(), "files stay in the folder");
      for (const auto& part : path) require(part != "..", "files stay in the folder");
      require(shard.offset.size() == tensor.shape.size(), "offsets have the tensor's rank");
      for (std::size_t d = 0; d < tensor.shape.size(); ++d) {
        require(shard.offset[d] + shard.shape[d] <= tensor.shape[d], "shards lie in the tensor");
      }
    }
  }
  std::set<std::string> ops;
  for (const Op& op : header.ops) {
    for (const std::string& input : op.inputs) require(ops.contains(input), "inputs come before");
    for (const auto& [role, name] : op.tensors) require(tensors.contains(name), "tensors exist");
    require(ops.insert(op.id).second, "ops are unique");
  }
  const std::string text = to_json(header);
  const RecordingHeader again = parse_recording(text, "again.json");
  require(again == header, "the canonical form says the same");
  require(to_json(again) == text, "the canonical form is canonical");
  return 0;
}

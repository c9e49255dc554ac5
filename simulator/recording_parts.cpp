// SPDX-License-Identifier: Apache-2.0
#include "simulator/recording_parts.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "simulator/recording_tiling.h"

namespace assay::simulator {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& file, const std::string& problem) {
  throw InputError(file + ": " + problem + ".");
}

void require_one_run(const std::vector<RecordingHeader>& parts,
                     const std::vector<std::string>& names) {
  const RecordingHeader& first = parts[0];
  std::set<int> ranks;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const RecordingHeader& p = parts[i];
    if (p.part.run != first.part.run || p.part.ranks != first.part.ranks || p.name != first.name ||
        p.training_step != first.training_step)
      fail(names[i], "is of another run or training step than " + names[0] +
                         "; record all ranks at one step into an empty folder");
    if (!ranks.insert(p.part.rank).second)
      fail(names[i], "is a second part of rank " + std::to_string(p.part.rank));
  }
  for (int rank = 0; rank < first.part.ranks; ++rank) {
    if (!ranks.contains(rank))
      fail(fs::path(names[0]).parent_path().string(),
           "rank " + std::to_string(rank) + " of " + std::to_string(first.part.ranks) +
               " has left no part of the recording (was it killed?)");
  }
}

class Merger {
 public:
  void add(const RecordingHeader& part, const std::string& file) {
    for (const TensorEntry& tensor : part.tensors) add_tensor(tensor, part.part.rank, file);
    for (const Op& op : part.ops) add_op(op, file);
    for (const RecordedFile& f : part.files) merged_.files.push_back(f);
  }

  RecordingHeader finish(RecordingHeader head, const std::string& folder) {
    std::set<std::string> before;
    for (const Op& op : merged_.ops) {
      for (const std::string& input : op.inputs) {
        if (!before.contains(input))
          fail(folder, "op \"" + op.id + "\" has an input that is no op before it: \"" + input +
                           "\"; number the stages of the pipeline in its order");
      }
      before.insert(op.id);
    }
    for (const TensorEntry& tensor : merged_.tensors) {
      if (const std::string problem = tiling_problem(tensor); !problem.empty())
        fail(folder, "tensor \"" + tensor.name + "\" " + problem);
    }
    head.ops = std::move(merged_.ops);
    head.tensors = std::move(merged_.tensors);
    head.files = std::move(merged_.files);
    head.part = {};
    return head;
  }

 private:
  void add_tensor(TensorEntry tensor, int rank, const std::string& file) {
    for (Shard& shard : tensor.shards) shard.rank = rank;
    const auto [at, fresh] = tensors_.try_emplace(tensor.name, merged_.tensors.size());
    if (fresh) {
      merged_.tensors.push_back(std::move(tensor));
      return;
    }
    TensorEntry& whole = merged_.tensors[at->second];
    if (whole.role != tensor.role || whole.dtype != tensor.dtype || whole.shape != tensor.shape)
      fail(file, "tensor \"" + tensor.name +
                     "\" has another role, type or shape than in the parts of other ranks");
    whole.shards.insert(whole.shards.end(), tensor.shards.begin(), tensor.shards.end());
  }

  void add_op(const Op& op, const std::string& file) {
    const auto [at, fresh] = ops_.try_emplace(op.id, merged_.ops.size());
    if (fresh) {
      merged_.ops.push_back(op);
      return;
    }
    Op& whole = merged_.ops[at->second];
    Op other = op;
    other.tensors = whole.tensors;
    if (!(other == whole))
      fail(file,
           "op \"" + op.id + "\" differs from that of other ranks; all must record one graph");
    for (const auto& [role, name] : op.tensors) {
      if (whole.tensors.try_emplace(role, name).first->second != name)
        fail(file, "op \"" + op.id + "\" names another tensor than other ranks do");
    }
  }

  RecordingHeader merged_;
  std::map<std::string, std::size_t> tensors_, ops_;
};

}  // namespace

std::vector<fs::path> recording_parts(const fs::path& folder) {
  std::vector<fs::path> parts;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("part-") && name.ends_with(".json")) parts.push_back(entry.path());
  }
  std::sort(parts.begin(), parts.end());
  return parts;
}

RecordingHeader merge_parts(std::vector<RecordingHeader> parts,
                            const std::vector<std::string>& names) {
  require_one_run(parts, names);
  std::vector<std::size_t> order(parts.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::pair(parts[a].part.stage, parts[a].part.rank) <
           std::pair(parts[b].part.stage, parts[b].part.rank);
  });
  Merger merger;
  for (const std::size_t i : order) merger.add(parts[i], names[i]);
  return merger.finish(std::move(parts[order[0]]), fs::path(names[0]).parent_path().string());
}

}  // namespace assay::simulator

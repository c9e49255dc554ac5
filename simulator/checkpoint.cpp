// SPDX-License-Identifier: Apache-2.0
#include "simulator/checkpoint.h"

#include <algorithm>
#include <stdexcept>

#include "formats/names.h"
#include "formats/packed.h"
#include "simulator/checkpoint_safetensors.h"
#include "simulator/gguf.h"
#include "simulator/mapped_file.h"

namespace assay::simulator {
namespace {

namespace fs = std::filesystem;

class GgufCheckpoint final : public Checkpoint {
 public:
  explicit GgufCheckpoint(MappedFile file)
      : Checkpoint(file.path().string()),
        file_(std::move(file)),
        header_(parse_gguf(file_.bytes(), path_)) {
    for (std::size_t i = 0; i < header_.tensors.size(); ++i) {
      const GgufTensor& t = header_.tensors[i];
      std::int64_t elements = 1;
      for (const std::int64_t extent : t.shape) elements *= extent;
      std::string problem;
      if (t.type.dtype == nullptr && t.type.packed == nullptr)
        problem = "blocks of type " + std::string(t.type.name) + " cannot be read";
      factors_.push_back(factors_of(t, problem));
      tensors_.push_back({t.name, std::string(t.type.name), t.shape, elements, problem});
    }
  }

  void release(std::size_t index, std::int64_t first, std::int64_t count) const override {
    const GgufTensor& t = header_.tensors[index];
    const std::int64_t from = first / t.type.elements * t.type.bytes;
    const std::int64_t bytes = count / t.type.elements * t.type.bytes;
    file_.release(t.begin + static_cast<std::uint64_t>(from), static_cast<std::size_t>(bytes));
  }

 private:
  /// The F32 tensor NAME.scale beside an NVFP4 tensor NAME.weight: one factor, or one for each
  /// expert, the outermost extent.
  std::vector<float> factors_of(const GgufTensor& t, std::string& problem) const {
    if (t.type.packed == nullptr || t.type.packed->scale_kind != formats::PackedScale::own ||
        !t.name.ends_with(".weight"))
      return {};
    const std::string name = t.name.substr(0, t.name.size() - 6) + "scale";
    for (const GgufTensor& other : header_.tensors) {
      if (other.name != name) continue;
      const std::uint64_t bytes = other.end - other.begin;
      if (other.type.dtype == nullptr || other.type.dtype->dtype != Dtype::f32 ||
          (bytes != 4 &&
           (t.shape.size() < 3 || bytes / 4 != static_cast<std::uint64_t>(t.shape.front())))) {
        problem = "'" + name + "' is not one F32 factor, or one for each expert";
        return {};
      }
      std::vector<float> factors(bytes / 4);
      to_float(Dtype::f32, file_.bytes().subspan(other.begin, bytes), 0, factors);
      return factors;
    }
    return {};
  }

  void read_elements(std::size_t index, std::int64_t first, std::span<float> out) const override {
    const GgufTensor& t = header_.tensors[index];
    const auto bytes = file_.bytes().subspan(t.begin, t.end - t.begin);
    if (t.type.dtype != nullptr)
      return to_float(t.type.dtype->dtype, bytes, static_cast<std::size_t>(first), out);
    const formats::PackedBlock& block = *t.type.packed;
    const std::span<const std::uint8_t> blocks(reinterpret_cast<const std::uint8_t*>(bytes.data()),
                                               bytes.size());
    const std::vector<float>& factors = factors_[index];
    // Elements that share a factor of their own; rows, and so experts, are whole blocks.
    const std::int64_t part =
        factors.size() > 1 ? tensors_[index].elements / static_cast<std::int64_t>(factors.size())
                           : tensors_[index].elements;
    for (std::size_t done = 0; done < out.size();) {
      const std::int64_t at = first + static_cast<std::int64_t>(done);
      const auto count = static_cast<std::size_t>(
          std::min<std::int64_t>(part - at % part, static_cast<std::int64_t>(out.size() - done)));
      const std::int64_t begin = formats::packed_block_bytes(block, at);
      const std::int64_t size =
          formats::packed_block_bytes(block, static_cast<std::int64_t>(count));
      const float factor = factors.empty() ? 1.0F : factors[static_cast<std::size_t>(at / part)];
      formats::dequantize_packed(
          block, blocks.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(size)),
          out.subspan(done, count), factor);
      done += count;
    }
  }

  MappedFile file_;
  GgufHeader header_;
  std::vector<std::vector<float>> factors_;
};

std::unique_ptr<Checkpoint> open_folder(const fs::path& folder,
                                        std::optional<GlobalScale> global_scale) {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.is_regular_file() && entry.path().extension() == ".safetensors")
      paths.push_back(entry.path());
  if (paths.empty()) throw InputError(folder.string() + ": the folder has no .safetensors file.");
  std::sort(paths.begin(), paths.end());
  std::vector<SafetensorsFile> files;
  for (const fs::path& path : paths) files.emplace_back(path);
  return std::make_unique<SafetensorsCheckpoint>(folder.string(), std::move(files), folder,
                                                 global_scale);
}

}  // namespace

std::size_t Checkpoint::find(std::string_view name) const {
  std::vector<std::string_view> names;
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    if (tensors_[i].name == name) return i;
    names.push_back(tensors_[i].name);
  }
  if (names.empty()) throw InputError(path_ + ": it has no tensors.");
  throw InputError(path_ + ": there is no tensor '" + std::string(name) + "'; did you mean '" +
                   std::string(formats::nearest_name(name, names)) + "'? --list shows all.");
}

void Checkpoint::read(std::size_t index, std::int64_t first, std::span<float> out) const {
  const CheckpointTensor& tensor = tensors_.at(index);
  if (!tensor.problem.empty())
    throw InputError(path_ + ": tensor '" + tensor.name + "': " + tensor.problem + ".");
  const auto count = static_cast<std::int64_t>(out.size());
  if (first < 0 || first > tensor.elements || count > tensor.elements - first)
    throw std::out_of_range("Checkpoint::read: outside of the tensor");
  read_elements(index, first, out);
}

std::unique_ptr<Checkpoint> open_checkpoint(const fs::path& path,
                                            std::optional<GlobalScale> global_scale) {
  if (fs::is_directory(path)) return open_folder(path, global_scale);
  MappedFile file(path);
  if (is_gguf(file.bytes())) {
    if (global_scale)
      throw InputError(path.string() +
                       ": --global-scale is for safetensors; a GGUF file says its factors itself.");
    return std::make_unique<GgufCheckpoint>(std::move(file));
  }
  std::vector<SafetensorsFile> files;
  files.emplace_back(path);
  return std::make_unique<SafetensorsCheckpoint>(path.string(), std::move(files),
                                                 path.parent_path(), global_scale);
}

}  // namespace assay::simulator

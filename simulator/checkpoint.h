// SPDX-License-Identifier: Apache-2.0
#pragma once
// Quantized weights as other programs store them, read as numbers: GGUF files, and safetensors
// files or folders of compressed-tensors, ModelOpt, DeepSeek and gpt-oss checkpoints
// (checkpoint_kinds.h has the table of names and conventions; docs/checkpoints.md describes it).
//
//   const auto checkpoint = open_checkpoint("model/");
//   checkpoint->read(0, 0, n, values);
//
// A value is the exact product (or quotient) of code, scale factor and global scale, rounded once
// to FP32. Files are mapped: memory stays bounded whatever their size.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace assay::simulator {

/// Which way a tensor's global scale goes: value = code * scale * g, or code * scale / g.
enum class GlobalScale : std::uint8_t { multiplier, divisor };

struct CheckpointTensor {
  std::string name;                 ///< of the weight that the stored tensors are parts of
  std::string kind;                 ///< "nvfp4-pack-quantized", "q4_k", "BF16", ...
  std::vector<std::int64_t> shape;  ///< of the values
  std::int64_t elements = 0;
  std::string problem;  ///< why it cannot be read; empty if it can
};

class Checkpoint {
 public:
  virtual ~Checkpoint() = default;

  [[nodiscard]] const std::vector<CheckpointTensor>& tensors() const { return tensors_; }
  /// The index of the tensor of that name. Throws InputError that suggests the nearest.
  [[nodiscard]] std::size_t find(std::string_view name) const;

  /// Elements [first, first + out.size()) of tensor `index` in row-major order; `first` and the
  /// size are multiples of `granule`, except that the last elements of a tensor may be fewer.
  /// Throws InputError with the tensor's problem.
  void read(std::size_t index, std::int64_t first, std::span<float> out) const;
  static constexpr std::int64_t granule = 256;
  /// Gives the memory behind those elements back to the system.
  virtual void release(std::size_t index, std::int64_t first, std::int64_t count) const = 0;

 protected:
  explicit Checkpoint(std::string path) : path_(std::move(path)) {}
  virtual void read_elements(std::size_t index, std::int64_t first, std::span<float> out) const = 0;

  std::string path_;
  std::vector<CheckpointTensor> tensors_;
};

/// A .gguf file, a safetensors file, or a folder of safetensors files, told by their content; a
/// config.json and hf_quant_config.json beside the tensors are taken into account. `global_scale`
/// overrules what names and configuration say. Throws InputError.
std::unique_ptr<Checkpoint> open_checkpoint(const std::filesystem::path& path,
                                            std::optional<GlobalScale> global_scale = {});

}  // namespace assay::simulator

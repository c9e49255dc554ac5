// SPDX-License-Identifier: Apache-2.0
#pragma once
// Quantized weights in safetensors files (checkpoint_kinds.h). Private to checkpoint readers.

#include "simulator/checkpoint.h"
#include "simulator/checkpoint_kinds.h"
#include "simulator/safetensors.h"

namespace assay::simulator {

class SafetensorsCheckpoint final : public Checkpoint {
 public:
  /// `files` of one checkpoint, `folder` where its configuration lies.
  SafetensorsCheckpoint(std::string path, std::vector<SafetensorsFile> files,
                        const std::filesystem::path& folder,
                        std::optional<GlobalScale> global_scale);

  void release(std::size_t index, std::int64_t first, std::int64_t count) const override;

 private:
  struct Part {
    const SafetensorsFile* file = nullptr;
    TensorView view{};
  };
  /// How the elements of a weight are found and scaled. Without a kind, they are numbers.
  struct Plan {
    const CheckpointKind* kind = nullptr;
    Part codes, scales, global;
    int bits = 0;             ///< of a code
    std::int64_t cols = 1;    ///< of a row of values
    std::int64_t stride = 0;  ///< bytes of a row of codes
    std::int64_t rows = 1;    ///< of one matrix; a weight of more extents has several
    std::int64_t block_rows = 1, block_cols = 1, scale_rows = 1, scale_cols = 1;
    bool divide = false;
  };

  void read_elements(std::size_t index, std::int64_t first, std::span<float> out) const override;

  [[nodiscard]] const Part* part(std::string_view prefix, std::string_view suffix) const;
  void read_configuration(const std::filesystem::path& folder);
  void add(const std::string& name, const Part& codes);
  bool add_quantized(const std::string& name, const Part& codes, const CheckpointKind& kind);
  /// The rest of a plan from the shapes; returns what does not fit.
  [[nodiscard]] std::string fit(Plan& plan, std::vector<std::int64_t>& shape,
                                const Part* stored_shape) const;
  [[nodiscard]] std::string fit_blocks(Plan& plan, std::span<const std::int64_t> shape) const;
  [[nodiscard]] std::string fit_global(Plan& plan, std::int64_t matrices) const;

  std::vector<SafetensorsFile> files_;
  std::optional<GlobalScale> override_;
  std::map<std::string, Part, std::less<>> parts_;
  std::string maker_;                             ///< quant_method or producer; may be empty
  std::optional<StoredBlock> weight_block_size_;  ///< of the configuration
  bool scaled_ = false;                           ///< some FP8 weight has scale factors
  std::vector<Plan> plans_;
};

}  // namespace assay::simulator

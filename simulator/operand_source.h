// SPDX-License-Identifier: Apache-2.0
#pragma once
// The matrices that a recipe quantizes, read a few rows at a time: the operands of a recording's
// linears, or the weights of a checkpoint that no one recorded.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "simulator/checkpoint.h"
#include "simulator/recipe.h"
#include "simulator/recording.h"

namespace assay::simulator {

/// One operand. Its tensor is that of several linears where they share it: `op` is the first.
struct Operand {
  std::string tensor;  ///< its name in the recording or checkpoint
  std::string op;
  Role role = Role::weight;  ///< weight, input or output_grad
  TensorClass tensor_class = TensorClass::dense;
  int layer = -1, expert = -1;
  std::int64_t rows = 0, cols = 0;  ///< outer extents are flattened into rows
};

/// Valid as long as what it reads from.
class OperandSource {
 public:
  virtual ~OperandSource() = default;
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] std::int64_t training_step() const { return training_step_; }
  /// Each tensor once for each role and class that reads it (a router's operand is the experts'
  /// too), in the order of the network.
  [[nodiscard]] const std::vector<Operand>& operands() const { return operands_; }
  [[nodiscard]] int layers() const { return layers_; }  ///< of the network
  /// What was left out, one sentence each.
  [[nodiscard]] const std::vector<std::string>& notes() const { return notes_; }
  /// Changes with names, shapes and sizes of what is read, not with its values.
  [[nodiscard]] virtual std::string identity() const = 0;

  /// Rows [first, first + count) of an operand. Safe from several threads.
  virtual void read(const Operand& operand, std::int64_t first, std::int64_t count,
                    std::span<float> out) const = 0;
  /// The largest magnitude of these rows, NaN if there is one; `scratch` is room for them.
  [[nodiscard]] virtual float largest(const Operand& operand, std::int64_t first,
                                      std::int64_t count, std::span<float> scratch) const;
  /// True where bf16() gives its elements: they are stored so.
  [[nodiscard]] virtual bool is_bf16(const Operand& operand) const;
  /// The same as read(), bits as they are, in memory that the calling thread keeps until its next
  /// call.
  [[nodiscard]] virtual std::span<const std::uint16_t> bf16(const Operand& operand,
                                                            std::int64_t first,
                                                            std::int64_t count) const;
  /// A pass over an operand begins, with another one to follow on it where `again` is true.
  virtual void begin_pass(const Operand& operand, bool again) const;
  /// Says that these rows are wanted soon.
  virtual void prefetch(const Operand& operand, std::int64_t first, std::int64_t count) const = 0;
  /// Says that this operand will be audited next, from the beginning.
  virtual void announce(const Operand& operand) const;

 protected:
  std::string name_;
  std::int64_t training_step_ = 0;
  std::vector<Operand> operands_;
  int layers_ = 0;
  std::vector<std::string> notes_;
};

/// The weight, input and output gradient of every linear. A tensor that an expert reads through
/// `rows` counts as it was stored, not as gathered.
std::unique_ptr<OperandSource> operands_of(const Recording& recording);

/// Every tensor of two extents or more whose values are floating-point. Class, layer and expert
/// follow from its name.
std::unique_ptr<OperandSource> operands_of(const Checkpoint& checkpoint, const std::string& name);

/// From the words of a tensor's name: router (a last part router or gate), expert, norm, embedding
/// (embed, wte, wpe), head (lm_head, classifier), attention (attn, attention, q_proj ...), else
/// dense.
[[nodiscard]] TensorClass class_of_name(std::string_view name);

}  // namespace assay::simulator

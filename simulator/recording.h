// SPDX-License-Identifier: Apache-2.0
#pragma once
// A recording: tensors of one training step and the graph that produced them (this project's
// format, described in docs/recording.md). `recording.json` names every tensor and every op; the
// bytes lie in safetensors files beside it. A tensor may be cut into shards (tensor-, expert-,
// pipeline-parallel ranks, microbatches); a reader sees it whole. Reading is by mmap with a bounded
// resident set.

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "simulator/dtype.h"
#include "simulator/input_error.h"
#include "simulator/safetensors.h"

namespace assay::simulator {

inline constexpr int kRecordingSchemaVersion = 1;

enum class Role : std::uint8_t {
  weight,         ///< [out, in] of a linear, [vocabulary, width] of an embedding
  norm_weight,    ///< [width]
  input,          ///< [rows, in], the operand as the op saw it
  output,         ///< [rows, out]
  output_grad,    ///< d(loss)/d(output), same shape as output
  residual,       ///< [tokens, width], the residual stream at a named point
  router_logits,  ///< [tokens, experts]
  router_choice,  ///< [tokens, k], expert indices, best first
  router_gate,    ///< [tokens, k], the factors of the chosen experts' outputs
  rows,           ///< [n], the rows of the source that an op reads (tokens dispatched to an expert)
  row_gate,       ///< [n], the factor of each of these rows when the experts are combined
  tokens,         ///< [sequences, length], ids
  targets,        ///< [sequences, length], the ids to predict
  router_bias,    ///< [experts], added to the scores for the choice only (of a top_k op)
  update,         ///< shape of the weight: what the optimizer's step added to it, before rounding
};
std::string_view name(Role role);

enum class OpKind : std::uint8_t {
  embedding,  ///< output = weight[tokens]
  rmsnorm,    ///< x * norm_weight / sqrt(mean(x^2) + eps)
  linear,     ///< y = x W^T; with `rows`: x = source[rows]
  attention,  ///< causal softmax attention of inputs {q, k, v}
  top_k,      ///< of the router's logits: choice and gates; number "score": 0 softmax (default),
              ///< 1 sigmoid, 2 sqrt(softplus)
  swiglu,     ///< silu(inputs[0]) * inputs[1]
  combine,    ///< sum over experts: output[rows] += row_gate * input
  add,        ///< inputs[0] + inputs[1]
  loss,       ///< mean cross entropy of the logits
};
std::string_view name(OpKind kind);

/// One piece of a tensor: `shape` elements at `offset` of the whole.
struct Shard {
  std::string file;  ///< relative to the recording's folder
  std::string key;   ///< the tensor's name inside that file
  std::vector<std::int64_t> offset;
  std::vector<std::int64_t> shape;
  int rank = 0;
  int microbatch = 0;
  bool operator==(const Shard&) const = default;
};

struct TensorEntry {
  std::string name;
  Role role;
  Dtype dtype;
  std::vector<std::int64_t> shape;  ///< global
  std::vector<Shard> shards;  ///< tile the shape; the same piece from several ranks is allowed
  bool operator==(const TensorEntry&) const = default;
};

struct Op {
  std::string id;
  OpKind kind;
  std::string
      tensor_class;  ///< what a recipe matches: "attention", "expert", "router", "head", ...
  int layer = -1;    ///< -1: outside the layers
  int expert = -1;   ///< -1: not an expert's
  std::vector<std::string> inputs;        ///< ids of the ops that feed it
  std::map<Role, std::string> tensors;    ///< names of recorded tensors
  std::map<std::string, double> numbers;  ///< eps, heads, rope_theta, k, ...

  bool has(Role role) const { return tensors.contains(role); }
  /// Throws InputError that names the op and what it lacks.
  const std::string& tensor(Role role) const;
  double number(const std::string& key) const;
  /// A number that counts something; throws InputError unless it is a whole number in 1..2^31 - 1.
  int count(const std::string& key) const;
  bool operator==(const Op&) const = default;
};

struct Provenance {
  std::string text;                          ///< where the data comes from
  std::string licence;                       ///< of the data
  std::map<std::string, std::string> facts;  ///< gpu, date, seed, loss, framework, ...
  bool operator==(const Provenance&) const = default;
};

/// A file beside recording.json as its writer left it.
struct RecordedFile {
  std::string file;
  std::uint64_t bytes = 0;
  std::string sha256;  ///< lower-case hexadecimal
  bool operator==(const RecordedFile&) const = default;
};

/// Where the recording of one rank belongs. A run of one rank has ranks = 1 and is whole.
struct RecordedPart {
  int rank = 0, ranks = 1;
  int stage = 0;    ///< of the pipeline: ops of lower stages come first
  std::string run;  ///< the same on every rank of one run, another on every run
  bool operator==(const RecordedPart&) const = default;
};

/// recording.json, checked but without the tensors' bytes. Throws InputError. Guarantees: names and
/// ids are unique, every op's tensors exist and its inputs stand before it, no shard leaves the
/// folder or its tensor, the shards of a tensor tile it.
struct RecordingHeader {
  std::string name;
  std::int64_t training_step = 0;
  std::string token_sampling;
  Provenance provenance;
  std::vector<Op> ops;  ///< in the order of execution
  std::vector<TensorEntry> tensors;
  std::vector<RecordedFile> files;  ///< may be empty: recordings of older writers
  RecordedPart part;
  bool operator==(const RecordingHeader&) const = default;
};
/// Of one part of several, the last two guarantees hold only when all parts are merged
/// (recording_parts.h).
RecordingHeader parse_recording(std::string_view json, std::string_view file_name);
/// The canonical JSON; parse_recording(to_json(h)) equals h.
std::string to_json(const RecordingHeader& header);

class Recording;

/// One tensor of a recording, whole. Cheap to copy; valid as long as its recording.
class RecordedTensor {
 public:
  const TensorEntry& entry() const { return *entry_; }
  const std::vector<std::int64_t>& shape() const { return entry_->shape; }
  /// As a matrix: cols() is the last extent, rows() the product of the others.
  std::int64_t rows() const;
  std::int64_t cols() const;
  /// Rows [first, first + count) as float. The pages read are given back.
  void read_rows(std::int64_t first, std::int64_t count, std::span<float> out) const;
  std::vector<float> read() const;
  /// Asks the system to read these rows in the background.
  void prefetch_rows(std::int64_t first, std::int64_t count) const;
  /// All of it as double: for values recorded in F64.
  std::vector<double> read_doubles() const;
  /// For integer tensors (tokens, rows, router_choice).
  std::vector<std::int64_t> read_ints() const;

 private:
  friend class Recording;
  RecordedTensor(const Recording* recording, const TensorEntry* entry)
      : recording_(recording), entry_(entry) {}
  template <typename T>
  void read_into(std::int64_t first, std::int64_t count, std::span<T> out) const;
  const Recording* recording_;
  const TensorEntry* entry_;
};

class Recording {
 public:
  /// Opens `folder`/recording.json, or the parts that the ranks of a run left there, and every file
  /// they name; checks each file's size and each shard's type, shape and bytes.
  static Recording open(const std::filesystem::path& folder);

  const RecordingHeader& header() const { return header_; }
  const std::vector<Op>& ops() const { return header_.ops; }
  const std::filesystem::path& folder() const { return folder_; }
  bool contains(std::string_view tensor_name) const;
  /// Throws InputError that names the recording and the tensor.
  RecordedTensor tensor(std::string_view tensor_name) const;
  RecordedTensor tensor(const Op& op, Role role) const { return tensor(op.tensor(role)); }
  const Op& op(std::string_view id) const;

 private:
  friend class RecordedTensor;
  Recording() = default;
  std::filesystem::path folder_;
  RecordingHeader header_;
  std::map<std::string, std::size_t, std::less<>> tensors_;
  std::map<std::string, std::size_t, std::less<>> ops_;
  std::map<std::string, std::unique_ptr<SafetensorsFile>, std::less<>> files_;
};

/// The recording that ships with assay: $ASSAY_DATA_DIR/recordings, the installed data folder, or
/// the source tree, whichever exists first. Throws InputError that names the places looked at.
std::filesystem::path default_recording();

}  // namespace assay::simulator

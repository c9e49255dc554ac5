// SPDX-License-Identifier: Apache-2.0
#include "simulator/operand_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <set>
#include <tuple>

#include "simulator/chunk_reader.h"
#include "simulator/input_error.h"
#include "simulator/linear_replay.h"
#include "simulator/mapped_file.h"
#include "simulator/safetensors.h"
#include "simulator/shape.h"
#include "simulator/tile_kernels.h"

namespace assay::simulator {
namespace {

/// 640 MiB: a tensor up to that size is read once, also where two passes go over it.
constexpr std::size_t kHeldChunks = 160;
constexpr std::size_t kHeldBytes = (kHeldChunks - 16) * ChunkReader::kChunk;
constexpr std::size_t kChunksAhead = 24;

class RecordedOperands final : public OperandSource {
 public:
  explicit RecordedOperands(const Recording& recording) : recording_(recording) {
    name_ = recording.header().name;
    training_step_ = recording.header().training_step;
    std::set<std::tuple<Role, std::string, TensorClass>> seen;
    for (const Op& op : recording.ops()) {
      layers_ = std::max(layers_, op.layer + 1);
      if (op.kind != OpKind::linear) continue;
      for (const Role role : {Role::weight, Role::input, Role::output_grad}) {
        if (!op.has(role) || !seen.insert({role, op.tensor(role), linear_class(op)}).second)
          continue;
        const RecordedTensor t = recording.tensor(op, role);
        if (t.rows() == 0 || t.cols() == 0) continue;  // an expert that no token chose
        operands_.push_back({op.tensor(role), op.id, role, linear_class(op), op.layer, op.expert,
                             t.rows(), t.cols()});
      }
    }
    find_whole();
  }

  std::string identity() const override { return to_json(recording_.header()); }
  void read(const Operand& o, std::int64_t first, std::int64_t count,
            std::span<float> out) const override {
    const auto found = whole_.find(o.tensor);
    if (found == whole_.end()) return recording_.tensor(o.tensor).read_rows(first, count, out);
    to_float(found->second.dtype, bytes(found->second, first, count), 0, out);
  }
  float largest(const Operand& o, std::int64_t first, std::int64_t count,
                std::span<float> scratch) const override {
    const auto found = whole_.find(o.tensor);
    if (found == whole_.end() || found->second.dtype != Dtype::bf16)
      return OperandSource::largest(o, first, count, scratch);
    return largest_magnitude_bf16(bytes(found->second, first, count));
  }
  bool is_bf16(const Operand& o) const override {
    const auto found = whole_.find(o.tensor);
    return found != whole_.end() && found->second.dtype == Dtype::bf16;
  }
  std::span<const std::uint16_t> bf16(const Operand& o, std::int64_t first,
                                      std::int64_t count) const override {
    const std::span<const std::byte> own = bytes(whole_.find(o.tensor)->second, first, count);
    return {reinterpret_cast<const std::uint16_t*>(own.data()), own.size() / 2};
  }
  void prefetch(const Operand& o, std::int64_t first, std::int64_t count) const override {
    if (!whole_.contains(o.tensor)) recording_.tensor(o.tensor).prefetch_rows(first, count);
  }
  void announce(const Operand& o) const override {
    const auto found = whole_.find(o.tensor);
    if (found == whole_.end() || announced_ == o.tensor) return;
    announced_ = o.tensor;
    const Whole& w = found->second;
    const std::uint64_t size = w.row_bytes * static_cast<std::uint64_t>(o.rows);
    announced_cached_ = files_.in_page_cache(w.file, w.begin, size);
    if (!announced_cached_) files_.prefetch(w.file, w.begin, size);
  }
  void begin_pass(const Operand& o, bool again) const override {
    const auto found = whole_.find(o.tensor);
    if (found == whole_.end()) return;
    const std::uint64_t size = found->second.row_bytes * static_cast<std::uint64_t>(o.rows);
    keep_ = again && size < kHeldBytes;
    files_.limit(keep_ ? kHeldChunks : kChunksAhead);
    if (o.tensor != passed_) files_.forget();  // the operand before
    announce(o);
    if (o.tensor != passed_) {
      cached_ = announced_cached_;
      map(found->second, size);
    }
    if (o.tensor == passed_ && !kept_ && !cached_)
      files_.prefetch(found->second.file, found->second.begin, size);
    passed_ = o.tensor;
    kept_ = keep_;
  }

 private:
  /// A tensor that is one piece of one file, row after row, in whole bytes.
  struct Whole {
    std::filesystem::path file;
    std::uint64_t begin, row_bytes;
    Dtype dtype;
  };

  void find_whole() {
    std::map<std::string, std::vector<const TensorEntry*>> by_file;
    for (const TensorEntry& t : recording_.header().tensors) {
      if (t.shards.size() == 1 && info(t.dtype).bits % 8 == 0)
        by_file[t.shards[0].file].push_back(&t);
    }
    for (const auto& [name, entries] : by_file) {
      const SafetensorsFile file(recording_.folder() / name);
      for (const TensorEntry* t : entries) {
        const auto view = file.tensor(t->shards[0].key);
        const auto row = static_cast<std::uint64_t>(info(view.dtype).bits / 8 *
                                                    recording_.tensor(t->name).cols());
        const auto begin = view.bytes.data() - file.file().bytes().data();
        whole_[t->name] = {file.file().path(), static_cast<std::uint64_t>(begin), row, view.dtype};
      }
    }
  }

  std::span<const std::byte> bytes(const Whole& w, std::int64_t first, std::int64_t count) const {
    const std::uint64_t from = w.row_bytes * static_cast<std::uint64_t>(first);
    const std::uint64_t size = w.row_bytes * static_cast<std::uint64_t>(count);
    const std::uint64_t at = w.begin + from;
    if (mapped_tensor_ == &w) {
      // A mapping has no pages beyond the file's end. (What is cut off between this line and the
      // last look at the bytes still ends the program.) A file without a name any more has them.
      std::error_code unnamed;
      if (std::filesystem::file_size(w.file, unnamed) < at + size && !unnamed)
        throw InputError("cannot read " + w.file.string() +
                         ": it was truncated while it was read.");
      return mapped_bytes_.subspan(from, size);
    }
    thread_local std::vector<std::byte> own;
    own.resize(size);
    cached_ ? files_.read_through(w.file, at, own) : files_.read(w.file, at, own, keep_);
    return own;
  }

  /// A tensor that is in the page cache is looked at there, where no more than what is held of
  /// others, and given back when the next one comes.
  void map(const Whole& w, std::uint64_t size) const {
    if (mapped_tensor_ != nullptr) mapped_->release(mapped_tensor_->begin, mapped_bytes_.size());
    mapped_tensor_ = nullptr;
    if (!cached_ || size >= kHeldBytes || w.begin % alignof(std::uint16_t) != 0) return;
    if (!mapped_ || mapped_->path() != w.file) mapped_.emplace(w.file);
    if (mapped_->bytes().size() < w.begin + size) return;
    mapped_bytes_ = mapped_->bytes().subspan(w.begin, size);
    mapped_tensor_ = &w;
  }

  const Recording& recording_;
  mutable std::optional<MappedFile> mapped_;
  mutable std::span<const std::byte> mapped_bytes_;
  mutable const Whole* mapped_tensor_ = nullptr;
  mutable ChunkReader files_{kChunksAhead};
  mutable std::string announced_, passed_;
  mutable bool keep_ = false;  ///< this pass's chunks, for the next
  mutable bool kept_ = false;
  mutable bool announced_cached_ = false, cached_ = false;  ///< in the page cache, all of it
  std::map<std::string, Whole, std::less<>> whole_;
};

std::vector<std::string_view> parts_of(std::string_view name) {
  std::vector<std::string_view> parts;
  for (std::size_t at = 0; at <= name.size();) {
    const std::size_t end = std::min(name.find_first_of("./", at), name.size());
    parts.push_back(name.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

/// The number that is a whole part of the name, the first behind part `from`; -1: none.
int number_after(const std::vector<std::string_view>& parts, std::size_t from) {
  for (std::size_t i = from; i < parts.size(); ++i) {
    int value = 0;
    const auto [end, error] =
        std::from_chars(parts[i].data(), parts[i].data() + parts[i].size(), value);
    if (error == std::errc() && end == parts[i].data() + parts[i].size()) return value;
  }
  return -1;
}

class CheckpointOperands final : public OperandSource {
 public:
  CheckpointOperands(const Checkpoint& checkpoint, const std::string& name)
      : checkpoint_(checkpoint) {
    name_ = name;
    for (const CheckpointTensor& t : checkpoint.tensors()) {
      index_[t.name] = index_.size();
      identity_ += fmt::format("{} {} {}\n", t.name, t.kind, shape_text(t.shape));
      if (t.shape.size() < 2 || t.elements == 0) continue;
      const DtypeInfo* dtype = find_dtype(t.kind);
      if (dtype != nullptr && !dtype->floating) continue;
      if (!t.problem.empty()) {
        notes_.push_back("Tensor " + t.name + " was left out: " + t.problem + ".");
        continue;
      }
      add(t);
    }
    if (operands_.empty())
      throw InputError(name + ": has no floating-point tensor of two extents or more to audit.");
  }

  std::string identity() const override { return identity_; }
  void read(const Operand& o, std::int64_t first, std::int64_t count,
            std::span<float> out) const override {
    const std::size_t index = index_.at(o.tensor);
    // Checkpoints are read from and to multiples of their granule, or to the tensor's end.
    const std::int64_t begin = first * o.cols;
    const std::int64_t end = begin + count * o.cols;
    const std::int64_t from = begin / Checkpoint::granule * Checkpoint::granule;
    const std::int64_t to =
        std::min(o.rows * o.cols,
                 (end + Checkpoint::granule - 1) / Checkpoint::granule * Checkpoint::granule);
    if (from == begin && to == end) {
      checkpoint_.read(index, from, out);
    } else {
      std::vector<float> wide(static_cast<std::size_t>(to - from));
      checkpoint_.read(index, from, wide);
      std::copy_n(wide.begin() + (begin - from), out.size(), out.begin());
    }
    checkpoint_.release(index, from, to - from);
  }
  void prefetch(const Operand& /*operand*/, std::int64_t /*first*/,
                std::int64_t /*count*/) const override {}

 private:
  void add(const CheckpointTensor& t) {
    const auto parts = parts_of(t.name);
    const auto experts = std::find(parts.begin(), parts.end(), "experts");
    Operand o{t.name, t.name, Role::weight,  class_of_name(t.name), number_after(parts, 0),
              -1,     1,      t.shape.back()};
    if (experts != parts.end())
      o.expert = number_after(parts, static_cast<std::size_t>(experts - parts.begin()));
    o.rows = t.elements / o.cols;
    layers_ = std::max(layers_, o.layer + 1);
    operands_.push_back(std::move(o));
  }

  const Checkpoint& checkpoint_;
  std::string identity_;
  std::map<std::string, std::size_t, std::less<>> index_;  ///< of the checkpoint's tensors
};

}  // namespace

float OperandSource::largest(const Operand& o, std::int64_t first, std::int64_t count,
                             std::span<float> scratch) const {
  read(o, first, count, scratch);
  return largest_magnitude(scratch);
}

bool OperandSource::is_bf16(const Operand& /*operand*/) const { return false; }
std::span<const std::uint16_t> OperandSource::bf16(const Operand& /*operand*/,
                                                   std::int64_t /*first*/,
                                                   std::int64_t /*count*/) const {
  return {};
}

void OperandSource::begin_pass(const Operand& /*operand*/, bool /*again*/) const {}
void OperandSource::announce(const Operand& o) const {
  constexpr std::int64_t kAheadElements = std::int64_t{1} << 23;
  prefetch(o, 0, std::min(o.rows, kAheadElements / o.cols + 1));
}

std::unique_ptr<OperandSource> operands_of(const Recording& recording) {
  return std::make_unique<RecordedOperands>(recording);
}

std::unique_ptr<OperandSource> operands_of(const Checkpoint& checkpoint, const std::string& name) {
  return std::make_unique<CheckpointOperands>(checkpoint, name);
}

TensorClass class_of_name(std::string_view name) {
  std::string_view stem = name;
  if (stem.ends_with(".weight")) stem.remove_suffix(7);
  const std::string_view last = parts_of(stem).back();
  if (last == "router" || last == "gate") return TensorClass::router;
  const auto has = [&](std::initializer_list<std::string_view> words) {
    return std::any_of(words.begin(), words.end(),
                       [&](std::string_view w) { return name.find(w) != std::string_view::npos; });
  };
  if (has({"expert", "_exps"})) return TensorClass::expert;
  if (has({"norm", "Norm", "ln_"})) return TensorClass::norm;
  if (has({"embed", "embd", "wte", "wpe"})) return TensorClass::embedding;
  if (has({"lm_head", "classifier"}) || last == "head" || stem == "output")
    return TensorClass::head;
  if (has({"attn", "attention", "q_proj", "k_proj", "v_proj", "o_proj", "qkv"}))
    return TensorClass::attention;
  return TensorClass::dense;
}

}  // namespace assay::simulator

// SPDX-License-Identifier: Apache-2.0
#pragma once
// Safetensors files: an 8-byte little-endian header length, a JSON header, then the tensors' bytes
// (https://github.com/huggingface/safetensors, "Format"). The reader trusts nothing: header length,
// JSON, names, types, shapes and offsets are checked before the first tensor byte is looked at.

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "simulator/atomic_file.h"
#include "simulator/dtype.h"
#include "simulator/input_error.h"
#include "simulator/mapped_file.h"

namespace assay::simulator {

/// Where one tensor lies: [begin, end) from the start of the FILE.
struct SafetensorsEntry {
  std::string name;
  Dtype dtype;
  std::vector<std::int64_t> shape;  ///< in elements; empty for a scalar
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;  ///< in the order of their bytes
  std::map<std::string, std::string> metadata;
};

/// Parses and checks a whole file held in memory; `file_name` is for the message. Guarantees: names
/// are unique; every entry's bytes lie inside the file, hold exactly shape x dtype bits, and the
/// entries tile the data section without hole or overlap. Throws InputError.
SafetensorsHeader parse_safetensors(std::span<const std::byte> file, std::string_view file_name);

/// A view of one tensor, valid as long as its file.
struct TensorView {
  Dtype dtype;
  std::span<const std::int64_t> shape;
  std::span<const std::byte> bytes;
  std::size_t element_count() const;
};

class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);

  const SafetensorsHeader& header() const { return header_; }
  const MappedFile& file() const { return file_; }
  bool contains(std::string_view name) const;
  /// Throws InputError that names the file and the tensors it has.
  TensorView tensor(std::string_view name) const;

 private:
  MappedFile file_;
  SafetensorsHeader header_;
  std::map<std::string, std::size_t, std::less<>> index_;
};

/// What a writer is told before the first byte: the header comes first in the file.
struct SafetensorsSpec {
  std::string name;
  Dtype dtype;
  std::vector<std::int64_t> shape;
};

/// Writes tensors one after the other, in the order given, in pieces of any size.
/// Throws std::invalid_argument for duplicate names or negative shapes, std::logic_error if more or
/// fewer bytes are written than declared, OutputError if the file cannot be written.
class SafetensorsWriter {
 public:
  SafetensorsWriter(const std::filesystem::path& path, const std::vector<SafetensorsSpec>& tensors,
                    const std::map<std::string, std::string>& metadata = {});
  void write(std::span<const std::byte> bytes);
  /// Writes bytes of tensor `index` at `offset` inside it, for tensors that grow side by side
  /// (codes and scale factors of the same rows). Use either this or write(), for every byte.
  void write_at(std::size_t index, std::uint64_t offset, std::span<const std::byte> bytes);
  /// The file exists from here on.
  void commit();

 private:
  AtomicFile file_;
  std::vector<std::uint64_t> begins_;
  std::uint64_t data_bytes_ = 0;
  std::uint64_t written_ = 0;
};

}  // namespace assay::simulator

// SPDX-License-Identifier: Apache-2.0
#pragma once
// Output that appears whole or not at all: written to a temporary file in the same folder, flushed
// to the disk, then renamed.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

namespace assay::simulator {

class AtomicFile {
 public:
  /// Throws OutputError if the folder is missing or cannot be written.
  explicit AtomicFile(std::filesystem::path path);
  /// Removes the temporary file unless commit() was called.
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// Appends. Throws OutputError, for example when the disk is full.
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  /// Overwrites bytes written before (a header whose content is known at the end).
  void write_at(std::uint64_t offset, std::span<const std::byte> bytes);
  /// Flushes and renames; the file exists under its name from here on.
  void commit();

  /// Unlinks the temporary files of all that are alive. For a signal handler that then exits.
  static void discard_all() noexcept;

  std::uint64_t size() const { return size_; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int descriptor_ = -1;
  int slot_ = -1;
  std::uint64_t size_ = 0;
};

}  // namespace assay::simulator

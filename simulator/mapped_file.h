// SPDX-License-Identifier: Apache-2.0
#pragma once
// A file mapped read-only. Pages come in when they are read and can be given back, so that a file
// larger than memory is read with a small resident set.

#include <cstddef>
#include <filesystem>
#include <span>

namespace assay::simulator {

class MappedFile {
 public:
  /// Throws InputError if the file cannot be opened or is not a regular file. An empty file maps to
  /// no bytes.
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::filesystem::path& path() const { return path_; }

  /// Gives the whole pages inside [offset, offset + count) back to the system. Reading them again
  /// is correct, and reads the file again.
  void release(std::size_t offset, std::size_t count) const;

  /// Asks the system to read these bytes in the background.
  void prefetch(std::size_t offset, std::size_t count) const;

 private:
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace assay::simulator

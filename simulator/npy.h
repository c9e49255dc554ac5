// SPDX-License-Identifier: Apache-2.0
#pragma once
// NumPy's .npy files, format versions 1.0, 2.0 and 3.0 (numpy/lib/format.py). Little-endian f2, f4,
// f8, u1, u2, u4, u8, i1, i2, i4, i8 and bool in C order. Read row by row from a mapping, with the
// pages behind the cursor given back: a 32 GB file needs a few MB of memory.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "simulator/atomic_file.h"
#include "simulator/dtype.h"
#include "simulator/input_error.h"
#include "simulator/mapped_file.h"

namespace assay::simulator {

struct NpyHeader {
  Dtype dtype = Dtype::f32;
  std::vector<std::int64_t> shape;  ///< empty for a scalar
  std::uint64_t data_begin = 0;     ///< offset of the first element in the file
  std::uint64_t data_bytes = 0;
};

/// Parses and checks a whole file held in memory. Guarantees data_begin + data_bytes == file size.
/// Throws InputError, also for Fortran order, big-endian or structured types.
NpyHeader parse_npy(std::span<const std::byte> file, std::string_view file_name);

/// The canonical header (magic, version, dictionary, padding to 64 bytes) exactly as numpy writes
/// it.
std::string npy_header(Dtype dtype, std::span<const std::int64_t> shape);

class NpyFile {
 public:
  explicit NpyFile(const std::filesystem::path& path);

  Dtype dtype() const { return header_.dtype; }
  const std::vector<std::int64_t>& shape() const { return header_.shape; }
  /// As a matrix: cols() is the last extent, rows() the product of the others (1 for a vector or
  /// scalar).
  std::int64_t rows() const { return rows_; }
  std::int64_t cols() const { return cols_; }
  std::span<const std::byte> bytes() const;

  /// Rows [first, first + count) as float into out (count * cols() values).
  void read_rows(std::int64_t first, std::int64_t count, std::span<float> out) const;
  /// Gives the pages of rows [first, first + count) back; call it behind a streaming cursor.
  void release_rows(std::int64_t first, std::int64_t count) const;

 private:
  MappedFile file_;
  NpyHeader header_;
  std::int64_t rows_ = 1;
  std::int64_t cols_ = 1;
};

/// Writes header and elements in pieces of any size. Throws OutputError; std::logic_error if more
/// or fewer bytes are written than the shape holds.
class NpyWriter {
 public:
  NpyWriter(const std::filesystem::path& path, Dtype dtype, std::vector<std::int64_t> shape);
  void write(std::span<const std::byte> bytes);
  /// Writes bytes at `offset` of the elements, for rows that are made piece by piece. Use either
  /// this or write(), for every byte.
  void write_at(std::uint64_t offset, std::span<const std::byte> bytes);
  void commit();

 private:
  AtomicFile file_;
  std::uint64_t data_begin_ = 0;
  std::uint64_t total_ = 0;
};

}  // namespace assay::simulator

// SPDX-License-Identifier: Apache-2.0
#include "simulator/npy.h"

#include <cstring>
#include <stdexcept>
#include <utility>

#include "simulator/npy_dictionary.h"
#include "simulator/shape.h"

namespace assay::simulator {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";

struct Descr {
  std::string_view text;
  Dtype dtype;
};
constexpr Descr kDescrs[] = {
    {"<f8", Dtype::f64}, {"<f4", Dtype::f32}, {"<f2", Dtype::f16}, {"<i8", Dtype::i64},
    {"<i4", Dtype::i32}, {"<i2", Dtype::i16}, {"|i1", Dtype::i8},  {"<u8", Dtype::u64},
    {"<u4", Dtype::u32}, {"<u2", Dtype::u16}, {"|u1", Dtype::u8},  {"|b1", Dtype::boolean},
};

[[noreturn]] void fail(std::string_view file, const std::string& problem) {
  throw InputError(std::string(file) + ": " + problem + ".");
}

Dtype dtype_of(const std::string& descr, std::string_view file) {
  for (const Descr& row : kDescrs) {
    if (row.text == descr) return row.dtype;
  }
  if (descr.starts_with('>')) {
    fail(file, "the elements are big endian (" + descr + "); convert with a.astype('<" +
                   descr.substr(1) + "')");
  }
  fail(file, "the element type '" + descr +
                 "' is not one of f2, f4, f8, i1, i2, i4, i8, u1, u2, u4, u8, b1");
}

}  // namespace

NpyHeader parse_npy(std::span<const std::byte> file, std::string_view file_name) {
  const std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
  if (!text.starts_with(kMagic))
    fail(file_name, "not a .npy file (it does not begin with \\x93NUMPY)");
  if (text.size() < 8) fail(file_name, "truncated inside the .npy header");
  const auto major = static_cast<unsigned char>(text[6]);
  const auto minor = static_cast<unsigned char>(text[7]);
  if (major < 1 || major > 3 || minor != 0) {
    fail(file_name, "unknown .npy version " + std::to_string(major) + "." + std::to_string(minor));
  }
  const std::size_t length_bytes = major == 1 ? 2 : 4;
  std::uint32_t length = 0;
  if (text.size() < 8 + length_bytes) fail(file_name, "truncated inside the .npy header");
  std::memcpy(&length, text.data() + 8, length_bytes);
  const std::size_t begin = 8 + length_bytes;
  if (length > text.size() - begin) {
    fail(file_name, "the .npy header claims " + std::to_string(length) + " bytes of a file of " +
                        std::to_string(text.size()) + " (truncated?)");
  }
  const NpyDictionary dictionary = parse_npy_dictionary(text.substr(begin, length), file_name);

  NpyHeader header;
  header.dtype = dtype_of(dictionary.descr, file_name);
  header.shape = dictionary.shape;
  header.data_begin = begin + length;
  const auto bytes = byte_count(header.dtype, header.shape);
  if (!bytes || *bytes != text.size() - header.data_begin) {
    fail(file_name, "shape " + shape_text(header.shape) + " of '" + dictionary.descr + "' needs " +
                        (bytes ? std::to_string(*bytes) : "too many") + " bytes, the file has " +
                        std::to_string(text.size() - header.data_begin));
  }
  header.data_bytes = *bytes;
  if (dictionary.fortran_order) {
    fail(file_name, "the array is in Fortran order; save it with numpy.ascontiguousarray");
  }
  return header;
}

std::string npy_header(Dtype dtype, std::span<const std::int64_t> shape) {
  std::string descr;
  for (const Descr& row : kDescrs) {
    if (row.dtype == dtype) descr = row.text;
  }
  if (descr.empty()) {
    throw std::invalid_argument("no .npy element type for " + std::string(info(dtype).name) + ".");
  }
  std::string tuple;
  for (const std::int64_t extent : shape) {
    tuple += (tuple.empty() ? "" : ", ") + std::to_string(extent);
  }
  if (shape.size() == 1) tuple += ',';
  std::string dictionary =
      "{'descr': '" + descr + "', 'fortran_order': False, 'shape': (" + tuple + "), }";
  // numpy leaves room for a first extent of 21 digits, so that an array can grow in place.
  if (!shape.empty()) dictionary.append(21 - std::to_string(shape[0]).size(), ' ');
  const bool small = dictionary.size() + 1 + 64 < 65536;
  const std::size_t prefix = small ? 10 : 12;
  // The data begins at a multiple of 64 bytes after at least one blank; the header ends with a
  // newline.
  const std::size_t total = (prefix + dictionary.size() + 1) / 64 * 64 + 64;
  dictionary.resize(total - prefix - 1, ' ');
  dictionary += '\n';

  std::string header(kMagic);
  header += small ? '\x01' : '\x02';
  header += '\0';
  const auto length = static_cast<std::uint32_t>(dictionary.size());
  for (std::size_t i = 0; i < prefix - 8; ++i)
    header += static_cast<char>(length >> (8 * i) & 0xFF);
  return header + dictionary;
}

NpyFile::NpyFile(const std::filesystem::path& path)
    : file_(path), header_(parse_npy(file_.bytes(), path.string())) {
  if (header_.shape.empty()) return;
  cols_ = header_.shape.back();
  for (std::size_t i = 0; i + 1 < header_.shape.size(); ++i) rows_ *= header_.shape[i];
}

std::span<const std::byte> NpyFile::bytes() const {
  return file_.bytes().subspan(header_.data_begin, header_.data_bytes);
}

void NpyFile::read_rows(std::int64_t first, std::int64_t count, std::span<float> out) const {
  if (first < 0 || count < 0 || first > rows_ || count > rows_ - first ||
      out.size() != static_cast<std::size_t>(count) * static_cast<std::size_t>(cols_)) {
    throw std::out_of_range("rows " + std::to_string(first) + ".." + std::to_string(first + count) +
                            " of " + std::to_string(rows_) + " rows of " + file_.path().string() +
                            ".");
  }
  to_float(header_.dtype, bytes(),
           static_cast<std::size_t>(first) * static_cast<std::size_t>(cols_), out);
}

void NpyFile::release_rows(std::int64_t first, std::int64_t count) const {
  const std::uint64_t row = static_cast<std::uint64_t>(cols_) * (info(header_.dtype).bits / 8);
  file_.release(header_.data_begin + static_cast<std::uint64_t>(first) * row,
                static_cast<std::uint64_t>(count) * row);
}

NpyWriter::NpyWriter(const std::filesystem::path& path, Dtype dtype,
                     std::vector<std::int64_t> shape)
    : file_(path) {
  const auto bytes = byte_count(dtype, shape);
  if (!bytes) throw std::invalid_argument("the shape " + shape_text(shape) + " is too large.");
  const std::string header = npy_header(dtype, shape);
  data_begin_ = header.size();
  total_ = data_begin_ + *bytes;
  file_.write(header);
}

void NpyWriter::write(std::span<const std::byte> bytes) {
  if (bytes.size() > total_ - file_.size()) {
    throw std::logic_error("more bytes were written to " + file_.path().string() +
                           " than its shape holds.");
  }
  file_.write(bytes);
}

void NpyWriter::write_at(std::uint64_t offset, std::span<const std::byte> bytes) {
  const std::uint64_t room = total_ - data_begin_;
  if (bytes.size() > room || offset > room - bytes.size()) {
    throw std::logic_error("bytes outside its shape were written to " + file_.path().string() +
                           ".");
  }
  file_.write_at(data_begin_ + offset, bytes);
}

void NpyWriter::commit() {
  if (file_.size() != total_) {
    throw std::logic_error(std::to_string(total_ - file_.size()) + " bytes of " +
                           file_.path().string() + " were never written.");
  }
  file_.commit();
}

}  // namespace assay::simulator

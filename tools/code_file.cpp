// SPDX-License-Identifier: Apache-2.0
#include "tools/code_file.h"

#include <fmt/format.h>

#include <cstring>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace assay::tools {

using formats::FormatSpec;
using simulator::Dtype;
using simulator::MmaModel;

Dtype code_type(const FormatSpec& spec) {
  return spec.storage_bits <= 8 ? Dtype::u8 : spec.storage_bits == 16 ? Dtype::u16 : Dtype::u32;
}

CodeFile::CodeFile(const char* option, const std::string& path, const FormatSpec& spec)
    : what_(fmt::format("{} {}", option, path)), file_(path) {
  const simulator::DtypeInfo& wanted = simulator::info(code_type(spec));
  if (file_.dtype() != wanted.dtype)
    throw std::invalid_argument(fmt::format("{} holds {}, but codes of {} come as {}", what_,
                                            simulator::info(file_.dtype()).name, spec.name,
                                            wanted.name));
  width_ = static_cast<std::size_t>(wanted.bits / 8);
}

void CodeFile::require_shape(std::int64_t rows, std::int64_t cols) const {
  if (file_.rows() * file_.cols() == rows * cols && (cols == 1 || file_.cols() == cols)) return;
  throw std::invalid_argument(fmt::format("{} is {} x {}, where {} x {} belongs", what_,
                                          file_.rows(), file_.cols(), rows, cols));
}

void CodeFile::read(std::int64_t row, std::span<std::uint32_t> out) const {
  const std::byte* from =
      file_.bytes().data() + static_cast<std::size_t>(row) * out.size() * width_;
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = 0;
    std::memcpy(&out[i], from + i * width_, width_);
  }
}

std::vector<std::uint32_t> CodeFile::all() const {
  std::vector<std::uint32_t> codes(static_cast<std::size_t>(rows() * cols()));
  read(0, codes);
  return codes;
}

void write_codes(const std::string& path, const FormatSpec& spec, std::vector<std::int64_t> shape,
                 std::span<const std::uint32_t> codes) {
  const Dtype type = code_type(spec);
  const auto width = static_cast<std::size_t>(simulator::info(type).bits / 8);
  simulator::NpyWriter writer(path, type, std::move(shape));
  std::vector<std::byte> bytes(codes.size() * width);
  for (std::size_t i = 0; i < codes.size(); ++i)
    std::memcpy(bytes.data() + i * width, &codes[i], width);
  writer.write(bytes);
  writer.commit();
}

std::string read_text(const char* option, const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf()))
    throw std::invalid_argument(fmt::format("{} {} cannot be read", option, path));
  return text.str();
}

std::vector<MmaModel> load_models(const std::string& path) {
  const auto shipped = simulator::all_mma_models();
  if (path.empty()) return {shipped.begin(), shipped.end()};
  return simulator::parse_mma_models(read_text("--models", path), path);
}

}  // namespace assay::tools

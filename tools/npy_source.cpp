// SPDX-License-Identifier: Apache-2.0
#include "tools/npy_source.h"

#include <fmt/format.h>

#include <array>
#include <stdexcept>
#include <string_view>

#include "formats/names.h"

namespace assay::tools {
namespace {

using simulator::Dtype;

struct Source {
  std::string_view name;  ///< as the user says it
  Dtype dtype;            ///< what it means
  Dtype stored;           ///< what the .npy file calls it
};
constexpr std::array<Source, 4> sources{{{"f32", Dtype::f32, Dtype::f32},
                                         {"f64", Dtype::f64, Dtype::f64},
                                         {"f16", Dtype::f16, Dtype::f16},
                                         {"bf16", Dtype::bf16, Dtype::u16}}};

const Source& find_source(const std::string& name) {
  std::vector<std::string_view> known;
  for (const Source& source : sources) {
    if (source.name == name) return source;
    known.push_back(source.name);
  }
  throw std::invalid_argument(formats::unknown_name("source type", name, known));
}

Dtype resolve(const simulator::NpyFile& file, const std::string& path,
              const std::string& declared) {
  const std::string_view stored = simulator::info(file.dtype()).name;
  if (!declared.empty()) {
    const Source& source = find_source(declared);
    if (source.stored == file.dtype()) return source.dtype;
    throw std::invalid_argument(
        fmt::format("'{}' holds {}, but --from {} takes {}; give the type that the file has", path,
                    stored, declared, simulator::info(source.stored).name));
  }
  for (const Source& source : sources)
    if (source.stored == file.dtype() && source.dtype == file.dtype()) return source.dtype;
  throw std::invalid_argument(fmt::format(
      "'{}' holds {}; sources are F32, F64, F16, and U16 with --from bf16", path, stored));
}

}  // namespace

NpySource::NpySource(const std::filesystem::path& path, const std::string& declared)
    : file_(path), dtype_(resolve(file_, path.string(), declared)) {
  if (size() == 0)
    throw std::invalid_argument(
        fmt::format("'{}' has no elements; there is nothing to convert", path.string()));
}

std::string_view NpySource::type_name() const {
  for (const Source& source : sources)
    if (source.dtype == dtype_) return source.name;
  throw std::logic_error("NpySource: a type outside its own table");
}

std::span<const std::byte> NpySource::bytes(std::int64_t first, std::int64_t count) const {
  const auto width = static_cast<std::size_t>(simulator::info(dtype_).bits / 8);
  return file_.bytes().subspan(static_cast<std::size_t>(first) * width,
                               static_cast<std::size_t>(count) * width);
}

void NpySource::read(std::int64_t first, std::span<float> out) const {
  simulator::to_float(dtype_, file_.bytes(), static_cast<std::size_t>(first), out);
}

void NpySource::release(std::int64_t first, std::int64_t count) const {
  // Whole rows: more than asked for at the edges, which costs a read again and nothing else.
  const std::int64_t row = first / cols();
  file_.release_rows(row, (first + count - 1) / cols() - row + 1);
}

}  // namespace assay::tools

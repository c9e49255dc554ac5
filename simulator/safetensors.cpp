// SPDX-License-Identifier: Apache-2.0
#include "simulator/safetensors.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <tuple>

#include "simulator/shape.h"
#include "simulator/strict_json.h"

namespace assay::simulator {
namespace {

using Json = nlohmann::json;

constexpr std::uint64_t kLengthBytes = 8;
constexpr std::uint64_t kMaxHeader = 100'000'000;  // the reference implementation's cap

[[noreturn]] void fail(std::string_view file, const std::string& problem) {
  throw InputError(std::string(file) + ": " + problem + ".");
}

std::map<std::string, std::string> parse_metadata(const Json& json, std::string_view file) {
  if (!json.is_object()) fail(file, "__metadata__ is not an object");
  std::map<std::string, std::string> metadata;
  for (const auto& [key, value] : json.items()) {
    if (!value.is_string()) fail(file, "the metadata entry \"" + key + "\" is not a string");
    metadata[key] = value.get<std::string>();
  }
  return metadata;
}

std::uint64_t parse_offset(const Json& json, const std::string& where, std::string_view file) {
  if (!json.is_number_unsigned())
    fail(file, where + " has a data offset that is no natural number");
  return json.get<std::uint64_t>();
}

SafetensorsEntry parse_entry(const std::string& name, const Json& json, std::uint64_t data_begin,
                             std::uint64_t data_bytes, std::string_view file) {
  const std::string where = "tensor \"" + name + "\"";
  if (!json.is_object() || json.size() != 3 || !json.contains("dtype") || !json.contains("shape") ||
      !json.contains("data_offsets")) {
    fail(file, where + " does not have exactly dtype, shape and data_offsets");
  }
  const Json& type = json["dtype"];
  const DtypeInfo* dtype =
      type.is_string() ? find_dtype(type.get_ref<const std::string&>()) : nullptr;
  if (dtype == nullptr) fail(file, where + " has the unknown dtype " + type.dump());

  SafetensorsEntry entry{name, dtype->dtype, {}, 0, 0};
  if (!json["shape"].is_array()) fail(file, where + " has a shape that is not a list");
  for (const Json& extent : json["shape"]) {
    if (!extent.is_number_unsigned() || extent.get<std::uint64_t>() > INT64_MAX) {
      fail(file, where + " has an extent that is no natural number");
    }
    entry.shape.push_back(extent.get<std::int64_t>());
  }
  const Json& offsets = json["data_offsets"];
  if (!offsets.is_array() || offsets.size() != 2)
    fail(file, where + " does not have two data offsets");
  const std::uint64_t begin = parse_offset(offsets[0], where, file);
  const std::uint64_t end = parse_offset(offsets[1], where, file);
  if (begin > end || end > data_bytes) {
    fail(file, where + " lies at bytes " + std::to_string(begin) + ".." + std::to_string(end) +
                   " of a data section of " + std::to_string(data_bytes) +
                   " bytes (is the file truncated?)");
  }
  const auto bytes = byte_count(dtype->dtype, entry.shape);
  if (!bytes || *bytes != end - begin) {
    fail(file, where + " of shape " + shape_text(entry.shape) + " and dtype " +
                   std::string(dtype->name) + " does not fill the " + std::to_string(end - begin) +
                   " bytes of its data offsets");
  }
  entry.begin = data_begin + begin;
  entry.end = data_begin + end;
  return entry;
}

void check_tiling(std::vector<SafetensorsEntry>& entries, std::uint64_t begin, std::uint64_t end,
                  std::string_view file) {
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  std::uint64_t cursor = begin;
  for (const SafetensorsEntry& entry : entries) {
    if (entry.begin != cursor) {
      fail(file,
           "tensor \"" + entry.name + "\" " +
               (entry.begin < cursor ? "overlaps the one before it" : "leaves a hole before it"));
    }
    cursor = entry.end;
  }
  if (cursor != end) {
    fail(file, std::to_string(end - cursor) + " bytes at the end belong to no tensor");
  }
}

}  // namespace

SafetensorsHeader parse_safetensors(std::span<const std::byte> file, std::string_view file_name) {
  if (file.size() < kLengthBytes) {
    fail(file_name, "too short for a safetensors file (" + std::to_string(file.size()) + " bytes)");
  }
  std::uint64_t length = 0;
  std::memcpy(&length, file.data(), kLengthBytes);
  if (length > kMaxHeader || length > file.size() - kLengthBytes) {
    fail(file_name, "the header claims " + std::to_string(length) + " bytes of a file of " +
                        std::to_string(file.size()) +
                        " (at most 100000000 are allowed; truncated, or not safetensors?)");
  }
  const std::string_view text(reinterpret_cast<const char*>(file.data()) + kLengthBytes, length);
  if (!text.starts_with('{'))
    fail(file_name, "the header does not begin with '{' (not safetensors?)");
  const Json json = parse_strict_json(text, file_name, "the header");

  SafetensorsHeader header;
  const std::uint64_t data_begin = kLengthBytes + length;
  for (const auto& [name, value] : json.items()) {
    if (name == "__metadata__") {
      header.metadata = parse_metadata(value, file_name);
    } else {
      header.entries.push_back(
          parse_entry(name, value, data_begin, file.size() - data_begin, file_name));
    }
  }
  check_tiling(header.entries, data_begin, file.size(), file_name);
  return header;
}

std::size_t TensorView::element_count() const {
  return bytes.size() * 8 / static_cast<std::size_t>(info(dtype).bits);
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path)
    : file_(path), header_(parse_safetensors(file_.bytes(), path.string())) {
  for (std::size_t i = 0; i < header_.entries.size(); ++i) index_[header_.entries[i].name] = i;
}

bool SafetensorsFile::contains(std::string_view name) const { return index_.contains(name); }

TensorView SafetensorsFile::tensor(std::string_view name) const {
  const auto found = index_.find(name);
  if (found == index_.end()) {
    std::string have;
    for (std::size_t i = 0; i < header_.entries.size() && i < 8; ++i) {
      have += (i == 0 ? "" : ", ") + header_.entries[i].name;
    }
    if (header_.entries.size() > 8) have += ", ...";
    fail(file_.path().string(),
         "there is no tensor \"" + std::string(name) + "\" (it has: " + have + ")");
  }
  const SafetensorsEntry& entry = header_.entries[found->second];
  return {entry.dtype, entry.shape, file_.bytes().subspan(entry.begin, entry.end - entry.begin)};
}

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& path,
                                     const std::vector<SafetensorsSpec>& tensors,
                                     const std::map<std::string, std::string>& metadata)
    : file_(path) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  if (!metadata.empty()) json["__metadata__"] = metadata;
  for (const SafetensorsSpec& spec : tensors) {
    const auto bytes = byte_count(spec.dtype, spec.shape);
    if (json.contains(spec.name) || spec.name == "__metadata__" || !bytes) {
      throw std::invalid_argument(
          "tensor \"" + spec.name + "\" of shape " + shape_text(spec.shape) +
          " cannot be written: its name must be new, its elements must fill "
          "whole bytes.");
    }
    begins_.push_back(data_bytes_);
    json[spec.name] = {{"dtype", info(spec.dtype).name},
                       {"shape", spec.shape},
                       {"data_offsets", {data_bytes_, data_bytes_ + *bytes}}};
    data_bytes_ += *bytes;
  }
  std::string text = json.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // tensors of 8-byte elements are then aligned
  const std::uint64_t length = text.size();
  file_.write(std::as_bytes(std::span(&length, 1)));
  file_.write(text);
  const std::uint64_t header_bytes = file_.size();
  for (std::uint64_t& begin : begins_) begin += header_bytes;
  begins_.push_back(header_bytes + data_bytes_);
}

void SafetensorsWriter::write(std::span<const std::byte> bytes) {
  if (bytes.size() > data_bytes_ - written_) {
    throw std::logic_error("more bytes were written to " + file_.path().string() +
                           " than declared.");
  }
  written_ += bytes.size();
  file_.write(bytes);
}

void SafetensorsWriter::write_at(std::size_t index, std::uint64_t offset,
                                 std::span<const std::byte> bytes) {
  if (index + 1 >= begins_.size() || bytes.size() > begins_[index + 1] - begins_[index] ||
      offset > begins_[index + 1] - begins_[index] - bytes.size() ||
      bytes.size() > data_bytes_ - written_) {
    throw std::logic_error("bytes outside tensor " + std::to_string(index) + " were written to " +
                           file_.path().string() + ".");
  }
  written_ += bytes.size();
  file_.write_at(begins_[index] + offset, bytes);
}

void SafetensorsWriter::commit() {
  if (written_ != data_bytes_) {
    throw std::logic_error(std::to_string(data_bytes_ - written_) + " bytes of " +
                           file_.path().string() + " were never written.");
  }
  file_.commit();
}

}  // namespace assay::simulator

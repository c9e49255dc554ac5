// SPDX-License-Identifier: Apache-2.0
#include "simulator/recording.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <stdexcept>
#include <type_traits>

#include "simulator/recording_parts.h"
#include "simulator/recording_tiling.h"
#include "simulator/shape.h"

namespace assay::simulator {
namespace {

// Rows are converted, and their pages given back, in pieces of about this many bytes.
constexpr std::int64_t kPieceBytes = 4 << 20;
constexpr std::string_view kDefaultRecording = "recordings/pystdlib-moe";

std::int64_t width(std::span<const std::int64_t> shape) { return shape.empty() ? 1 : shape.back(); }

std::int64_t height(std::span<const std::int64_t> shape) {
  std::int64_t rows = 1;
  for (std::size_t d = 0; d + 1 < shape.size(); ++d) rows *= shape[d];
  return rows;
}

/// Row `row` of the shard as a row of the whole tensor; increasing in `row`.
std::int64_t global_row(const TensorEntry& tensor, const Shard& shard, std::int64_t row) {
  std::int64_t result = 0;
  std::int64_t stride = 1;
  for (std::size_t d = tensor.shape.size(); d-- > 1;) {
    const std::size_t axis = d - 1;
    result += (shard.offset[axis] + row % shard.shape[axis]) * stride;
    row /= shard.shape[axis];
    stride *= tensor.shape[axis];
  }
  return result;
}

/// The first row of the shard that is not before `row` of the whole tensor.
std::int64_t first_row(const TensorEntry& tensor, const Shard& shard, std::int64_t row) {
  std::int64_t low = 0;
  std::int64_t high = height(shard.shape);
  while (low < high) {
    const std::int64_t middle = low + (high - low) / 2;
    if (global_row(tensor, shard, middle) < row) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

RecordingHeader read_json(const std::filesystem::path& path) {
  const MappedFile json(path);
  return parse_recording({reinterpret_cast<const char*>(json.bytes().data()), json.bytes().size()},
                         path.string());
}

/// recording.json, or what the parts of all ranks are together.
RecordingHeader read_header(const std::filesystem::path& folder) {
  std::error_code error;
  const auto parts = recording_parts(folder);
  if (parts.empty() || std::filesystem::exists(folder / "recording.json", error)) {
    RecordingHeader header = read_json(folder / "recording.json");
    if (header.part.ranks != 1)
      throw InputError((folder / "recording.json").string() +
                       ": is the part of one rank; its name should say which.");
    return header;
  }
  std::vector<RecordingHeader> headers;
  std::vector<std::string> names;
  for (const auto& part : parts) {
    headers.push_back(read_json(part));
    names.push_back(part.string());
  }
  return merge_parts(std::move(headers), names);
}

void convert(const TensorView& view, std::size_t first, std::span<float> out) {
  to_float(view.dtype, view.bytes, first, out);
}
void convert(const TensorView& view, std::size_t first, std::span<double> out) {
  to_double(view.dtype, view.bytes, first, out);
}
void convert(const TensorView& view, std::size_t first, std::span<std::int64_t> out) {
  to_int(view.dtype, view.bytes, first, out);
}

}  // namespace

const std::string& Op::tensor(Role role) const {
  const auto found = tensors.find(role);
  if (found == tensors.end()) {
    throw InputError("op \"" + id + "\" of the recording has no tensor in the role " +
                     std::string(name(role)) + "; record it again with that role.");
  }
  return found->second;
}

double Op::number(const std::string& key) const {
  const auto found = numbers.find(key);
  if (found == numbers.end()) {
    throw InputError("op \"" + id + "\" of the recording has no number \"" + key + "\".");
  }
  return found->second;
}

int Op::count(const std::string& key) const {
  const double value = number(key);
  if (!(value >= 1 && value <= std::numeric_limits<int>::max()) || value != std::floor(value)) {
    throw InputError("op \"" + id + "\" of the recording has a number \"" + key +
                     "\" that is not a whole number from 1 to 2147483647.");
  }
  return static_cast<int>(value);
}

std::int64_t RecordedTensor::rows() const { return height(shape()); }
std::int64_t RecordedTensor::cols() const { return width(shape()); }

template <typename T>
void RecordedTensor::read_into(std::int64_t first, std::int64_t count, std::span<T> out) const {
  const std::int64_t columns = cols();
  if (first < 0 || count < 0 || first > rows() || count > rows() - first ||
      out.size() != static_cast<std::size_t>(count * columns)) {
    throw std::out_of_range("rows outside tensor \"" + entry_->name + "\" of " +
                            std::to_string(rows()) + " rows.");
  }
  std::vector<T> other;
  const auto& shards = entry_->shards;
  for (std::size_t s = 0; s < shards.size(); ++s) {
    const Shard& shard = shards[s];
    const bool replica =
        std::any_of(shards.begin(), shards.begin() + static_cast<std::ptrdiff_t>(s),
                    [&](const Shard& o) { return same_piece(o, shard); });
    const SafetensorsFile& file = *recording_->files_.at(shard.file);
    const TensorView view = file.tensor(shard.key);
    const std::int64_t run = width(shard.shape);
    const std::int64_t left = shard.offset.empty() ? 0 : shard.offset.back();
    if (view.bytes.empty()) continue;
    const std::int64_t begin = first_row(*entry_, shard, first);
    const std::int64_t end = first_row(*entry_, shard, first + count);
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t to = (global_row(*entry_, shard, row) - first) * columns + left;
      const std::span<T> target =
          out.subspan(static_cast<std::size_t>(to), static_cast<std::size_t>(run));
      const auto from = static_cast<std::size_t>(row * run);
      if (!replica) {
        convert(view, from, target);
        continue;
      }
      other.resize(target.size());
      convert(view, from, std::span<T>(other));
      // NaN differs from itself; replicas are copies, so compare what they are made of.
      if (!std::equal(other.begin(), other.end(), target.begin(),
                      [](T a, T b) { return a == b || (a != a && b != b); })) {
        throw InputError(file.file().path().string() + ": rank " + std::to_string(shard.rank) +
                         " holds another copy of tensor \"" + entry_->name +
                         "\" than the rank before.");
      }
    }
    const auto bits =
        static_cast<std::uint64_t>(info(view.dtype).bits) * static_cast<std::uint64_t>(run);
    const auto offset = static_cast<std::uint64_t>(view.bytes.data() - file.file().bytes().data());
    // What was read is given back in windows: a call for every few rows would cost more than them.
    constexpr std::uint64_t kWindow = std::uint64_t{8} << 20;
    const std::uint64_t from = offset + static_cast<std::uint64_t>(begin) * bits / 8;
    const std::uint64_t to = offset + static_cast<std::uint64_t>(end) * bits / 8;
    const std::uint64_t first_window = from / kWindow * kWindow;
    const bool last = to >= offset + view.bytes.size();
    const std::uint64_t release_to = last ? to : to / kWindow * kWindow;
    if (release_to > first_window) file.file().release(first_window, release_to - first_window);
  }
}

void RecordedTensor::prefetch_rows(std::int64_t first, std::int64_t count) const {
  for (const Shard& shard : entry_->shards) {
    const SafetensorsFile& file = *recording_->files_.at(shard.file);
    const TensorView view = file.tensor(shard.key);
    if (view.bytes.empty()) continue;
    const std::int64_t begin = first_row(*entry_, shard, first);
    const std::int64_t end = first_row(*entry_, shard, first + count);
    const auto bits = static_cast<std::uint64_t>(info(view.dtype).bits) *
                      static_cast<std::uint64_t>(width(shard.shape));
    const auto offset = static_cast<std::uint64_t>(view.bytes.data() - file.file().bytes().data());
    file.file().prefetch(offset + static_cast<std::uint64_t>(begin) * bits / 8,
                         static_cast<std::uint64_t>(end - begin) * bits / 8);
  }
}

void RecordedTensor::read_rows(std::int64_t first, std::int64_t count, std::span<float> out) const {
  read_into<float>(first, count, out);
}

std::vector<float> RecordedTensor::read() const {
  std::vector<float> values(static_cast<std::size_t>(rows() * cols()));
  if (values.empty()) return values;  // a zero extent may stand beside a huge one
  const std::int64_t piece = std::max<std::int64_t>(1, kPieceBytes / 4 / cols());
  for (std::int64_t row = 0; row < rows(); row += piece) {
    const std::int64_t count = std::min(piece, rows() - row);
    read_into<float>(row, count,
                     std::span(values).subspan(static_cast<std::size_t>(row * cols()),
                                               static_cast<std::size_t>(count * cols())));
  }
  return values;
}

std::vector<double> RecordedTensor::read_doubles() const {
  std::vector<double> values(static_cast<std::size_t>(rows() * cols()));
  if (!values.empty()) read_into<double>(0, rows(), values);
  return values;
}

std::vector<std::int64_t> RecordedTensor::read_ints() const {
  if (info(entry_->dtype).floating) {
    throw InputError("tensor \"" + entry_->name + "\" of the recording holds " +
                     std::string(info(entry_->dtype).name) + " where integers are needed.");
  }
  std::vector<std::int64_t> values(static_cast<std::size_t>(rows() * cols()));
  read_into<std::int64_t>(0, rows(), values);
  return values;
}

Recording Recording::open(const std::filesystem::path& folder) {
  Recording recording;
  recording.folder_ = folder;
  recording.header_ = read_header(folder);
  for (const RecordedFile& entry : recording.header_.files) {
    std::error_code error;
    const auto bytes = std::filesystem::file_size(folder / entry.file, error);
    if (error)
      throw InputError("cannot read " + (folder / entry.file).string() + ": " + error.message() +
                       ".");
    if (bytes != entry.bytes)
      throw InputError((folder / entry.file).string() + ": has " + std::to_string(bytes) +
                       " bytes where the recording was written with " +
                       std::to_string(entry.bytes) + " (truncated, or of another recording?).");
  }
  for (std::size_t i = 0; i < recording.header_.ops.size(); ++i) {
    recording.ops_[recording.header_.ops[i].id] = i;
  }
  for (std::size_t i = 0; i < recording.header_.tensors.size(); ++i) {
    const TensorEntry& entry = recording.header_.tensors[i];
    recording.tensors_[entry.name] = i;
    for (const Shard& shard : entry.shards) {
      auto& file = recording.files_[shard.file];
      if (!file) file = std::make_unique<SafetensorsFile>(folder / shard.file);
      const TensorView view = file->tensor(shard.key);
      if (view.dtype != entry.dtype || !std::ranges::equal(view.shape, shard.shape)) {
        throw InputError(file->file().path().string() + ": tensor \"" + shard.key + "\" is " +
                         std::string(info(view.dtype).name) + " " + shape_text(view.shape) +
                         ", recording.json says " + std::string(info(entry.dtype).name) + " " +
                         shape_text(shard.shape) + ".");
      }
    }
  }
  return recording;
}

bool Recording::contains(std::string_view tensor_name) const {
  return tensors_.contains(tensor_name);
}

RecordedTensor Recording::tensor(std::string_view tensor_name) const {
  const auto found = tensors_.find(tensor_name);
  if (found == tensors_.end()) {
    throw InputError("the recording " + folder_.string() + " has no tensor \"" +
                     std::string(tensor_name) + "\".");
  }
  return {this, &header_.tensors[found->second]};
}

const Op& Recording::op(std::string_view id) const {
  const auto found = ops_.find(id);
  if (found == ops_.end()) {
    throw InputError("the recording " + folder_.string() + " has no op \"" + std::string(id) +
                     "\".");
  }
  return header_.ops[found->second];
}

std::filesystem::path default_recording() {
  namespace fs = std::filesystem;
  std::vector<fs::path> places;
  if (const char* data = std::getenv("ASSAY_DATA_DIR")) places.emplace_back(data);
  // An installed tree may be moved: look beside the program before the places known to the build.
  std::error_code error;
  if (const fs::path program = fs::read_symlink("/proc/self/exe", error); !error) {
    places.push_back(program.parent_path().parent_path() / ASSAY_RELATIVE_DATA);
  }
  places.emplace_back(ASSAY_SOURCE_DATA);
  places.emplace_back(ASSAY_INSTALLED_DATA);
  std::string looked;
  for (const fs::path& place : places) {
    if (fs::exists(place / kDefaultRecording / "recording.json", error))
      return place / kDefaultRecording;
    looked += (looked.empty() ? "" : ", ") + (place / kDefaultRecording).string();
  }
  throw InputError("the recording that ships with assay was not found (" + looked +
                   "); set ASSAY_DATA_DIR or name a recording.");
}

}  // namespace assay::simulator
